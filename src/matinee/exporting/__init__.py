"""Classifiers in the formats of other libraries, each with the proof that it says the same."""

from __future__ import annotations

from matinee.exporting.cascade import export_cascade
from matinee.exporting.encoder import export_encoder
from matinee.exporting.folder import Source
from matinee.exporting.limits import Limits
from matinee.exporting.proof import HeldOut, check_against

__all__ = ["HeldOut", "Limits", "Source", "check_against", "export_cascade", "export_encoder"]
