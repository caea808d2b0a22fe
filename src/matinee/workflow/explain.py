"""`matinee explain`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matinee.core import hub
from matinee.core.backends import TORCH
from matinee.core.errors import SettingsError
from matinee.core.files import write_text
from matinee.core.progress import progress
from matinee.core.schema import Layer, resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from matinee.inference import Predictor
    from matinee.inference.explain import Explanation

    _Key = tuple[str, str]

MOST_ROWS_EXPLAINED = 15
"""Distinct texts that `explain_rows` explains: enough to read, and for an interval of their faithfulness."""

# Enough to order the words, in half the time: the page marks words and does not promise a sum.
QUICK_STEPS, QUICK_PASSES = 8, 80


def explain(
    run: str | Path,
    texts: Sequence[str] = (),
    *,
    input: str | Path | None = None,  # noqa: A002 - the flag's name
    method: str = "auto",
    label: str | None = None,
    html: str | Path | None = None,
    text_column: str | None = None,
    encoding: str = "utf-8",
    offline: bool = False,
) -> list[Explanation]:
    """Return why a run's classifier says what it says: a signed contribution for every word and sentence.

    Args:
        run: Run folder, model folder or hub id.
        texts: Texts themselves; instead of `input`.
        input: A CSV, TSV, JSONL or Parquet file, a text file with one text a line, or `-` for standard input.
        method: `"integrated_gradients"` (PyTorch classifiers, needs the extra `explain`), `"linear"` (tf-idf and
            nblr), `"occlusion"` (any), or `"auto"`: the first of these that can be had.
        label: Which label to explain; the one that each text is given where None.
        html: A file to write that shows the explanations: self-contained, opens from disk.
        text_column: Column that holds the texts; guessed where not given.
        encoding: Of the input file.
        offline: Never touch the network.

    Raises:
        SettingsError: Neither texts nor a file were given, or both; or method or label do not fit the classifier.
        NotAvailableError: The method needs captum, which is not installed.

    Example:
        >>> (why,) = matinee.workflow.explain("runs/demo", ["A warm film."])  # doctest: +SKIP
        >>> max(why.words, key=lambda word: word.contribution).text  # doctest: +SKIP
        'warm'
    """
    from matinee.data import read_texts
    from matinee.inference import load_predictor
    from matinee.inference.explain import explain as explain_

    if bool(texts) == (input is not None):
        raise SettingsError(
            'Give the texts to explain, as in `matinee explain RUN "a text"`, or a file with --input: one of the two.'
        )
    if html is not None and Path(html).is_dir():
        raise SettingsError(f"--html {html} is a folder: give the name of a file to write.")
    values: dict[str, Any] = {"text_column": text_column, "encoding": encoding}
    given = list(texts) if input is None else read_texts(str(input), resolve(Layer(values)).data).texts
    with hub.offline(offline):
        predictor = load_predictor(run, backend=TORCH)  # of all transformer back ends only torch has gradients
    explanations = explain_(predictor, given, method=method, label=label)
    if html is not None:
        from matinee.report.explained import render_explanations

        write_text(Path(html), render_explanations(str(run), [each.to_json() for each in explanations]))
    return explanations


def explain_rows(
    predictor: Predictor, rows: Iterable[dict[str, Any]], *, seed: int, limit_s: float = 15.0
) -> dict[str, Any]:
    """Explain some of the mistakes that a report shows, and measure whether such explanations can be trusted.

    At most 15 distinct texts, evenly spread over the rows, and no new one once the time is spent; the first is always
    taken. A text that the list holds only in part, and of which that part gets another answer, is passed over: its
    reasons stand in what is missing.

    Args:
        predictor: The classifier that made the mistakes.
        rows: As in `analysis["mistakes"]["kinds"]`. Those of a text that is explained get `words`: each word that was read,
            with its place in the row's text and its contribution to the log-odds of the label that was predicted.
        seed: Of the random orders that faithfulness is measured against.
        limit_s: Seconds after which no further text is taken.

    Returns:
        `method`, `n` (texts explained) and `faithfulness` (see `matinee.inference.explain.faithfulness`).
    """
    from matinee.inference.explain import choose_method, faithfulness

    end = time.monotonic() + limit_s
    method = choose_method(predictor)
    rows_of: dict[_Key, list[dict[str, Any]]] = {}
    for row in rows:
        rows_of.setdefault((row["text"], row["predicted"]), []).append(row)
    chosen = [rows_of[key] for key in _spread_out(list(rows_of))[:MOST_ROWS_EXPLAINED]]
    n_explained = 0

    def explain_each() -> Iterator[Explanation]:
        nonlocal n_explained
        with progress("Explaining mistakes", len(chosen), "texts") as bar:
            for done, same in enumerate(chosen):
                if done and time.monotonic() >= end:
                    return
                for found in _explain_row(predictor, same, method):
                    n_explained += 1
                    yield found
                bar.update(done + 1)

    measured = faithfulness(predictor, explain_each(), seed=seed)
    if n_explained == 0:
        measured["reason"] = "There was no mistake that could be explained."
    return {"method": method, "n": n_explained, "faithfulness": measured}


def _explain_row(predictor: Predictor, same: Sequence[dict[str, Any]], method: str) -> list[Explanation]:
    """Give the rows of one text their words; return the explanation, none where the text as listed has none."""
    from matinee.inference.explain import explain as explain_

    text, answer = same[0]["text"], same[0]["predicted"]
    (found,) = explain_(
        predictor, [text], method=method, label=answer, most_steps=QUICK_STEPS, most_passes=QUICK_PASSES
    )
    if found.text != text or (same[0].get("cut") and found.predicted != answer):
        return []
    for row in same:
        row["words"] = found.word_rows()
    return [found]


def _spread_out(keys: list[_Key]) -> list[_Key]:
    """Return the keys in an order of which every beginning is spread over all of them (van der Corput 1935)."""
    return [keys[place] for place in sorted(range(len(keys)), key=lambda place: f"{place:032b}"[::-1])]
