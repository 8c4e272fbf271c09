"""What stands beside a finding and changes nothing of it: an exemption, a dispute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from posture.drift import Key
from posture.exemptions import Exemption, InForce
from posture.model import Outcome
from posture.store.disputes import Dispute, disputes_of
from posture.store.exemptions import exemptions_of
from posture.store.records import RunRecord
from posture.store.writer import Store


@dataclass(frozen=True, slots=True)
class Beside:
    """``disputes``: by finding, the newest one at the vantage."""

    exemptions: InForce
    disputes: Mapping[Key, Dispute] = field(default_factory=dict)

    def exemption(self, key: Key, outcome: Outcome) -> str | None:
        """In words; None for what is not open: there is nothing to accept."""
        found = self.exemptions.beside(*key, outcome)
        return found.words if found else None

    def dispute(self, key: Key) -> str | None:
        """In words."""
        found = self.disputes.get(key)
        return found.words if found else None


def beside_run(
    store: Store,
    run: RunRecord,
    at: datetime,
    exemptions: Sequence[Exemption] | None = None,
    *,
    present: bool = False,
) -> Beside:
    """As of a run.

    Args:
        at: the time as of which exemptions are in force, and disputes stood.
        exemptions: in the place of those that the run had on record.
        present: every dispute, also those made after ``at``.
    """
    entries = exemptions_of(store.connection, run.number) if exemptions is None else exemptions
    known = disputes_of(store.connection, None if present else at)
    return Beside(InForce.at(entries, at, run.timezone), {one.key: one for one in known if one.vantage == run.vantage})
