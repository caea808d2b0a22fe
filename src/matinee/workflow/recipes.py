"""Recipes: YAML files of settings."""

from __future__ import annotations

from pathlib import Path

import yaml

from matinee.core.errors import SettingsError, did_you_mean
from matinee.core.schema import Layer, from_recipe


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that come with matinee by name: inside an installed package, or in the repository's `recipes/`."""
    package = Path(__file__).parents[1]
    for folder in (package / "recipes", package.parents[1] / "recipes"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def read_recipe(recipe: str | Path) -> Layer:
    """Return a recipe's settings.

    Args:
        recipe: A file, or the name of a shipped recipe.

    Raises:
        SettingsError: There is no such file, or it is not a YAML mapping.
    """
    path = Path(recipe).expanduser()
    if not path.is_file():
        known = shipped_recipes()
        if path.name != str(recipe) or path.stem not in known:
            raise SettingsError(
                f"There is no recipe {recipe}.{did_you_mean(path.stem, known)} Shipped: {', '.join(known)}."
            )
        path = known[path.stem]
    values = read_yaml(path, f"Recipe {recipe}")
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise SettingsError(f"Recipe {recipe} must hold settings as `name: value` lines.")
    return from_recipe(values, str(recipe))


def read_yaml(path: Path, name: str) -> object:
    """Return what a YAML file holds; None where that is nothing.

    Args:
        path: The file.
        name: What messages call it: `"Recipe mine.yaml"`.

    Raises:
        SettingsError: It is not UTF-8 text, or not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise SettingsError(f"{name} is not a UTF-8 text file.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise SettingsError(f"{name} is not valid YAML{where}.") from error
