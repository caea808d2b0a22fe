"""Count what an install of matinee brings along, from the metadata of the environment this runs in.

torch and everything that torch itself requires is counted apart: no fine-tuning library goes without it, so the rest is
what matinee answers for.

    python scripts/count_dependencies.py --below 50           how many; exit 1 at 50 or more
    python scripts/count_dependencies.py --list               their names too
    python scripts/count_dependencies.py --constraints dev    their versions, with the dev extra, as constraints.txt has them
"""

from __future__ import annotations

import argparse
import re
import sys
from importlib.metadata import requires, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def closure(name: str, extras: frozenset[str] = frozenset()) -> set[str]:
    """Return the canonical names of a package and of everything it requires here, with the given extras."""
    done: dict[str, frozenset[str]] = {}
    waiting = [(name, extras)]
    while waiting:
        current, wanted = waiting.pop()
        key = canonicalize_name(current)
        if key in done and wanted <= done[key]:
            continue
        done[key] = done.get(key, frozenset()) | wanted
        waiting += [(r.name, frozenset(r.extras)) for r in _requirements(current, done[key])]
    return set(done)


def _requirements(name: str, extras: frozenset[str]) -> list[Requirement]:
    parsed = [Requirement(text) for text in requires(name) or []]
    return [r for r in parsed if r.marker is None or any(r.marker.evaluate({"extra": e}) for e in {"", *extras})]


def beside_torch() -> tuple[set[str], set[str]]:
    """Return (packages that matinee answers for, torch's own)."""
    torch = closure("torch")
    return closure("matinee") - torch - {"matinee"}, torch


def constraints(extras: frozenset[str]) -> list[str]:
    """Return one `name==version` a line for everything matinee requires, build labels (`+cpu`) left off."""
    names = sorted(closure("matinee", extras) - {"matinee"})
    return [f"{name}=={re.sub(r'[+].*', '', version(name))}" for name in names]


def main() -> int:
    """Print what was asked for; return 1 where there are too many."""
    parser = argparse.ArgumentParser(description="Count the packages that an install of matinee brings along.")
    parser.add_argument("--below", type=int, metavar="N", help="fail at N packages or more beside torch's own")
    parser.add_argument("--list", action="store_true", help="print the names")
    parser.add_argument("--constraints", metavar="EXTRA", help="print name==version for everything, with this extra")
    arguments = parser.parse_args()
    if arguments.constraints is not None:
        print("\n".join(constraints(frozenset({arguments.constraints}))))
        return 0
    ours, torch = beside_torch()
    if arguments.list:
        print("\n".join(sorted(ours)))
    print(f"{len(ours)} packages beside torch's own {len(torch)}")
    if arguments.below is not None and len(ours) >= arguments.below:
        print(f"expected fewer than {arguments.below}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
