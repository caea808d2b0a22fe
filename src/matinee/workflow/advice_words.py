"""What `matinee advise` found out, as a person reads it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from matinee.core.schema import settings_fields
from matinee.core.wording import duration_in_words, score_in_words
from matinee.workflow.known import known

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matinee.workflow.advise import Advice, Proposal
    from matinee.workflow.known import Way

# Labels that are named one by one.
_MOST_LABELS = 6

# With fewer training texts of a label, validation has a handful of it: nothing can be told from these.
FEW = 50

# A label is rare from this share of an even one on down.
_RARE = 0.4

# An encoder that sees less than this share of the tokens misses much; memory should be by so much more than a training took.
_MUCH_MISSED, _ROOM = 0.5, 1.5


def in_words(advice: Advice) -> list[str]:
    """Return the lines: the data, the machine, the proposals, and what to mind."""
    lines = [_data(advice.data), _lengths(advice.data), _machine(advice.machine)]
    for title, proposal in (
        (_title_of_proposal(advice), advice.proposal),
        ("Faster", advice.faster),
        (_title_of_larger(advice), advice.larger),
    ):
        if proposal is not None:
            lines += ["", *_proposal(title, proposal, advice)]
    if advice.warnings:
        lines += ["", "To mind:", *(f"- {warning}" for warning in advice.warnings)]
    if advice.missing:
        alike = {
            reason: [name for name, of in advice.missing.items() if of == reason] for reason in advice.missing.values()
        }
        lines += ["", *(f"Not considered: {', '.join(names)} ({reason})." for reason, names in alike.items())]
    return lines


def _data(data: Mapping[str, Any]) -> str:
    labels = list(data["labels"].items())
    named = ", ".join(f"{name} {n:,}" for name, n in labels[:_MOST_LABELS])
    more = f" and {len(labels) - _MOST_LABELS} more" if len(labels) > _MOST_LABELS else ""
    return (
        f"{data['name']}: {data['n_train']:,} texts to learn from ({named}{more}), {data['n_validation']:,} to choose the epoch by, "
        f"{data['n_test']:,} to score."
    )


def _lengths(data: Mapping[str, Any]) -> str:
    words, tokens = data["words"], data["tokens"]
    by = tokens["counted_by"]
    how = "guessed from the words: no tokenizer is here" if by is None else f"counted with the tokenizer of {by}"
    return (
        f"Half of them are longer than {words['median']:,} words, one in ten is longer than {words['tenth_longest']:,}; "
        f"{tokens['mean']:,.0f} tokens on average ({how})."
    )


def _machine(machine: Mapping[str, Any]) -> str:
    if machine["gpu"] is not None:
        return f"This machine has a GPU: {machine['gpu']}, computing in {machine['precision']}."
    memory = "" if machine["memory_gb"] is None else f", {machine['memory_gb']:.0f} GB"
    cores = f"{machine['cores']} core{'s' * (machine['cores'] != 1)}"
    speed = (
        ""
        if machine["speed"] is None
        else f"; in matrix products {machine['speed']:.2g} times as fast as the one that times are from"
    )
    return f"This machine: {machine['processor']}, {cores}{memory}, computing in {machine['precision']}{speed}."


def _title_of_proposal(advice: Advice) -> str:
    seconds = advice.proposal.seconds
    if seconds is not None and seconds["high"] <= advice.budget:
        return f"Proposed, within {_exactly(advice.budget)}"
    if seconds is None and advice.machine["gpu"] is not None:
        return "Proposed"
    return f"Proposed, the fastest (nothing is known to fit {_exactly(advice.budget)})"


def _exactly(seconds: float) -> str:
    """Return a time that was given, not rounded."""
    for unit, name in ((3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit and (10 * seconds / unit).is_integer():
            return f"{seconds / unit:,g} {name}"
    return f"{seconds:,.10g} second{'s' * (seconds != 1)}"


def _title_of_larger(advice: Advice) -> str:
    """Return what the third way is: more accurate only where stored results leave no doubt, and are of so many labels like these."""
    larger, n_train = advice.larger, advice.data["n_train"]
    if larger is None:
        return ""
    if larger.encoder == advice.proposal.encoder:
        return "With all layers trained"
    pair = rivals(larger, advice.proposal)
    if not known().is_better(*pair, n_train):
        return "Larger"
    is_sure = larger.accuracy is not None and larger.accuracy["low"] is not None
    return "More accurate" if is_sure and known().is_better(*pair, n_train, clearly=True) else "Perhaps more accurate"


def rivals(one: Proposal, other: Proposal) -> tuple[Way, Way]:
    """Return two proposals as stored results know them: by the encoder, and whether its head alone is fitted."""
    first, second = ((way.encoder, way.settings.get("freeze") == "all") for way in (one, other))
    return first, second


def _proposal(title: str, proposal: Proposal, advice: Advice) -> list[str]:
    here = (
        ""
        if proposal.here == "built in"
        else f" ({'to be fetched first' if proposal.here is None else 'on this machine'})"
    )
    return [
        f"{title}: {proposal.encoder}{here}, which reads {_percent(proposal.share_of_tokens)} of the tokens.",
        f"  {proposal.command}",
        f"  Time: {_time(proposal, advice.machine)}",
        f"  Accuracy: {_accuracy(proposal, advice.data)}",
    ]


def _time(proposal: Proposal, machine: Mapping[str, Any]) -> str:
    if proposal.seconds is None:
        return "none is stored for a GPU." if machine["gpu"] else "none is stored for this encoder."
    low, high = (duration_in_words(proposal.seconds[end]) for end in ("low", "high"))
    return f"about {low}." if low == high else f"{low} to {high}."


def _accuracy(proposal: Proposal, data: Mapping[str, Any]) -> str:
    if proposal.accuracy is None:
        what = "its head alone" if proposal.settings.get("freeze") == "all" else "this encoder"
        return f"nothing is stored for {what}, so nothing is foretold."
    low, high, rows = (proposal.accuracy[name] for name in ("low", "high", "rests_on"))
    basis = "; ".join(_row(row, proposal) for row in rows)
    if low is None and high is None:
        return f"none is foretold, for nothing is stored of labels like these. Of two labels with as many texts each: {basis}."
    if low is None:
        return f"nothing is stored for so few labels, so nothing is foretold. With more: {basis}."
    expected = f"about {low:.2f} or more" if high is None else f"about {low:.2f} to {high:.2f}"
    differ = "" if all(row["data"] == data["name"] for row in rows) else " Your data will differ."
    return f"{expected}, if your data are like these: {basis}.{differ}"


def _row(row: Mapping[str, Any], proposal: Proposal) -> str:
    """Return a stored result, with the settings in which its training was another one than the proposal."""
    about = f"{row['n_seeds']} seed{'s' * (row['n_seeds'] != 1)}"
    score = score_in_words({"value": row["mean"], "low": row["low"], "high": row["high"]})
    if apart := _flags_apart(row["settings"], proposal.settings):
        about += f"; trained with {apart}"
    return f"{row['data']} with {row['size']:,} labels {score} ({about})"


def _flags_apart(settings: Mapping[str, Any], others: Mapping[str, Any]) -> str:
    """Return, as flags, the settings that are not as the others; both name only what differs from the defaults."""
    words: list[str] = []
    for name, field in settings_fields().items():
        value, other = (of.get(name, field.default) for of in (settings, others))
        if value != other and field.group != "data" and name != "encoder":
            words += field.typed(value)
    return shlex.join(words)


# -- what to mind -----------------------------------------------------------------------------------------------------


def is_uneven(labels: Mapping[str, int]) -> bool:
    """Return whether the rarest label is much rarer than it would be if all were alike."""
    return min(labels.values()) < _RARE * sum(labels.values()) / len(labels)


def are_few(labels: Mapping[str, int]) -> bool:
    """Return whether there are few training texts, not of a rare label alone but all in all: too few to train every layer on."""
    return sum(labels.values()) < FEW * len(labels)


def warnings_of(facts: Mapping[str, Any], machine: Mapping[str, Any], proposal: Proposal) -> Iterator[str]:
    """Yield what to mind, a sentence or two each."""
    name, n = min(facts["labels"].items(), key=lambda item: item[1])
    if n < FEW:
        alone = "; until then the head alone is proposed (--freeze all), which has least to overfit with"
        yield (
            f"Only {n} training texts are labelled {name!r}: below {FEW} of a label, validation can hardly tell one epoch from another. "
            f"More labels are worth more than any setting{alone if proposal.settings.get('freeze') == 'all' else ''}."
        )
    if is_uneven(facts["labels"]):
        which = f"F1 of {name!r}" if len(facts["labels"]) == 2 else "F1, the mean over all labels"
        told = " The encoder is told to make up for rare labels (--class-weights balanced)."
        yield (
            f"{_percent(n / sum(facts['labels'].values()))} of the training texts are labelled {name!r}: accuracy says little, look at "
            f"{which}.{told if 'class_weights' in proposal.settings else ''}"
        )
    if proposal.share_of_tokens < _MUCH_MISSED:
        yield (
            f"Texts are long: {proposal.encoder} reads {_percent(proposal.share_of_tokens)} of their tokens, from the beginning and the "
            f"end. --long windows reads all of them in about {1 / proposal.share_of_tokens:.0f} times the time; nothing stored says what "
            "that gains."
        )
    needed, memory = known().memory_gb(proposal.encoder, facts["n_train"]), machine["memory_gb"]
    if needed is not None and memory is not None and memory < _ROOM * needed and machine["gpu"] is None:
        yield (
            f"Training {proposal.encoder} took {needed:g} GB where it was measured, and this machine has {memory:g}: "
            "--batch-tokens 2048 or --gradient-checkpointing makes the same steps in less."
        )
    if machine["gpu"] is not None:
        yield (
            f"No times are stored for a GPU ({machine['gpu']}): `matinee train` measures its own pace and says it before the first step."
        )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
