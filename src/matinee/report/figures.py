"""The figures of a run: first the numbers (`rows`), then the picture (`draw`).

Made to be printed: series differ by marker and line style, not by colour alone; the two colours are Okabe and Ito's (2008)
blue and vermilion, which colour-blind readers tell apart and which differ in grey too.
"""

from __future__ import annotations

import math
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from matinee.core.files import atomic_path
from matinee.evaluation import confusion_matrix
from matinee.report.wording import percent, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from matinee.core.types import Predictions

Row = dict[str, Any]

DPI = 200
_INK, _GREY, BLUE, VERMILION = "#1a1a1a", "#767676", "#0072B2", "#D55E00"
# Beyond this many labels a cell is smaller than its text on a printed page.
_MOST_LABELS_WITH_TEXT = 30
_LONGEST_NAME = 28
# Width of a letter of DejaVu Sans, in inches per point of its size; measured on English words, rounded up.
_LETTER = 0.0088
_STYLE: dict[str, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": _GREY,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": _INK,
    "text.parse_math": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    # Text stays text: it can be searched, read aloud and edited. The salt makes ids, and so the bytes, the same every time.
    "svg.fonttype": "none",
    "svg.hashsalt": "matinee",
}
# DejaVu Sans comes with matplotlib and has no Chinese, Japanese, Korean, Thai or Indic letters; these do, where they are installed.
_WIDER_FONTS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "PingFang SC"),
    *("Hiragino Sans", "Apple SD Gothic Neo", "Noto Sans Thai", "Noto Sans Devanagari", "Nirmala UI"),
)
# More markers than this run into each other and hide the line.
_MOST_MARKERS = 40


class Picture(Protocol):
    """A figure that knows its numbers."""

    def rows(self) -> list[Row]:
        """Return the numbers as plain rows."""

    def draw(self) -> Figure:
        """Return the picture."""


def write_figures(
    folder: Path,
    predictions: Predictions,
    history: Sequence[Row],
    *,
    title: str = "",
    kept_epoch: float | None = None,
) -> list[Path]:
    """Write the figures of a run, each as PNG and as SVG; the same values give the same bytes.

    Args:
        folder: Where to; made if it is not there.
        predictions: Predictions of the test split, with labels.
        history: The rows of `history.jsonl`, in any order. Without any (a tf-idf run) only the confusion matrix is drawn.
        title: What was trained on what, over the confusion matrix and the combined curves.
        kept_epoch: The epoch whose weights were kept, marked on every curve.

    Returns:
        The files, `confusion_matrix`, then `loss`, `accuracy`, `f1` and `curves` (the three side by side).

    Raises:
        DataError: The predictions have no labels.
        StorageError: A write was refused.
    """
    pictures: dict[str, Picture] = {"confusion_matrix": ConfusionMatrix.of(predictions, title=title)}
    curves = curves_of(history, n_labels=len(predictions.label_names), kept_epoch=kept_epoch)
    pictures.update({name: Curves((curve,)) for name, curve in curves.items()})
    if curves:
        pictures["curves"] = Curves(tuple(curves.values()), title=title)
    return [path for name, picture in pictures.items() for path in save_picture(picture, folder / name)]


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """How many texts of each label were predicted as each label.

    Attributes:
        counts: Shape (n_labels, n_labels): true labels in rows, predicted ones in columns.
        label_names: Name of each row and column.
        title: Heading of the picture.
    """

    counts: NDArray[np.int64]
    label_names: tuple[str, ...]
    title: str = ""

    @classmethod
    def of(cls, predictions: Predictions, *, title: str = "") -> ConfusionMatrix:
        """Count labelled predictions.

        Raises:
            DataError: They have no labels.
        """
        return cls(confusion_matrix(predictions), predictions.label_names, title)

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of the true label's texts in each cell, shape (n_labels, n_labels); 0 in the row of a label without texts."""
        totals = self.counts.sum(axis=1, keepdims=True)
        shares: NDArray[np.float64] = self.counts / totals.clip(1)
        return shares

    def rows(self) -> list[Row]:
        """Return one row per cell: `label`, `predicted`, `count`, and `share` of the true label's texts."""
        return [
            {"label": true, "predicted": predicted, "count": int(self.counts[i, j]), "share": float(self.shares[i, j])}
            for i, true in enumerate(self.label_names)
            for j, predicted in enumerate(self.label_names)
        ]

    def draw(self) -> Figure:
        """Return the matrix, shaded by row share; counts and shares stand in the cells of up to 30 labels."""
        from matplotlib.figure import Figure

        n_labels = len(self.label_names)
        has_text = n_labels <= _MOST_LABELS_WITH_TEXT
        cell = min(1.5, max(0.48, 4.2 / n_labels)) if has_text else max(0.13, 11 / n_labels)
        figure = Figure(figsize=(cell * n_labels + 2.4, cell * n_labels + 2.0), layout="constrained")
        axes = figure.add_subplot(aspect="equal")
        lines: Row = {"edgecolors": "#d0d0d0", "linewidth": min(0.5, cell)}
        mesh = axes.pcolormesh(self.shares, cmap="Blues", vmin=0, vmax=1, rasterized=not has_text, **lines)
        axes.invert_yaxis()
        axes.set_title(self._heading(), fontsize=11, pad=10)
        self._name_axes(axes, cell)
        if has_text:
            self._write_cells(axes, cell)
        else:
            scale = figure.colorbar(mesh, ax=axes, fraction=0.03, pad=0.02, format="{x:.0%}")
            scale.set_label("Share of the true label's texts")
        return figure

    def _heading(self) -> str:
        n_texts, n_right = int(self.counts.sum()), int(self.counts.trace())
        found = f"{n_right:,} of {n_texts:,} texts right ({percent(n_right / n_texts, digits=1)})"
        return f"{shorten(self.title, 60)}\n{found}" if self.title else found

    def _name_axes(self, axes: Axes, cell: float) -> None:
        places = [place + 0.5 for place in range(len(self.label_names))]
        size = 10.0 if cell >= 0.4 else max(5.0, cell * 50)
        fits = int(cell * 0.95 / (_LETTER * size))
        n_lines = 3 if cell >= 1 else 1
        below = [_wrap(name, fits, n_lines) for name in self.label_names]
        turned: Row = {}
        if any(label is None for label in below):
            turned = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if cell >= 0.4 else {"rotation": 90}
        names = [shorten(name, _LONGEST_NAME) for name in self.label_names]
        axes.set_xticks(places, names if turned else [str(label) for label in below], fontsize=size, **turned)
        beside = [
            _wrap(name, _LONGEST_NAME, n_lines) or short for name, short in zip(self.label_names, names, strict=True)
        ]
        axes.set_yticks(places, beside, fontsize=size)
        axes.tick_params(length=0, pad=5)
        axes.set_xlabel("Predicted label", labelpad=8)
        axes.set_ylabel("True label (rows add up to 100%)", labelpad=8)
        axes.spines[:].set_visible(False)

    def _write_cells(self, axes: Axes, cell: float) -> None:
        widest = max(4, len(f"{self.counts.max():,}"))
        size = min(13.0, cell * 19, cell * 0.9 / (_LETTER * 1.1 * widest))
        digits = 1 if cell >= 0.8 else 0
        shares = self.shares
        for (i, j), count in _cells(self.counts):
            style: Row = {"ha": "center", "xy": (j + 0.5, i + 0.5), "textcoords": "offset points"}
            ink = "white" if shares[i, j] > 0.55 else _INK
            if not count:
                axes.annotate("0", va="center", xytext=(0, 0), fontsize=size, color=_GREY, **style)
                continue
            up, down, share = (0, size * 0.1), (0, -size * 0.1), percent(shares[i, j], digits=digits)
            axes.annotate(f"{count:,}", va="bottom", xytext=up, fontsize=size, fontweight="bold", color=ink, **style)
            axes.annotate(share, va="top", xytext=down, fontsize=size * 0.85, color=ink, **style)


