"""`matinee fetch`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matinee.core.errors import SettingsError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence


# An encoder's hub id and a dataset's look alike: this tells them apart.
_DATASET = "dataset:"


def fetch(names: Sequence[str]) -> list[tuple[str, str]]:
    """Bring datasets and encoders onto this machine ahead of time.

    Args:
        names: Dataset names, encoder names, hub ids of encoders (`owner/name`), or hub ids of datasets with `dataset:`
            before them (`dataset:owner/name`).

    Returns:
        Each name with the source that it came from.

    Raises:
        SettingsError: A name is unknown; nothing is fetched then.
        DataError: A dataset of the hub holds nothing that matinee reads.
        NotAvailableError: A source cannot be reached.
    """
    from matinee.data import DATASETS, fetch_dataset
    from matinee.model.encoders import CATALOGUE, locate

    known = [*DATASETS, *CATALOGUE, *(f"{_DATASET}{name}" for name in DATASETS)]
    unknown = [name for name in names if name not in known and "/" not in name]
    if unknown:
        hints = "".join(did_you_mean(name, known) for name in unknown)
        raise SettingsError(
            f"Nothing is known by the name of {', '.join(unknown)}.{hints} Known: {', '.join([*DATASETS, *CATALOGUE])}; "
            f"an encoder's hub id works too, and a dataset's as {_DATASET}owner/name."
        )
    datasets = {name: name.removeprefix(_DATASET) for name in names if name in DATASETS or name.startswith(_DATASET)}
    return [(name, fetch_dataset(datasets[name]) if name in datasets else locate(name)[1]) for name in names]
