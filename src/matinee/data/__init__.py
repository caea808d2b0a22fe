"""Level 1: datasets. From a name or a path to texts with labels, in splits that share nothing."""

from __future__ import annotations

from matinee.data.augment import Augmentations
from matinee.data.division import hold_out_validation
from matinee.data.loading import fetch_dataset, load_dataset, read_split
from matinee.data.overlap import count_seen, find_seen, write_seen
from matinee.data.prediction_files import ReadTexts, check_output, read_texts, write_records
from matinee.data.sources import DATASETS
from matinee.data.unlabelled import Unlabelled, load_unlabelled

__all__ = [
    "DATASETS",
    "Augmentations",
    "ReadTexts",
    "Unlabelled",
    "check_output",
    "count_seen",
    "fetch_dataset",
    "find_seen",
    "hold_out_validation",
    "load_dataset",
    "load_unlabelled",
    "read_split",
    "read_texts",
    "write_records",
    "write_seen",
]
