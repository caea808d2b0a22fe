"""What is proposed, for which data, on which machine, and with which reasons."""

from __future__ import annotations

import csv
import importlib
import shlex
from dataclasses import replace

import pytest

from matinee.core.errors import DataError, MatineeError, SettingsError
from matinee.core.schema import resolve
from matinee.core.suggested import suggested_settings
from matinee.workflow import advice_facts, advice_words
from matinee.workflow.advise import Proposal, advise
from matinee.workflow.known import Known
from matinee.workflow.recipes import read_recipe

# The package's name for it is the function.
room = importlib.import_module("matinee.workflow.advise")


def row(encoder, size, mean, **more):
    figures = {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}
    about = {"data": "imdb", "encoder": encoder, "size": size, "n_seeds": 3, "n_test": 2000}
    own = {} if encoder == "tfidf" else {**suggested_settings(encoder), "max_length": 32}
    return {**about, **figures, "settings": {"freeze": "all"} if more.get("frozen") else own, **more}


ROWS = (
    *(row("tfidf", size, mean) for size, mean in ((200, 0.7), (1000, 0.8))),
    *(row("minilm", size, mean) for size, mean in ((200, 0.8), (1000, 0.86))),
    row("mpnet", 1000, 0.91),
    row("minilm", 1000, 0.77, frozen=True),
)
PACES = {
    "tfidf": [{"seconds_per_token": 1e-6}],
    "minilm": [{"seconds_per_token": 1e-4}],
    "mpnet": [{"seconds_per_token": 8e-4}],
}
STORED = Known(ROWS, PACES, [{"encoder": "minilm", "size": 1000, "gb": 2.6}], {"bf16": 400.0}, {"cores": 2})
MACHINE = {
    "system": "Linux",
    "processor": "A processor",
    "cores": 2,
    "memory_gb": 16.0,
    "gpu": None,
    "precision": "bf16",
    "speed": 1.0,
}


def put(monkeypatch, stored):
    """Let these be the stored results."""
    for module in (room, advice_words, advice_facts):
        monkeypatch.setattr(module, "known", lambda: stored)


@pytest.fixture(autouse=True)
def stored(monkeypatch):
    put(monkeypatch, STORED)
    monkeypatch.setattr(room, "machine_facts", lambda: dict(MACHINE))


@pytest.fixture
def everywhere(monkeypatch):
    """All encoders with a mirror count as fetched; their tokenizers are not here."""
    from matinee.model import encoders

    monkeypatch.setattr(encoders, "whereabouts", lambda entry: "package-mirror" if entry.archive else None)
    monkeypatch.setattr(advice_facts, "token_lengths", lambda texts, settings: "not here")


@pytest.fixture(scope="session")
def reviews(tmp_path_factory):
    """Return a function that writes a CSV of so many texts of each label and so many words."""
    folder = tmp_path_factory.mktemp("reviews")

    def write(n_words=20, **labels):
        path = folder / f"{'-'.join(f'{name}{n}' for name, n in labels.items())}-{n_words}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = [(f"{'word ' * n_words}{label} {n}", label) for label, many in labels.items() for n in range(many)]
            csv.writer(file).writerows([("text", "label"), *rows])
        return path

    return write


def test_the_most_accurate_within_the_budget_is_proposed(reviews, everywhere):
    data = reviews(bad=800, good=800)
    advice = advise(data, validation_size=200, test_size=400)
    assert advice.data["n_train"] == 1000
    assert (advice.proposal.encoder, advice.faster.encoder, advice.larger) == ("mpnet", "minilm", None)
    seconds = advice.proposal.seconds["high"]
    less = advise(data, validation_size=200, test_size=400, budget=seconds - 1)
    assert (less.proposal.encoder, less.faster.encoder, less.larger.encoder) == ("minilm", "tfidf", "mpnet")
    assert less.proposal.seconds["high"] < seconds
    least = advise(data, validation_size=200, test_size=400, budget="1s")
    assert (least.proposal.encoder, least.faster, least.larger.encoder) == ("tfidf", None, "minilm")


