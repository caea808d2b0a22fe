"""`matinee fetch`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matinee.core.errors import SettingsError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence


def fetch(names: Sequence[str]) -> list[tuple[str, str]]:
    """Bring datasets and encoders onto this machine ahead of time.

    Args:
        names: Dataset names, encoder names, or hub ids of encoders.

    Returns:
        Each name with the source that it came from.

    Raises:
        SettingsError: A name is unknown; nothing is fetched then.
        NotAvailableError: A source cannot be reached.
    """
    from matinee.data import DATASETS, fetch_dataset
    from matinee.model.encoders import CATALOGUE, locate

    known = [*DATASETS, *CATALOGUE]
    unknown = [name for name in names if name not in known and "/" not in name]
    if unknown:
        hints = "".join(did_you_mean(name, known) for name in unknown)
        raise SettingsError(
            f"Nothing is known by the name of {', '.join(unknown)}.{hints} Known: {', '.join(known)}; an encoder's hub id works too."
        )
    return [(name, fetch_dataset(name) if name in DATASETS else locate(name)[1]) for name in names]
