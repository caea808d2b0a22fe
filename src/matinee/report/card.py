"""The model folder's README.md: what the classifier is, how good, and how plain transformers can use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matinee._version import __version__

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

inputs = tokenizer(["your own sentence"], truncation=True, padding=True, return_tensors="pt")
with torch.no_grad():
    hidden = encoder(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).last_hidden_state
mask = inputs["attention_mask"].unsqueeze(-1)
pooled = (hidden * mask).sum(1) / mask.sum(1)
probabilities = torch.softmax(pooled @ head["weight"].T + head["bias"], dim=-1)
print(dict(zip(labels, probabilities[0].tolist())))
```

Not part of it: matinee's cleaning (HTML tags and entities, control characters, white space{lowercase}){truncation}.
"""

_LINEAR = """This is the linear baseline, tf-idf of words and word pairs with logistic regression: `tfidf.json` holds the vocabulary,
`tfidf.safetensors` the weights. matinee reads it.
"""


def model_card(settings: Settings, metrics: Mapping[str, Any], label_names: Sequence[str]) -> str:
    """Return the text of a model folder's README.md.

    Args:
        settings: What the run was made with.
        metrics: As in `metrics.json`.
        label_names: Of the classifier.
    """
    return "\n".join(
        [
            f"# {', '.join(label_names)}: a text classifier",
            "",
            f"Made by matinee {__version__} from `{settings.data.data}` with encoder `{settings.model.encoder}`.",
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
            _usage(settings),
        ]
    )


def _scores(metrics: Mapping[str, Any]) -> str:
    test, baseline = metrics["test"], metrics["baseline"]
    lines = [
        f"## Scores on {test['n']:,} test texts",
        "",
        "| | this classifier | tf-idf baseline |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {name} | {_interval(test[name])} | {_interval(baseline[name])} |" for name in _METRICS]
    return "\n".join([*lines, "", "In brackets: 95 % bootstrap intervals.", ""])


def _interval(score: Mapping[str, Any]) -> str:
    if score["value"] is None:
        return "–"
    return f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"


def _usage(settings: Settings) -> str:
    if settings.model.encoder == "tfidf":
        return _LINEAR
    lowercase = ", lower case" if settings.text.lowercase else ""
    truncation = (
        f", and its truncation to the first {settings.text.head_share:.0%} and the last part of {settings.text.max_length} tokens"
        if settings.text.truncation == "head+tail"
        else ""
    )
    template = _PLAIN if settings.model.pooling == "cls" else _POOLED
    return template.replace("{lowercase}", lowercase).replace("{truncation}", truncation)
