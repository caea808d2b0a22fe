"""The figures: their numbers, their files, and what a reader must find in them."""

import re
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from matinee.core.errors import DataError
from matinee.core.types import Predictions
from matinee.report import write_figures
from matinee.report.figures import ConfusionMatrix, Curves, curves_of

HISTORY = [
    {"step": 0, "epoch": 0.0, "eval_loss": 0.49, "eval_accuracy": 0.786, "eval_f1": 0.78},
    {"step": 31, "epoch": 0.5, "loss": 0.46, "learning_rate": 5e-5},
    {"step": 63, "epoch": 1.0, "loss": 0.41, "learning_rate": 3e-5},
    {
        "step": 63,
        "epoch": 1.0,
        "eval_loss": 0.34,
        "eval_accuracy": 0.85,
        "eval_f1": 0.84,
        "train_accuracy": 0.9,
        "train_f1": 0.91,
    },
    {"step": 126, "epoch": 2.0, "loss": 0.25, "learning_rate": 1e-5},
    {
        "step": 126,
        "epoch": 2.0,
        "eval_loss": 0.31,
        "eval_accuracy": 0.88,
        "eval_f1": 0.87,
        "train_accuracy": 0.95,
        "train_f1": 0.96,
    },
]


def predictions_of(counts, names):
    """Build predictions with the given confusion matrix."""
    labels, predicted = np.nonzero(np.asarray(counts) + 1)
    times = np.asarray(counts).ravel()
    labels, predicted = np.repeat(labels, times), np.repeat(predicted, times)
    n_texts = len(labels)
    return Predictions(
        [str(i) for i in range(n_texts)], ["t"] * n_texts, np.eye(len(names))[predicted], tuple(names), labels
    )


@pytest.fixture(scope="module")
def two_labels():
    return predictions_of([[871, 129], [97, 903]], ["negative", "positive"])


@pytest.fixture(scope="module")
def written(tmp_path_factory, two_labels):
    folder = tmp_path_factory.mktemp("run") / "figures"
    return write_figures(folder, two_labels, HISTORY, title="minilm on imdb", kept_epoch=2.0)


def svg_texts(path):
    return re.findall(r">([^<>\n]+)</text>", path.read_text(encoding="utf-8"))


def test_every_figure_is_there_as_png_and_svg(written):
    names = ["confusion_matrix", "loss", "accuracy", "f1", "curves"]
    assert [path.name for path in written] == [f"{name}.{kind}" for name in names for kind in ("png", "svg")]
    assert {path.name for path in written[0].parent.iterdir()} == {path.name for path in written}


def test_pngs_are_large_enough_to_print_and_not_blank(written):
    for path in written[::2]:
        image = imread(path)[..., :3]
        assert min(image.shape[:2]) >= 600, path.name
        ink = (image.min(axis=2) < 0.9).mean()
        assert 0.01 < ink < 0.9, path.name
        margin = np.concatenate([image[:5].ravel(), image[-5:].ravel(), image[:, :5].ravel(), image[:, -5:].ravel()])
        assert margin.min() > 0.99, f"{path.name} is cut off at its edge"


def test_confusion_matrix_shows_counts_shares_names_and_accuracy(written):
    texts = svg_texts(written[1])
    for expected in ("871", "129", "97", "903", "87.1%", "12.9%", "9.7%", "90.3%"):
        assert texts.count(expected) == 1
    assert texts.count("negative") == texts.count("positive") == 2
    assert "minilm on imdb" in texts
    assert "1,774 of 2,000 texts right (88.7%)" in texts


def test_curves_name_their_lines_and_the_kept_epoch(written):
    texts = svg_texts(written[-1])
    for expected in ("training", "validation", "kept: epoch 2", "Loss: validation 0.310", "F1: validation 0.870"):
        assert texts.count(expected) == 1
    assert texts.count("Epoch") == 3


