"""Reads a model folder back into memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transformers import AutoModel, AutoModelForSequenceClassification

from matinee.core.errors import RunError
from matinee.core.settings import TextSettings
from matinee.model.artifact import INFO, ClassifierInfo, load_head, load_tokenizer
from matinee.model.classifier import MeanPooledClassifier, load_config, load_pretrained, longest_input
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
    """Return the transformer classifier in a model folder, matinee's own or any plain Hugging Face one."""
    config = load_config(folder)
    if (folder / INFO).is_file():
        info = ClassifierInfo.read(folder)
        if info.text is None:
            raise RunError(f"{folder / INFO} is damaged: it says nothing of the text preparation.")
        text, label_names = info.text, info.label_names
    else:
        text = TextSettings(lowercase=False, max_length=min(longest_input(config) or 512, 512), truncation="head")
        label_names = tuple(str(config.id2label[i]) for i in range(config.num_labels))
        if not any("SequenceClassification" in name for name in config.architectures or []):
            raise RunError(
                f"{folder} is not a classifier: it holds {', '.join(config.architectures or ['no architecture'])}."
            )
    preparation = prepare_texts(load_tokenizer(folder), text)
    if (folder / "head.safetensors").is_file():
        model = MeanPooledClassifier(load_pretrained(AutoModel, folder, config), len(label_names), 0.0)
        load_head(model, folder)
    else:
        model = load_pretrained(AutoModelForSequenceClassification, folder, config)
    return LoadedClassifier(model.eval(), preparation, label_names)
