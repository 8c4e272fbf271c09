"""How a run ended: what its last words and its exit code need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from signal import SIGTERM, Signals
from typing import Any

from posture.model import AssetKey, Outcome, Severity

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """``rows``: this run's findings as in the published JSON; ``state_rows``: the current state after it.

    ``silent``: assets that were asked and answered no check at all. ``lapsed``: authorisations that are not in force
    while others are. ``stopped``: what the kill switch kept from being asked, in sentences. ``quarantine``: why nothing
    of the run may be believed, or "". ``signal``: what interrupted it.
    """

    run: Row
    rows: tuple[Row, ...]
    state_rows: tuple[Row, ...]
    drift: Row | None
    criticality: Mapping[AssetKey, int]
    notes: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    lapsed: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    quarantine: str = ""
    signal: Signals | None = None

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(row["outcome"] for row in self.rows)

    @property
    def incomplete(self) -> bool:
        """Exit code 3: something that should have answered did not, or may not be believed."""
        return bool(self.silent or self.lapsed or self.stopped or self.quarantine)

    def exit_code(self, threshold: Severity | None) -> int:
        """130 or 143 when interrupted, 1 for findings at or above ``threshold``, 3 when incomplete, else 0."""
        if self.signal is not None:
            return 143 if self.signal == SIGTERM else 130
        if threshold and any(reaches(row, threshold) for row in self.rows):
            return 1
        return 3 if self.incomplete else 0


def reaches(row: Row, threshold: Severity) -> bool:
    """An open finding at or above a severity, that nobody has accepted for a time."""
    return (
        not row.get("exemption")
        and Outcome(row["outcome"]).is_open
        and Severity(row["severity"]).rank >= threshold.rank
    )
