"""A run with augmentation: what it leaves, and what is refused before anything is spent."""

from __future__ import annotations

import json

import pytest

from matinee import TextClassifier
from matinee.core.errors import SettingsError
from matinee.core.schema import from_flags, resolve
from matinee.workflow import report, train

AUGMENT = ["window", "delete:0.2", "mixup"]
SMALL = {"epochs": 1, "batch_size": 16, "max_length": 24, "train_size": 48, "validation_size": 16, "test_size": 16}


@pytest.fixture(scope="module")
def run(tiny_csv, tiny_encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    return train(tiny_csv, encoder=str(tiny_encoder), run_dir=folder, augment=AUGMENT, **SMALL)


def augmentation_of(run):
    return json.loads((run.path / "analysis.json").read_text())["augmentation"]


def test_names_and_five_examples_are_left(run):
    found = augmentation_of(run)
    assert found["names"] == ["window:1", "delete:0.2", "mixup:0.2"]
    assert len(found["examples"]) == 5
    for row in found["examples"]:
        rest = iter(row["before"].split())
        assert all(word in rest for word in row["after"].split())
        assert row["before"] != row["after"]


def test_the_page_shows_them_and_a_new_report_does_too(run):
    before, found = (run.path / "report.html").read_text(), augmentation_of(run)
    report(run.path)
    assert augmentation_of(run) == found
    after = (run.path / "report.html").read_text()
    for page in (before, after):
        assert page.count('<section id="augmentation"') == page.count('<a href="#augmentation">') == 1
        assert found["examples"][4]["id"] in page


def test_the_settings_are_kept_as_given(run):
    assert run.settings.training.augment == ("window", "delete:0.2", "mixup")
    assert "- delete:0.2" in (run.path / "config.yaml").read_text()


@pytest.mark.parametrize("given", ["delete:0.2", ("delete:0.2",), ["delete:0.2"]])
def test_from_flags_and_lists(given):
    assert resolve(from_flags({"augment": given})).training.augment == ("delete:0.2",)


def test_an_unknown_one_is_refused_before_anything_is_looked_for(tmp_path):
    with pytest.raises(SettingsError, match="no augmentation 'delte'. Did you mean 'delete'"):
        train("no-such-data", encoder="minilm", run_dir=tmp_path / "run", augment=["delte"])
    assert not (tmp_path / "run").exists()
    with pytest.raises(SettingsError, match="at most 1"):
        TextClassifier(encoder="no/such", augment=["swap:2"]).fit(["a", "b"], [0, 1])


@pytest.mark.parametrize("values", [{"encoder": "tfidf"}, {"freeze": "all"}])
def test_where_nothing_is_fine_tuned_it_is_refused(values):
    with pytest.raises(SettingsError, match="--augment: needs an encoder that is fine-tuned"):
        resolve(from_flags({"augment": ["delete"], **values}))
