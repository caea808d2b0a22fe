"""The README of an export folder: what it is, how to use it, and what was proved of it."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from matinee._version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matinee.model.artifact import ClassifierInfo
    from matinee.model.exported import ExportInfo

_LIBRARIES = {"openvino": "OpenVINO", "onnx": "ONNX Runtime", "cascade": "a cascade"}


def readme(info: ClassifierInfo, export: ExportInfo, parity: Mapping[str, Any]) -> str:
    """Return the text; `parity` as in `parity.json`, with `size_mb`."""
    labels = ", ".join(_plain(name) for name in info.label_names[:20])
    return f"""# A text classifier for {_LIBRARIES[export.backend]}, {export.precision}

Labels: {labels}. Encoder: {_plain(PurePath(info.encoder).name)}.
Made by matinee {__version__}; it answers without PyTorch.

    pip install -r requirements.txt
    pip install --no-deps PATH_OR_WHEEL_OF_MATINEE  # matinee itself, without its own requirements
    matinee predict THIS_FOLDER "A film to fall asleep in."

In Python: `matinee.load("THIS_FOLDER").predict(["A film to fall asleep in."])`.

## Proof

{chr(10).join(f"- {line}" for line in proof_lines(parity))}

`export.json` holds the hash of each file: a folder that was altered is not answered from.
"""


def proof_lines(parity: Mapping[str, Any]) -> list[str]:
    """Return what was proved, a sentence each."""
    held, gap, flips, accuracy = (parity[name] for name in ("held_out", "gap", "flips", "accuracy"))
    lines = [
        f"Held against {parity['reference']} on {held['n']:,} {_plain(held['split'])} texts.",
        f"Labels that differ: {flips['n']:,} ({100 * flips['share']:.2f} %).",
        f"Probabilities differ by {gap['mean']:.4f} on average, {gap['largest']:.3f} at most.",
    ]
    if accuracy is not None:
        change = accuracy["change"]
        lines.append(
            f"Accuracy {100 * accuracy['candidate']:.1f} % ({100 * accuracy['reference']:.1f} % before): a change of "
            f"{points(change['value'])} points, 95 % interval {points(change['low'])} to {points(change['high'])}."
        )
    if "cheap_share" in parity:
        lines.append(f"The cheap classifier answers {100 * parity['cheap_share']:.0f} % of the texts.")
    lines.append(
        f"{_rate(parity['texts_per_second'])} texts a second ({parity['reference']}: "
        f"{_rate(parity['reference_texts_per_second'])}) on {_plain(parity['machine']['processor'])}, {parity['machine']['cores']} cores."
    )
    return lines


def points(share: float) -> str:
    """Return a difference of shares in signed points."""
    return f"{100 * share:+z.1f}"


def _plain(text: str) -> str:
    """Return what a user may have written without what Markdown would read in it."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|" else c for c in " ".join(text.split()))[:200]


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
