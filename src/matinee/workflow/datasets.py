"""The dataset of a run, loaded again: what was trained on is not kept in the run's folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matinee.core.errors import RunError

if TYPE_CHECKING:
    from matinee.core.run import RunFolder
    from matinee.core.types import Dataset


def reload_dataset(run: RunFolder) -> Dataset:
    """Return the dataset that a run was made with, divided as it was then.

    Raises:
        RunError: The data is no longer what it was.
        MatineeError: It cannot be had any more.
    """
    from matinee.data import load_dataset

    settings = run.read_config()
    dataset = load_dataset(settings.data, seed=settings.training.seed)
    if run.read_json(run.data)["splits"] != dataset.about["splits"]:
        raise RunError(f"The data of {run.path} is no longer what it was when the run was made.")
    return dataset
