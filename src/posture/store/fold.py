"""Closing a run: its journal becomes intervals, coverage and events, in the transaction of the caller.

An interval is written only when something changed. An answer that did not come touches nothing but ``silence``.
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
from posture.store.eventful import put_event
from posture.store.packed import Packed, put_coverage
from posture.store.reader import Reader
from posture.store.records import OUTCOMES, SEVERITIES, RunRecord, stamp
from posture.store.silences import Miss, missing_at, put_missing
from posture.store.verdicts import put_track

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
    packed: Packed = field(init=False)
    moved: set[int] = field(default_factory=set)  # numbers of the assets of which this run writes

    def __post_init__(self) -> None:
        self.numbers = {asset: number for number, asset in self.reader.assets().items()}
        self.bits = {asset: bit for bit, asset in self.reader.bits().items()}
        self.vantage = self.reader.texts.number(self.run.vantage)
        self.packed = Packed(self.connection)

    @property
    def whole(self) -> bool:
        """Whether this run speaks for the whole inventory, so that what it does not mention has gone."""
        return self.run.state == "complete" and not self.run.selectors

    # ---- answers: facts, misses, coverage

    def answers(self) -> None:
        """Journal to intervals of facts and misses, and to coverage."""
        journal, unasked = self._journal(), self._unasked()
        facts = self._open_facts()
        for slot, (at, blob, absent, _, _, _, authorisation) in journal.items():
            if blob is None or facts.get(slot) == blob:
                continue
            if slot in facts:
                self._close(slot)
            self.connection.execute(
                "INSERT INTO facts (asset_id, probe, subject_id, vantage_id, from_run, at, blob_id, absent, authorisation) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*slot, self.vantage, self.run.number, at, blob, absent, authorisation),
            )
        listing = _Listing(self, journal) if self.run.state == "complete" else None
        if listing is not None:
            for slot in filter(listing.has_gone, facts):
                self._close(slot)
            self._withdraw(listing.gone)
        self._silences(journal, unasked, listing)
        self._coverage(journal, unasked)

    def _silences(self, journal: Mapping[Slot, Entry], unasked: Iterable[Slot], listing: _Listing | None) -> None:
        """What is missing as of this run, of each asset of which that changed."""
        now: dict[int, dict[tuple[str, str], Miss]] = defaultdict(dict)
        now.update(missing_at(self.connection, self.vantage))
        before = {asset: dict(missing) for asset, missing in now.items()}
        text, number = self.reader.texts.text, self.reader.texts.number
        if listing is not None:
            for asset, missing in before.items():
                for probe, subject in missing:
                    if listing.has_gone((asset, probe, number(subject))):
                        del now[asset][probe, subject]
        for (asset, probe, place), (at, blob, _, reason, code, detail, authorisation) in journal.items():
            if blob is None:
                self._miss(
                    now[asset],
                    (probe, text(place)),
                    Miss(str(reason), code, detail, authorisation, self.run.number, at),
                )
            elif asset in now:
                now[asset].pop((probe, text(place)), None)
        for asset, probe, place in unasked:
            stopped = Miss(str(Reason.STOPPED), None, "", None, self.run.number, stamp(self.run.end))
            self._miss(now[asset], (probe, text(place)), stopped)
        started = (self.run.number, stamp(self.run.started_at))
        for asset in sorted(now):
            if now[asset] != before.get(asset, {}):
                put_missing(self.connection, self.reader.texts, self.vantage, started, asset, now[asset])

    def _miss(self, missing: dict[tuple[str, str], Miss], question: tuple[str, str], miss: Miss) -> None:
        old = missing.get(question)
        if old is None or old.same != miss.same:
            missing[question] = miss

    def _journal(self) -> dict[Slot, Entry]:
        rows = self.connection.execute(
            "SELECT asset_id, probe, subject, at, blob_id, absent, reason, code, detail, authorisation FROM journal "
            "WHERE run_id = ?",
            (self.run.number,),
        ).fetchall()
        return {(row[0], row[1], self.reader.texts.number(row[2])): row[3:] for row in rows}

    def _unasked(self) -> set[Slot]:
        query = """SELECT asset_id, probe, subject FROM planned WHERE run_id = ?1
            EXCEPT SELECT asset_id, probe, subject FROM journal WHERE run_id = ?1"""
        rows = self.connection.execute(query, (self.run.number,)).fetchall()
        return {(asset, probe, self.reader.texts.number(subject)) for asset, probe, subject in rows}

    def _open_facts(self) -> dict[Slot, int]:
        query = "SELECT asset_id, probe, subject_id, blob_id FROM facts WHERE to_run IS NULL AND vantage_id = ?"
        return {row[:3]: row[3] for row in self.connection.execute(query, (self.vantage,))}

    def _close(self, slot: Slot) -> None:
        query = f"UPDATE facts SET to_run = ? WHERE {_SLOT} AND to_run IS NULL"  # noqa: S608 - names of our own
        self.connection.execute(query, (self.run.number, *slot, self.vantage))

    def _withdraw(self, gone: Iterable[int]) -> None:
        """The entries of assets that left the inventory."""
        for number in gone:
            query = "UPDATE declaration SET to_run = ? WHERE asset_id = ? AND to_run IS NULL AND from_run < ?"
            self.connection.execute(query, (self.run.number, number, self.run.number))

    def gone_assets(self) -> set[int]:
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
        for probe, bits in sorted(targeted.items()):
            asked = bits - stopped[probe]
            put_coverage(
                self.connection, self.reader.texts, self.packed, self.run.number, probe, asked, asked - silent[probe]
            )

    # ---- events

    def events(self, events: Iterable[Event]) -> None:
        """Keeps what changed. What merely persists is no event of the history, and what could not be seen is in ``miss``."""
        controls = {code: number for number, code in self.reader.controls().items()}
        ends = {run.end: run.number for run in self.reader.runs(self.run.vantage)} | {self.run.end: self.run.number}
        track = put_track(self.connection, self.vantage)
        for event in events:
            if event.kind == "persisting" or event.after is Outcome.UNKNOWN or event.finding.control not in controls:
                continue
            asset = self.numbers[event.finding.asset]
            row = (
                self.run.number,
                asset,
                controls[event.finding.control],
                self.reader.texts.number(event.finding.subject),
                event.kind,
                int(event.initial),
                SEVERITIES.index(event.severity),
                None if event.before is None else OUTCOMES.index(event.before),
                None if event.after is None else OUTCOMES.index(event.after),
                ends.get(event.between[0], self.run.number),
                ends.get(event.between[1], self.run.number),
            )
            put_event(self.connection, track, row)
            self.moved.add(asset)

    def put_moved(self) -> None:
        """Which assets this run wrote of. After the findings and the events, while the run is open."""
        places = {number: self.bits[asset] for asset, number in self.numbers.items()}
        packed = Bitmap(places[number] for number in self.moved).pack() if self.moved else None
        self.connection.execute("UPDATE run SET moved = ? WHERE id = ?", (packed, self.run.number))


@dataclass(slots=True)
class _Listing:
    """Which subjects this run would have named, had they still been there."""

    fold: Fold
    journal: Mapping[Slot, Entry]
    gone: set[int] = field(init=False)  # assets that left the inventory
    cut: set[int] = field(
        init=False
    )  # of which something was stopped: what is not named may only not have been looked for
    asked: set[tuple[int, str, str]] = field(init=False)  # asset, probe, prefix
    named: set[tuple[int, str]] = field(init=False)  # asset, probe
    unlisted: set[tuple[int, str]] = field(init=False)  # asset, probe: no answer about the whole

    def __post_init__(self) -> None:
        text = self.fold.reader.texts.text
        self.gone = self.fold.gone_assets()
        self.cut = {slot[0] for slot, row in self.journal.items() if row[3] == Reason.STOPPED}
        self.asked = {(asset, probe, listed_kind(text(subject))) for asset, probe, subject in self.journal}
        self.named = {(asset, probe) for asset, probe, _ in self.journal}
        self.unlisted = {
            (asset, probe)
            for (asset, probe, subject), row in self.journal.items()
            if text(subject) == "" and row[1] is None
        }

    def has_gone(self, slot: Slot) -> bool:
        """Of an asset that left the inventory, or no longer named by whoever lists it."""
        if slot[0] in self.gone:
            return True
        return slot not in self.journal and slot[0] not in self.cut and self._no_longer_names(slot)

    def _no_longer_names(self, slot: Slot) -> bool:
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
