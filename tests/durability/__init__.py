"""Durability: processes that are killed, machines that lose power, disks that fill, in long loops.

``nox`` runs a short version of every loop; ``nox -s durability`` sets POSTURE_DURABILITY=full and runs the long one.
"""

from __future__ import annotations

import os

FULL = os.environ.get("POSTURE_DURABILITY") == "full"


def loops(short: int, full: int) -> int:
    """How often a loop runs in this session."""
    return full if FULL else short
