"""`matinee explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from matinee.cli import terminal
from matinee.cli.options import SettingsCommand, input_option, settings_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# What the terminal shows of a text; --json and --html have all of it.
_MOST_WORDS, _STRONGEST, _SENTENCE = 400, 8, 70
# Weaker words are not marked: a text in which everything is marked has nothing marked.
_LEAST_SHARE = 0.1


@click.command(cls=SettingsCommand, short_help="Show which words an answer rests on.")
@click.argument("run")
@click.argument("texts", nargs=-1)
@input_option
@click.option(
    "--method",
    type=click.Choice(["auto", "integrated_gradients", "occlusion", "linear"]),
    default="auto",
    show_default=True,
    help="auto: coefficients of a linear classifier, integrated gradients where captum is installed, else occlusion.",
)
@click.option("--label", metavar="NAME", help="Label to explain. [default: the one that each text is given]")
@click.option("--html", metavar="FILE", help="Write a page that shows the texts with their words marked.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@terminal.offline_option
@settings_options(names=["text_column", "encoding"])
@terminal.shared_options
def explain(
    run: str,
    texts: tuple[str, ...],
    source: str | None,
    method: str,
    label: str | None,
    html: str | None,
    as_json: bool,
    offline: bool,
    text_column: str | None,
    encoding: str | None,
) -> None:
    """Say which words of TEXTS speak for and against the label that the classifier in RUN gives them.

    Each word and sentence gets a contribution to the label's log-odds: positive speaks for the label, negative against it.
    Words that truncation cuts off are shown as not read.

    \b
      matinee explain runs/imdb "A film to fall asleep in."
      matinee explain runs/imdb --input reviews.csv --html why.html
    """
    import json

    from matinee.workflow import explain as explain_

    explanations = explain_(
        run,
        texts,
        input=source,
        method=method,
        label=label,
        html=html,
        text_column=text_column,
        encoding=encoding or "utf-8",
        offline=offline,
    )
    if as_json:
        for each in explanations:
            terminal.say(json.dumps(each.to_json(), ensure_ascii=False))
    elif html is None:
        for each in explanations:
            _print(each)
    if html is not None:
        n = len(explanations)
        terminal.say_note(f"{n:,} {'explanation' if n == 1 else 'explanations'} written to {html}")


def _print(explanation: Any) -> None:
    answer = f"{explanation.label}, {100 * explanation.probability:.1f} %"
    if explanation.label != explanation.predicted:
        answer += f" (the answer is {explanation.predicted})"
    terminal.say(click.style(answer, bold=True))
    words = [word for word in explanation.words if word.read]
    terminal.say("".join(_marked(explanation)).strip() or "The text has no words.")
    if not words:
        terminal.say()
        return
    _print_strongest(explanation.label, words)
    _print_sentences([sentence for sentence in explanation.sentences if sentence.read])
    terminal.say(f"{explanation.method.replace('_', ' ').capitalize()}: {explanation.how}. {explanation.promise}")
    terminal.say()


def _marked(explanation: Any) -> Iterator[str]:
    """Yield the text in pieces: words for the label as [+word], against it as [-word], in colour where there is any."""
    largest = max((abs(word.contribution) for word in explanation.words), default=0.0)
    at, n_shown, n_unread = 0, 0, 0
    for word in explanation.words:
        if not word.read:
            n_unread += 1
            at = word.end
            continue
        if n_unread:
            yield _left_out(n_unread, "not read")
            n_unread = 0
        elif _gap(explanation.text[at : word.start]):
            yield " "
        at = word.end
        if n_shown == _MOST_WORDS:
            yield f"… (--json and --html have all {len(explanation.words):,} words)"
            return
        n_shown += 1
        yield _styled(_plain(word.text), word.contribution, largest)
    if n_unread:
        yield _left_out(n_unread, "not read")


def _left_out(n: int, why: str) -> str:
    return click.style(f" [… {n:,} {'word' if n == 1 else 'words'} {why} …] ", dim=True)


def _gap(between: str) -> bool:
    return between.strip() != between or "<" in between


def _styled(word: str, contribution: float, largest: float) -> str:
    if not largest or abs(contribution) < _LEAST_SHARE * largest:
        return word
    strong = abs(contribution) >= 0.5 * largest
    if contribution > 0:
        return click.style(f"[+{word}]", fg="cyan", bold=strong)
    return click.style(f"[-{word}]", fg="magenta", bold=strong)


def _print_strongest(label: str, words: Sequence[Any]) -> None:
    ranked = sorted(words, key=lambda word: -word.contribution)
    speaking_for = [word for word in ranked if word.contribution > 0][:_STRONGEST]
    against = [word for word in reversed(ranked) if word.contribution < 0][:_STRONGEST]
    rows = []
    for place in range(max(len(speaking_for), len(against))):
        cells = []
        for side in (speaking_for, against):
            cells += [_plain(side[place].text), _figure(side[place].contribution)] if place < len(side) else ["", ""]
        rows.append(cells)
    terminal.print_table("", [f"For {label}", "", f"Against {label}", ""], rows, bold_first=False)


def _print_sentences(sentences: Sequence[Any]) -> None:
    if len(sentences) < 2:
        return
    strongest = sorted(sentences, key=lambda sentence: -abs(sentence.contribution))[: 2 * _STRONGEST]
    rows = [
        [_shorten(sentence.text), _figure(sentence.contribution)]
        for sentence in sorted(strongest, key=lambda sentence: sentence.start)
    ]
    left_out = f" ({len(strongest)} strongest of {len(sentences):,})" if len(sentences) > len(strongest) else ""
    terminal.print_table("", [f"Sentence{left_out}", "Contribution"], rows, bold_first=False)


def _figure(value: float) -> str:
    return f"{value:+.3f}" if not value or abs(value) >= 0.0005 else f"{value:+.0e}"


def _shorten(text: str) -> str:
    line = _plain(text)
    return line if len(line) <= _SENTENCE else line[: _SENTENCE - 1] + "…"


def _plain(text: str) -> str:
    """Return a piece of a text as it is read: no tags, entities or control characters."""
    from matinee.core.text import clean

    return clean(text)
