"""The model folder: a classifier saved and loaded as one thing.

Pooling `cls` makes a plain Hugging Face classification model. Mean pooling is more than its configuration can express:
the encoder is saved as a plain Hugging Face model, the head beside it, and README.md says how plain transformers use
them. `matinee.json` holds what neither can express. No file is a pickle.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee._version import __version__
from matinee.core.errors import RunError
from matinee.core.files import storage_errors, write_json, write_text
from matinee.core.settings import TextSettings
from matinee.core.types import Predictions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

    from matinee.model.bag_of_words import BagOfWords
    from matinee.model.classifier import MeanPooledClassifier
    from matinee.tokens import TextPreparation

FORMAT = 2  # 2: how long texts are read
INFO = "matinee.json"
HEAD = "head.safetensors"
VALIDATION = "validation.json"

# Enough to choose thresholds by; more would only make the folder larger.
_MOST_VALIDATION_ROWS = 5_000

# Ends the name of what stood where a new folder is about to stand.
_ASIDE = "-replaced"


@dataclass(frozen=True)
class ClassifierInfo:
    """What `matinee.json` holds.

    Attributes:
        kind: `"transformer"`, `"tfidf"` or `"nblr"`.
        encoder: As the user named it.
        label_names: In the order of the probabilities.
        pooling: `"mean"`, `"attention"`, `"cls"`, or None for a linear classifier.
        text: Cleaning, length and truncation; None for a linear classifier.
        temperature: What the logits were divided by after training; the weights hold it already.
        threshold: Of two labels the second one is the answer where its probability is at least this; None: the more
            probable one.
    """

    kind: str
    encoder: str
    label_names: tuple[str, ...]
    pooling: str | None = None
    text: TextSettings | None = None
    temperature: float = 1.0
    threshold: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        text = None if self.text is None else {f.name: getattr(self.text, f.name) for f in fields(self.text)}
        return {
            "format": FORMAT,
            "matinee": __version__,
            "kind": self.kind,
            "encoder": self.encoder,
            "label_names": list(self.label_names),
            "pooling": self.pooling,
            "text": text,
            "temperature": self.temperature,
            "threshold": self.threshold,
        }

    @classmethod
    def read(cls, folder: Path) -> ClassifierInfo:
        """Read `matinee.json`.

        Raises:
            RunError: It is damaged, or of a newer format than this matinee knows.
        """
        path = folder / INFO
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            if saved["format"] > FORMAT:
                raise RunError(
                    f"{path} is of format {saved['format']}, this matinee reads up to {FORMAT}: install a newer matinee."
                )
            text = None if saved["text"] is None else TextSettings(**saved["text"])
            return cls(
                saved["kind"],
                saved["encoder"],
                tuple(saved["label_names"]),
                saved["pooling"],
                text,
                saved.get("temperature", 1.0),
                saved.get("threshold"),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path} is damaged and cannot be read: the classifier cannot be used.") from error


def write_validation(folder: Path, validation: Predictions) -> None:
    """Write what the classifier says of its validation texts, without the texts: what thresholds are chosen by later."""
    n = min(len(validation), _MOST_VALIDATION_ROWS)
    rows = np.random.default_rng(0).permutation(len(validation))[:n]
    assert validation.labels is not None  # noqa: S101 - narrows a type
    saved = {
        "labels": validation.labels[rows].tolist(),
        "probabilities": validation.probabilities[rows].round(6).tolist(),
    }
    write_json(folder / VALIDATION, saved)


def read_validation(folder: Path) -> Predictions | None:
    """Return what `write_validation` wrote, with no texts; None where the folder has none.

    Raises:
        RunError: The file is damaged.
    """
    path = folder / VALIDATION
    if not path.is_file():
        return None
    info = ClassifierInfo.read(folder)
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        probabilities = np.array(saved["probabilities"], dtype=np.float64).reshape(-1, len(info.label_names))
        labels = np.array(saved["labels"], dtype=np.int64)
        names = [str(row) for row in range(len(labels))]
        return Predictions(names, [""] * len(names), probabilities, info.label_names, labels, info.threshold)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged and cannot be read.") from error


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Return an encoder's fast tokenizer.

    Raises:
        RunError: The folder holds none that transformers can read.
    """
    from transformers import AutoTokenizer

    from matinee.model.quiet import quiet_transformers

    with quiet_transformers():
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=True, trust_remote_code=False)
        except (ValueError, OSError, KeyError, ImportError) as error:
            raise RunError(f"{folder} holds no tokenizer that transformers can read.") from error
    if not tokenizer.is_fast:
        raise RunError(f"{folder} holds no fast tokenizer, and matinee needs one: choose another encoder.")
    return tokenizer


