"""A trained run, and exports of it that several tests look at: made once."""

from __future__ import annotations

import pytest

from matinee.workflow import export, train


@pytest.fixture(scope="session")
def made_run(tiny_csv, tiny_encoder, tmp_path_factory):
    """The folder of a complete run of the tiny encoder; exports go into it."""
    folder = tmp_path_factory.mktemp("exporting") / "run"
    options = {"max_length": 64, "epochs": 3, "learning_rate": 2e-3, "test_size": 24, "validation_size": 24}
    train(tiny_csv, encoder=str(tiny_encoder), run_dir=folder, **options)
    return folder


@pytest.fixture(scope="session")
def onnx(made_run):
    return export(made_run, to="onnx")


@pytest.fixture(scope="session")
def int8(made_run):
    return export(made_run, precision="int8", max_flips=10, max_accuracy_drop=5)


@pytest.fixture(scope="session")
def cascade(made_run, int8):
    # On 24 texts little can be shown: with a smaller bound the encoder would answer everything.
    return export(made_run, cascade=True, bound=30, max_accuracy_drop=30)
