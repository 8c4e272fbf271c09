"""The command line: wires the rooms of the house and prints; no logic of its own."""

from __future__ import annotations

from posture.cli.entry import main, run

__all__ = ["main", "run"]
