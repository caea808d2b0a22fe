"""Fine-tune a small pretrained encoder into a text classifier, and learn honestly how good it is.

Nothing heavy is imported until a name is used: `import matinee` loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from matinee._version import __version__

if TYPE_CHECKING:
    from matinee.core.errors import MatineeError
    from matinee.core.types import Predictions
    from matinee.estimator import TextClassifier
    from matinee.workflow import (
        advise,
        audit,
        bench,
        compare,
        distill,
        evaluate,
        explain,
        export,
        fetch,
        leaderboard,
        load,
        predict,
        score,
        search,
        serve,
        stress,
        train,
    )

__all__ = [
    "MatineeError",
    "Predictions",
    "TextClassifier",
    "__version__",
    "advise",
    "audit",
    "bench",
    "compare",
    "distill",
    "evaluate",
    "explain",
    "export",
    "fetch",
    "leaderboard",
    "load",
    "predict",
    "score",
    "search",
    "serve",
    "stress",
    "train",
]

_HOMES = {
    "MatineeError": "matinee.core.errors",
    "Predictions": "matinee.core.types",
    "TextClassifier": "matinee.estimator",
    "advise": "matinee.workflow",
    "audit": "matinee.workflow",
    "bench": "matinee.workflow",
    "compare": "matinee.workflow",
    "distill": "matinee.workflow",
    "evaluate": "matinee.workflow",
    "explain": "matinee.workflow",
    "export": "matinee.workflow",
    "fetch": "matinee.workflow",
    "leaderboard": "matinee.workflow",
    "load": "matinee.workflow",
    "predict": "matinee.workflow",
    "score": "matinee.workflow",
    "search": "matinee.workflow",
    "serve": "matinee.workflow",
    "stress": "matinee.workflow",
    "train": "matinee.workflow",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'matinee' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
