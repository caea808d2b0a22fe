"""The trainable classifier: an encoder, pooling, and a head.

Shape letters used below: B texts in a batch, T tokens, H hidden size, K labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from matinee.core.errors import NotAvailableError, SettingsError
from matinee.model.layers import keep_layers, reinitialise_layers
from matinee.model.packing import first_position, is_native, packed_states
from matinee.model.quiet import quiet_transformers
from matinee.model.windows import WindowOutput

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matinee.core.settings import ModelSettings

# What the architectures of the catalogue call their dropout probabilities.
_HIDDEN_DROPOUT = (
    "hidden_dropout_prob",
    "dropout",
    "seq_classif_dropout",
    "classifier_dropout",
    "embedding_dropout",
    "mlp_dropout",
)
_ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")


class MeanPooledClassifier(nn.Module):
    """Encoder, mean of its token vectors, dropout, one linear layer.

    Mean pooling over the tokens that are not padding: Reimers & Gurevych 2019, "Sentence-BERT", section 3. With pooling
    `attention` it is a mean weighted by the softmax of the vectors' products with a learned query (Yang et al. 2016,
    "Hierarchical Attention Networks for Document Classification", section 2.2, without their hidden layer).

    Args:
        encoder: A model of transformers without a head.
        n_labels: How many labels there are.
        dropout: Its probability before the head.
        pooling: `"mean"` or `"attention"`.
        n_dropouts: Dropout masks that the head sees each text under in training (Inoue 2019, "Multi-Sample Dropout").

    Attributes:
        packed: Whether the encoder reads texts in one row, without padding; `matinee.model.fast` says when.
    """

    query: nn.Parameter | None
    window_query: nn.Parameter | None

    def __init__(self, encoder: Any, n_labels: int, dropout: float, pooling: str = "mean", n_dropouts: int = 1) -> None:
        super().__init__()
        self.n_dropouts = n_dropouts
        self.packed = False
        self.encoder = encoder
        self.config = encoder.config
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.config.hidden_size, n_labels)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        # Zeros weigh all tokens alike: at first it is the mean, which is what a fitted head is fitted on.
        query = nn.Parameter(torch.zeros(encoder.config.hidden_size)) if pooling == "attention" else None
        self.register_parameter("query", query)
        self.register_parameter("window_query", None)

    def features(
        self, input_ids: Tensor | None, attention_mask: Tensor | None, inputs_embeds: Tensor | None = None
    ) -> Tensor:
        """Return the mean token vector of each text, plain or weighted.

        Shape:
            input_ids, attention_mask - (B, T)
            inputs_embeds - (B, T, H), in the place of `input_ids`
            output - (B, H), float32
        """
        hidden = self._states(input_ids, attention_mask, inputs_embeds).float()
        if attention_mask is None:
            attention_mask = hidden.new_ones(hidden.shape[:2])
        if self.query is not None:
            # Not divided by the root of the width, as attention within an encoder is: the query starts at zero and moves
            # by about the learning rate a step, and would not get far.
            # A sum of products and not a matrix product, which autocast would round to bf16.
            scores = (hidden * self.query).sum(dim=2)
            scores = scores.masked_fill(attention_mask == 0, torch.finfo(scores.dtype).min)
            weighted: Tensor = (hidden * scores.softmax(dim=1).unsqueeze(-1)).sum(dim=1)
            return weighted
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        pooled: Tensor = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1.0)
        return pooled

    def _states(self, input_ids: Tensor | None, attention_mask: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
        if self.packed and attention_mask is not None and is_native(attention_mask.device):
            inputs = input_ids if inputs_embeds is None else inputs_embeds
            return packed_states(self.encoder, cast("Tensor", inputs), attention_mask)
        given = {"input_ids": input_ids} if inputs_embeds is None else {"inputs_embeds": inputs_embeds}
        states: Tensor = self.encoder(**given, attention_mask=attention_mask).last_hidden_state
        return states

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
    ) -> WindowOutput:
        """Return logits, and the mean cross-entropy where labels are given; scores where there is a `window_query`.

        Shape:
            input_ids, attention_mask - (B, T)
            labels - (B,)
            inputs_embeds - (B, T, H), in the place of `input_ids`
            logits - (B, K), float32; in training with several dropout masks (B, S * K): those under each mask side by side
        """
        features = self.features(input_ids, attention_mask, inputs_embeds)
        n_dropouts = self.n_dropouts if self.training else 1
        by_mask = [self.head(self.dropout(features)).float() for _ in range(n_dropouts)]
        logits = torch.cat(by_mask, dim=1)
        loss = None if labels is None else nn.functional.cross_entropy(torch.cat(by_mask), labels.repeat(n_dropouts))
        scores = None if self.window_query is None else (features * self.window_query).sum(dim=1)
        return WindowOutput(loss=loss, logits=logits, scores=scores)


def build_classifier(folder: Path, settings: ModelSettings, label_names: Sequence[str]) -> Any:
    """Return a classifier with pretrained encoder weights from `folder` and a new head.

    Pooling `cls` is the architecture's own `...ForSequenceClassification`, the others are a `MeanPooledClassifier`.

    Raises:
        NotAvailableError: The folder's architecture is unknown to the installed transformers, or cannot classify.
        SettingsError: The encoder has no such dropout, none where it is needed, or not so many layers.
    """
    config = load_config(folder)
    config.id2label = dict(enumerate(label_names))
    config.label2id = {name: index for index, name in enumerate(label_names)}
    config.num_labels = len(label_names)
    config.problem_type = "single_label_classification"
    _set_dropout(config, _HIDDEN_DROPOUT, "dropout", settings.dropout)
    _set_dropout(config, _ATTENTION_DROPOUT, "attention_dropout", settings.attention_dropout)
    if settings.pooling == "cls":
        model = load_pretrained(AutoModelForSequenceClassification, folder, config)
        base = model.base_model
    else:
        dropout, n_dropouts = hidden_dropout(config), settings.multi_sample_dropout
        if n_dropouts > 1 and not dropout:
            raise SettingsError("--multi-sample-dropout needs dropout, and this encoder has none: pass --dropout 0.1.")
        base = load_pretrained(AutoModel, folder, config)
        model = MeanPooledClassifier(base, len(label_names), dropout, settings.pooling, n_dropouts)
    if settings.layers is not None:
        keep_layers(base, settings.layers)
    if settings.reinit_layers:
        reinitialise_layers(base, settings.reinit_layers)
    return model


def load_config(folder: Path) -> Any:
    """Read a model folder's configuration; code that it may carry is never run."""
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (ValueError, OSError, KeyError) as error:
        raise NotAvailableError(
            f"{folder} holds a configuration that transformers cannot read: {_first_line(error)}"
        ) from error