def test_the_command_is_the_proposal(reviews, everywhere):
    data = reviews(bad=800, good=800)
    advice = advise(data, validation_size=200, test_size=400)
    words = shlex.split(advice.proposal.command)
    assert words[:3] == ["matinee", "train", str(data)]
    given = dict(zip(words[3::2], words[4::2], strict=True))
    assert given["--validation-size"] == "200"
    assert given["--encoder"] == "mpnet"
    assert float(given["--learning-rate"]) == 3e-5
    assert given["--epochs"] == "2"


def test_time_grows_with_the_texts_and_falls_with_the_machine(reviews, everywhere, monkeypatch):
    small, large = (advise(reviews(bad=n, good=n), validation_size=100, test_size=100, budget=150) for n in (400, 1600))
    assert small.proposal.encoder == large.proposal.encoder == "minilm"
    assert large.proposal.seconds["high"] > 3 * small.proposal.seconds["high"]
    monkeypatch.setattr(room, "machine_facts", lambda: {**MACHINE, "speed": 2.0})
    fast = advise(reviews(bad=400, good=400), validation_size=100, test_size=100, budget=20)
    assert fast.proposal.seconds["high"] == pytest.approx(small.proposal.seconds["high"] / 2, rel=0.02)
    assert small.proposal.seconds["low"] < small.proposal.seconds["high"]


@pytest.mark.parametrize(("n_words", "length", "covered"), [(20, 32, 1.0), (100, 128, 1.0), (1000, 256, 0.2)])
def test_the_length_covers_the_tokens_or_is_the_most_there_is(reviews, everywhere, n_words, length, covered):
    advice = advise(reviews(n_words, bad=800, good=800), budget="10h")
    assert advice.proposal.settings["max_length"] == length
    assert advice.proposal.share_of_tokens == pytest.approx(covered, abs=0.06)
    assert any("--long windows" in warning for warning in advice.warnings) == (covered < 0.5)
    assert advice.data["tokens"]["counted_by"] is None
    assert "guessed from the words" in str(advice)


def test_what_it_rests_on_is_said(reviews, everywhere):
    text = str(advise(reviews(bad=800, good=800), validation_size=200, test_size=400))
    assert (
        "about 0.90 to 0.92, if your data are like these: imdb with 1,000 labels 0.910 [0.900, 0.920] (3 seeds)."
        in text
    )
    assert "Your data will differ." in text
    three = str(advise(reviews(bad=600, good=600, so=600)))
    assert (
        "none is foretold, for nothing is stored of labels like these. Of two labels with as many texts each: imdb"
        in three
    )


def test_in_which_settings_a_stored_training_was_another_one_is_said(reviews, everywhere, monkeypatch):
    several = (
        row(
            "mpnet", 1000, 0.91, settings={"max_length": 512, "epochs": 2.0, "learning_rate": 3e-5, "warmup_ratio": 0.1}
        ),
        row("mpnet", 1000, 0.90, settings={"freeze": "2"}),
    )
    put(monkeypatch, replace(STORED, rows=several))
    text = str(advise(reviews(bad=800, good=800), validation_size=200, test_size=400))
    assert "--max-length 32 " in text
    assert "0.910 [0.900, 0.920] (3 seeds; trained with --max-length 512);" in text
    assert (
        "(3 seeds; trained with --max-length 384 --epochs 3 --learning-rate 0.0001 --freeze 2 --warmup-ratio 0.3)."
        in text
    )


def test_of_what_was_never_measured_nothing_is_foretold(reviews, everywhere, monkeypatch):
    without = Known(tuple(r for r in ROWS if r["encoder"] != "mpnet"), {**PACES, "mpnet": []}, [], {"bf16": 1.0}, {})
    put(monkeypatch, without)
    advice = advise(reviews(bad=800, good=800))
    assert advice.proposal.encoder == "minilm"
    assert (advice.larger.encoder, advice.larger.accuracy, advice.larger.seconds) == ("mpnet", None, None)
    assert "Larger: mpnet" in str(advice)
    assert "nothing is stored for this encoder, so nothing is foretold" in str(advice)


