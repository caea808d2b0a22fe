"""Templates are filled in whole, and into English."""

import random
import re

import pytest

from matinee.evaluation.behaviour import TOPICS, templates
from matinee.evaluation.behaviour.templates import ADJECTIVES, GRADABLE, Template, fillings, long_text, slots

FAMILIES = ("PLAIN", "NEGATED_PRAISE", "NEGATED_BLAME", "NEGATION_AT_A_DISTANCE", "CONTRAST", "TEMPORAL", "CARRIERS")
EVERY = [(name, template) for name in FAMILIES for template in getattr(templates, name)]


@pytest.mark.parametrize(("family", "template"), EVERY, ids=[template.pattern for _, template in EVERY])
def test_every_template_is_filled_into_a_sentence(family, template):
    for topic in TOPICS.values():
        for sign in template.signs:
            filled = list(fillings(template, topic, sign, 8, random.Random(0)))
            assert filled
            assert len({one.text for one in filled}) == len(filled)
            for one in filled:
                assert re.fullmatch(r"[A-Z][^{}]*[.!]", one.text)
                assert "  " not in one.text
                assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", one.text, re.IGNORECASE), one.text
                assert one.sign == sign


def test_a_template_gives_no_more_than_it_has():
    filled = list(fillings(Template("I love this {whole}."), TOPICS["film"], "positive", 50, random.Random(0)))
    assert len(filled) == len(TOPICS["film"].wholes)
    assert len({one.family for one in filled}) == 1


def test_signs_share_no_word():
    assert not set(ADJECTIVES["positive"]) & set(ADJECTIVES["negative"])
    assert not set(GRADABLE["positive"]) & set(GRADABLE["negative"])


def test_slots_are_of_the_sign():
    for seed in range(20):
        words = slots(TOPICS["hotel"], "negative", random.Random(seed))
        assert {words["word"], words["word2"]} <= set(ADJECTIVES["negative"])
        assert words["word"] != words["word2"]
        assert words["part"] != words["part2"]
        assert words["name"] != words["name2"]
        assert words["other"] in ADJECTIVES["positive"]
        assert (words["loved"], words["unloved"]) == ("hated", "loved")


@pytest.mark.parametrize("n_sentences", [3, 6, 9])
def test_a_long_text_is_of_one_sign(n_sentences):
    text = long_text(TOPICS["book"], "negative", n_sentences, random.Random(1))
    words = set(re.findall(r"[a-z]+", text.lower()))
    assert not words & set(ADJECTIVES["positive"])
    assert len(re.findall(r"[.!](?: |$)", text)) == n_sentences + n_sentences // 3
