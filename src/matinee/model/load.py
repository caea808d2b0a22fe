"""Reads a model folder back into memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformers import AutoModel, AutoModelForSequenceClassification

from matinee.core.errors import RunError
from matinee.core.settings import TextSettings
from matinee.model.artifact import INFO, ClassifierInfo, load_head, load_tokenizer
from matinee.model.classifier import MeanPooledClassifier, load_config, load_pretrained, longest_input
from matinee.model.windows import ATTENTION, add_window_query
from matinee.tokens import TextPreparation

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class LoadedClassifier:
    """A transformer classifier ready to predict."""

    model: nn.Module
    preparation: TextPreparation
    label_names: tuple[str, ...]


def prepare_texts(tokenizer: PreTrainedTokenizerFast, settings: TextSettings) -> TextPreparation:
    """Return the text preparation that goes with a tokenizer; `lowercase` None is decided by it."""
    from tokenizers import Tokenizer

    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    return TextPreparation.of(backend, settings, tokenizer.pad_token_id)


def load_classifier(folder: Path) -> LoadedClassifier:
    """Return the transformer classifier in a model folder, matinee's own or any plain Hugging Face one.

    Raises:
        RunError: The folder holds no classifier, or not all of one.
    """
    config = load_config(folder)
    info = ClassifierInfo.read(folder) if (folder / INFO).is_file() else _foreign_info(folder, config)
    if info.text is None:
        raise RunError(f"{folder / INFO} is damaged: it says nothing of the text preparation.")
    preparation = prepare_texts(load_tokenizer(folder), info.text)
    if info.pooling in {"mean", "attention"}:
        encoder = load_pretrained(AutoModel, folder, config, whole=True)
        model = MeanPooledClassifier(encoder, len(info.label_names), 0.0, info.pooling)
        if info.text.long == "windows" and info.text.window_pooling == ATTENTION:
            add_window_query(model)
        load_head(model, folder)
    else:
        model = load_pretrained(AutoModelForSequenceClassification, folder, config, whole=True)
    return LoadedClassifier(model.eval(), preparation, info.label_names)


def _foreign_info(folder: Path, config: Any) -> ClassifierInfo:
    """Return what can be known of a classifier that matinee did not make: its texts are cut as `pipeline` would."""
    if not any("SequenceClassification" in name for name in config.architectures or []):
        raise RunError(
            f"{folder} is not a classifier: it holds {', '.join(config.architectures or ['no architecture'])}."
        )
    text = TextSettings(lowercase=False, max_length=min(longest_input(config) or 512, 512), truncation="head")
    label_names = tuple(str(config.id2label[index]) for index in range(config.num_labels))
    return ClassifierInfo("transformer", str(folder), label_names, "cls", text)
