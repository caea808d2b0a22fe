"""The model card: metadata that the hub reads back, and sentences that are true."""

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard import metadata_load
from huggingface_hub.repocard_data import model_index_to_eval_results

from matinee.core.schema import Layer, resolve
from matinee.report import model_card

LABELS = ("negative", "positive")
OFFICIAL = {"rows_read": {"train": 25_000, "test": 25_000}, "splits": {"train": {"n": 1000}}}
HELD_OUT = {"rows_read": {"train": 25_000}, "splits": {"train": {"n": 1000}}}


def settings(**more):
    return resolve(Layer({"data": "imdb", "encoder": "minilm", **more}))


def metrics(n=2000):
    score = {
        "n": n,
        "accuracy": {"value": 0.874, "low": 0.859, "high": 0.888},
        "roc_auc": {"value": None, "low": None, "high": None},
    }
    score |= {"brier": {"value": 0.1, "low": 0.09, "high": 0.11}, "f1": {"value": 0.87, "low": 0.86, "high": 0.88}}
    return {"test": score, "baseline": score}


def read(tmp_path, text):
    path = tmp_path / "README.md"
    path.write_text(text, encoding="utf-8")
    return metadata_load(path)


def test_the_scores_are_read_back(tmp_path):
    text = model_card(
        settings(),
        metrics(),
        LABELS,
        dataset_id="stanfordnlp/imdb",
        base_model="owner/name",
        language="en",
        data=OFFICIAL,
    )
    about = read(tmp_path, text)
    name, results = model_index_to_eval_results(about["model-index"])
    assert name == "minilm-imdb"
    assert {result.metric_type: result.metric_value for result in results} == {
        "accuracy": 0.874,
        "f1": 0.87,
        "brier_score": 0.1,
    }
    assert {(r.task_type, r.dataset_type, r.dataset_name, r.dataset_split) for r in results} == {
        ("text-classification", "stanfordnlp/imdb", "imdb", "test")
    }
    assert (about["datasets"], about["base_model"], about["language"]) == (["stanfordnlp/imdb"], "owner/name", "en")
    assert about["pipeline_tag"] == "text-classification"
    assert ModelCard(text).data.eval_results == results


def test_a_hold_out_is_not_passed_off_as_the_test_split(tmp_path):
    about = read(tmp_path, model_card(settings(), metrics(), LABELS, dataset_id="stanfordnlp/imdb", data=HELD_OUT))
    (_, (result, *_)) = model_index_to_eval_results(about["model-index"])
    assert (result.dataset_name, result.dataset_split) == ("imdb, held-out texts", None)


def test_what_nobody_knows_is_not_claimed(tmp_path):
    about = read(tmp_path, model_card(settings(data="my reviews.csv"), {}, LABELS))
    assert not {"language", "datasets", "base_model", "model-index", "metrics", "license"} & set(about)


@pytest.mark.parametrize(
    ("more", "library"),
    [
        ({"pooling": "cls", "head": "random"}, "transformers"),
        ({}, "matinee"),
        ({"encoder": "tfidf"}, "matinee"),
        ({"encoder": "nblr"}, "matinee"),
    ],
)
def test_only_a_folder_that_transformers_can_open_is_called_its_own(tmp_path, more, library):
    assert read(tmp_path, model_card(settings(**more), metrics(), LABELS))["library_name"] == library


def test_calibration():
    assert "Its probabilities are not calibrated." in model_card(settings(), metrics(), LABELS)
    assert "not calibrated" in model_card(settings(calibration="none"), metrics(), LABELS, temperature=1.0)
    calibrated = model_card(settings(), metrics(), LABELS, temperature=1.7)
    assert (
        "Its probabilities are calibrated: temperature 1.70, fitted on validation texts, is part of the weights already."
        in calibrated
    )
    assert "not calibrated" not in calibrated
    section = {"fitted_on": {"n": 200}, "before": {"ece": {"value": 0.087}}, "after": {"ece": {"value": 0.021}}}
    told = model_card(settings(), metrics(), LABELS, temperature=1.7, analysis={"calibration": section})
    assert "fitted on 200 validation texts" in told
    assert "The calibration error (ECE) on the test texts was 0.087 before and is 0.021." in told


def test_intended_use_and_limits():
    slices = [
        {"title": f"with {name}", "accuracy": {"value": 0.7}, "difference": {"value": gap}, "significant": significant}
        for name, gap, significant in (
            ("but", -0.1, True),
            ("not", -0.2, True),
            ("joy", 0.1, True),
            ("luck", -0.3, False),
        )
    ]
    checks = [
        {"severity": "warning", "title": "Imbalance", "found": "90% are one label."},
        {"severity": "info", "title": "One seed", "found": "Only one."},
    ]
    analysis = {"slices": {"rows": slices}, "checks": checks}
    card = model_card(settings(), metrics(), LABELS, data=HELD_OUT, analysis=analysis, threshold=0.3)
    limits = [line for line in card.splitlines() if line.startswith("- ") and "right" in line]
    assert limits == [
        "- Texts with not: 70.0% right, −20.0 points against the rest.",
        "- Texts with but: 70.0% right, −10.0 points against the rest.",
    ]
    assert "- Imbalance: 90% are one label." in card
    assert "One seed" not in card
    assert "the 1,000 texts that it learned from" in card
    assert "Of a text of more than 384 tokens it reads the beginning and the end only." in card
    assert "matinee answers “positive” where its probability is at least 0.300." in card


def test_hostile_names_stay_text(tmp_path):
    labels = ("<script>alert(1)</script>", "a|b\n# heading")
    card = model_card(settings(data="d`ata\n---\n.csv"), metrics(), labels)
    about = read(tmp_path, card)
    assert about["library_name"] == "matinee"
    assert "<script>" not in card
    assert "\n# heading" not in card
    assert "`d'ata --- .csv`" in card
