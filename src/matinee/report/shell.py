"""Pages beside the report itself: one file each, in the report's own style, without any script."""

from __future__ import annotations

from typing import Any

from matinee._version import __version__
from matinee.report.page import _asset, _hash, _templates
from matinee.report.wording import printable


def render_template(template: str, /, **view: Any) -> str:
    """Return a page from one of the package's templates: all that stands in `view` is escaped, and nothing is loaded from anywhere."""
    style = _asset("report.css") + _asset("experiments.css")
    page = _templates().get_template(template).render(**view, style=style, style_hash=_hash(style), version=__version__)
    return printable(page)