@dataclass(frozen=True)
class Curve:
    """One quantity over the epochs.

    Attributes:
        name: What it is, for the heading.
        training: (epoch, value) on the training texts, by epoch; may be empty.
        validation: (epoch, value) on the validation texts, by epoch; may be empty.
        kept_epoch: The epoch whose weights were kept, None where nobody says.
        least_span: Smallest height of the y axis, so that noise does not look like news.
    """

    name: str
    training: tuple[tuple[float, float], ...]
    validation: tuple[tuple[float, float], ...]
    kept_epoch: float | None = None
    least_span: float = 0.05

    @property
    def kept(self) -> tuple[float, float] | None:
        """The validation point of the kept epoch, None where there is none."""
        if self.kept_epoch is None:
            return None
        return next((p for p in self.validation if math.isclose(p[0], self.kept_epoch, abs_tol=1e-6)), None)

    def rows(self) -> list[Row]:
        """Return one row per point: `curve`, `split`, `epoch`, `value`, and `kept` (whether that epoch's weights were)."""
        return [
            {"curve": self.name, "split": split, "epoch": epoch, "value": value, "kept": (epoch, value) == self.kept}
            for split, points in (("train", self.training), ("validation", self.validation))
            for epoch, value in points
        ]

    def draw_on(self, axes: Axes) -> None:
        """Draw it; the legend is the figure's."""
        # Steps make a training loss of many points: a thin line then, without markers.
        dense = len(self.training) > _MOST_MARKERS
        if self.training:
            style: Row = {"linewidth": 1.0} if dense else {"marker": "o", "markersize": 4.5}
            axes.plot(*zip(*self.training, strict=True), label="training", color=BLUE, linestyle="-", **style)
        if self.validation:
            style = {"marker": "s", "markersize": 5.5 if len(self.validation) <= 12 else 3.5}
            axes.plot(*zip(*self.validation, strict=True), label="validation", color=VERMILION, linestyle="--", **style)
        if self.kept:
            ring: Row = {
                "marker": "o",
                "markersize": 12,
                "markerfacecolor": "none",
                "markeredgecolor": _INK,
                "zorder": 4,
            }
            axes.plot([self.kept[0]], [self.kept[1]], linestyle="none", label=f"kept: epoch {self.kept[0]:g}", **ring)
        self._scale(axes)
        axes.set_title(f"{self.name}: validation {self.kept[1]:.3f}" if self.kept else self.name)
        axes.set_xlabel("Epoch")
        axes.grid(visible=True, color="#e4e4e4", linewidth=0.6)
        axes.set_axisbelow(True)

    def _scale(self, axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        points = self.training + self.validation
        last = max(1, math.ceil(max(epoch for epoch, _ in points)))
        axes.set_xlim(-0.04 * last, 1.04 * last)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        low, high = min(value for _, value in points), max(value for _, value in points)
        margin = max(0.08 * (high - low), (self.least_span - (high - low)) / 2)
        axes.set_ylim(low - margin, high + margin)


@dataclass(frozen=True)
class Curves:
    """One or more curves side by side.

    Attributes:
        curves: From left to right.
        title: Heading over all of them.
    """

    curves: tuple[Curve, ...]
    title: str = ""

    def rows(self) -> list[Row]:
        """Return the rows of all curves."""
        return [row for curve in self.curves for row in curve.rows()]

    def draw(self) -> Figure:
        """Return the curves, each on its own axes."""
        from matplotlib.figure import Figure

        n_curves = len(self.curves)
        figure = Figure(figsize=(3.5 * n_curves if n_curves > 1 else 5.2, 3.6), layout="constrained")
        for place, curve in enumerate(self.curves):
            curve.draw_on(figure.add_subplot(1, n_curves, place + 1))
        handles = {
            label: handle
            for axes in figure.axes
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, handlelength=2.8)
        if self.title:
            figure.suptitle(shorten(self.title, 28 * n_curves), fontsize=12, fontweight="bold")
        return figure


def curves_of(history: Sequence[Row], *, n_labels: int, kept_epoch: float | None = None) -> dict[str, Curve]:
    """Return the `loss`, `accuracy` and `f1` curves that a history has points for.

    Args:
        history: Rows with `epoch`, and any of `loss`, `eval_loss`, `train_accuracy`, `eval_accuracy`, `train_f1`, `eval_f1`.
        n_labels: Number of labels; F1 is macro F1 above two.
        kept_epoch: The epoch whose weights were kept.
    """
    named = {
        "loss": ("Loss", "loss"),
        "accuracy": ("Accuracy", "train_accuracy"),
        "f1": ("F1" if n_labels == 2 else "Macro F1", "train_f1"),
    }
    curves = {
        key: Curve(name, _points(history, training), _points(history, f"eval_{key}"), kept_epoch)
        for key, (name, training) in named.items()
    }
    return {key: curve for key, curve in curves.items() if curve.training or curve.validation}


def _points(history: Sequence[Row], key: str) -> tuple[tuple[float, float], ...]:
    """Return (epoch, value) by epoch; what a later row says of an epoch replaces what an earlier one said."""
    found = {
        float(row["epoch"]): float(row[key])
        for row in history
        if row.get("epoch") is not None and row.get(key) is not None and math.isfinite(row[key])
    }
    return tuple(sorted(found.items()))


def _cells(counts: NDArray[np.int64]) -> Iterator[tuple[tuple[int, int], int]]:
    for i, row in enumerate(counts.tolist()):
        for j, count in enumerate(row):
            yield (i, j), count


def _wrap(name: str, width: int, n_lines: int) -> str | None:
    """Return the name in at most `n_lines` lines, broken behind spaces and punctuation; None where it does not fit."""
    lines = [""]
    for piece in re.findall(r"[^\s_./:,-]*[\s_./:,-]*", " ".join(name.split())):
        if len((lines[-1] + piece).rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    lines = [line.strip() for line in lines if line.strip()]
    return "\n".join(lines) if len(lines) <= n_lines and max(map(len, lines), default=0) <= width else None


def save_picture(picture: Picture, stem: Path) -> list[Path]:
    """Write a picture as `<stem>.png` and `<stem>.svg`, and return both; the same values give the same bytes."""
    from matplotlib import rc_context

    paths = [stem.with_suffix(".png"), stem.with_suffix(".svg")]
    style: dict[Any, Any] = {
        **_STYLE,
        "font.family": "sans-serif",
        "font.sans-serif": _fonts(),
        "savefig.facecolor": "white",
    }
    with rc_context(style), _without_glyph_warnings():
        figure = picture.draw()
        for path in paths:
            metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
            with atomic_path(path) as temporary:
                figure.savefig(
                    temporary, format=path.suffix[1:], dpi=DPI, metadata=metadata, bbox_inches="tight", pad_inches=0.15
                )
    return paths


def _fonts() -> list[str]:
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _WIDER_FONTS if name in installed)]


@contextmanager
def _without_glyph_warnings() -> Iterator[None]:
    """Keep quiet about letters that no installed font has: the SVG holds them as text, and nothing can be done about the PNG."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        yield
