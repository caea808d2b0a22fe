"""What all tests share: a machine without a network, folders of their own, a tiny corpus, and a tiny DistilBERT."""

from __future__ import annotations

import csv
import logging
import os
import random
import shutil
import signal
import socket
import string
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

# Set before anything is imported: huggingface_hub reads its switches once. Child processes inherit them.
_FOLDER = Path(tempfile.mkdtemp(prefix="matinee-tests-"))
os.environ.update(
    MATINEE_CACHE=str(_FOLDER / "cache"),
    HF_HOME=str(_FOLDER / "huggingface"),
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    MPLBACKEND="Agg",
)

# A busy machine is no failure: no deadline for a single example.
hypothesis.settings.register_profile("matinee", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("matinee")

_OPINIONS = {
    "positive": ("wonderful", "brilliant", "warm", "funny", "moving", "superb", "charming", "clever"),
    "negative": ("dreadful", "boring", "cold", "clumsy", "tedious", "awful", "lifeless", "stupid"),
}
_SUBJECTS = ("the film", "the plot", "the acting", "the music", "the ending", "the script", "the lead", "the pace")
_FILLERS = (
    "i saw it on a rainy afternoon",
    "my sister chose it",
    "it runs for two hours",
    "we had good seats",
    "the cinema was half full",
)


def pytest_configure() -> None:
    """Hear Ctrl-C where whoever started the tests has it ignored, as a script does in the background: child processes would not hear it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure() -> None:
    shutil.rmtree(_FOLDER, ignore_errors=True)


@pytest.fixture(autouse=True)
def _own_terminal() -> Iterator[None]:
    """Undo what a run of the command line set up for its process: log handlers, levels, the progress display."""
    _plain_logging()
    yield
    _plain_logging()


def _plain_logging() -> None:
    from matinee.core.progress import install_display

    logger = logging.getLogger("matinee")
    logger.handlers, logger.propagate = [], True
    logger.setLevel(logging.NOTSET)
    install_display(None)


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test reach further than this machine, unless it is marked `network`."""
    if "network" in request.keywords:
        return
    connect = socket.socket.connect

    def connect_here(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] not in {"localhost", "127.0.0.1", "127.0.0.2", "::1"}:
            raise OSError(f"a test without the mark 'network' tried to reach {address[0]}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_here)
    monkeypatch.setenv("PIP_NO_INDEX", "1")


@pytest.fixture(scope="session")
def tiny_rows() -> list[tuple[str, str]]:
    """120 reviews with their label in words: distinct, balanced, shuffled, of 5 to 60 words, learnable from single words."""
    chance = random.Random(0)
    rows = []
    for n in range(120):
        label = ("negative", "positive")[n % 2]
        opinions = [
            f"{chance.choice(_SUBJECTS)} was {chance.choice(_OPINIONS[label])}" for _ in range(chance.randint(1, 8))
        ]
        fillers = [*chance.sample(_FILLERS, k=chance.randint(0, 3)), f"seat {n}"]
        sentences = opinions + fillers
        chance.shuffle(sentences)
        joint = "<br /><br />" if n % 7 == 0 else " "
        rows.append((joint.join(f"{sentence.capitalize()}." for sentence in sentences), label))
    chance.shuffle(rows)
    return rows


@pytest.fixture(scope="session")
def tiny_csv(tiny_rows: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV file with the columns `text` and `label`."""
    path = tmp_path_factory.mktemp("tiny") / "reviews.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *tiny_rows])
    return path


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uncased DistilBERT with 2 layers, width 32, 512 positions, random weights and its own WordPiece vocabulary.

    It is saved with its language-model head, as the one on the hub is.
    """
    import torch
    from transformers import DistilBertConfig, DistilBertForMaskedLM, DistilBertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-distilbert")
    vocabulary = _vocabulary()
    config = DistilBertConfig(
        vocab_size=len(vocabulary), dim=32, n_layers=2, n_heads=2, hidden_dim=64, max_position_embeddings=512
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        DistilBertForMaskedLM(config).save_pretrained(folder)
    DistilBertTokenizerFast(vocab=vocabulary, do_lower_case=True, model_max_length=512).save_pretrained(folder)
    return folder


def _vocabulary() -> dict[str, int]:
    """Special tokens, the words of the tiny corpus, and every letter, digit and sign, so that no text is all unknown."""
    characters = string.ascii_lowercase + string.digits
    words = {
        word
        for phrase in (*_SUBJECTS, *_FILLERS, *_OPINIONS["positive"], *_OPINIONS["negative"])
        for word in phrase.split()
    }
    tokens = [
        *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        *string.punctuation,
        *characters,
        *(f"##{character}" for character in characters),
        *sorted(words | {"was", "seat"} - set(characters)),
    ]
    return {token: index for index, token in enumerate(dict.fromkeys(tokens))}
