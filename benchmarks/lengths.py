"""How long IMDB's reviews are: words, tokens, and how many of these are read at each maximum length.

python benchmarks/lengths.py

All train reviews that `recipes/imdb-full.yaml` leaves, by the tokenizer of `minilm`, which has the vocabulary of BERT and DistilBERT.
`scripts/known_results.py` turns seconds for each review into seconds for each token with these figures.
"""

from __future__ import annotations

import json

import numpy as np

from machine import store
from matinee.core.schema import Layer, resolve
from matinee.data import load_dataset
from matinee.model.artifact import load_tokenizer
from matinee.model.encoders import locate
from matinee.model.load import prepare_texts

LENGTHS = (64, 128, 192, 256, 320, 384, 448, 512)


def main() -> None:
    """Measure, print, store."""
    settings = resolve(Layer({"data": "imdb", "validation_size": 1000, "test_size": 2000}))
    texts = load_dataset(settings.data, seed=0).splits["train"].texts
    tokenizer = load_tokenizer(locate("minilm")[0])
    tokens = np.array(prepare_texts(tokenizer, settings.text).token_lengths(texts))
    words = np.array([len(text.split()) for text in texts])
    figures = {
        "dataset": "imdb",
        "encoder": "minilm",
        "n": len(texts),
        "words": round(float(words.mean()), 1),
        "tokens": round(float(tokens.mean()), 1),
        "tokens_per_word": round(float(tokens.sum() / words.sum()), 3),
        "by_max_length": {
            str(length): {
                "tokens": round(float(np.minimum(tokens, length).mean()), 1),
                "share_of_tokens": round(float(np.minimum(tokens, length).sum() / tokens.sum()), 4),
                "share_of_texts_whole": round(float((tokens <= length).mean()), 4),
            }
            for length in LENGTHS
        },
    }
    print(json.dumps(figures, indent=2))
    store("lengths", figures)


if __name__ == "__main__":
    main()
