"""The model folder's README.md: what the classifier is, how good, and how plain transformers can use it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matinee._version import __version__
from matinee.core.settings import LINEAR
from matinee.core.wording import score_in_words
from matinee.evaluation import METRICS
from matinee.report.wording import known, mapping, number, one_line, percent, plural, points, rows, value_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matinee.core.settings import Settings

_TABLE = ("accuracy", "f1", "precision", "recall", "roc_auc", "log_loss", "brier", "ece")
# What the hub calls them, where it is another name.
_METRIC_IDS = {"brier": "brier_score", "ece": "expected_calibration_error"}
_MOST_LIMITS = 8

_PLAIN = """This is a plain Hugging Face model folder; matinee is not needed to use it:

```python
from transformers import pipeline

classify = pipeline("text-classification", model=".", truncation=True)
print(classify("your own sentence"))
```

Not part of it: matinee's cleaning (HTML tags and entities, control characters, white space{lowercase}){truncation}.
"""

_POOLED = """The encoder here is a plain Hugging Face model, but its configuration cannot express {pooling} pooling: the head lies
beside it, in `head.safetensors`. **Do not open this folder with `AutoModelForSequenceClassification` or `pipeline`: they would put a
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
    {inputs}
    with torch.no_grad():
        {pooled}
    {answer}
    return dict(zip(labels, torch.softmax(logits, dim=-1).tolist()))


print(classify("your own sentence"))
```

Not part of it: matinee's cleaning (HTML tags and entities, control characters, white space{lowercase}).
"""

_PLAIN_IN_WINDOWS = """This is a plain Hugging Face model folder, but `pipeline` would cut texts that are longer than {max_length} tokens.
matinee reads such a text in windows, and so does this:

```python
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = AutoModelForSequenceClassification.from_pretrained(".").eval()


def classify(text):
    ids = tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    room = {max_length} - 2
    {inputs}
    with torch.no_grad():
        logits = model(ids, torch.ones_like(ids)).logits
    logits = {window_pooling}
    return dict(zip(model.config.id2label.values(), torch.softmax(logits, dim=-1).tolist()))


print(classify("your own sentence"))
```

Not part of it: matinee's cleaning (HTML tags and entities, control characters, white space{lowercase}).
"""

_CUT = """if len(ids) > room:
        ids = {cut}
    ids = torch.tensor([[tokenizer.cls_token_id, *ids, tokenizer.sep_token_id]])"""

_IN_WINDOWS = """beyond = max(len(ids) - room, 0)
    n_windows = min(1 + -(-beyond // max(1, room - round({window_stride} * room))), {max_windows})
    starts = [beyond * window // max(n_windows - 1, 1) for window in range(n_windows)]
    windows = [ids[start : start + room] for start in starts]
    ids = torch.tensor([[tokenizer.cls_token_id, *window, tokenizer.sep_token_id] for window in windows])"""

_LOGITS = """logits = pooled @ head["weight"].T + head["bias"]
    logits = {window_pooling}"""

_WINDOW_POOLINGS = {
    "mean": "logits.mean(0)",
    "max": "logits.amax(0)",
    "attention": 'torch.softmax(pooled @ head["window_query"], dim=0) @ logits',
}

_POOLED_BY = {
    "mean": "pooled = encoder(ids, torch.ones_like(ids)).last_hidden_state.mean(1)",
    "attention": """tokens = encoder(ids, torch.ones_like(ids)).last_hidden_state
        pooled = torch.softmax(tokens @ head["query"], dim=1).unsqueeze(1).bmm(tokens)[:, 0]""",
}

_CUTS = {
    "head": "ids[:room]",
    "tail": "ids[-room:]",
    "head+tail": "ids[: round({head_share} * room)] + ids[len(ids) - (room - round({head_share} * room)) :]",
}

_LINEAR = """This is a linear classifier, {what} with logistic regression: `{kind}.json` holds the vocabulary,
`{kind}.safetensors` the weights. matinee reads it.
"""

_FEATURES = {
    "tfidf": "tf-idf of words and word pairs",
    "nblr": "words and word pairs weighted by their log-count ratios",
}


def model_card(
    settings: Settings,
    metrics: Mapping[str, Any],
    label_names: Sequence[str],
    *,
    lowercase: bool = False,
    base_model: str | None = None,
    dataset_id: str | None = None,
    language: str | None = None,
    temperature: float | None = None,
    threshold: float | None = None,
    data: Mapping[str, Any] | None = None,
    analysis: Mapping[str, Any] | None = None,
) -> str:
    """Return the text of a model folder's README.md: a Hugging Face model card.

    Args:
        settings: What the run was made with.
        metrics: As in `metrics.json`.
        label_names: Of the classifier.
        lowercase: Whether it lower-cases texts.
        base_model: The encoder's id on the Hugging Face hub, where it has one.
        dataset_id: The data's id on the hub, where it has one.
        language: ISO code of the texts' language, where somebody said so.
        temperature: What its logits were divided by; the weights hold it already. None: it was not calibrated.
        threshold: Of two labels the second one is answered where its probability is at least this.
        data: As in `data.json`.
        analysis: As in `analysis.json`: calibration, slices and checks are told.
    """
    name, encoder = Path(str(settings.data.data)).name, Path(settings.model.encoder).name
    about = {"base_model": base_model, "dataset_id": dataset_id, "language": language}
    metadata = _metadata(settings, metrics, mapping(data), **about)
    return "\n".join(
        [
            "---",
            metadata,
            "---",
            "",
            f"# {', '.join(_markdown(label) for label in label_names)}: a text classifier",
            "",
            f"Made by matinee {__version__} from `{_code(name)}` with encoder `{_code(encoder)}`. "
            + _calibration(settings, temperature, mapping(analysis))
            + _taught(mapping(mapping(analysis).get("distillation"))),
            "",
            "```python",
            "import matinee",
            "",
            'print(matinee.load(".").predict(["your own sentence"])[0])',
            "```",
            "",
            *_intended(settings, label_names, threshold, mapping(data), mapping(analysis)),
            _scores(metrics),
            "## Without matinee",
            "",
            _usage(settings, lowercase=lowercase),
        ]
    )