def test_of_few_labels_the_head_alone_is_proposed_as_the_warning_has_it(reviews, everywhere):
    advice = advise(reviews(bad=40, good=60))
    assert any("'bad'" in warning and "--freeze all" in warning for warning in advice.warnings)
    assert "--freeze all" in advice.proposal.command
    assert resolve_all(advice.proposal)
    assert advice.larger.encoder == advice.proposal.encoder == "mpnet"
    assert "freeze" not in advice.larger.settings
    assert advice.proposal.seconds["high"] < advice.larger.seconds["high"]
    assert "\nWith all layers trained: mpnet" in str(advice)
    linear = advise(reviews(bad=40, good=60), budget=0.001)
    assert linear.proposal.encoder == "tfidf"
    assert any("'bad'" in warning for warning in linear.warnings)
    assert "--freeze all" not in str(linear)


def test_one_rare_label_among_many_texts_does_not_freeze_the_encoder(reviews, everywhere):
    advice = advise(reviews(bad=40, good=1560))
    assert "freeze" not in advice.proposal.settings
    assert any("'bad'" in warning and "More labels are worth more" in warning for warning in advice.warnings)
    assert "--freeze all" not in str(advice)


def test_of_fewer_labels_than_any_stored_nothing_is_foretold(reviews, everywhere):
    text = str(advise(reviews(bad=50, good=50), test_size=10, validation_size=10, budget=0.001))
    assert "nothing is stored for so few labels, so nothing is foretold. With more: imdb with 200 labels 0.700" in text
    assert "at most" not in text


def test_rare_labels_are_made_up_for(reviews, everywhere):
    advice = advise(reviews(bad=150, good=1450))
    expected = {"class_weights": "balanced", "selection_metric": "f1", "positive_label": "bad"}
    assert expected.items() <= advice.proposal.settings.items()
    assert (advice.proposal.accuracy["low"], advice.proposal.accuracy["high"]) == (None, None)
    assert "none is foretold" in str(advice)
    assert any("accuracy says little" in warning and "F1 of 'bad'" in warning for warning in advice.warnings)
    for way in (advice.proposal, advice.faster, advise(reviews(bad=150, good=1450), budget=0.001).proposal):
        assert way.settings["positive_label"] == "bad"
        assert "--positive-label bad" in way.command
    assert "positive_label" not in advise(reviews(bad=1450, good=150)).proposal.settings
    assert not expected.keys() & advise(reviews(bad=800, good=800)).proposal.settings.keys()


def test_class_weights_are_spoken_of_where_the_command_has_them(reviews, everywhere):
    data = reviews(bad=150, good=1450)
    assert "--class-weights balanced)" in " ".join(advise(data).warnings)
    linear = advise(data, budget=0.001)
    assert "class_weights" not in linear.proposal.settings
    assert any("F1 of 'bad'" in warning for warning in linear.warnings)
    assert "--class-weights" not in " ".join(linear.warnings)
    few = advise(reviews(bad=15, good=75))
    assert few.proposal.settings["freeze"] == "all"
    assert few.proposal.settings["positive_label"] == "bad"
    assert "--class-weights" not in " ".join(few.warnings)
    assert resolve_all(few.proposal)


@pytest.mark.parametrize(
    ("budget", "title"),
    [
        ("1h", "Proposed, within 60 minutes: "),
        ("90m", "Proposed, within 90 minutes: "),
        ("2h 30m", "Proposed, within 2.5 hours: "),
        ("3601", "Proposed, within 3,601 seconds: "),
        ("1s", "Proposed, within 1 second: "),
        ("0.01s", "Proposed, the fastest (nothing is known to fit 0.01 seconds): tfidf, "),
    ],
)
def test_the_budget_is_named_as_given_and_only_kept_where_it_is(reviews, everywhere, budget, title):
    assert title in str(advise(reviews(bad=800, good=800), budget=budget))


def test_encoders_are_compared_at_a_size_that_both_have(reviews, everywhere, monkeypatch):
    rows = (
        *(row("tfidf", size, mean) for size, mean in ((1000, 0.8), (5000, 0.85))),
        *(row("minilm", size, mean) for size, mean in ((1000, 0.86), (5000, 0.88))),
        row("mpnet", 5000, 0.87),
    )
    uneven = Known(rows, PACES, [], {"bf16": 1.0}, {})
    put(monkeypatch, uneven)
    advice = advise(reviews(bad=800, good=800))
    # With 5,000 labels mpnet scored more than minilm with 1,000, and less than minilm with as many.
    assert (advice.proposal.encoder, advice.larger) == ("minilm", None)


