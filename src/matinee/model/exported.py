"""The export folder: a classifier in another library's format, with all that it needs to answer, and the proof that it says the same.

Beside the model lie `tokenizer.json`, `matinee.json` (labels, text preparation, threshold), `validation.json` (what limits are
chosen by), `parity.json` (the proof), `requirements.txt` and README.md. `export.json` is written last and holds every
other file's hash: a folder without it, or with a file that is no longer what it was, is not answered from.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from matinee._version import __version__
from matinee.core.backends import CASCADE
from matinee.core.errors import RunError
from matinee.core.files import file_sha256, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FORMAT = 1
EXPORT = "export.json"
PARITY = "parity.json"
TOKENIZER = "tokenizer.json"
REQUIREMENTS = "requirements.txt"

MOST_ACCURACY_LOST, MOST_FLIPS = 0.005, 0.01
"""What an export may cost where nobody says otherwise: a fall in accuracy, and a share of texts that get another label."""

# What a person may put into the folder or change there.
_FREE = {EXPORT, "README.md"}


@dataclass(frozen=True)
class ExportInfo:
    """What `export.json` holds, but for the hashes.

    Attributes:
        backend: `"openvino"`, `"onnx"` or `"cascade"`.
        precision: `"fp32"`, `"bf16"` or `"int8"`; of a cascade that of its encoder.
        model: The file or folder that the back end opens, relative to the folder.
        pad_id: Token id that fills batches up.
        source: SHA-256 by file name of the weights that it was made from.
    """

    backend: str
    precision: str
    model: str
    pad_id: int
    source: dict[str, str]

    def write(self, folder: Path) -> None:
        """Write `export.json`, with the hash of every other file: the folder is whole."""
        write_json(
            folder / EXPORT, {"format": FORMAT, "matinee": __version__, **asdict(self), "files": _hashes(folder)}
        )

    @classmethod
    def read(cls, folder: Path) -> ExportInfo:
        """Read `export.json`.

        Raises:
            RunError: It is missing or damaged, or of a newer format than this matinee knows.
        """
        saved = _read(folder)
        try:
            return cls(**{field.name: saved[field.name] for field in fields(cls)})
        except KeyError as error:
            raise RunError(
                f"{folder / EXPORT} is damaged: it says nothing of {error.args[0]}. Export again."
            ) from error


def is_export(folder: Path) -> bool:
    """Return whether a folder is a whole export."""
    return (folder / EXPORT).is_file()


def check_export(folder: Path) -> None:
    """Raise RunError if a file of the export is missing, or not what it was when the export was proved."""
    try:
        expected, found = _read(folder).get("files", {}), _hashes(folder)
    except OSError as error:
        raise RunError(f"The export {folder} cannot be read: {error.strerror or error}. Export again.") from error
    for name, digest in expected.items():
        if name not in found:
            raise RunError(f"The export {folder} is not whole: {name} is missing. Export again.")
        if found[name] != digest:
            raise RunError(f"The export {folder} was altered: {name} is not what was proved. Export again.")


def read_parity(folder: Path) -> dict[str, Any]:
    """Return the proof; see `matinee.exporting.proof`.

    Raises:
        RunError: It is missing or damaged.
    """
    try:
        parity: dict[str, Any] = json.loads((folder / PARITY).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{folder / PARITY} is missing or damaged: export again.") from error
    return parity


def beyond_limits(found: Mapping[str, Any], accuracy: float | None, flips: float | None) -> list[str]:
    """Return in words which limits the figures of a proof are beyond; nothing where they are within all.

    Args:
        found: Holds `flips` and `accuracy`, as `parity.json` does.
        accuracy: Largest fall in accuracy, as a share; None: any.
        flips: Largest share of texts that get another label; None: any.
    """
    said = []
    if flips is not None and found["flips"]["share"] > flips:
        said.append(f"{100 * found['flips']['share']:.1f} % of its labels differ (limit {100 * flips:g} %)")
    if accuracy is not None and found["accuracy"] is not None and -found["accuracy"]["change"]["value"] > accuracy:
        fall = -100 * found["accuracy"]["change"]["value"]
        said.append(f"its accuracy is {fall:.1f} points lower (limit {100 * accuracy:g})")
    return said


def beyond_defaults(parity: Mapping[str, Any]) -> list[str]:
    """Return in words why `auto` does not answer with an export: the default limits it is beyond, whatever it was made with.

    Of a cascade accuracy alone counts, and has to be known.
    """
    if parity["backend"] != CASCADE:
        return beyond_limits(parity, MOST_ACCURACY_LOST, MOST_FLIPS)
    if parity["accuracy"] is None:
        return ["nothing is known of its accuracy"]
    return beyond_limits(parity, MOST_ACCURACY_LOST, None)


def _read(folder: Path) -> dict[str, Any]:
    path = folder / EXPORT
    try:
        saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is missing or damaged: the export is not whole. Export again.") from error
    if saved.get("format", 0) > FORMAT:
        raise RunError(
            f"{path} is of format {saved['format']}, this matinee reads up to {FORMAT}: install a newer one."
        )
    return saved


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: file_sha256(path) for name, path in names.items() if name not in _FREE}
