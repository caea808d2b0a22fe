"""Settings that suit an encoder where nobody chose any: the defaults are tuned for small ones, larger ones learn at a lower rate."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# What recipes/imdb-mpnet.yaml was measured with (docs/lab.md). At the defaults' rate of 1e-4 encoders of this size forget what they
# know; a third epoch costs as much as the second and brings little; a step over 384 tokens takes half as long again as over 256.
_LARGER: Mapping[str, object] = MappingProxyType(
    {"learning_rate": 3e-5, "epochs": 2.0, "warmup_ratio": 0.1, "max_length": 256}
)

# The larger encoders of the catalogue (`matinee.model.encoders`): 66 million parameters and more.
_LARGER_ENCODERS = frozenset({"mpnet", "distilbert", "bert", "roberta", "modernbert"})


def suggested_settings(encoder: str) -> dict[str, object]:
    """Return the settings in which an encoder should differ from the defaults, by name; none for most.

    Args:
        encoder: A short name of the catalogue, `tfidf` or `nblr`, a hub id, or a folder. Of the last two nothing is known: the
            defaults are as good a start as any.
    """
    return dict(_LARGER) if encoder in _LARGER_ENCODERS else {}
