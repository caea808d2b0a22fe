"""How long `matinee --help` takes in a fresh process, beside a bare Python: the median of many, taken in turns.

python benchmarks/startup.py [--runs 31]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import RESULTS, store

TARGET_SECONDS = 0.3
MATINEE = Path(sys.executable).parent / "matinee"
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "matinee --help": [str(MATINEE), "--help"],
    "matinee train --help": [str(MATINEE), "train", "--help"],
    "import matinee": [sys.executable, "-c", "import matinee"],
}


def seconds(command: list[str]) -> float:
    """Return the wall time of one run."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure(n_runs: int) -> dict[str, dict[str, float]]:
    """Return median, fastest and slowest of each command; in turns, so that a busy moment hits all alike."""
    for command in COMMANDS.values():  # once unmeasured: compiles .pyc files, fills the file cache
        seconds(command)
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(n_runs):
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    return {
        name: {"median": round(statistics.median(t), 4), "min": round(min(t), 4), "max": round(max(t), 4)}
        for name, t in times.items()
    }


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description="Measure how long matinee takes to start.")
    parser.add_argument("--runs", type=int, default=31, help="fresh processes for each command")
    n_runs = parser.parse_args().runs
    found = measure(n_runs)
    for name, row in found.items():
        print(f"{name:<22} {row['median']:.3f} s   ({row['min']:.3f} to {row['max']:.3f})")
    met = found["matinee --help"]["median"] < TARGET_SECONDS
    path = store("startup", {"runs": n_runs, "seconds": found, "target_seconds": TARGET_SECONDS, "target_met": met})
    print(
        f"{'met' if met else 'MISSED'}: under {TARGET_SECONDS} s; stored in {path.relative_to(RESULTS.parent.parent)}"
    )


if __name__ == "__main__":
    main()
