"""What stands in for slow and far-away things while README's commands are run: a `matinee` that is first on the PATH.

It changes a command line by the rules below, notes it in a log, and becomes the real `matinee`. README's shell blocks
therefore run word for word. Everything that is changed is listed here.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

# Named datasets become the tiny CSV, encoders the tiny DistilBERT (the linear baseline stays what it is).
DATASETS = ("imdb", "rotten_tomatoes")
KEPT_ENCODERS = ("tfidf",)

# Flags that a training gets on top; the last one given wins. Sizes that the tiny CSV has rows for, seconds to train.
SMALL = {
    "train_size": 48,
    "validation_size": 16,
    "test_size": 16,
    "epochs": 1,
    "batch_size": 16,
    "max_length": 32,
}


def stand_in(arguments: list[str], csv: str, encoder: str) -> list[str]:
    """Return the arguments of `matinee` with small things in place of large ones."""
    command, *rest = arguments or [""]
    rest = [csv if argument in DATASETS else argument for argument in rest]
    named = None
    for index, argument in enumerate(rest[:-1]):
        if argument == "--encoder" and rest[index + 1] not in KEPT_ENCODERS:
            rest[index + 1] = encoder
        if argument == "--encoder":
            named = rest[index + 1]
    if command == "train" and not {"--resume", "--help"} & set(rest):  # a resumed run has its settings already
        rest += [part for name, value in SMALL.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        rest += [] if named else ["--encoder", encoder]
    if command == "encoders":
        rest.append("--offline")
    return [part for part in (command, *rest) if part]


def stand_in_python(code: str, csv: str, encoder: str) -> str:
    """Return a Python block that trains on small things: literals exchanged, and small defaults where nothing is said."""
    code = re.sub(rf'"({"|".join(DATASETS)})"', lambda _: repr(csv), code)
    code = re.sub(r'\bencoder="(?!tfidf")[^"]+"', lambda _: f"encoder={encoder!r}", code)
    for name, value in SMALL.items():
        code = re.sub(rf"\b{name}=[\d.]+", f"{name}={value}", code)
    of_an_estimator = {
        name: value for name, value in SMALL.items() if not name.endswith("_size") or name == "batch_size"
    }
    return f"""import functools, matinee
matinee.train = functools.partial(matinee.train, **{SMALL | {"encoder": encoder}!r})
matinee.TextClassifier = functools.partial(matinee.TextClassifier, **{of_an_estimator | {"encoder": encoder}!r})
{code}"""


def main() -> None:
    real, log = os.environ["README_MATINEE"], Path(os.environ["README_LOG"])
    arguments = stand_in(sys.argv[1:], os.environ["README_CSV"], os.environ["README_ENCODER"])
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"typed": sys.argv[1:], "run": arguments}) + "\n")
    os.execv(real, [real, *arguments])


if __name__ == "__main__":
    main()
