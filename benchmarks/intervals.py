"""Do the intervals, the prediction sets and the abstaining hold what they say? Simulated on made-up tasks whose truth is known.

python benchmarks/intervals.py

Texts are drawn from a task again and again, scored as a run's test texts would be, and it is counted how often the 95 %
interval holds the true value of the task. Nothing is trained, and no figure depends on the machine.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from machine import store
from matinee.core.types import Predictions
from matinee.evaluation import accuracy_gain, conformal_quantile, prediction_sets, score, threshold_for_accuracy
from matinee.evaluation.metrics import LabelledTexts, Weighted, metrics_for
from matinee.evaluation.proportions import wilson
from matinee.evaluation.selective import confidence

TARGET = (0.93, 0.97)
SIZES = (200, 2000)
N_TRUTH = 2_000_000


@dataclass(frozen=True)
class Task:
    """A made-up task: texts have a label each, and a score per label that is higher, on average, for the true one.

    Attributes:
        shares: How often each label occurs.
        skill: By how many standard deviations the true label's score is ahead.
        overconfidence: What the right logits are multiplied by.
    """

    shares: tuple[float, ...]
    skill: float
    overconfidence: float = 1.5

    def draw(self, n_texts: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities (n, l) and labels (n,) of new texts."""
        labels = (np.cumsum(self.shares) < generator.random((n_texts, 1))).sum(axis=1).clip(max=len(self.shares) - 1)
        scores = generator.normal(size=(n_texts, len(self.shares)))
        scores[np.arange(n_texts), labels] += self.skill
        # Bayes' rule for normal scores; the overconfidence comes on top.
        logits = self.overconfidence * (self.skill * scores + np.log(self.shares))
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True), labels

    def predictions(self, n_texts: int, generator: np.random.Generator) -> Predictions:
        """Return predictions of new texts."""
        return as_predictions(*self.draw(n_texts, generator))

    def truth(self) -> dict[str, float]:
        """Return every metric's true value: that of two million texts."""
        probabilities, labels = self.draw(N_TRUTH, np.random.default_rng(99))
        texts = LabelledTexts(labels, probabilities, probabilities.argmax(axis=1))
        weighted = Weighted(texts, np.ones((N_TRUTH, 1)))
        return {name: float(metric.compute(weighted)[0]) for name, metric in metrics_for(len(self.shares)).items()}


TASKS = {
    "two labels, accuracy 0.88": Task((0.5, 0.5), 1.66),
    "two labels, accuracy 0.95": Task((0.5, 0.5), 2.33),
    "two labels, one text in ten positive": Task((0.9, 0.1), 1.8),
    "four labels, accuracy 0.80": Task((0.25, 0.25, 0.25, 0.25), 1.9),
    "four labels, unevenly often": Task((0.5, 0.25, 0.15, 0.1), 1.9),
}
# How often to draw; those that the bootstrap makes slow get fewer.
REPETITIONS = {("formula", 200): 10_000, ("formula", 2000): 10_000, ("bootstrap", 200): 2_500, ("bootstrap", 2000): 800}


def as_predictions(probabilities: np.ndarray, labels: np.ndarray) -> Predictions:
    """Return predictions of texts without a text."""
    nothing = [""] * len(labels)
    return Predictions(nothing, nothing, probabilities, tuple(map(str, range(probabilities.shape[1]))), labels)


def coverage(task: Task, n_texts: int, metrics: tuple[str, ...], truth: dict[str, float]) -> dict[str, object]:
    """Return how often the interval of each metric holds its true value, and on which side it misses it."""
    kind = "formula" if len(task.shares) == 2 and set(metrics) <= {"accuracy", "f1"} else "bootstrap"
    repetitions, generator = REPETITIONS[kind, n_texts], np.random.default_rng(n_texts)
    too_high, too_low = dict.fromkeys(metrics, 0), dict.fromkeys(metrics, 0)
    for seed in range(repetitions):
        scores = score(task.predictions(n_texts, generator), only=metrics, seed=seed)
        for name in metrics:
            too_high[name] += truth[name] < scores[name]["low"]
            too_low[name] += truth[name] > scores[name]["high"]
    return {
        "n": n_texts,
        "repetitions": repetitions,
        **{
            name: {
                "true": round(truth[name], 4),
                "coverage": round(1 - (too_high[name] + too_low[name]) / repetitions, 4),
                "interval_above_truth": round(too_high[name] / repetitions, 4),
                "interval_below_truth": round(too_low[name] / repetitions, 4),
            }
            for name in metrics
        },
    }


def accuracy_by_exact_sums(n_texts: int, low: float, high: float) -> dict[str, object]:
    """Return the coverage of accuracy's interval over a range of true accuracies, summed over everything that can be seen."""
    from scipy.stats import binom

    ends = np.array([(found["low"], found["high"]) for found in (wilson(k, n_texts) for k in range(n_texts + 1))])
    covered = []
    for true in np.linspace(low, high, 200):
        holds = (ends[:, 0] <= true) & (true <= ends[:, 1])
        covered.append(float(binom.pmf(np.arange(n_texts + 1), n_texts, true)[holds].sum()))
    figures = {"lowest": min(covered), "mean": float(np.mean(covered)), "highest": max(covered)}
    return {"n": n_texts, "accuracies": [low, high], **{name: round(value, 4) for name, value in figures.items()}}


