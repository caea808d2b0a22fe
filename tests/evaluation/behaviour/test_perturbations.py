"""Changes that say the same: what each touches, and what it leaves alone."""

import random
import re
import string
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.core.text import clean
from matinee.evaluation.behaviour import perturbations as change
from matinee.evaluation.behaviour.words import CITIES, FIRST_NAMES, NEUTRAL_EMOJI

EVERY = [
    change.swap_names, change.swap_places, change.shift_numbers, change.add_typos, change.to_upper, change.to_lower,
    change.change_contractions, change.add_neutral_sentence, change.add_emoji, change.change_layout,
]  # fmt: skip
TEXTS = [
    "",
    "   ",
    "\n",
    "👍",
    "映画はとても良かったです",
    "été à l’Élysée, naïve",
    "\ud800",
    "e\u0301te\u0301s",
    "<br />",
    "!" * 50,
]


def chance(seed=0):
    return random.Random(seed)


@pytest.mark.parametrize("perturb", EVERY, ids=lambda perturb: perturb.__name__)
class TestAny:
    @pytest.mark.parametrize("text", TEXTS)
    def test_odd_texts_are_no_trouble(self, perturb, text):
        changed = perturb(text, chance())
        assert changed is None or changed != text

    def test_an_empty_text_stays_as_it_is(self, perturb):
        assert perturb("", chance()) is None

    @given(text=st.text(max_size=60), seed=st.integers(0, 5))
    def test_it_is_a_change_or_nothing_and_always_the_same(self, perturb, text, seed):
        changed = perturb(text, chance(seed))
        assert changed is None or changed != text
        assert changed == perturb(text, chance(seed))


class TestNames:
    def test_one_name_becomes_one_other(self):
        changed = change.swap_names("Anna met Tom. Anna's hat, annals, Tomas.", chance())
        new = re.fullmatch(r"(\w+) met (\w+)\. \1's hat, annals, Tomas\.", changed)
        assert new is not None
        assert {"Anna", "Tom"}.isdisjoint(new.groups())

    def test_genders_stay(self):
        for seed in range(30):
            she = change.swap_names("Anna lost her hat.", chance(seed)).split()[0]
            assert FIRST_NAMES.index(she) < FIRST_NAMES.index("John")

    @pytest.mark.parametrize("text", ["Will rose.", "a paul of smoke", "No name here"])
    def test_other_words_stay(self, text):
        assert change.swap_names(text, chance()) is None


class TestPlaces:
    def test_cities_become_cities(self):
        changed = change.swap_places("From New York to Paris.", chance())
        one, other = re.fullmatch(r"From (.+) to (.+)\.", changed).groups()
        assert one != other
        assert {one, other} <= set(CITIES) - {"New York", "Paris"}

    @pytest.mark.parametrize("text", ["New England", "a Londoner", "rome"])
    def test_what_only_looks_so_stays(self, text):
        assert change.swap_places(text, chance()) is None


class TestNumbers:
    @pytest.mark.parametrize(
        "text", ["It took 3 hours.", "a 12 years old boy", "150 people came", "made in 1984.", "Since 1999,"]
    )
    def test_counts_and_years_move_a_little(self, text):
        for seed in range(20):
            changed = change.shift_numbers(text, chance(seed))
            old, new = (int(re.search(r"\d+", one)[0]) for one in (text, changed))
            assert re.sub(r"\d+", "", changed) == re.sub(r"\d+", "", text)
            assert 0 < abs(new - old) <= max(1, old / 10)
            assert new >= 2

    @pytest.mark.parametrize(
        "text",
        ["4/10", "9 stars", "10 out of 10", "100 %", "saw it 5 times", "$20", "1 hour", "the 1980s", "in the 80s", "3.5 hours",
         "9 out of 10 people", "2001: A Space Odyssey", "In 2001: A Space Odyssey", "from 1939-45", "number 1", "7"],
    )  # fmt: skip
    def test_ratings_and_the_like_stay(self, text):
        assert change.shift_numbers(text, chance()) is None


