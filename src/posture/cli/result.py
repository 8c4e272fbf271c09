"""What a command returns. Commands never print; posture.cli.printer does."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)  # exit code 5 wherever it happens: no choice of the operator's


@dataclass(frozen=True, slots=True)
class Result:
    """``document`` is data for stdout, rendered as ``format``; ``text`` is said on stdout, made inert;
    ``remark`` goes to stderr, so that stdout stays data only. ``everything``: a table hides nothing; ``left_out``: how many
    rows of each outcome the document lacks already. ``writer`` writes data that is too long to be held; it encodes it
    itself."""

    document: dict[str, Any] | None = None
    text: str = ""
    remark: str = ""
    format: str = "table"
    exit_code: int = 0
    everything: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)
    writer: Callable[[TextIO], None] | None = None
