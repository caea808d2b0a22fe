"""The cases themselves: what they hold, that they are the same every time, and who passes them."""

import re
from collections import Counter

import pytest

from matinee.evaluation.behaviour import (
    CAPABILITIES,
    TOPICS,
    Sentiment,
    make_cases,
    score_cases,
    texts_to_ask,
)
from matinee.evaluation.behaviour.capabilities import LONGEST_OWN
from matinee.evaluation.behaviour.templates import GRADABLE, INTENSIFIERS, REDUCERS

NEGATION = re.compile(
    r"n't\b|\b(not|no|never|nothing|neither|nobody|none|cannot|hardly|anything but|doubt)\b", re.IGNORECASE
)
OWN = {
    "test-1": "Anna saw it in Paris for 3 hours. I don't think the acting was terrible.",
    "test-2": "It is not long. In 1984 my neighbour Tom went to Boston.",
    "test-3": "",
    "test-4": "   \n",
    "test-5": "long " * (LONGEST_OWN // 4),
    "test-6": "映画はとても良かった 🎬 été",
    "test-7": "It is not long. In 1984 my neighbour Tom went to Boston.",
}


@pytest.fixture
def cases(sentiment):
    return make_cases(OWN, sentiment=sentiment, topic=TOPICS["film"])


def of(cases, name):
    found = [case for case in cases if case.capability == name]
    assert found
    return found


def test_every_capability_has_cases_and_no_more_than_asked(cases):
    counts = Counter(case.capability for case in cases)
    assert list(counts) == list(CAPABILITIES)
    for name, count in counts.items():
        assert count <= (35 if CAPABILITIES[name].kind == "unchanged" else 60)
        assert count >= (12 if CAPABILITIES[name].kind == "unchanged" else 50)
    assert len({case.family for case in of(cases, "negated-praise")}) >= 12


def test_no_text_is_asked_twice_of_a_capability(cases):
    for name in CAPABILITIES:
        texts = [case.text for case in of(cases, name)]
        assert len(set(texts)) == len(texts), name


def test_negations_negate(cases):
    for name in ("negated-praise", "negated-blame", "negation-at-a-distance"):
        assert all(NEGATION.search(case.text) for case in of(cases, name)), name
    assert {case.labels for case in of(cases, "negated-praise")} == {(0,)}
    assert {case.labels for case in of(cases, "negated-blame")} == {(1,)}


def test_distance_is_distance(cases):
    def gap(text):
        words = re.findall(r"[\w']+", text.lower())
        praise = max(
            i
            for i, word in enumerate(words)
            if word in ["good", "great", "impressive", "pleasing", "satisfying", "special"]
        )
        return praise - min(i for i, word in enumerate(words) if NEGATION.search(word))

    assert all(gap(case.text) >= 5 for case in of(cases, "negation-at-a-distance"))


def test_plain_cases_hold_no_negation(cases):
    for name in ("plain-short", "plain-long"):
        assert not [case.text for case in of(cases, name) if NEGATION.search(case.text)]
        assert {case.labels for case in of(cases, name)} == {(0,), (1,)}
    assert min(len(case.text.split()) for case in of(cases, "plain-long")) > 15


def test_degrees_add_one_word_and_nothing_else(cases):
    for name, degrees in (("intensifiers", INTENSIFIERS), ("reducers", {d for of in REDUCERS.values() for d in of})):
        for case in of(cases, name):
            assert any(case.text.replace(f" {degree}", "", 1) == case.before for degree in degrees), case
            praise = any(word in re.findall(r"\w+", case.text) for word in GRADABLE["positive"])
            assert case.labels == ((1,) if praise == (name == "intensifiers") else (0,))


def test_changes_keep_what_they_were_made_from(cases):
    for case in cases:
        if CAPABILITIES[case.capability].kind == "unchanged":
            assert case.before != case.text
            assert case.labels == ()
    assert all(case.text == case.before.upper() for case in of(cases, "upper-case"))


def test_own_texts_are_used_once_and_neither_blank_nor_long(cases):
    own = [case for case in cases if case.own]
    assert {case.before for case in own} == {OWN["test-1"], OWN["test-2"], OWN["test-6"]}
    assert max(Counter((case.capability, case.before) for case in own).values()) == 1
    assert {case.capability for case in own} == {name for name, one in CAPABILITIES.items() if one.kind == "unchanged"}


def test_the_same_seed_gives_the_same_cases(sentiment, cases):
    assert make_cases(OWN, sentiment=sentiment, topic=TOPICS["film"]) == cases
    other = make_cases(OWN, sentiment=sentiment, topic=TOPICS["film"], seed=1)
    assert {case.text for case in other} != {case.text for case in cases}


def test_the_order_of_own_texts_plays_no_part_in_what_becomes_of_one(sentiment, cases):
    alone = make_cases({"test-1": OWN["test-1"]}, sentiment=sentiment, topic=TOPICS["film"])
    assert {case.text for case in alone if case.own} <= {case.text for case in cases if case.own}


def test_without_sentiment_only_own_texts_are_changed():
    cases = make_cases(OWN, sentiment=None, topic=TOPICS["film"])
    assert cases
    assert all(case.own for case in cases)
    assert make_cases({}, sentiment=None, topic=TOPICS["film"]) == []


def test_without_english_nothing_english_is_asked(sentiment):
    cases = make_cases(OWN, sentiment=sentiment, topic=TOPICS["film"], english=False)
    assert cases
    assert not [case for case in cases if CAPABILITIES[case.capability].english or not case.own]


def test_neutral_is_right_where_a_reader_may_say_so():
    cases = make_cases({}, sentiment=Sentiment((0,), (2,), 3), topic=TOPICS["film"])
    assert {case.labels for case in of(cases, "plain-short")} == {(0,), (2,)}
    assert {case.labels for case in of(cases, "negated-praise")} == {(0, 1)}
    assert {case.labels for case in of(cases, "contrast")} == {(0, 1), (1, 2)}
    assert {case.labels for case in of(cases, "reducers")} == {(0, 1), (1, 2)}


@pytest.mark.parametrize("topic", TOPICS)
def test_who_understands_passes_everything(topic, sentiment, understanding, answers):
    cases = make_cases({}, sentiment=sentiment, topic=TOPICS[topic], n=120)
    rows = score_cases(cases, answers(texts_to_ask(cases), understanding))
    assert len(rows) == len(CAPABILITIES)
    assert {row["name"]: row["worst"] for row in rows if row["failures"]} == {}


@pytest.mark.parametrize("topic", TOPICS)
def test_who_counts_words_fails_at_negation_and_not_at_plain_words(topic, sentiment, counting, answers):
    cases = make_cases({}, sentiment=sentiment, topic=TOPICS[topic])
    rates = {row["name"]: row["rate"]["value"] for row in score_cases(cases, answers(texts_to_ask(cases), counting))}
    assert min(rates["negated-praise"], rates["negated-blame"], rates["negation-at-a-distance"]) > 0.9
    assert min(rates["contrast"], rates["temporal-change"]) > 0.4
    assert max(rates["plain-short"], rates["plain-long"], rates["intensifiers"], rates["names"], rates["layout"]) == 0


@pytest.mark.parametrize(
    ("minds", "fails"),
    [
        (lambda text: text.isupper(), {"upper-case"}),
        (lambda text: text.islower(), {"lower-case"}),
        (lambda text: "<br" in text, {"layout"}),
        (lambda text: max(map(ord, text)) > 0x2FFF, {"emoji"}),
        (lambda text: sum(map(int, re.findall(r"\d", text))) % 2, {"numbers"}),
        (lambda text: len(re.findall(r"[.!?](?:\s|<|$)", text)) % 2, {"neutral-sentences"}),
    ],
)
def test_who_minds_a_change_fails_there_alone(minds, fails, sentiment, answers):
    cases = make_cases({}, sentiment=sentiment, topic=TOPICS["product"])
    rows = score_cases(cases, answers(texts_to_ask(cases), lambda text: 0.9 if minds(text) else 0.2))
    failed = {row["name"] for row in rows if row["kind"] == "unchanged" and row["rate"]["value"] > 0.3}
    assert failed == fails
