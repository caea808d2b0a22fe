"""Take out of the notebooks what running them left: outputs, counts, and what editors note in passing.

python scripts/notebook.py            strip every notebook in notebooks/
python scripts/notebook.py --check    exit 1 if there is anything to strip
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
METADATA: dict[str, Any] = {
    "accelerator": "GPU",
    "colab": {"provenance": []},
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
"""What Colab and Jupyter need to open one: a GPU if there is one, and the kernel that every Jupyter has."""


def stripped(text: str) -> str:
    """Return a notebook, as its file holds it, without what running it left."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        cell["metadata"] = {}
        if cell["cell_type"] == "code":
            cell.update(execution_count=None, outputs=[])
    return json.dumps({**notebook, "metadata": METADATA}, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> int:
    """Strip, or say what is to be stripped; return 1 where a check failed."""
    parser = argparse.ArgumentParser(description="Strip the notebooks of what running them left.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if there is anything to strip")
    check = parser.parse_args().check
    soiled = [
        path for path in sorted(FOLDER.glob("*.ipynb")) if path.read_text("utf-8") != stripped(path.read_text("utf-8"))
    ]
    for path in soiled:
        if check:
            print(f"{path.name} holds outputs or other traces of a run: python scripts/notebook.py", file=sys.stderr)
        else:
            path.write_text(stripped(path.read_text("utf-8")), encoding="utf-8", newline="\n")
    return int(check and bool(soiled))


if __name__ == "__main__":
    sys.exit(main())