def test_same_values_same_bytes(tmp_path, two_labels, written):
    again = write_figures(tmp_path, two_labels, list(reversed(HISTORY)), title="minilm on imdb", kept_epoch=2.0)
    for one, other in zip(written, again, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_without_a_history_only_the_confusion_matrix_is_drawn(tmp_path, two_labels):
    assert [path.stem for path in write_figures(tmp_path, two_labels, [])] == ["confusion_matrix"] * 2


def test_without_labels_nothing_is_written(tmp_path, two_labels):
    unlabelled = Predictions(two_labels.ids, two_labels.texts, two_labels.probabilities, two_labels.label_names)
    with pytest.raises(DataError, match="no labels"):
        write_figures(tmp_path / "figures", unlabelled, HISTORY)
    assert not list(tmp_path.iterdir())


def test_figures_leave_matplotlibs_settings_alone(written):
    import matplotlib as mpl

    assert mpl.rcParams["svg.hashsalt"] is None
    assert mpl.rcParams["text.parse_math"] is True


def test_matrix_rows():
    rows = ConfusionMatrix(np.array([[3, 1], [0, 0]]), ("a", "b")).rows()
    assert rows[1] == {"label": "a", "predicted": "b", "count": 1, "share": 0.25}
    assert [row["share"] for row in rows] == [0.75, 0.25, 0.0, 0.0]


def texts_in(figure):
    from matplotlib.text import Text

    return [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


def test_shares_never_round_to_all_or_nothing():
    figure = ConfusionMatrix(np.array([[9999, 1], [0, 5]]), ("a", "b")).draw()
    texts = {text.get_text() for text in texts_in(figure)}
    assert {">99.9%", "<0.1%", "100.0%", "10,004 of 10,005 texts right (>99.9%)"} <= texts


def overlaps(boxes):
    """Return index pairs of boxes that overlap by more than a pixel."""
    return [
        (i, j)
        for i, one in enumerate(boxes)
        for j, two in enumerate(boxes[:i])
        if min(one.x1, two.x1) - max(one.x0, two.x0) > 1 and min(one.y1, two.y1) - max(one.y0, two.y0) > 1
    ]


LONG = [
    "billing: wrong amount charged",
    "delivery_was_late_or_never_arrived",
    "everything else (no complaint, $5 or praise $)",
]


@pytest.mark.parametrize(
    "names",
    [
        ["negative", "positive"],
        LONG,
        [f"{i} stars" for i in range(1, 6)],
        [f"comp.sys.{i:02}.misc" for i in range(20)],
        ["a", "b", "x" * 200],
    ],
    ids=["two", "long", "five", "twenty", "one-endless"],
)
def test_no_text_of_a_matrix_overlaps_another(names):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    n_labels = len(names)
    figure = ConfusionMatrix(
        np.full((n_labels, n_labels), 12) + 1222 * np.eye(n_labels, dtype=np.int64), tuple(names)
    ).draw()
    FigureCanvasAgg(figure).draw()
    # Slanted labels have boxes that overlap where their letters do not.
    boxes = [text.get_window_extent() for text in texts_in(figure) if text.get_rotation() in (0.0, 90.0)]
    assert len(boxes) >= 2 * n_labels**2
    assert overlaps(boxes) == []
    shown = ["".join(text.get_text().split()) for text in texts_in(figure)]
    for name in names:
        begins, ends = ("".join(part.split()) for part in (name[:8], name[-8:]))
        assert sum(text.startswith(begins) and text.endswith(ends) for text in shown) >= 2, name


def test_beyond_thirty_labels_colour_alone_speaks():
    names = tuple(f"intent {i}" for i in range(31))
    figure = ConfusionMatrix(7 * np.eye(31, dtype=np.int64), names).draw()
    texts = [text.get_text() for text in texts_in(figure)]
    assert "7" not in texts
    assert "Share of the true label's texts" in texts
    assert set(names) <= set(texts)


def test_letters_without_a_font_and_dollar_signs_are_drawn_as_they_are(tmp_path):
    names = ["$a$ or b", "評価", "a\nb", "<b>&"]
    _, svg = write_figures(tmp_path, predictions_of(np.eye(4, dtype=int), names), [])
    texts = svg_texts(svg)
    assert {"$a$ or b", "評価", "a b", "&lt;b&gt;&amp;"} <= set(texts)


def test_curve_rows_keep_epoch_zero_and_mark_the_kept_epoch():
    curves = curves_of(HISTORY, n_labels=2, kept_epoch=1.0)
    assert curves["loss"].training == ((0.5, 0.46), (1.0, 0.41), (2.0, 0.25))
    assert curves["loss"].validation == ((0.0, 0.49), (1.0, 0.34), (2.0, 0.31))
    assert [row for row in curves["f1"].rows() if row["kept"]] == [
        {"curve": "F1", "split": "validation", "epoch": 1.0, "value": 0.84, "kept": True}
    ]


def test_macro_f1_is_called_so():
    assert curves_of(HISTORY, n_labels=3)["f1"].name == "Macro F1"


def test_validation_alone_where_training_scores_are_absent():
    history = [{key: value for key, value in row.items() if not key.startswith("train_")} for row in HISTORY]
    curve = curves_of(history, n_labels=2)["accuracy"]
    assert curve.training == ()
    (axes,) = Curves((curve,)).draw().axes
    assert [line.get_label() for line in axes.lines] == ["validation"]


def test_what_is_not_a_number_is_no_point():
    history = [
        *HISTORY,
        {"step": 189, "epoch": 3.0, "eval_loss": float("nan"), "eval_f1": None, "loss": float("inf")},
        {"note": 1},
    ]
    assert curves_of(history, n_labels=2) == curves_of(HISTORY, n_labels=2)


@pytest.mark.parametrize("n_epochs", [0.5, 1, 3, 30])
def test_epochs_stand_at_whole_numbers_within_the_axes(n_epochs):
    history = [{"epoch": min(k + 1, n_epochs), "eval_loss": 0.5 - 0.01 * k} for k in range(max(1, int(n_epochs)))]
    (axes,) = Curves(tuple(curves_of(history, n_labels=2, kept_epoch=n_epochs).values())).draw().axes
    low, high = axes.get_xlim()
    inside = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert len(inside) >= 2
    assert all(tick == int(tick) for tick in inside)
    assert low < n_epochs < high


def test_a_single_point_has_a_marker_and_lines_differ_without_colour():
    (axes,) = Curves((curves_of(HISTORY[2:4], n_labels=2)["accuracy"],)).draw().axes
    training, validation = axes.lines
    assert training.get_marker() not in ("", "None")
    assert training.get_marker() != validation.get_marker()
    assert training.get_linestyle() != validation.get_linestyle()


def test_importing_the_room_loads_no_matplotlib():
    code = "import sys, matinee.report; print(*{'torch', 'sklearn', 'pyarrow', 'matplotlib'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


def test_drawing_never_touches_pyplot(tmp_path):
    code = (
        "import sys, numpy as np; from pathlib import Path; from matinee.core.types import Predictions;"
        "from matinee.report import write_figures;"
        "write_figures(Path(sys.argv[1]), Predictions(['a', 'b'], ['a', 'b'], np.eye(2), ('x', 'y'), np.arange(2)), []);"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
