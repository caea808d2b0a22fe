"""What training minimises: cross-entropy, and what can be asked for beside it.

Shape letters: P passes under dropout of their own, S dropout masks before the head in each, B texts, K labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from matinee.core.errors import SettingsError
from matinee.data.augment import Augmentations

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from matinee.core.settings import TrainingSettings


@dataclass(frozen=True)
class Objective:
    """The loss of a batch in training.

    With targets q (the label, smoothed and mixed), class weights w and the model's probabilities p, a text's loss is

        - sum over labels k of  q_k  w_k  (1 - p_k)^gamma  log p_k

    which is torch's weighted, smoothed cross-entropy where gamma is 0, and the focal loss of Lin et al. (2017, equation 5)
    where nothing is smoothed. Unlike torch's weighted mean, that of a batch is divided by the number of its texts and not
    by their weights: balanced weights are 1 on average over the training texts, so the loss keeps its scale, and a text
    counts the same in whichever batch it comes. R-Drop adds the disagreement between two passes.

    Where a teacher's probabilities are the targets, p is at the temperature that these are at, and the loss is multiplied
    by the square of it, so that its gradients keep their scale (Hinton, Vinyals & Dean 2015, section 2). But for the
    teacher's own entropy, which no weight of the model can change, it is the Kullback-Leibler divergence between the two.

    Attributes:
        n_labels: How many labels there are.
        smoothing: Share of a label that is spread over all labels (Szegedy et al. 2016, section 7).
        gamma: Focusing parameter; 0 for cross-entropy.
        weights: Weight of each label, shape (K,); None: all 1.
        r_drop: Weight of the disagreement (Liang et al. 2021, equation 4; their two cross-entropies are averaged here).
        mixup: Alpha of the Beta distribution that pairs of texts are mixed by; None: not at all.
    """

    n_labels: int
    smoothing: float = 0.0
    gamma: float = 0.0
    weights: Tensor | None = None
    r_drop: float = 0.0
    mixup: float | None = None

    @classmethod
    def of(cls, settings: TrainingSettings, labels: NDArray[np.int64], n_labels: int) -> Objective:
        """Return what the settings ask for, given the training texts' labels, shape (n_texts,)."""
        return cls(
            n_labels,
            settings.label_smoothing,
            settings.focal_gamma if settings.loss == "focal" else 0.0,
            balanced_weights(labels, n_labels) if settings.class_weights == "balanced" else None,
            settings.r_drop,
            Augmentations.parse(settings.augment).mixup,
        )

    @property
    def n_passes(self) -> int:
        """How often the model reads each batch, each time under other dropout."""
        return 2 if self.r_drop else 1

    def __call__(self, logits: Tensor, labels: Tensor, soft: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Return the mean loss of the texts, over all passes and dropout masks.

        Shape:
            logits - (P, S, B, K)
            labels - (B,); of no account where there are soft targets
            soft - how much each text counts for each label, (B, K), and what its logits are divided by, (B,)
        """
        is_plain = self.mixup is None and not self.smoothing and not self.gamma and self.weights is None
        if soft is None and is_plain:
            loss = nn.functional.cross_entropy(logits.flatten(0, -2), labels.repeat(len(logits) * logits.shape[1]))
        else:
            if soft is None:
                targets = smoothed(nn.functional.one_hot(labels, self.n_labels).to(logits.dtype), self.smoothing)
            else:
                logits, targets = _at_temperature(logits, *soft, self.smoothing)
            if self.mixup is not None:
                logits, targets = _mixed(logits, targets, self.mixup)
            loss = _losses(logits, targets, self.weights, self.gamma).mean()
        return loss + self.r_drop * disagreement(logits[0], logits[1]).mean() if self.r_drop else loss


def balanced_weights(labels: NDArray[np.int64], n_labels: int) -> Tensor:
    """Return n_texts / (labels that occur * texts of the label) for each label, shape (K,); 0 for one that no text has.

    King & Zeng 2001, as in scikit-learn's `compute_class_weight("balanced")`.
    """
    counts = np.bincount(labels, minlength=n_labels)
    weights = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1)) * (counts > 0)
    return torch.from_numpy(weights).float()


def smoothed(targets: Tensor, smoothing: float, total: Tensor | float = 1.0) -> Tensor:
    """Return targets of which a share is spread evenly over all labels; both (..., K), rows sum to `total`."""
    return targets * (1 - smoothing) + smoothing / targets.shape[-1] * total


def disagreement(one: Tensor, other: Tensor) -> Tensor:
    """Return the mean of both Kullback-Leibler divergences between two passes' probabilities, in nats.

    Shape:
        one, other - logits, (..., K)
        output - (...)
    """
    log_one, log_other = one.log_softmax(dim=-1), other.log_softmax(dim=-1)
    # (KL(p, q) + KL(q, p)) / 2: what is left when both sums are added up.
    return ((log_one.exp() - log_other.exp()) * (log_one - log_other)).sum(dim=-1) / 2


def check_dropout(model: nn.Module, settings: TrainingSettings) -> None:
    """Raise SettingsError if two passes under dropout are asked for, and the model has none."""
    config: Any = model.config
    attention = (getattr(config, name, None) for name in ("attention_probs_dropout_prob", "attention_dropout"))
    if settings.r_drop and not any(getattr(module, "p", 0) for module in model.modules()) and not any(attention):
        raise SettingsError("--r-drop needs dropout, and this encoder has none of its own: pass --dropout 0.1.")


def _at_temperature(logits: Tensor, targets: Tensor, temperatures: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Return logits divided by the texts' temperatures, and targets, smoothed, multiplied by the squares of these."""
    divisor = temperatures.to(logits.dtype).unsqueeze(-1)
    targets = targets.to(logits.dtype)
    return logits / divisor, smoothed(targets, smoothing, targets.sum(dim=-1, keepdim=True)) * divisor**2


def _losses(logits: Tensor, targets: Tensor, weights: Tensor | None, gamma: float) -> Tensor:
    """Return each text's loss; logits (..., B, K), targets (B, K), output (..., B)."""
    log_p = logits.log_softmax(dim=-1)
    terms = targets * log_p
    if weights is not None:
        terms = terms * weights.to(terms, non_blocking=True)
    if gamma:
        # Where p is 1 the power's gradient would be infinite for a gamma below 1; log p is 0 there.
        terms = terms * (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).eps) ** gamma
    return -terms.sum(dim=-1)


def _mixed(logits: Tensor, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Return each text mixed with another one of the batch, by a share of its own from Beta(alpha, alpha).

    Mixup of pooled features (Guo, Mao & Zhang 2019, section 3: senMixup). The head is linear, so that mixed features, each
    under its own dropout, give mixed logits: these are what is mixed. The partners come from the batch at hand, so that
    accumulated batches mix each among themselves.
    """
    n_texts = len(targets)
    share = torch.distributions.Beta(alpha, alpha).sample((n_texts, 1)).to(logits, non_blocking=True)
    partner = torch.randperm(n_texts).to(logits.device, non_blocking=True)
    return (
        share * logits + (1 - share) * logits[..., partner, :],
        share * targets + (1 - share) * targets[partner],
    )
