"""Which verdicts differ between two judgements of the same answers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from posture.checks import Control
from posture.drift import Key
from posture.judge import words_of
from posture.model import Finding, Outcome
from posture.scanned import Scanned

KINDS = ("worse", "new", "unknown", "changed", "gone", "known", "better")

# How much there is to mend.
_HARM = {Outcome.FAIL: 2, Outcome.WARN: 1, Outcome.PASS: 0, Outcome.INFO: 0, Outcome.NOT_APPLICABLE: 0}


@dataclass(frozen=True, slots=True)
class Move:
    """One verdict before and after; None where there was none. ``kind`` is among ``KINDS``.

    worse, better: more, or less, to mend. changed: as much to mend, told otherwise. unknown, known: the answers do not
    decide any more, or do now. new, gone: of a control that only one side judges.
    """

    key: Key
    before: Finding | None
    after: Finding | None
    kind: str

    @property
    def finding(self) -> Finding:
        """The one to speak of: the later where there is one."""
        found = self.after or self.before
        assert found is not None
        return found


def moves(before: Mapping[Key, Finding], after: Mapping[Key, Finding]) -> list[Move]:
    """What differs, unknowns included, in the order of the keys."""
    found = []
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        if kind := _kind(old, new):
            found.append(Move(key, old, new, kind))
    return found


def _kind(old: Finding | None, new: Finding | None) -> str:
    """ "" when nothing differs that matters: of its words only what was quoted, or nobody knew it anyway."""
    if old is None or new is None:
        one = old or new
        if one is None or one.outcome is Outcome.UNKNOWN:
            return ""
        return "gone" if new is None else "new"
    if Outcome.UNKNOWN in (old.outcome, new.outcome):
        return "" if old.outcome is new.outcome else "unknown" if new.outcome is Outcome.UNKNOWN else "known"
    harm = _harm(new), _harm(old)
    if harm[0] != harm[1]:
        return "worse" if harm[0] > harm[1] else "better"
    return "changed" if (old.outcome, old.severity, old.tag) != (new.outcome, new.severity, new.tag) else ""


def _harm(finding: Finding) -> tuple[int, int]:
    """Of two open ones of a kind the more severe harms more."""
    harm = _HARM[finding.outcome]
    return harm, finding.severity.rank if harm else 0


def counts_of(found: Iterable[Move]) -> dict[str, int]:
    """How many of each kind, in the order of ``KINDS``, those that are none left out."""
    every = [move.kind for move in found]
    return {kind: every.count(kind) for kind in KINDS if kind in every}


def move_row(move: Move, shipped: Mapping[str, Control]) -> dict[str, Any]:
    """A row of the published JSON."""
    asset, control, subject = move.key
    finding = move.finding
    return {
        "change": move.kind,
        "ministry": finding.ministry,
        "asset": asset.name,
        "kind": asset.kind,
        "subject": Scanned(subject),
        "control": control,
        "severity": str(finding.severity),
        "before": str(move.before.outcome) if move.before else None,
        "after": str(move.after.outcome) if move.after else None,
        "reason": str(move.after.reason) if move.after and move.after.reason else None,
        "message": words_of(finding, shipped),
    }