def save_classifier(
    folder: Path,
    model: Any,
    preparation: TextPreparation,
    tokenizer: PreTrainedTokenizerFast,
    info: ClassifierInfo,
    validation: Predictions | None = None,
) -> None:
    """Write a transformer classifier as a whole, with what it says of its validation texts, or nothing."""
    from safetensors.torch import save_file

    from matinee.model.classifier import MeanPooledClassifier
    from matinee.model.quiet import quiet_transformers

    with whole_folder(folder) as temporary, quiet_transformers():
        if isinstance(model, MeanPooledClassifier):
            model.encoder.save_pretrained(temporary)
            head = model.head.state_dict()
            head |= {name: query.detach() for name, query in _queries(model).items()}
            save_file({name: t.contiguous() for name, t in head.items()}, temporary / HEAD)
        else:
            model.save_pretrained(temporary)
        tokenizer.model_max_length = preparation.settings.max_length
        tokenizer.truncation_side = "left" if preparation.settings.truncation == "tail" else "right"
        tokenizer.save_pretrained(temporary)
        _write_info(temporary, info, validation)


def save_linear(folder: Path, model: BagOfWords, info: ClassifierInfo, validation: Predictions | None = None) -> None:
    """Write a linear classifier as a whole, with what it says of its validation texts, or nothing."""
    with whole_folder(folder) as temporary:
        model.save(temporary)
        _write_info(temporary, info, validation)


def _write_info(folder: Path, info: ClassifierInfo, validation: Predictions | None) -> None:
    write_json(folder / INFO, info.to_json())
    if validation is not None:
        write_validation(folder, validation)


def write_card(folder: Path, text: str) -> None:
    """Write the model folder's README.md."""
    write_text(folder / "README.md", text)


def load_head(model: MeanPooledClassifier, folder: Path) -> None:
    """Read the mean-pooled classifier's head into `model`.

    Raises:
        RunError: The file is missing or does not fit.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(folder / HEAD)
        for name, query in _queries(model).items():
            query.data.copy_(weights.pop(name))
        model.head.load_state_dict(weights)
    except (OSError, RuntimeError, KeyError, SafetensorError) as error:
        raise RunError(f"{folder / HEAD} is missing or damaged: the classifier cannot be used.") from error


def _queries(model: MeanPooledClassifier) -> dict[str, Tensor]:
    """Return what a classifier weighs tokens and windows by, where it does."""
    queries = {"query": model.query, "window_query": model.window_query}
    return {name: query for name, query in queries.items() if query is not None}


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder beside `folder`; rename it into place at the end, replacing what was there, or remove it.

    What was there is deleted last: a kill between the renames leaves both, see `finish_replacing`.
    """
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
        aside = temporary.with_name(temporary.name + _ASIDE)
        try:
            temporary.chmod(0o755)
            yield temporary
            if folder.exists():
                folder.rename(aside)
            temporary.rename(folder)
            shutil.rmtree(aside, ignore_errors=True)
        except BaseException:
            if aside.exists() and not folder.exists():
                aside.rename(folder)
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def finish_replacing(parent: Path) -> None:
    """Put in place what a kill left between the renames of `whole_folder`: a folder that is whole, beside the one before it.

    Whoever removes hidden folders in `parent` calls this first.
    """
    for aside in parent.glob(f".*{_ASIDE}"):
        made = aside.with_name(aside.name.removesuffix(_ASIDE))
        folder = aside.with_name(made.name[1:].rpartition("-")[0])
        if not folder.exists():
            (made if made.exists() else aside).rename(folder)