def _metadata(
    settings: Settings,
    metrics: Mapping[str, Any],
    about: Mapping[str, Any],
    *,
    base_model: str | None,
    dataset_id: str | None,
    language: str | None,
) -> str:
    """Return the YAML that the hub reads: what the classifier is and its scores on the test texts."""
    from huggingface_hub import EvalResult, ModelCardData

    # Texts held out of another split are not the test split that others report on.
    is_own_split = "test" in mapping(about.get("rows_read"))
    data, encoder = Path(str(settings.data.data)).name, Path(settings.model.encoder).name
    scores = mapping(metrics.get("test"))
    values = {name: value for name in METRICS if (value := value_of(scores.get(name))) is not None}
    results = [
        EvalResult(
            task_type="text-classification",
            task_name="Text classification",
            dataset_type=dataset_id or data,
            dataset_name=data if is_own_split else f"{data}, held-out texts",
            dataset_split="test" if is_own_split else None,
            metric_type=_METRIC_IDS.get(name, name),
            metric_name=METRICS[name].title,
            metric_value=value,
        )
        for name, value in values.items()
    ]
    # A mean-pooled or linear classifier is none that transformers' own snippet on the hub could open; windows it would not read.
    is_plain = (
        settings.model.encoder not in LINEAR and settings.model.pooling == "cls" and settings.text.long == "truncate"
    )
    card = ModelCardData(
        language=language,
        library_name="transformers" if is_plain else "matinee",
        pipeline_tag="text-classification",
        tags=["text-classification", "matinee"],
        base_model=base_model,
        datasets=[dataset_id] if dataset_id else None,
        metrics=[_METRIC_IDS.get(name, name) for name in values] or None,
        model_name=f"{encoder}-{data}" if results else None,
        eval_results=results or None,
    )
    return card.to_yaml().strip()


def _calibration(settings: Settings, temperature: float | None, analysis: Mapping[str, Any]) -> str:
    if temperature is None or settings.training.calibration == "none":
        return "Its probabilities are not calibrated."
    section = mapping(analysis.get("calibration"))
    n_texts = mapping(section.get("fitted_on")).get("n")
    fitted = f"{number(n_texts)} validation texts" if known(n_texts) else "validation texts"
    said = f"Its probabilities are calibrated: temperature {temperature:.2f}, fitted on {fitted}, is part of the weights already."
    before, after = (value_of(mapping(section.get(when)).get("ece")) for when in ("before", "after"))
    if before is None or after is None:
        return said
    return f"{said} The calibration error (ECE) on the test texts was {before:.3f} before and is {after:.3f}."


