"""What the trail saw of the history's ledger: a witness beside the history, which was not written together with it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import NamedTuple

from posture.audit.records import LONGEST, kind_of


class Reached(NamedTuple):
    """The ledger had ``size`` entries under ``root`` (hex)."""

    size: int
    root: str


def ledger_reached(path: Path) -> Reached | None:
    """Where a trail last saw the ledger; None when it says nothing of one, or cannot be read.

    Believes the trail: whether that is whole is for :func:`posture.audit.verify.survey`.
    """
    last = b""
    try:
        with path.open("rb") as stream:
            for line in iter(partial(stream.readline, LONGEST), b""):
                if kind_of(line) == "ledger":
                    last = line
        said = json.loads(last)
        return Reached(int(said["size"]), str(said["root"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
