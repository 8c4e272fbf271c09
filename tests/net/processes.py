"""What runs below this very process; other workers' tests are not seen."""

from __future__ import annotations

import os
from pathlib import Path


def below(ancestor: int | None = None) -> list[list[str]]:
    """The argument lists of all descendants, zombies left out."""
    children: dict[int, list[tuple[int, list[str]]]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
                words = (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")[:-1]
            except OSError:
                continue
            children.setdefault(parent, []).append((int(entry.name), words))
    found: list[list[str]] = []
    unseen = [ancestor or os.getpid()]
    while unseen:
        for pid, words in children.get(unseen.pop(), []):
            unseen.append(pid)
            if words:
                found.append(words)
    return found