class TestTypos:
    def test_two_neighbours_inside_a_word_change_places(self):
        changed = change.add_typos("so it is terrible", chance())
        word = changed.split()[-1]
        assert changed != "so it is terrible"
        assert sorted(word) == sorted("terrible")
        assert (word[0], word[-1]) == ("t", "e")
        assert sum(a != b for a, b in zip(word, "terrible", strict=True)) == 2

    def test_longer_texts_get_more(self):
        text = " ".join(["wonderful"] * 90)
        assert sum(word != "wonderful" for word in change.add_typos(text, chance()).split()) == 3

    @pytest.mark.parametrize(
        "text",
        [
            "not bad",
            "scared",
            "there",
            "<strong>a</strong>",
            "http://example.org/abcdef",
            "映画はとても良かったです",
            "aaaaaa",
        ],
    )
    def test_short_words_tags_links_and_words_with_a_twin_stay(self, text):
        assert change.add_typos(text, chance()) is None

    @given(st.text(alphabet=string.ascii_letters + " <>/.,'é", max_size=200), st.integers(0, 5))
    def test_no_letter_is_lost(self, text, seed):
        changed = change.add_typos(text, chance(seed))
        assert changed is None or sorted(changed) == sorted(text)


class TestCase:
    def test_it_reaches_all_scripts_that_have_one(self):
        assert change.to_upper("Straße, été", chance()) == "STRASSE, ÉTÉ"
        assert change.to_lower("ÜBER Фильм", chance()) == "über фильм"
        assert change.to_upper("映画", chance()) is None
        assert change.to_lower("already", chance()) is None


class TestContractions:
    @pytest.mark.parametrize(
        ("text", "changed"),
        [
            ("I don't know.", "I do not know."),
            ("I can't, I won't, it isn’t.", "I cannot, I will not, it is not."),
            (
                "We've seen it, they're late, I'm sure you'll wait.",
                "We have seen it, they are late, I am sure you will wait.",
            ),
            ("It is not good.", "It isn't good."),
            ("I am sure we will be late.", "I'm sure we'll be late."),
            ("They did not say.", "They didn't say."),
        ],
    )
    def test_both_ways(self, text, changed):
        assert change.change_contractions(text, chance()) == changed

    @pytest.mark.parametrize(
        "text",
        ["It's been long.", "He'd gone.", "and don't you think so?", "why doesn't he go", "Didn't he go?", "here as I am.",
         "tired as I am of it", "it is not only long", "the cant of thieves", "I'd've gone"],
    )  # fmt: skip
    def test_what_would_be_no_english_or_could_mean_two_things_stays(self, text):
        assert change.change_contractions(text, chance()) is None

    @pytest.mark.parametrize("text", ["I do not know.", "It is not good.", "They did not say.", "You will see."])
    def test_there_and_back(self, text):
        assert change.change_contractions(change.change_contractions(text, chance()), chance()) == text


class TestAdditions:
    def test_the_text_is_still_there(self):
        for seed in range(10):
            for perturb in (change.add_neutral_sentence, change.add_emoji):
                changed = perturb("A good film.", chance(seed))
                assert "A good film." in changed
                assert len(changed) > len("A good film.")

    def test_sentences_go_before_and_after(self):
        starts = {change.add_neutral_sentence("A good film.", chance(seed)).startswith("A good") for seed in range(20)}
        assert starts == {True, False}

    def test_emoji_are_single_pictures(self):
        assert all(len(one) == 1 and unicodedata.category(one) == "So" for one in NEUTRAL_EMOJI)

    def test_a_text_that_holds_every_fact_gets_one_again(self):
        from matinee.evaluation.behaviour.templates import NEUTRAL

        assert change.add_neutral_sentence(" ".join(NEUTRAL), chance()) is not None


def test_layout_is_what_cleaning_takes_away():
    for seed in range(20):
        text = "A good film. It runs two hours. I saw it twice."
        changed = change.change_layout(text, chance(seed))
        assert clean(changed) == text
        assert changed.endswith("<br />\n")
