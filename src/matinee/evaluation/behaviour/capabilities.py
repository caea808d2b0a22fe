"""The capabilities that are tested, and the cases of each: seeded, so that two classifiers can be asked the same."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from matinee.evaluation.behaviour import perturbations as change
from matinee.evaluation.behaviour.cases import Capability, Case
from matinee.evaluation.behaviour.sentiment import SIGNS, opposite
from matinee.evaluation.behaviour.templates import (
    CARRIERS,
    CONTRAST,
    DEGREES,
    GRADABLE,
    INTENSIFIERS,
    NEGATED_BLAME,
    NEGATED_PRAISE,
    NEGATION_AT_A_DISTANCE,
    PLAIN,
    REDUCERS,
    TEMPORAL,
    Filled,
    fillings,
    long_text,
    sentence,
    slots,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matinee.evaluation.behaviour.perturbations import Perturbation
    from matinee.evaluation.behaviour.sentiment import Sentiment, Sign
    from matinee.evaluation.behaviour.templates import Template
    from matinee.evaluation.behaviour.topics import Topic

# Of a long text a classifier may not read what the change touched, and it costs as much as ten short ones.
LONGEST_OWN = 1200
# Short cases cost little; changes are made to fewer templates, and to fewer of the user's own texts, which are longer.
_TEMPLATES_SHARE, _OWN_SHARE = 3, 4
_LONG_TEXTS = range(3, 10)

# By capability: the templates, and whether the neutral labels too are right ("not good" need not be blame).
_BY_TEMPLATE: dict[str, tuple[tuple[Template, ...], bool]] = {
    "plain-short": (PLAIN, False),
    "negated-praise": (NEGATED_PRAISE, True),
    "negated-blame": (NEGATED_BLAME, True),
    "negation-at-a-distance": (NEGATION_AT_A_DISTANCE, True),
    "contrast": (CONTRAST, True),
    "temporal-change": (TEMPORAL, True),
}
_BY_CHANGE: dict[str, Perturbation] = {
    "names": change.swap_names,
    "places": change.swap_places,
    "numbers": change.shift_numbers,
    "typos": change.add_typos,
    "upper-case": change.to_upper,
    "lower-case": change.to_lower,
    "contractions": change.change_contractions,
    "neutral-sentences": change.add_neutral_sentence,
    "emoji": change.add_emoji,
    "layout": change.change_layout,
}

CAPABILITIES: dict[str, Capability] = {
    capability.name: capability
    for capability in (
        Capability("plain-short", "Plain praise or blame, one sentence", "label", sentiment=True, english=True),
        Capability("plain-long", "Plain praise or blame, several sentences", "label", sentiment=True, english=True),
        Capability("negated-praise", 'Negated praise ("was not good")', "label", sentiment=True, english=True),
        Capability("negated-blame", 'Negated blame ("nothing wrong with")', "label", sentiment=True, english=True),
        Capability("negation-at-a-distance", "Negated praise, words between", "label", sentiment=True, english=True),
        Capability("contrast", 'Praise and blame with "but", one wins', "label", sentiment=True, english=True),
        Capability("temporal-change", 'A changed mind ("used to hate it, now …")', "label", sentiment=True, english=True),
        Capability("intensifiers", 'Intensifiers ("very") do not weaken', "direction", sentiment=True, english=True),
        Capability("reducers", 'Reducers ("a little") do not strengthen', "direction", sentiment=True, english=True),
        Capability("names", "Other first names", "unchanged"),
        Capability("places", "Other cities and countries", "unchanged"),
        Capability("numbers", "Other counts and years, no ratings", "unchanged"),
        Capability("typos", "Typos: neighbouring letters swapped", "unchanged"),
        Capability("upper-case", "All capitals", "unchanged"),
        Capability("lower-case", "All small letters", "unchanged"),
        Capability("contractions", "\"don't\" for \"do not\" and back", "unchanged", english=True),
        Capability("neutral-sentences", "A neutral sentence added", "unchanged", english=True),
        Capability("emoji", "A neutral emoji added", "unchanged"),
        Capability("layout", "HTML line breaks and extra white space", "unchanged"),
    )
}  # fmt: skip


def make_cases(
    own_texts: Mapping[str, str],
    *,
    sentiment: Sentiment | None,
    topic: Topic,
    english: bool = True,
    n: int = 60,
    seed: int = 0,
) -> list[Case]:
    """Return the cases of every capability that can be asked.

    Without sentiment labels only changes to the user's own texts are left: nobody knows the right answer to a template.

    Args:
        own_texts: Some texts of the kind that the classifier is for, by id; blank and long ones are passed over.
        sentiment: Which labels praise and which blame, None where they are something else.
        topic: What the templates talk about.
        english: Whether own texts and classifier are English; if not, what needs English is left out.
        n: Most cases of a capability made from templates; a third as many of its changes to templates, and a quarter as
            many of its changes to own texts.
        seed: Seed of every draw; the cases of a capability do not depend on which others are asked.
    """
    cases: list[Case] = []
    if sentiment is not None and english:
        cases += _label_cases(sentiment, topic, n, seed)
        cases += _long_cases(sentiment, topic, n, seed)
        cases += _degree_cases(sentiment, topic, n, seed)
    own = _own(own_texts, seed)
    carriers = _carriers(topic, n, seed) if sentiment is not None and english else []
    for name, perturb in _BY_CHANGE.items():
        if english or not CAPABILITIES[name].english:
            cases += _changes(name, perturb, carriers, max(1, n // _TEMPLATES_SHARE), seed, own=False)
            cases += _changes(name, perturb, own, max(1, n // _OWN_SHARE), seed, own=True)
    order = list(CAPABILITIES)
    return sorted(cases, key=lambda case: order.index(case.capability))


def _label_cases(sentiment: Sentiment, topic: Topic, n: int, seed: int) -> Iterator[Case]:
    for name, (templates, neutral_is_right) in _BY_TEMPLATE.items():
        for filled in _spread(templates, topic, n, _chance(seed, name)):
            right = sentiment.all_but(opposite(filled.sign)) if neutral_is_right else sentiment.of(filled.sign)
            yield Case(name, filled.family, filled.text, right)


def _spread(templates: Sequence[Template], topic: Topic, n: int, chance: random.Random) -> list[Filled]:
    """Return up to `n` sentences, as many of each template and sign as of the others; some templates give fewer."""
    sources = [(template, sign) for template in templates for sign in template.signs]
    chance.shuffle(sources)
    # Every kind gets its turn before any gets a second one.
    per_source = -(-n // len(sources))
    made = [list(fillings(template, topic, sign, per_source, chance)) for template, sign in sources]
    return [of[turn] for turn in range(per_source) for of in made if turn < len(of)][:n]


def _long_cases(sentiment: Sentiment, topic: Topic, n: int, seed: int) -> Iterator[Case]:
    chance = _chance(seed, "plain-long")
    kinds: list[tuple[Sign, int]] = [(sign, length) for length in _LONG_TEXTS for sign in SIGNS]
    for turn in range(n):
        sign, length = kinds[turn % len(kinds)]
        text = long_text(topic, sign, length, chance)
        yield Case("plain-long", f"{sign}: {length} sentences", text, sentiment.of(sign))


def _degree_cases(sentiment: Sentiment, topic: Topic, n: int, seed: int) -> Iterator[Case]:
    sources = [(degrees, sign) for degrees in DEGREES for sign in SIGNS]
    for name in ("intensifiers", "reducers"):
        chance, seen = _chance(seed, name), set[str]()
        for turn in range(10 * n):
            degrees, sign = sources[turn % len(sources)]
            words = {**slots(topic, sign, chance), "word": chance.choice(GRADABLE[sign])}
            degree = chance.choice(INTENSIFIERS if name == "intensifiers" else REDUCERS[sign])
            text = sentence(degrees.graded, {**words, "degree": degree})
            if text in seen:
                continue
            seen.add(text)
            # More of a sign must not make it less likely; less of it must not make the rest less likely.
            labels = sentiment.of(sign) if name == "intensifiers" else sentiment.all_but(sign)
            yield Case(name, f"{sign}: {degrees.graded}", text, labels, sentence(degrees.plain, words))
            if len(seen) == n:
                break


def _carriers(topic: Topic, n: int, seed: int) -> list[tuple[str, str]]:
    return [(filled.family, filled.text) for filled in _spread(CARRIERS, topic, 2 * n, _chance(seed, "carriers"))]


def _own(texts: Mapping[str, str], seed: int) -> list[tuple[str, str]]:
    """Return the user's texts that are neither blank nor long, each once, in a seeded order."""
    usable = {text: name for name, text in texts.items() if text.strip() and len(text) <= LONGEST_OWN}
    named = [(f"text {name}", text) for text, name in usable.items()]
    _chance(seed, "own").shuffle(named)
    return named


def _changes(
    name: str, perturb: Perturbation, sources: Sequence[tuple[str, str]], n: int, seed: int, *, own: bool
) -> list[Case]:
    """Return up to `n` changed texts, of the first sources in which there is something to change."""
    cases: list[Case] = []
    for family, text in sources:
        if len(cases) == n:
            break
        changed = perturb(text, _chance(seed, name, text))
        if changed is not None:
            cases.append(Case(name, family, changed, before=text, own=own))
    return cases


def _chance(*parts: object) -> random.Random:
    """Return a generator of its own for each use, so that no draw depends on what was drawn elsewhere."""
    return random.Random("\0".join(map(str, parts)))  # noqa: S311 - cases, not keys
