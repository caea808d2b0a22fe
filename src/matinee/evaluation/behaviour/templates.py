"""Sentences with slots whose sentiment is known by how they are built.

A pattern is filled with words of a topic and of a sign. Its slots: `{whole}`, `{part}` and `{part2}` from the topic; `{word}` and
`{word2}`, adjectives of the sign; `{other}`, one of the opposite sign; `{mild}`, praise whose negation is plainly blame ("not
good" is, "not superb" need not be); `{a_word}` and so on with the article; `{loved}`, `{love}`, `{liked}` verbs of the sign and
`{unloved}`, `{unlove}`, `{unliked}` of the opposite one; `{name}`, `{place}`, `{number}`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from matinee.evaluation.behaviour.sentiment import SIGNS, Sign, opposite
from matinee.evaluation.behaviour.words import CITIES, FIRST_NAMES

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    from matinee.evaluation.behaviour.topics import Topic

ADJECTIVES: dict[Sign, tuple[str, ...]] = {
    "positive": ("good", "great", "excellent", "wonderful", "superb", "fantastic", "delightful", "impressive"),
    "negative": ("bad", "terrible", "awful", "horrible", "dreadful", "poor", "disappointing", "appalling"),
}
MILD_PRAISE = ("good", "great", "impressive", "pleasing", "satisfying", "special")
# Of degree: "very good" is English, "very superb" is not.
GRADABLE: dict[Sign, tuple[str, ...]] = {
    "positive": ("good", "nice", "impressive", "pleasant", "satisfying", "enjoyable"),
    "negative": ("bad", "poor", "disappointing", "unpleasant", "weak", "annoying"),
}
INTENSIFIERS = ("very", "really", "extremely", "incredibly", "truly", "remarkably", "exceptionally")
REDUCERS: dict[Sign, tuple[str, ...]] = {
    "positive": ("fairly", "reasonably", "moderately", "somewhat"),
    "negative": ("slightly", "somewhat", "a little", "a bit"),
}
_VERBS: dict[str, dict[Sign, str]] = {
    "loved": {"positive": "loved", "negative": "hated"},
    "love": {"positive": "love", "negative": "hate"},
    "liked": {"positive": "liked", "negative": "disliked"},
}

PRAISE: tuple[Sign, ...] = ("positive",)
BLAME: tuple[Sign, ...] = ("negative",)


@dataclass(frozen=True)
class Template:
    """A pattern and the signs that it can be filled with; the sign is the sentiment of the whole sentence."""

    pattern: str
    signs: tuple[Sign, ...] = SIGNS


@dataclass(frozen=True)
class Filled:
    """A sentence made from a template; `family` names the template and its sign."""

    text: str
    sign: Sign
    family: str


@dataclass(frozen=True)
class Degrees:
    """A pair of patterns, without and with a word of degree (`{degree}`)."""

    plain: str
    graded: str


PLAIN = (
    Template("{a_word} {whole}."),
    Template("The {part} was {word}."),
    Template("What {a_word} {whole} this is!"),
    Template("The {part} is {word} and the {part2} is {word2}."),
    Template("I {loved} the {part}."),
    Template("I {love} this {whole}, and above all the {part}."),
    Template("This {whole} is {word}."),
    Template("I found the {part} {word} and the whole {whole} {word2}."),
    Template("I would recommend this {whole} to anyone.", PRAISE),
    Template("This {whole} is worth every penny, and the {part} is {word}.", PRAISE),
    Template("This {whole} is a waste of money, and the {part} is {word}.", BLAME),
    Template("Stay away from this {whole}: the {part} is {word}.", BLAME),
)

NEGATED_PRAISE = tuple(
    Template(pattern, BLAME)
    for pattern in (
        "The {part} was not {mild}.",
        "The {part} wasn't {mild}.",
        "This is not {a_mild} {whole}.",
        "This isn't {a_mild} {whole}.",
        "I did not like the {part} of this {whole}.",
        "I didn't enjoy this {whole}, and I didn't like the {part}.",
        "I cannot recommend this {whole}.",
        "There is nothing {mild} about the {part}.",
        "Nothing about this {whole} is {mild}.",
        "Neither the {part} nor the {part2} was {mild}.",
        "At no point was the {part} {mild}.",
        "No one could call this {a_mild} {whole}.",
        "I have never liked the {part} of this {whole}.",
        "Hardly anything in this {whole} is {mild}.",
    )
)

NEGATED_BLAME = tuple(
    Template(pattern, PRAISE)
    for pattern in (
        "The {part} was not bad at all.",
        "There was nothing wrong with the {part}.",
        "I have no complaints about the {part}.",
        "You will not regret choosing this {whole}.",
        "You cannot go wrong with this {whole}.",
        "I could not find a single fault with the {part}.",
        "This {whole} is anything but {other}.",
        "The {part} does not disappoint.",
        "Nobody could be disappointed by the {part}.",
        "I wouldn't change a thing about the {part}.",
        "I can't think of anything that is wrong with this {whole}.",
        "There was never a moment when the {part} was {other}.",
    )
)

NEGATION_AT_A_DISTANCE = tuple(
    Template(pattern, BLAME)
    for pattern in (
        "I do not think that the {part} of this {whole} is {mild}.",
        "I don't believe, whatever the advertising may say, that this is {a_mild} {whole}.",
        "I can't say, after all that I had heard about it, that the {part} was {mild}.",
        "None of the people whom I asked about it afterwards found the {part} {mild}.",
        "It is not, in spite of its reputation and the time that went into it, {a_mild} {whole}.",
        "The {part} is not, as many people seem to think, {mild}.",
        "I would not, even on my most generous day, call the {part} {mild}.",
        "At no time, from beginning to end, was I convinced that this is {a_mild} {whole}.",
        "Nobody who came with us thought that the {part} was {mild}.",
        "Not one of the many things that I expected of this {whole} turned out to be {mild}.",
        "Never, in all the years that I have been writing reviews, would I have called this {a_mild} {whole}.",
        "I doubt that anyone who knows what {a_mild} {whole} is would call this one {mild}.",
        "It isn't true, as somebody wrote here last week, that the {part} is {mild}.",
    )
)

CONTRAST = tuple(
    Template(pattern)
    for pattern in (
        "The {part} was {other}, but as a whole this {whole} is {word}.",
        "Although the {part} was {other}, I {loved} this {whole}.",
        "I {unliked} the {part}; however, the {whole} itself is {word}.",
        "The {part} is {other}, yet this is still {a_word} {whole}.",
        "Despite the {other} {part}, this is {a_word} {whole}.",
        "Even though the {part} is {other}, the {whole} is {word} overall.",
        "The {part} may be {other}, but everything else about this {whole} is {word}.",
    )
)

TEMPORAL = tuple(
    Template(pattern)
    for pattern in (
        "I used to {unlove} this {whole}, but now I {love} it.",
        "At first I thought that this {whole} was {other}; now I find it {word}.",
        "In the past the {part} seemed {other} to me. Today I think that it is {word}.",
        "Years ago I called this {a_other} {whole}. I have changed my mind: it is {word}.",
        "I expected {a_other} {whole} and got {a_word} one.",
        "I once {unliked} the {part}, but these days I {love} it.",
        "My first impression of this {whole} was {other}. By the end I {loved} it.",
    )
)

DEGREES = (
    Degrees("The {part} was {word}.", "The {part} was {degree} {word}."),
    Degrees("This {whole} is {word}.", "This {whole} is {degree} {word}."),
    Degrees("I found the {part} {word}.", "I found the {part} {degree} {word}."),
    Degrees("The {part} is {word}, and so is the {part2}.", "The {part} is {degree} {word}, and so is the {part2}."),
    Degrees("All of us thought that the {part} was {word}.", "All of us thought that the {part} was {degree} {word}."),
    Degrees("For the money this {whole} is {word}.", "For the money this {whole} is {degree} {word}."),
)

# What the changes that must not matter are made to.
CARRIERS = tuple(
    Template(pattern)
    for pattern in (
        "My friend {name} and I both thought that the {part} was {word}.",
        "{name} told me about this {whole} when we met in {place}, and it is {word}.",
        "I am from {place}, and I don't know another {whole} this {word}.",
        "After {number} days I still think that the {part} is {word}.",
        "{name}, who lives in {place}, didn't hesitate to say that the {part} is {word}.",
        "We're a family of {number} people from {place}, and all of us {loved} this {whole}.",
        "I took {number} weeks to decide, and I'm sure of it now: this is {a_word} {whole}.",
        "I have known {name} for {number} years. We agree that the {part} is {word}.",
        "They do not say so in {place}, but the {part} is {word}.",
        "We've talked about it for {number} hours: the {part} is {word} and the {part2} is {word2}.",
        "{name} and {name2} {loved} this {whole}, and I am with them: the {part} is {word}.",
        "I did not tell {name} that it took me {number} minutes to see how {word} this {whole} is.",
    )
)

# Facts without praise or blame, for long texts and as additions.
NEUTRAL = (
    "Today is Tuesday.",
    "I am writing this in the afternoon.",
    "I live near the station.",
    "My sister has two children.",
    "There are twelve months in a year.",
    "Last year I moved to another street.",
    "I wrote this on my phone.",
    "My neighbour works in an office.",
)


def fillings(template: Template, topic: Topic, sign: Sign, n: int, chance: random.Random) -> Iterator[Filled]:
    """Yield up to `n` different sentences of a template; fewer where its slots do not give so many."""
    seen: set[str] = set()
    for _ in range(10 * n):
        if len(seen) == n:
            return
        text = sentence(template.pattern, slots(topic, sign, chance))
        if text not in seen:
            seen.add(text)
            yield Filled(text, sign, f"{sign}: {template.pattern}")


def slots(topic: Topic, sign: Sign, chance: random.Random) -> dict[str, str]:
    """Return words for every slot, drawn without repetition."""
    word, word2 = chance.sample(ADJECTIVES[sign], 2)
    part, part2 = chance.sample(topic.parts, 2)
    name, name2 = chance.sample(FIRST_NAMES, 2)
    words = {
        "word": word,
        "word2": word2,
        "other": chance.choice(ADJECTIVES[opposite(sign)]),
        "mild": chance.choice(MILD_PRAISE),
    }
    verbs = {slot: verb[sign] for slot, verb in _VERBS.items()}
    return {
        **words,
        **{f"a_{slot}": with_article(word) for slot, word in words.items()},
        **verbs,
        **{f"un{slot}": verb[opposite(sign)] for slot, verb in _VERBS.items()},
        "whole": chance.choice(topic.wholes),
        "part": part,
        "part2": part2,
        "name": name,
        "name2": name2,
        "place": chance.choice(CITIES),
        "number": str(chance.randint(3, 9)),
    }


def sentence(pattern: str, words: dict[str, str]) -> str:
    """Return a filled pattern with a capital at its start."""
    text = pattern.format_map(words)
    return text[:1].upper() + text[1:]


def with_article(word: str) -> str:
    """Return a word of the lists above with its indefinite article."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def long_text(topic: Topic, sign: Sign, n_sentences: int, chance: random.Random) -> str:
    """Return a review of `n_sentences` sentences of one sign from different templates, with a neutral fact after every third."""
    templates = [template for template in PLAIN if sign in template.signs]
    chosen: Sequence[Template] = chance.sample(templates, n_sentences)
    facts = iter(chance.sample(NEUTRAL, n_sentences // 3))
    sentences: list[str] = []
    for place, template in enumerate(chosen, start=1):
        sentences.append(sentence(template.pattern, slots(topic, sign, chance)))
        if place % 3 == 0:
            sentences.append(next(facts))
    return " ".join(sentences)