def load_pretrained(auto: Any, folder: Path, config: Any, *, whole: bool = False) -> Any:
    """Load weights through an Auto class, from safetensors alone, in float32.

    Args:
        auto: `AutoModel` or one of its kin.
        folder: A Hugging Face model folder.
        config: Its configuration.
        whole: Whether weights that the folder lacks are an error; else they start at random, as a new head must.

    Raises:
        NotAvailableError: The weights are missing, damaged, or, with `whole`, not all there.
    """
    with quiet_transformers():
        try:
            model, report = auto.from_pretrained(
                folder,
                config=config,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )
        except (ValueError, OSError, KeyError, RuntimeError, SafetensorError) as error:
            raise NotAvailableError(f"The weights in {folder} cannot be loaded: {_first_line(error)}") from error
    if whole and report["missing_keys"]:
        raise NotAvailableError(
            f"{folder} lacks weights that the classifier needs, {min(report['missing_keys'])} for one."
        )
    return model


def divide_logits(model: Any, temperature: float) -> None:
    """Divide a classifier's logits by a temperature, for good.

    The inverse goes into the weights of its last layer, so that whatever opens the model folder (matinee, plain
    transformers, an exported graph) gives calibrated probabilities without knowing of it.

    Raises:
        SettingsError: The architecture has no linear layer with one output per label.
    """
    n_labels = model.config.num_labels
    last = [part for part in model.modules() if isinstance(part, nn.Linear) and part.out_features == n_labels]
    if not last:
        raise SettingsError(f"{type(model).__name__} has no last linear layer: pass --calibration none.")
    with torch.no_grad():
        for parameter in last[-1].parameters():
            parameter.div_(temperature)


def hidden_dropout(config: Any) -> float:
    """Return the dropout probability of the encoder's hidden layers, 0.1 where its configuration names none."""
    return float(next((p for name in _HIDDEN_DROPOUT if (p := getattr(config, name, None)) is not None), 0.1))


def longest_input(config: Any) -> int | None:
    """Return how many tokens the encoder has positions for, special tokens included; None where it has no limit."""
    positions = getattr(config, "max_position_embeddings", None)
    if positions is None:
        return None
    # 514 of RoBERTa's positions hold 512 tokens.
    return int(positions) - first_position(config)


def _set_dropout(config: Any, names: tuple[str, ...], setting: str, probability: float | None) -> None:
    if probability is None:
        return
    known = [name for name in names if hasattr(config, name)]
    if not known:
        raise SettingsError(
            f"--{setting.replace('_', '-')} cannot be set for a {config.model_type} encoder: pass none."
        )
    for name in known:
        setattr(config, name, probability)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