def _intended(
    settings: Settings,
    label_names: Sequence[str],
    threshold: float | None,
    data: Mapping[str, Any],
    analysis: Mapping[str, Any],
) -> list[str]:
    n_train = mapping(mapping(data.get("splits")).get("train")).get("n")
    learned = (
        f"the {number(n_train)} texts that it learned from" if known(n_train) else "the texts that it learned from"
    )
    lines = [
        "## What it is for, and what not",
        "",
        f"To label texts like {learned}. How good it is on other kinds of texts, or in other languages, nobody has measured.",
    ]
    if threshold is not None and len(label_names) == 2:
        second = _markdown(label_names[1])
        lines += [
            "",
            f"matinee answers “{second}” where its probability is at least {threshold:.3f}. Other programs take the more probable label.",
        ]
    limits = [*_length_limit(settings), *_worse_slices(analysis), *_found_by_checks(analysis)]
    if limits:
        lines += ["", "Known limits:", "", *(f"- {limit}" for limit in limits)]
    return [*lines, ""]


def _taught(about: Mapping[str, Any]) -> str:
    """Return whose answers a distilled classifier learned, as a sentence; nothing where nobody taught it."""
    teachers = rows(about.get("teachers"))
    if not teachers:
        return ""
    beside = "" if about.get("true_label_share") == 0 else " beside texts with true labels"
    others = "another classifier" if len(teachers) == 1 else f"{len(teachers)} other classifiers"
    return f" It was distilled: it learned what {others} said of {plural(about.get('n_texts'), 'unlabelled text')}{beside}."


def _length_limit(settings: Settings) -> list[str]:
    if settings.model.encoder in LINEAR:
        return []
    if settings.text.long == "windows":
        most, length = settings.text.max_windows, settings.text.max_length
        read = f"{settings.text.tokens_read():,}"
        return [
            f"Of a text of more than {read} tokens it reads {most} windows of {length} tokens, spread evenly over it."
        ]
    part = {"head": "beginning", "tail": "end", "head+tail": "beginning and the end"}[settings.text.truncation]
    return [f"Of a text of more than {settings.text.max_length} tokens it reads the {part} only."]


def _worse_slices(analysis: Mapping[str, Any]) -> list[str]:
    """Return the slices that are worse than the rest beyond chance."""
    found = [row for row in rows(mapping(analysis.get("slices")).get("rows")) if row.get("significant") is True]
    worse = [(value, row) for row in found if (value := value_of(row.get("difference"))) is not None and value < 0]
    worse.sort(key=lambda each: each[0])
    return [
        f"Texts {_markdown(row.get('title') or row.get('name') or '')}: {percent(value_of(row.get('accuracy')), 1)} right, "
        f"{points(value)} points against the rest."
        for value, row in worse[:_MOST_LIMITS]
    ]


def _found_by_checks(analysis: Mapping[str, Any]) -> list[str]:
    found = [row for row in rows(analysis.get("checks")) if row.get("severity") in {"error", "warning"}]
    return [
        ": ".join(_markdown(part) for part in (row.get("title") or row.get("name"), row.get("found")) if part)
        for row in found[:_MOST_LIMITS]
    ]


def _markdown(text: Any) -> str:
    """Return a text on one line that Markdown shows as it is."""
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", one_line(text))


def _code(text: str) -> str:
    return one_line(text).replace("`", "'")


def _scores(metrics: Mapping[str, Any]) -> str:
    columns = {"this classifier": "test", "frozen encoder": "frozen_features", "tf-idf baseline": "baseline"}
    columns = {title: part for title, part in columns.items() if metrics.get(part)}
    if not metrics.get("test"):
        return "## Scores\n\nIt was not scored: there are no labelled test texts.\n"
    lines = [
        f"## Scores on {metrics['test']['n']:,} test texts",
        "",
        f"| | {' | '.join(columns)} |",
        "| --- |" + " --- |" * len(columns),
    ]
    table = ([name, *(score_in_words(metrics[part].get(name)) for part in columns.values())] for name in _TABLE)
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in table), "", "In brackets: 95 % intervals.", ""])


def _usage(settings: Settings, *, lowercase: bool) -> str:
    if settings.model.encoder in LINEAR:
        kind = settings.model.encoder
        return _LINEAR.format(what=_FEATURES[kind], kind=kind)
    text, in_windows = settings.text, settings.text.long == "windows"
    words = {
        "{inputs}": _IN_WINDOWS if in_windows else _CUT,
        "{answer}": _LOGITS if in_windows else 'logits = pooled[0] @ head["weight"].T + head["bias"]',
        "{window_pooling}": _WINDOW_POOLINGS[text.window_pooling],
        "{window_stride}": f"{text.window_stride:g}",
        "{max_windows}": str(text.max_windows),
        "{pooling}": settings.model.pooling,
        "{pooled}": _POOLED_BY.get(settings.model.pooling, ""),
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
    plain = _PLAIN_IN_WINDOWS if in_windows else _PLAIN
    usage = plain if settings.model.pooling == "cls" else _POOLED
    for name, value in words.items():
        usage = usage.replace(name, value)
    return usage
