"""Import every module of the installed matinee, and say how many there are."""

from __future__ import annotations

import importlib
import pkgutil

import matinee


def module_names() -> list[str]:
    """Return the dotted name of every module of matinee, sub-packages included."""
    return sorted(module.name for module in pkgutil.walk_packages(matinee.__path__, "matinee."))


def main() -> None:
    """Import them all; the first that fails ends the program with its traceback."""
    names = module_names()
    for name in names:
        importlib.import_module(name)
    print(f"imported {len(names)} modules of matinee {matinee.__version__}")


if __name__ == "__main__":
    main()
