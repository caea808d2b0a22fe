"""The metrics, each a function of how often a text counts, and their registry.

Shape letters: n texts, l labels, b samples (one column of weights each: all ones for the plain value, the number of
times that a text was drawn for a bootstrap resample). A metric gives one value per sample, so that a thousand resamples
are a few passes over one array.

One rule for what cannot be computed: what the *texts* leave open (no text has the label) is undefined, NaN here and
`null` with a reason in scores; what the *classifier* leaves open (a label that it never predicts has precision 0/0)
counts as 0, as in scikit-learn. A degenerate split must not look like a bad model, nor a degenerate model like a good one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from matinee.core.errors import DataError
from matinee.evaluation.intervals import basic_interval, percentile_interval
from matinee.evaluation.proportions import wilson

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from matinee.core.types import Predictions

N_CALIBRATION_BINS = 15
SMALLEST_PROBABILITY = float(np.finfo(np.float64).eps)


def divide(part: NDArray[np.float64], whole: NDArray[np.float64], *, where_zero: float) -> NDArray[np.float64]:
    """Return `part / whole`, and `where_zero` where the whole is nothing."""
    return np.asarray(np.divide(part, whole, out=np.full_like(part, where_zero), where=whole > 0))


def confidence_bins(confidence: NDArray[np.float64], n_bins: int = N_CALIBRATION_BINS) -> NDArray[np.int64]:
    """Return the bin of each confidence among equal ones from 0 to 1, closed above as in Guo et al. (2017); both (n,)."""
    return np.ceil(confidence * n_bins).astype(np.int64).clip(1, n_bins) - 1


@dataclass(frozen=True, eq=False)
class LabelledTexts:
    """What the metrics need of each text, worked out once for all resamples.

    Attributes:
        labels: True label indices, shape (n,).
        probabilities: Shape (n, l).
        predicted: Answered label indices, shape (n,).
    """

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    predicted: NDArray[np.int64]

    @classmethod
    def of(cls, predictions: Predictions) -> LabelledTexts:
        """Return the labelled texts behind some predictions.

        Raises:
            DataError: There are no texts, no labels or fewer than two label names, a label has no name, or a probability is not a number.
        """
        labels, probabilities = predictions.labels, np.asarray(predictions.probabilities, dtype=np.float64)
        n_labels = len(predictions.label_names)
        if labels is None or not len(predictions):
            missing = "no texts" if labels is not None else "no labels"
            raise DataError(f"There are {missing} to score against: metrics need at least one labelled text.")
        if n_labels < 2:
            raise DataError(f"Metrics need at least two labels, got {n_labels}: {list(predictions.label_names)}.")
        if labels.min() < 0 or labels.max() >= n_labels:
            raise DataError(
                f"Label indices must lie between 0 and {n_labels - 1}, got {labels.min()} to {labels.max()}."
            )
        if not np.isfinite(probabilities).all():
            bad = int((~np.isfinite(probabilities)).any(axis=1).sum())
            raise DataError(
                f"The probabilities of {bad} of {len(labels)} texts are not numbers: the classifier diverged."
            )
        return cls(labels.astype(np.int64), probabilities, predictions.predicted)

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return len(self.probabilities[0])

    @cached_property
    def correct(self) -> NDArray[np.float64]:
        """1 where the answer is the true label, else 0; shape (n,)."""
        return np.asarray(self.predicted == self.labels, dtype=np.float64)

    @cached_property
    def by_label(self) -> Groups:
        """The texts grouped by their true label."""
        return Groups.by(self.labels, self.n_labels)

    @cached_property
    def by_predicted(self) -> Groups:
        """The texts grouped by the label they were given."""
        return Groups.by(self.predicted, self.n_labels)

    @cached_property
    def correct_by_label(self) -> Groups:
        """The texts that were predicted right, grouped by their label."""
        return Groups.by(self.labels, self.n_labels, self.correct > 0)

    @cached_property
    def losses(self) -> NDArray[np.float64]:
        """Negative log probability of the true label, in nats; shape (n,)."""
        true = self.probabilities[np.arange(len(self.labels)), self.labels]
        return np.asarray(-np.log(true.clip(SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)))

    @cached_property
    def squared_errors(self) -> NDArray[np.float64]:
        """Squared distance between the probabilities and the truth; shape (n,)."""
        errors = self.probabilities.copy()
        errors[np.arange(len(self.labels)), self.labels] -= 1
        squares = np.square(errors)
        # With two labels both columns hold the same error: one is enough, and is what the literature calls the Brier score.
        return squares[:, 1] if self.n_labels == 2 else squares.sum(axis=1)

    @cached_property
    def calibration_gaps(self) -> NDArray[np.float64]:
        """Correctness less confidence, shape (n,)."""
        return np.asarray((self.probabilities.argmax(axis=1) == self.labels) - self.probabilities.max(axis=1))

    @cached_property
    def by_confidence(self) -> Groups:
        """The texts grouped by the confidence bin that they fall in."""
        return Groups.by(confidence_bins(self.probabilities.max(axis=1)), N_CALIBRATION_BINS)

    @cached_property
    def rankings(self) -> list[Ranking]:
        """How the texts rank by the probability of each label that ROC-AUC looks at (two labels: of the positive one)."""
        looked_at = [1] if self.n_labels == 2 else range(self.n_labels)
        return [Ranking.by(self.probabilities[:, label], self.labels == label) for label in looked_at]


@dataclass(frozen=True, eq=False)
class Groups:
    """Texts sorted into groups, so that sums per group are one pass.

    Not a product with a one-hot matrix, which a BLAS computes with threads: beside other work on two cores those made
    25,000 texts with 20 labels take 49 s where this takes 7 s, and on an idle machine they gained little.

    Attributes:
        order: Text indices, one group after the other, shape (m,).
        present: The groups that have texts, shape (g,).
        starts: Place in `order` where each of them starts, shape (g,).
        n_groups: Number of groups, empty ones included.
    """

    order: NDArray[np.int64]
    present: NDArray[np.int64]
    starts: NDArray[np.int64]
    n_groups: int

    @classmethod
    def by(cls, group: NDArray[np.int64], n_groups: int, chosen: NDArray[np.bool_] | None = None) -> Groups:
        """Return the texts, or those `chosen`, grouped by `group`; both of shape (n,)."""
        rows = np.arange(len(group)) if chosen is None else np.flatnonzero(chosen)
        order = rows[np.argsort(group[rows], kind="stable")]
        present, starts = np.unique(group[order], return_index=True)
        return cls(order, present, starts, n_groups)

    def sum(self, weights: NDArray[np.float64], values: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Return the total weight of each group, or of a value per text, shape (n,), times its weight; shape (n_groups, b)."""
        sums = np.zeros((self.n_groups, weights.shape[1]))
        if len(self.order):
            terms = weights[self.order]
            if values is not None:
                terms *= values[self.order, None]
            sums[self.present] = np.add.reduceat(terms, self.starts, axis=0)
        return sums


