"""Closing a run: its journal becomes intervals, coverage and events, in the transaction of the caller.

An interval is written only when something changed. An answer that did not come touches nothing but ``miss``.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from posture.checks import Control
from posture.drift import Event
from posture.model import AssetKey, Outcome, Reason
from posture.policy import Policy
from posture.store.bitmap import Bitmap
from posture.store.reader import Reader
from posture.store.records import OUTCOMES, SEVERITIES, RunRecord, stamp

# Who lists the subjects of a prefix: they have gone only when these answered.
_LISTED_BY = {"mx:": ("mx", "smtp"), "ns:": ("delegation", "nameserver", "axfr")}

_SLOT = "asset_id = ? AND probe = ? AND subject_id = ? AND vantage_id = ?"

Slot = tuple[int, str, int]  # asset, probe, subject
# at, blob, absent, reason, code, detail, authorisation
Entry = tuple[str, int | None, int, str | None, str | None, str, str | None]


@dataclass(slots=True)
class Fold:
    """The folding of one run, as it will be when closed. Call :meth:`answers`, then fold the findings, then :meth:`events`."""

    connection: sqlite3.Connection
    reader: Reader
    run: RunRecord
    policy: Policy
    shipped: Mapping[str, Control]
    numbers: Mapping[AssetKey, int] = field(init=False)
    bits: Mapping[AssetKey, int] = field(init=False)
    vantage: int = field(init=False)

    def __post_init__(self) -> None:
        self.numbers = {asset: number for number, asset in self.reader.assets().items()}
        self.bits = {asset: bit for bit, asset in self.reader.bits().items()}
        self.vantage = self.reader.texts.number(self.run.vantage)

    @property
    def whole(self) -> bool:
        """Whether this run speaks for the whole inventory, so that what it does not mention has gone."""
        return self.run.state == "complete" and not self.run.selectors

    # ---- answers: facts, misses, coverage

    def answers(self) -> None:
        """Journal to intervals of facts and misses, and to coverage."""
        journal = self._journal()
        facts = self._open("facts", "blob_id")
        misses = self._open("miss", "reason, code, authorisation")
        for slot, (at, blob, absent, reason, code, detail, authorisation) in journal.items():
            if blob is None:
                self._miss(slot, misses.get(slot), (reason, code, authorisation), at, detail)
                continue
            if slot in misses:
                self._close("miss", slot)
            if facts.get(slot) != (blob,):
                if slot in facts:
                    self._close("facts", slot)
                self.connection.execute(
                    "INSERT INTO facts (asset_id, probe, subject_id, vantage_id, from_run, at, blob_id, absent, authorisation) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*slot, self.vantage, self.run.number, at, blob, absent, authorisation),
                )
        unasked = self._planned() - journal.keys()
        for slot in unasked:
            self._miss(slot, misses.get(slot), (str(Reason.STOPPED), None, None), stamp(self.run.end), "")
        if self.run.state == "complete":
            self._close_gone(journal, facts.keys(), misses.keys())
        self._coverage(journal, unasked)

    def _journal(self) -> dict[Slot, Entry]:
        rows = self.connection.execute(
            "SELECT asset_id, probe, subject, at, blob_id, absent, reason, code, detail, authorisation FROM journal "
            "WHERE run_id = ?",
            (self.run.number,),
        ).fetchall()
        return {(row[0], row[1], self.reader.texts.number(row[2])): row[3:] for row in rows}

    def _planned(self) -> set[Slot]:
        query = "SELECT asset_id, probe, subject FROM planned WHERE run_id = ?"
        rows = self.connection.execute(query, (self.run.number,)).fetchall()
        return {(asset, probe, self.reader.texts.number(subject)) for asset, probe, subject in rows}

    def _open(self, table: str, columns: str) -> dict[Slot, tuple[object, ...]]:
        query = f"SELECT asset_id, probe, subject_id, {columns} FROM {table} WHERE to_run IS NULL AND vantage_id = ?"  # noqa: S608 - names of our own
        return {row[:3]: row[3:] for row in self.connection.execute(query, (self.vantage,))}

    def _miss(
        self, slot: Slot, old: tuple[object, ...] | None, new: tuple[str | None, ...], at: str, detail: str
    ) -> None:
        if old == new:
            return
        if old is not None:
            self._close("miss", slot)
        reason, code, authorisation = new
        self.connection.execute(
            "INSERT INTO miss (asset_id, probe, subject_id, vantage_id, from_run, at, reason, code, detail, authorisation) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*slot, self.vantage, self.run.number, at, reason, code, detail, authorisation),
        )

    def _close(self, table: str, slot: Slot) -> None:
        query = f"UPDATE {table} SET to_run = ? WHERE {_SLOT} AND to_run IS NULL"  # noqa: S608 - names of our own
        self.connection.execute(query, (self.run.number, *slot, self.vantage))

    def _close_gone(self, journal: Mapping[Slot, Entry], facts: Iterable[Slot], misses: Iterable[Slot]) -> None:
        """Subjects that whoever lists them no longer names, and all of assets that left the inventory."""
        listing = _Listing(self, journal)
        gone = self._gone_assets()
        # Of an asset of which something was stopped, what is not named may only not have been looked for.
        cut = {slot[0] for slot, row in journal.items() if row[3] == Reason.STOPPED}
        for table, slots in (("facts", facts), ("miss", misses)):
            for slot in slots:
                unnamed = slot not in journal and slot[0] not in cut
                if slot[0] in gone or (unnamed and listing.no_longer_names(slot)):
                    self._close(table, slot)
        for number in gone:
            query = "UPDATE declaration SET to_run = ? WHERE asset_id = ? AND to_run IS NULL AND from_run < ?"
            self.connection.execute(query, (self.run.number, number, self.run.number))

    def _gone_assets(self) -> set[int]:
        if not self.whole:
            return set()
        packed = self.connection.execute("SELECT inventory FROM run WHERE id = ?", (self.run.number,)).fetchone()[0]
        present = Bitmap.unpack(packed)
        return {self.numbers[asset] for asset, bit in self.bits.items() if bit not in present}

    def _coverage(self, journal: Mapping[Slot, Entry], unasked: Iterable[Slot]) -> None:
        place = {number: self.bits[asset] for asset, number in self.numbers.items()}
        targeted: dict[str, set[int]] = defaultdict(set)
        silent: dict[str, set[int]] = defaultdict(set)
        stopped: dict[str, set[int]] = defaultdict(set)  # by us: no silence of theirs
        for slot, row in journal.items():
            if row[3] == Reason.STOPPED and row[4]:
                stopped[slot[1]].add(place[slot[0]])
            targeted[slot[1]].add(place[slot[0]])
            if row[1] is None:
                silent[slot[1]].add(place[slot[0]])
        for asset, probe, _ in unasked:
            targeted[probe].add(place[asset])
            silent[probe].add(place[asset])
        self.connection.executemany(
            "INSERT INTO coverage (run_id, probe, targeted, answered, asked_count, answered_count) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (self.run.number, probe, Bitmap(asked).pack(), Bitmap(heard).pack(), len(asked), len(heard))
                for probe, bits in targeted.items()
                for asked in [bits - stopped[probe]]
                for heard in [asked - silent[probe]]
            ],
        )

    # ---- events

    def events(self, events: Iterable[Event]) -> None:
        """Keeps what changed. What merely persists is no event of the history, and what could not be seen is in ``miss``."""
        controls = {code: number for number, code in self.reader.controls().items()}
        ends = {run.end: run.number for run in self.reader.runs(self.run.vantage)} | {self.run.end: self.run.number}
        self.connection.executemany(
            "INSERT OR IGNORE INTO event_row (run_id, asset_id, control_id, subject_id, kind, initial, severity, before, "
            "after, since_run, until_run) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    self.run.number,
                    self.numbers[event.finding.asset],
                    controls[event.finding.control],
                    self.reader.texts.number(event.finding.subject),
                    event.kind,
                    event.initial,
                    SEVERITIES.index(event.severity),
                    None if event.before is None else OUTCOMES.index(event.before),
                    None if event.after is None else OUTCOMES.index(event.after),
                    ends.get(event.between[0], self.run.number),
                    ends.get(event.between[1], self.run.number),
                )
                for event in events
                if event.kind != "persisting"
                and event.after is not Outcome.UNKNOWN
                and event.finding.control in controls
            ],
        )


@dataclass(slots=True)
class _Listing:
    """Which subjects this run would have named, had they still been there."""

    fold: Fold
    journal: Mapping[Slot, Entry]
    asked: set[tuple[int, str, str]] = field(init=False)  # asset, probe, prefix
    named: set[tuple[int, str]] = field(init=False)  # asset, probe
    unlisted: set[tuple[int, str]] = field(init=False)  # asset, probe: no answer about the whole

    def __post_init__(self) -> None:
        text = self.fold.reader.texts.text
        self.asked = {(asset, probe, listed_kind(text(subject))) for asset, probe, subject in self.journal}
        self.named = {(asset, probe) for asset, probe, _ in self.journal}
        self.unlisted = {
            (asset, probe)
            for (asset, probe, subject), row in self.journal.items()
            if text(subject) == "" and row[1] is None
        }

    def no_longer_names(self, slot: Slot) -> bool:
        asset, probe, number = slot
        subject = self.fold.reader.texts.text(number)
        prefix = listed_kind(subject)
        if (asset, probe) in self.unlisted:
            return False
        if not subject:  # an answer about the whole ends when the parts are known
            return (asset, probe) in self.named
        if prefix:
            listers = _LISTED_BY.get(prefix, (probe,))
            asked = any(
                (asset, lister, kind) in self.asked for lister in listers[1:] or listers for kind in (prefix, "")
            )
            return asked and not any((asset, lister) in self.unlisted for lister in listers)
        return (asset, probe, "") in self.asked


def listed_kind(subject: str) -> str:
    """``mx:`` or ``ns:``, whose subjects another probe lists; "" for what a probe lists itself."""
    head = subject.partition(":")[0] + ":"
    return head if head in _LISTED_BY else ""
