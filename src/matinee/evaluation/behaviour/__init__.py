"""Behavioural tests: short cases that say what a classifier must do, and the scoring of its answers. Never asks a model itself.

Three kinds, after Ribeiro et al. (2020, "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList"): the answer must be
a given label, must stay what it was, or must not move the wrong way. Templates and word lists are matinee's own.
"""

from __future__ import annotations

from matinee.evaluation.behaviour.capabilities import CAPABILITIES, make_cases
from matinee.evaluation.behaviour.cases import Capability, Case
from matinee.evaluation.behaviour.pairs import MatchedPairs, match_pairs, score_pairs
from matinee.evaluation.behaviour.scoring import score_cases, texts_to_ask
from matinee.evaluation.behaviour.sentiment import Sentiment, find_sentiment, named_sentiment
from matinee.evaluation.behaviour.topics import TOPICS, Topic, find_topic, looks_english

__all__ = [
    "CAPABILITIES",
    "TOPICS",
    "Capability",
    "Case",
    "MatchedPairs",
    "Sentiment",
    "Topic",
    "find_sentiment",
    "find_topic",
    "looks_english",
    "make_cases",
    "match_pairs",
    "named_sentiment",
    "score_cases",
    "score_pairs",
    "texts_to_ask",
]