@dataclass(frozen=True, eq=False)
class Ranking:
    """The texts in the order of a score, ties kept together.

    Attributes:
        order: Text indices from the lowest score to the highest, shape (n,).
        positives: Indices of the positive texts, shape (p,).
        starts: Place in `order` where the ties of each positive text start, shape (p,).
        ends: Place in `order` behind its ties, shape (p,).
    """

    order: NDArray[np.int64]
    positives: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def by(cls, scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> Ranking:
        """Return the ranking by `scores`, shape (n,), of which some texts are `positive`, shape (n,)."""
        order = np.argsort(scores, kind="stable")
        positives = np.flatnonzero(positive)
        at = scores[positives]
        return cls(
            order, positives, np.searchsorted(scores[order], at), np.searchsorted(scores[order], at, side="right")
        )

    def auc(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the area under the ROC curve per sample, NaN where it lacks positive or negative texts; shape (b,)."""
        below = np.zeros((len(self.order) + 1, weights.shape[1]))
        np.cumsum(weights[self.order], axis=0, out=below[1:])
        positive = weights[self.positives]
        n_positive = positive.sum(axis=0)
        n_negative = below[-1] - n_positive
        mid_ranks = 0.5 * np.einsum("pb,pb->b", positive, below[self.starts] + below[self.ends])
        # Among themselves the positives win exactly half of their n_positive ** 2 encounters: what is left was won from negatives.
        won = mid_ranks - 0.5 * np.square(n_positive)
        return divide(won, n_positive * n_negative, where_zero=np.nan)


@dataclass(frozen=True, eq=False)
class Weighted:
    """Labelled texts and how often each counts.

    Attributes:
        texts: The texts.
        weights: How often each text counts in each sample, shape (n, b).
    """

    texts: LabelledTexts
    weights: NDArray[np.float64]

    def mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weighted mean of one value per text, shape (n,), for each sample, shape (b,)."""
        return np.asarray(np.einsum("n,nb->b", values, self.weights) / self.n_texts)

    @cached_property
    def n_texts(self) -> NDArray[np.float64]:
        """Total weight, shape (b,)."""
        return np.asarray(self.weights.sum(axis=0))

    @cached_property
    def n_true(self) -> NDArray[np.float64]:
        """Texts that have each label, shape (l, b)."""
        return self.texts.by_label.sum(self.weights)

    @cached_property
    def n_predicted(self) -> NDArray[np.float64]:
        """Texts predicted to have each label, shape (l, b)."""
        return self.texts.by_predicted.sum(self.weights)

    @cached_property
    def n_correct(self) -> NDArray[np.float64]:
        """Texts of each label that were predicted right, shape (l, b)."""
        return self.texts.correct_by_label.sum(self.weights)

    @property
    def precisions(self) -> NDArray[np.float64]:
        """Precision of each label, shape (l, b)."""
        return divide(self.n_correct, self.n_predicted, where_zero=0.0)

    @property
    def recalls(self) -> NDArray[np.float64]:
        """Recall of each label, shape (l, b)."""
        return divide(self.n_correct, self.n_true, where_zero=0.0)

    @property
    def f1s(self) -> NDArray[np.float64]:
        """F1 of each label, shape (l, b)."""
        return divide(2 * self.n_correct, self.n_true + self.n_predicted, where_zero=0.0)

    @property
    def averaged(self) -> NDArray[np.bool_]:
        """Which labels a plain precision, recall or F1 is about: the positive one of two, else all that occur; shape (l, b)."""
        occurs: NDArray[np.bool_] = self.n_true > 0
        if self.texts.n_labels == 2:
            occurs[0] = False
        return occurs

    def macro(self, per_label: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the plain mean over the labels that count, NaN where none does; shape (b,).

        A label that no text has is left out, as in scikit-learn's `balanced_accuracy_score`: the texts say nothing about it.
        """
        averaged = self.averaged
        return divide((per_label * averaged).sum(axis=0), averaged.sum(axis=0), where_zero=np.nan)

    def by_support(self, per_label: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean over the labels, weighted by how many texts have each; shape (b,)."""
        mean: NDArray[np.float64] = (per_label * self.n_true).sum(axis=0) / self.n_texts
        return mean


def accuracy(weighted: Weighted) -> NDArray[np.float64]:
    """Return the share of texts whose most probable label is the true one; shape (b,)."""
    return weighted.mean(weighted.texts.correct)


def f1(weighted: Weighted) -> NDArray[np.float64]:
    """Return F1 of the positive label of two, else macro F1: the mean of the labels' F1 (not F1 of the means); shape (b,)."""
    return weighted.macro(weighted.f1s)


def precision(weighted: Weighted) -> NDArray[np.float64]:
    """Return the precision of the positive label of two, else macro precision; shape (b,)."""
    return weighted.macro(weighted.precisions)


def recall(weighted: Weighted) -> NDArray[np.float64]:
    """Return the recall of the positive label of two, else macro recall, which is balanced accuracy; shape (b,)."""
    return weighted.macro(weighted.recalls)


def f1_weighted(weighted: Weighted) -> NDArray[np.float64]:
    """Return F1, averaged over the labels by their number of texts; shape (b,)."""
    return weighted.by_support(weighted.f1s)


def precision_weighted(weighted: Weighted) -> NDArray[np.float64]:
    """Return precision, averaged over the labels by their number of texts; shape (b,)."""
    return weighted.by_support(weighted.precisions)


def recall_weighted(weighted: Weighted) -> NDArray[np.float64]:
    """Return recall, averaged over the labels by their number of texts; equals accuracy; shape (b,)."""
    return weighted.by_support(weighted.recalls)


def roc_auc(weighted: Weighted) -> NDArray[np.float64]:
    """Return the chance that a random positive text scores above a random negative one, ties counting half; shape (b,).

    More than two labels: the plain mean of each label against the rest (one-vs-rest, Fawcett 2006, section 9.2, there
    weighted by frequency), NaN as soon as one label is missing. The rank formula is Hanley and McNeil (1982), section 3.
    """
    areas = [ranking.auc(weighted.weights) for ranking in weighted.texts.rankings]
    return np.asarray(np.mean(areas, axis=0))


def log_loss(weighted: Weighted) -> NDArray[np.float64]:
    """Return the mean negative log probability of the true label, in nats, probabilities clipped to float64's eps; shape (b,)."""
    return weighted.mean(weighted.texts.losses)


def brier(weighted: Weighted) -> NDArray[np.float64]:
    """Return the Brier score, shape (b,).

    Two labels: mean of (p - y)^2 of the positive one, between 0 and 1. More: mean over texts of the sum over labels,
    between 0 and 2 (Brier 1950, equation 2). These are scikit-learn's conventions.
    """
    return weighted.mean(weighted.texts.squared_errors)


def expected_calibration_error(weighted: Weighted) -> NDArray[np.float64]:
    """Return the mean gap between confidence and accuracy, shape (b,).

    Fifteen equal bins, closed above, of the most probable label's probability (Guo et al. 2017, equation 3).
    """
    texts = weighted.texts
    gaps = np.abs(texts.by_confidence.sum(weighted.weights, texts.calibration_gaps))
    return np.asarray(gaps.sum(axis=0) / weighted.n_texts)


def all_texts(weighted: Weighted) -> float:
    """Return how many texts there are."""
    return float(weighted.n_texts[0])


def rarest_true(weighted: Weighted) -> float:
    """Return how many texts have the rarest of the labels that are averaged."""
    return float(weighted.n_true[:, 0].min(where=weighted.averaged[:, 0], initial=weighted.n_texts[0]))


def rarest_predicted(weighted: Weighted) -> float:
    """Return how many texts were given the least predicted of the labels that are averaged."""
    return float(weighted.n_predicted[:, 0].min(where=weighted.averaged[:, 0], initial=weighted.n_texts[0]))


def smaller_side(weighted: Weighted) -> float:
    """Return how many texts stand on the smaller side of the most uneven one-vs-rest comparison."""
    n_true = weighted.n_true[:, 0]
    return float(np.minimum(n_true, weighted.n_texts[0] - n_true).min())


@dataclass(frozen=True)
class Share:
    """The share of texts that a metric is, or rises with: its interval needs no bootstrap.

    Unlike the bootstrap, Wilson's interval stays honest near 0 and 1. Coverage with 200 texts, 95 % nominal: of an accuracy
    of 0.925 the percentile bootstrap 92.7 %, Wilson 95.7 %; of an F1 of 0.95 93.3 % and 95.6 %, of one of 0.98 89.7 % and
    94.6 % (3,000 simulations each). Exact sums for Wilson and every accuracy from 0.6 to 0.97: 93.7 % to 96.7 %.

    Attributes:
        part: How many texts are of the kind in question.
        whole: Of how many; of none, the interval is the whole range.
        to_metric: Turns the share into the metric; rising.
    """

    part: int
    whole: int
    to_metric: Callable[[float], float] = float

    def interval(self) -> tuple[float, float]:
        """Return the metric's 95 % interval."""
        share = wilson(self.part, self.whole) if self.whole else {"low": 0.0, "high": 1.0}
        return self.to_metric(share["low"]), self.to_metric(share["high"])


def right_of_all(weighted: Weighted) -> Share:
    """Return the share of texts that were predicted right."""
    return Share(int(weighted.n_correct[:, 0].sum()), int(weighted.n_texts[0]))


def right_of_true(weighted: Weighted) -> Share | None:
    """Return the share of positive texts that were found; None above two labels."""
    return _positive_share(weighted, int(weighted.n_true[1, 0]))


def right_of_predicted(weighted: Weighted) -> Share | None:
    """Return the share of texts called positive that are; None above two labels."""
    return _positive_share(weighted, int(weighted.n_predicted[1, 0]))


def right_of_either(weighted: Weighted) -> Share | None:
    """Return the share of right ones among texts that are positive or were called so; None above two labels.

    With TP, FP and FN counted, F1 = 2 TP / (2 TP + FP + FN) = 2 s / (1 + s) for the share s = TP / (TP + FP + FN), Jaccard's
    index. Of independent texts TP is binomial once TP + FP + FN is given, so an interval of s is one of F1.
    """
    either = int(weighted.n_true[1, 0] + weighted.n_predicted[1, 0] - weighted.n_correct[1, 0])
    return _positive_share(weighted, either, lambda share: 2 * share / (1 + share))


def _positive_share(weighted: Weighted, whole: int, to_metric: Callable[[float], float] = float) -> Share | None:
    return Share(int(weighted.n_correct[1, 0]), whole, to_metric) if weighted.texts.n_labels == 2 else None


def no_share(weighted: Weighted) -> Share | None:  # noqa: ARG001 - the shape of a share
    """Return None: the metric is no share of texts, and its interval is bootstrapped."""
    return None


@dataclass(frozen=True)
class Metric:
    """One metric, as scores and tables see it.

    Attributes:
        compute: Gives one value per sample, NaN where undefined.
        title: Its name for people.
        higher_is_better: Whether a larger value is the better one.
        rests_on: How many texts the value rests on at least; widens an interval that would be a point.
        largest: Upper end of its range for a number of labels; the lower one is 0.
        share: The share of texts that gives its interval, None where there is none: the bootstrap gives it then.
        interval: Makes the bootstrap interval from its value, its values on the resamples, and the upper end of its range.
        only_above_two_labels: Whether it would say nothing new with two labels.
    """

    compute: Callable[[Weighted], NDArray[np.float64]]
    title: str
    higher_is_better: bool = True
    rests_on: Callable[[Weighted], float] = all_texts
    largest: Callable[[int], float] = lambda n_labels: 1.0  # noqa: ARG005 - the shape of a bound
    share: Callable[[Weighted], Share | None] = no_share
    interval: Callable[[float, NDArray[np.float64], float], tuple[float, float]] = percentile_interval
    only_above_two_labels: bool = False


METRICS: dict[str, Metric] = {
    "accuracy": Metric(accuracy, "accuracy", share=right_of_all),
    "f1": Metric(f1, "F1", rests_on=rarest_true, share=right_of_either),
    "precision": Metric(precision, "precision", rests_on=rarest_predicted, share=right_of_predicted),
    "recall": Metric(recall, "recall", rests_on=rarest_true, share=right_of_true),
    "f1_weighted": Metric(f1_weighted, "F1, weighted", only_above_two_labels=True),
    "precision_weighted": Metric(precision_weighted, "precision, weighted", only_above_two_labels=True),
    "recall_weighted": Metric(recall_weighted, "recall, weighted", share=right_of_all, only_above_two_labels=True),
    "roc_auc": Metric(roc_auc, "ROC-AUC", rests_on=smaller_side),
    "log_loss": Metric(
        log_loss, "log-loss", higher_is_better=False, largest=lambda _: -float(np.log(SMALLEST_PROBABILITY))
    ),
    "brier": Metric(
        brier, "Brier score", higher_is_better=False, largest=lambda n_labels: 1.0 if n_labels == 2 else 2.0
    ),
    "ece": Metric(
        expected_calibration_error, "calibration error (ECE)", higher_is_better=False, interval=basic_interval
    ),
}


def metrics_for(n_labels: int) -> dict[str, Metric]:
    """Return the metrics that say something about a task with `n_labels` labels, by name, in the order of tables."""
    return {name: metric for name, metric in METRICS.items() if n_labels > 2 or not metric.only_above_two_labels}
