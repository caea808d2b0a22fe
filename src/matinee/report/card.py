"""The model folder's README.md: what the classifier is, how good, and how plain transformers can use it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from matinee._version import __version__
from matinee.core.wording import score_in_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matinee.core.settings import Settings

_METRICS = ("accuracy", "f1", "precision", "recall", "roc_auc", "log_loss", "brier", "ece")

_PLAIN = """This is a plain Hugging Face model folder; matinee is not needed to use it:

```python
from transformers import pipeline

classify = pipeline("text-classification", model=".", truncation=True)
print(classify("your own sentence"))
```

Not part of it: matinee's cleaning (HTML tags and entities, control characters, white space{lowercase}){truncation}.
"""

_POOLED = """The encoder here is a plain Hugging Face model, but its configuration cannot express mean pooling: the head lies beside it,
in `head.safetensors`. **Do not open this folder with `AutoModelForSequenceClassification` or `pipeline`: they would put a
random head on it.** Without matinee, use it like this:

```python
import json

import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
encoder = AutoModel.from_pretrained(".").eval()
head = load_file("head.safetensors")
with open("matinee.json", encoding="utf-8") as file:
    labels = json.load(file)["label_names"]


def classify(text):
    ids = tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    room = {max_length} - 2
    if len(ids) > room:
        ids = {cut}
    ids = torch.tensor([[tokenizer.cls_token_id, *ids, tokenizer.sep_token_id]])
    with torch.no_grad():
        pooled = encoder(ids, torch.ones_like(ids)).last_hidden_state.mean(1)
    return dict(zip(labels, torch.softmax(pooled @ head["weight"].T + head["bias"], dim=-1)[0].tolist()))


print(classify("your own sentence"))
```

Not part of it: matinee's cleaning (HTML tags and entities, control characters, white space{lowercase}).
"""

_CUTS = {
    "head": "ids[:room]",
    "tail": "ids[-room:]",
    "head+tail": "ids[: round({head_share} * room)] + ids[len(ids) - (room - round({head_share} * room)) :]",
}

_LINEAR = """This is the linear baseline, tf-idf of words and word pairs with logistic regression: `tfidf.json` holds the vocabulary,
`tfidf.safetensors` the weights. matinee reads it.
"""


def model_card(
    settings: Settings, metrics: Mapping[str, Any], label_names: Sequence[str], *, lowercase: bool = False
) -> str:
    """Return the text of a model folder's README.md.

    Args:
        settings: What the run was made with.
        metrics: As in `metrics.json`.
        label_names: Of the classifier.
        lowercase: Whether it lower-cases texts.
    """
    data, encoder = Path(str(settings.data.data)).name, Path(settings.model.encoder).name
    return "\n".join(
        [
            "---",
            "library_name: transformers",
            "pipeline_tag: text-classification",
            "---",
            "",
            f"# {', '.join(label_names)}: a text classifier",
            "",
            f"Made by matinee {__version__} from `{data}` with encoder `{encoder}`. Its probabilities are not calibrated.",
            "",
            "```python",
            "import matinee",
            "",
            'print(matinee.load(".").predict(["your own sentence"])[0])',
            "```",
            "",
            _scores(metrics),
            "## Without matinee",
            "",
            _usage(settings, lowercase=lowercase),
        ]
    )


def _scores(metrics: Mapping[str, Any]) -> str:
    columns = {"this classifier": "test", "frozen encoder": "frozen_features", "tf-idf baseline": "baseline"}
    columns = {title: part for title, part in columns.items() if part in metrics}
    lines = [
        f"## Scores on {metrics['test']['n']:,} test texts",
        "",
        f"| | {' | '.join(columns)} |",
        "| --- |" + " --- |" * len(columns),
    ]
    rows = ([name, *(score_in_words(metrics[part][name]) for part in columns.values())] for name in _METRICS)
    return "\n".join(
        [*lines, *(f"| {' | '.join(row)} |" for row in rows), "", "In brackets: 95 % bootstrap intervals.", ""]
    )


def _usage(settings: Settings, *, lowercase: bool) -> str:
    if settings.model.encoder == "tfidf":
        return _LINEAR
    text = settings.text
    words = {
        "{cut}": _CUTS[text.truncation],
        "{max_length}": str(text.max_length),
        "{head_share}": f"{text.head_share:g}",
        "{lowercase}": ", lower case" if lowercase else "",
        "{truncation}": (
            f", and its truncation: of a text longer than {text.max_length} tokens it reads the beginning and the end"
            if text.truncation == "head+tail"
            else ""
        ),
    }
    usage = _PLAIN if settings.model.pooling == "cls" else _POOLED
    for name, value in words.items():
        usage = usage.replace(name, value)
    return usage
