"""Controls: one package per family, each with rules (pure functions) and controls.toml (texts and tags)."""

from __future__ import annotations

from posture.checks.catalogue import FAMILIES, Control, Tag, catalogue
from posture.checks.rule import Case, Declared, Missing, Previous, Reference, Rule

__all__ = ["FAMILIES", "Case", "Control", "Declared", "Missing", "Previous", "Reference", "Rule", "Tag", "catalogue"]