@pytest.mark.parametrize(
    ("size", "mean", "title"),
    [(1000, 0.87, "Perhaps more accurate"), (1000, 0.9, "More accurate"), (25_000, 0.95, "Larger")],
)
def test_more_accurate_is_said_where_the_intervals_part(reviews, everywhere, monkeypatch, size, mean, title):
    other = Known((*(r for r in ROWS if r["encoder"] != "mpnet"), row("mpnet", size, mean)), PACES, [], {"bf16": 1}, {})
    put(monkeypatch, other)
    advice = advise(reviews(bad=800, good=800), budget=150)
    assert (advice.proposal.encoder, advice.larger.encoder) == ("minilm", "mpnet")
    assert f"\n{title}: mpnet" in str(advice)
    # Stored results are of labels that are as common: of others nothing is sure.
    assert "\nMore accurate: " not in str(advise(reviews(bad=150, good=1450), budget=150))


def test_little_memory_is_told_of(reviews, everywhere, monkeypatch):
    monkeypatch.setattr(room, "machine_facts", lambda: {**MACHINE, "memory_gb": 3.0})
    data = reviews(bad=800, good=800)
    assert any("2.6 GB" in warning for warning in advise(data, budget=150).warnings)


def test_a_gpu_needs_no_budget(reviews, everywhere, monkeypatch):
    monkeypatch.setattr(room, "machine_facts", lambda: {**MACHINE, "gpu": "A GPU", "speed": None})
    advice = advise(reviews(bad=800, good=800), budget=1)
    assert (advice.proposal.encoder, advice.proposal.seconds) == ("mpnet", None)
    assert any("A GPU" in warning for warning in advice.warnings)
    assert "none is stored for a GPU" in str(advice)
    assert "\nProposed: mpnet" in str(advice)


def test_many_texts_get_fewer_epochs_of_larger_batches(reviews, everywhere):
    advice = advise(reviews(n_words=5, bad=8000, good=8000))
    assert {"epochs": 2.0, "batch_size": 32}.items() <= advice.proposal.settings.items()


def test_what_cannot_be_had_is_left_out_and_said(reviews):
    advice = advise(reviews(bad=800, good=800), offline=True)
    assert advice.proposal.encoder == "tfidf"
    assert set(advice.missing) == {"minilm", "mpnet", "distilbert", "bert", "roberta", "modernbert"}
    assert "Not considered: minilm, mpnet (not on this machine; " in str(advice)


def test_the_recipe_is_one_that_train_reads(reviews, everywhere, tmp_path):
    path = tmp_path / "mine.yaml"
    data = reviews(bad=150, good=1450)
    advice = advise(data, test_size=300, output=path)
    flat = resolve(read_recipe(path)).flat()
    assert flat["data"] == str(data)
    assert flat["test_size"] == 300
    assert {name: flat[name] for name in advice.proposal.settings} == dict(advice.proposal.settings)
    with pytest.raises(SettingsError, match="is there already"):
        advise(data, output=path)
    advise(data, output=path, overwrite=True)
    assert resolve(read_recipe(path)).data.test_size is None


@pytest.mark.parametrize(
    ("settings", "error", "problem"),
    [
        ({"learning_rate": 1e-3}, SettingsError, "learning_rate is what `advise` proposes"),
        ({"trian_size": 5}, SettingsError, "Did you mean 'train_size'"),
        ({"budget": "soon"}, SettingsError, "--budget must be seconds, or a time"),
        ({"text_column": "body"}, MatineeError, "body"),
        ({"train_size": 9999}, DataError, "larger than the data"),
    ],
)
def test_wrong_input_is_refused(reviews, settings, error, problem):
    with pytest.raises(error, match=problem):
        advise(reviews(bad=800, good=800), **settings)


def test_there_must_be_data(tmp_path):
    with pytest.raises(MatineeError, match=r"nothing\.csv"):
        advise(tmp_path / "nothing.csv")


def test_this_machine_is_measured(monkeypatch):
    monkeypatch.undo()
    found = advice_facts.machine_facts()
    assert found["cores"] >= 1
    assert found["precision"] in {"fp32", "bf16"}
    assert found["gpu"] is not None or found["speed"] > 0


def resolve_all(proposal: Proposal):
    from matinee.core.schema import Layer

    return resolve(Layer(dict(proposal.settings)))