def paired_coverage(n_texts: int, repetitions: int) -> dict[str, object]:
    """Return how often the interval of a difference in accuracy holds the true one: 3 points, of texts on which 11 % differ."""
    generator, covered = np.random.default_rng(n_texts), 0
    labels = np.zeros(n_texts, dtype=np.int64)
    for seed in range(repetitions):
        kind = generator.choice(4, size=n_texts, p=[0.80, 0.07, 0.04, 0.09])
        one, other = (
            as_predictions(np.where(np.isin(kind, right)[:, None], [0.9, 0.1], [0.1, 0.9]), labels)
            for right in ([0, 1], [0, 2])
        )
        gain = accuracy_gain(one, other, seed=seed)
        covered += gain["low"] <= 0.03 <= gain["high"]
    return {"n": n_texts, "repetitions": repetitions, "true": 0.03, "coverage": round(covered / repetitions, 4)}


def conformal(task: Task, n_validation: int, stated: float, repetitions: int = 1000) -> dict[str, object]:
    """Return how often prediction sets hold the true label of a new text, over many validation sets."""
    generator, covered = np.random.default_rng(n_validation), []
    new, labels = task.draw(300_000, generator)
    of_true_labels = new[np.arange(len(labels)), labels][:, None]
    for _ in range(repetitions):
        quantile = conformal_quantile(task.predictions(n_validation, generator), stated)
        covered.append(prediction_sets(of_true_labels, quantile).mean())
    low, high = np.quantile(covered, [0.025, 0.975])
    figures = {"mean": np.mean(covered), "low": low, "high": high}
    return {"stated": stated, "n_validation": n_validation, "repetitions": repetitions} | {
        name: round(float(value), 4) for name, value in figures.items()
    }


def abstaining(task: Task, n_validation: int, target: float, repetitions: int = 1000) -> dict[str, object]:
    """Return how accurate answers to new texts are above the threshold that validation asked for."""
    generator, reached = np.random.default_rng(n_validation), []
    new = task.predictions(50_000, generator)
    sure, right = confidence(new), new.predicted == new.labels
    for _ in range(repetitions):
        threshold = threshold_for_accuracy(task.predictions(n_validation, generator), target)
        if threshold is not None:
            reached.append(right[sure >= threshold].mean())
    return {
        "target": target,
        "n_validation": n_validation,
        "repetitions": repetitions,
        "without_threshold": round(1 - len(reached) / repetitions, 3),
        "mean_accuracy": round(float(np.mean(reached)), 4),
        "short_by_more_than_2_points": round(float(np.mean(np.array(reached) < target - 0.02)), 3),
    }


def main() -> None:
    """Simulate, print, store."""
    rows, others = [], []
    for name, task in TASKS.items():
        truth = task.truth()
        for n_texts in SIZES:
            rows.append({"task": name, **coverage(task, n_texts, ("accuracy", "f1"), truth)})
            print(json.dumps(rows[-1]), flush=True)
    first = next(iter(TASKS.values()))
    truth = first.truth()
    for n_texts in SIZES:
        others.append(coverage(first, n_texts, ("roc_auc", "log_loss", "brier", "ece"), truth))
        print(json.dumps(others[-1]), flush=True)
    paired = [paired_coverage(200, 3000), paired_coverage(2000, 1000)]
    sets = [conformal(first, n, stated) for n in (50, 200, 1000) for stated in (0.9, 0.95)]
    found = {
        "target": f"coverage between {TARGET[0]} and {TARGET[1]}",
        "accuracy_and_f1": rows,
        "accuracy_by_exact_sums": [
            accuracy_by_exact_sums(n, *ends) for n in SIZES for ends in ((0.6, 0.97), (0.97, 0.995))
        ],
        "other_metrics": {"task": next(iter(TASKS)), "rows": others},
        "paired_difference_in_accuracy": paired,
        "prediction_sets": sets,
        "abstaining": [abstaining(first, n, target) for n in (200, 1000) for target in (0.95,)],
        "targets": {
            "every accuracy and F1 covered as stated": all(
                TARGET[0] <= row[metric]["coverage"] <= TARGET[1] for row in rows for metric in ("accuracy", "f1")
            ),
            "differences covered as stated": all(TARGET[0] <= row["coverage"] <= TARGET[1] for row in paired),
            # On average, up to the noise of the simulation.
            "prediction sets cover at least as stated": all(row["mean"] >= row["stated"] - 0.002 for row in sets),
        },
    }
    print(json.dumps({name: of for name, of in found.items() if name != "accuracy_and_f1"}, indent=2))
    store("intervals", found)


if __name__ == "__main__":
    main()
