"""What a benchmark ran on: stands beside every stored figure."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from matinee.core.environment import describe_environment, describe_machine

RESULTS = Path(__file__).resolve().parent / "results"


def computed_on() -> str:
    """Return the name of the accelerator that torch sees, else of the processor."""
    import torch

    return str(torch.cuda.get_device_name() if torch.cuda.is_available() else describe_machine()["processor"])


def settings_hash(settings: Any) -> str:
    """Return what tells results of one recipe from those of another under the same name: a hash of all resolved settings."""
    return sha256(json.dumps(asdict(settings), sort_keys=True, default=str).encode()).hexdigest()[:16]


def store(name: str, figures: dict[str, Any]) -> Path:
    """Write `results/<name>.json`: the figures, the day, the machine and the versions."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    about = describe_environment()
    about.pop("git_commit")  # a result is stored in the commit it belongs to
    record = {"benchmark": name, "date": datetime.now(UTC).date().isoformat(), **figures, **about}
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    print(json.dumps(describe_environment(), indent=2))
