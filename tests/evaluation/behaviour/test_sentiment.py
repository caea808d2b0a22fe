import pytest

from matinee.core.errors import SettingsError
from matinee.evaluation.behaviour import Sentiment, find_sentiment, named_sentiment


@pytest.mark.parametrize(
    ("names", "negative", "positive"),
    [
        (("negative", "positive"), (0,), (1,)),
        (("pos", "neg"), (1,), (0,)),
        (("Negative", "Neutral", "Positive"), (0,), (2,)),
        (("very negative", "negative", "neutral", "positive", "very_positive"), (0, 1), (3, 4)),
        (("BAD", "GOOD"), (0,), (1,)),
    ],
)
def test_signs_are_found_by_name(names, negative, positive):
    assert find_sentiment(names) == Sentiment(negative, positive, len(names))


@pytest.mark.parametrize(
    "names",
    [
        ("0", "1"),
        ("sports", "politics"),
        ("negative", "other"),
        ("negative", "non-negative"),
        ("positive or negative", "x"),
    ],
)
def test_other_names_say_nothing(names):
    assert find_sentiment(names) is None


def test_signs_can_be_named():
    assert named_sentiment("0,1", ("0", "1")) == Sentiment((0,), (1,), 2)
    stars = named_sentiment("1+2, 4+5", ("1", "2", "3", "4", "5"))
    assert (stars.negative, stars.positive) == ((0, 1), (3, 4))
    assert stars.all_but("positive") == (0, 1, 2)
    assert named_sentiment("a+b,c", ("a+b", "c")).negative == (0,)


@pytest.mark.parametrize(
    ("spelled", "part"),
    [
        ("1", "negative and the positive label"),
        ("1,", "negative and the positive label"),
        ("a,b,c", "negative and the positive label"),
        ("negativ,positive", "Did you mean 'negative'?"),
        ("negative+positive,positive", "both negative and positive"),
    ],
)
def test_a_mistake_is_named(spelled, part):
    with pytest.raises(SettingsError, match=part.replace("?", r"\?")):
        named_sentiment(spelled, ("negative", "positive"))
