import pytest

from matinee.evaluation.behaviour import TOPICS, find_topic, looks_english


@pytest.mark.parametrize(
    ("texts", "topic"),
    [
        (["The movie drags.", "I like the actors."], "film"),
        (["A novel with a weak first chapter.", "The author rambles."], "book"),
        (["Arrived late, seller was rude."], "product"),
        (["The waiter forgot our dessert."], "restaurant"),
        (["Breakfast in the lobby, a cold room."], "hotel"),
        (["Nothing of the kind."], "product"),
        (["FILM"] + ["words"] * 40, "product"),
        ([], "product"),
    ],
)
def test_a_topic_is_found_by_its_words(texts, topic):
    assert find_topic(texts) == topic


@pytest.mark.parametrize("topic", TOPICS.values(), ids=TOPICS)
def test_a_topic_fills_every_template(topic):
    assert len(set(topic.parts)) == len(topic.parts) >= 5
    assert len(set(topic.wholes)) == len(topic.wholes) >= 2


@pytest.mark.parametrize(
    ("texts", "english"),
    [
        (["It runs for two hours and that is the point of this film."], True),
        (["The book to read."] * 3 + ["ok"], True),
        ([], True),
        (["", "👍"], True),
        (["Der Film war sehr gut und die Musik in der Mitte auch."], False),
        (["Le film est très beau, mais la fin m'a déçu."], False),
        (["映画はとても良かった"], False),
    ],
)
def test_english_is_told_from_other_languages(texts, english):
    assert looks_english(texts) is english
