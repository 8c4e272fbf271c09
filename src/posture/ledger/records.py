"""What a run did to a ministry, as records: made from the history whenever they are wanted, always the same.

One ``run`` record first (its terms, coverage and score), then ``authority`` (letters that it went under), ``exemption``
(of its assets, as the operator's file had them), ``facts`` and ``miss`` (answers and silences that it saw first),
``finding`` (verdicts that it gave first), ``closed`` (what it ended, of those three), ``event``. Each is a JSON object with
ASCII keys and without floats.

Everything counts by the runs of one vantage, which follow one another; so a record never changes once its run has closed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from posture.exemptions import exemption_body
from posture.ledger.remainder import STATE, remainder_of
from posture.model import AssetKey
from posture.store import RunRecord, Store
from posture.store.answers import body_fields
from posture.store.authority import named_of
from posture.store.bitmap import Bitmap
from posture.store.exemptions import exemptions_of
from posture.store.records import OUTCOMES, SEVERITIES
from posture.store.run_rows import among
from posture.store.silences import MissSpell, begun_with, ended_with, misses
from posture.store.verdicts import Turn, begun, ended, track_of, turned_in

Record = dict[str, Any]

_FACTS = (
    "SELECT asset_id, probe, subject_id, at, hex(sha256), absent, authorisation FROM facts JOIN blob ON blob.id = blob_id "
    "WHERE from_run = ? AND vantage_id = ?"
)
_CLOSED = "SELECT asset_id, probe, subject_id FROM facts WHERE to_run = ? AND vantage_id = ?"
_ASKED = (
    "SELECT DISTINCT from_run, asset_id, authorisation FROM facts "
    "WHERE from_run > ? AND from_run <= ? AND vantage_id = ? AND authorisation IS NOT NULL"
)
_EVENT = "SELECT asset_id, control_id, subject, kind, initial, severity, before, after, since, until FROM event WHERE run_id = ?"
_AUTHORITY = "SELECT authorisation, sequence, sha256, signers FROM authority WHERE run_id = ?"


def records_of(store: Store, run: RunRecord, ministry: str) -> list[Record]:
    """The records of one ministry in one run, in their fixed order; none when the run knew no such ministry."""
    return Chronicle(store).of(run).get(ministry, [])


@dataclass(slots=True)
class Chronicle:
    """Records run by run. Ask for the runs of a vantage in their order: what was learnt of one serves the next.

    ``only``: of these ministries, and nothing else is read. For exports; what is signed, and what is proven of the whole,
    looks at all.
    """

    store: Store
    only: AbstractSet[str] | None = None
    _assets: dict[int, AssetKey] = field(init=False)
    _bits: dict[int, int] = field(init=False)  # asset number -> bit
    _controls: dict[int, str] = field(init=False)
    _views: dict[str, _View] = field(default_factory=dict)
    _numbers: frozenset[int] | None = field(init=False)  # of the assets that are looked at
    _among: str = field(init=False)  # a condition on asset_id

    def __post_init__(self) -> None:
        self._numbers = None if self.only is None else frozenset(_ever_of(self.store, self.only))
        self._among = among(self._numbers)
        self._assets = self.store.reader.assets()
        numbers = {key: number for number, key in self._assets.items()}
        self._bits = {numbers[key]: bit for bit, key in self.store.reader.bits().items()}
        self._controls = self.store.reader.controls()

    def of(self, run: RunRecord) -> dict[str, list[Record]]:
        """By ministry, sorted; every ministry of the inventory as of that run, whatever was asked. First what is no
        ministry's (:mod:`posture.ledger.remainder`), under "".

        Of a quarantined run nothing is believed, so it has only its ``run`` records.
        """
        view = self._view(run)
        found: dict[str, list[Record]] = {STATE: [], **{ministry: [] for ministry in sorted(view.members)}}
        told: Iterator[tuple[str, Record]] = iter(())
        if self.only is None:
            told = ((STATE, record) for record in remainder_of(self.store, run, self._assets, self._controls))
        for ministry, record in chain(told, self._told(run, view)):
            found[ministry].append({"run": run.id, "ministry": ministry, **record})
        return found

    def _view(self, run: RunRecord) -> _View:
        view = self._views.get(run.vantage)
        if view is None or view.run > run.number:
            view = self._views[run.vantage] = _View(self.store, run.vantage, self._bits, self._among, self.only)
        view.advance(run.number)
        return view

    def _told(self, run: RunRecord, view: _View) -> Iterator[tuple[str, Record]]:
        """(ministry, record), of each ministry in the fixed order."""
        yield from self._runs(run, view)
        yield from self._authorities(run, view)
        yield from self._exemptions(run, view)
        turns = self._turned(run)
        rows = [*self._opened(run, view, turns), *self._closed(run, turns), *self._events(run)]
        for asset, record in rows:
            if (ministry := view.ministry.get(asset)) in view.members and ministry is not None:
                yield ministry, record

    def _runs(self, run: RunRecord, view: _View) -> Iterator[tuple[str, Record]]:
        connection, number = self.store.connection, (run.number,)
        coverage = [
            (probe, _bits(targeted), _bits(answered))
            for probe, targeted, answered in connection.execute(
                "SELECT probe, targeted, answered FROM coverage WHERE run_id = ? ORDER BY probe", number
            )
        ]
        scores = {
            row[0]: dict(zip(("tenths", "low", "high", "coverage", "grade"), row[1:], strict=True))
            for row in connection.execute(
                "SELECT ministry, tenths, low, high, coverage, grade FROM score WHERE run_id = ?", number
            )
        }
        common = {
            **run.document(),
            "state_code": run.state_code,
            "timezone": run.timezone,
            "policy_sha256": run.policy_digest,
            "rules_sha256": run.rules_digest,
            "suspect": run.suspect,
            "kind": "run",
        }
        del common["id"]
        for ministry in sorted(view.members):
            mask = view.members[ministry]
            yield (
                ministry,
                {
                    **common,
                    "assets": mask.bit_count(),
                    "score": scores.get(ministry),
                    "probes": {
                        probe: {"asked": asked, "answered": (answered & mask).bit_count()}
                        for probe, targeted, answered in coverage
                        if (asked := (targeted & mask).bit_count())
                    },
                },
            )

    def _authorities(self, run: RunRecord, view: _View) -> Iterator[tuple[str, Record]]:
        """Of the letters of a run those that were the ministry's: the others are none of its business."""
        rows = sorted(self.store.connection.execute(_AUTHORITY, (run.number,)))
        for ministry in sorted(view.members):
            for authorisation, sequence, sha256, signers in rows:
                if authorisation in view.letters_of(ministry):
                    yield (
                        ministry,
                        {
                            "kind": "authority",
                            "authorisation": authorisation,
                            "sequence": sequence,
                            "sha256": sha256,
                            "signers": signers,
                        },
                    )

    def _exemptions(self, run: RunRecord, view: _View) -> Iterator[tuple[str, Record]]:
        """Those of the operator's file that are about an asset of the ministry, whether in force or not."""
        owners = {self._assets[number].name: ministry for number, ministry in sorted(view.ministry.items())}
        for one in exemptions_of(self.store.connection, run.number):
            if owners.get(one.asset) in view.members:
                yield owners[one.asset], {"kind": "exemption", **json.loads(exemption_body(one))}

    def _opened(self, run: RunRecord, view: _View, turns: Sequence[Turn]) -> Iterator[tuple[int, Record]]:
        text, connection, key = self.store.reader.texts.text, self.store.connection, (run.number, view.number)
        for asset, probe, subject, at, sha256, absent, authorisation in self._sorted(
            connection.execute(_FACTS + self._among, key)
        ):
            yield (
                asset,
                {
                    "kind": "facts",
                    **self._named(asset),
                    "probe": probe,
                    "subject": text(subject),
                    "at": at,
                    "sha256": sha256.lower(),
                    "absent": bool(absent),
                    "authorisation": authorisation,
                },
            )
        for one in sorted(begun_with(connection, view.number, run.number, self._numbers), key=self._place):
            yield (
                one.asset,
                {
                    "kind": "miss",
                    **self._named(one.asset),
                    "probe": one.probe,
                    "subject": one.subject,
                    "at": one.miss.at,
                    "reason": one.miss.reason,
                    "code": one.miss.code,
                    "authorisation": one.miss.authorisation,
                },
            )
        for spell in begun(turns):
            asset, control, subject = spell.place
            outcome, severity, body = spell.value
            yield (
                asset,
                {
                    **body_fields(text(body)),
                    "kind": "finding",
                    **self._named(asset),
                    "control": self._controls[control],
                    "subject": text(subject),
                    "outcome": str(OUTCOMES[outcome]),
                    "severity": str(SEVERITIES[severity]),
                    "cause": spell.cause,
                },
            )

    def _closed(self, run: RunRecord, turns: Sequence[Turn]) -> Iterator[tuple[int, Record]]:
        text, connection = self.store.reader.texts.text, self.store.connection
        key = (run.number, self.store.reader.texts.known(run.vantage))
        facts = self._sorted(connection.execute(_CLOSED + self._among, key))
        told = [("facts", asset, probe, text(subject)) for asset, probe, subject in facts]
        silences = sorted(ended_with(connection, key[1], run.number, self._numbers), key=self._place)
        told += [("miss", one.asset, one.probe, one.subject) for one in silences]
        for what, asset, probe, name in told:
            said = {"kind": "closed", "what": what, **self._named(asset), "probe": probe, "subject": name}
            yield asset, said
        for (asset, control, subject), cause in ended(turns):
            yield (
                asset,
                {
                    "kind": "closed",
                    "what": "finding",
                    **self._named(asset),
                    "control": self._controls[control],
                    "subject": text(subject),
                    "cause": cause,
                },
            )

    def _turned(self, run: RunRecord) -> list[Turn]:
        """What a run wrote of findings, in the order of the key. All is looked at: an index could be forged with it."""
        connection, texts = self.store.connection, self.store.reader.texts
        return turned_in(connection, track_of(connection, texts.known(run.vantage)), run.number, self._numbers)

    def _place(self, one: MissSpell) -> tuple[int, str, int]:
        """Subjects in the order in which they were first met, as those of facts."""
        return one.asset, one.probe, self.store.reader.texts.known(one.subject)

    def _events(self, run: RunRecord) -> Iterator[tuple[int, Record]]:
        names = ("subject", "event", "initial", "severity", "before", "after", "since", "until")
        for asset, control, *values in sorted(
            self.store.connection.execute(_EVENT + self._among, (run.number,)), key=lambda row: row[:4]
        ):
            said = dict(zip(names, values, strict=True))
            said["initial"] = bool(said["initial"])
            yield asset, {"kind": "event", **self._named(asset), "control": self._controls[control], **said}

    def _named(self, asset: int) -> Record:
        key = self._assets[asset]
        return {"asset": key.name, "asset_kind": key.kind}

    def _sorted(self, rows: Any) -> list[tuple[Any, ...]]:
        """By asset, probe or control, and subject: the order in which the rows lie is SQLite's own affair."""
        return sorted(rows, key=lambda row: row[:3])


@dataclass(slots=True)
class _View:
    """A vantage's history up to one run: which ministry an asset is of, and which letters are a ministry's.

    Those that the inventory named; in a history of a release that did not write that down, those it was ever asked under.
    """

    store: Store
    vantage: str
    bits: dict[int, int]
    among: str = ""  # a condition on asset_id
    only: AbstractSet[str] | None = None  # ministries
    run: int = 0
    number: int = field(init=False)
    ministry: dict[int, str] = field(default_factory=dict)
    named: dict[str, frozenset[str]] = field(default_factory=dict)
    letters: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    members: dict[str, int] = field(default_factory=dict)  # ministry -> bits of its assets

    def __post_init__(self) -> None:
        self.number = self.store.reader.texts.known(self.vantage)

    def letters_of(self, ministry: str) -> AbstractSet[str]:
        return self.named.get(ministry, frozenset()) if self.named else self.letters[ministry]

    def advance(self, run: int) -> None:
        if run == self.run:
            return
        self.named.update(named_of(self.store.connection, run, self.run))
        connection, span = self.store.connection, (self.run, run)
        moves = connection.execute(
            "SELECT from_run, asset_id, code FROM declaration JOIN ministry ON ministry.id = ministry_id "  # noqa: S608 - numbers
            f"WHERE from_run > ? AND from_run <= ?{self.among} ORDER BY from_run",
            span,
        ).fetchall()
        asked: set[tuple[int, int, str]] = set()
        if not self.named:
            asked.update(connection.execute(_ASKED + self.among, (*span, self.number)))
            asked.update(
                (one.miss.since, one.asset, one.miss.authorisation)
                for one in misses(connection, self.number)
                if self.run < one.miss.since <= run and one.miss.authorisation is not None
            )
        # A letter is of the ministry that the asset was of when it was asked, however many runs are told at once.
        place = 0
        for when, asset, authorisation in sorted(asked):
            while place < len(moves) and moves[place][0] <= when:
                self.ministry[moves[place][1]] = moves[place][2]
                place += 1
            if asset in self.ministry:
                self.letters[self.ministry[asset]].add(authorisation)
        self.ministry.update((asset, code) for _, asset, code in moves[place:])
        self.run = run
        self.members = self._members(run)

    def _members(self, run: int) -> dict[str, int]:
        marks: dict[str, set[int]] = defaultdict(set)
        inventory = self.store.connection.execute("SELECT inventory FROM run WHERE id = ?", (run,)).fetchone()[0]
        present = Bitmap.unpack(inventory)
        for asset, ministry in self.ministry.items():
            marks[ministry].update([self.bits[asset]] if self.bits[asset] in present else [])
        return {
            ministry: Bitmap(bits).number
            for ministry, bits in marks.items()
            if self.only is None or ministry in self.only
        }


def _ever_of(store: Store, ministries: AbstractSet[str]) -> set[int]:
    """The assets that were ever theirs."""
    marks = ",".join("?" * len(ministries))
    query = f"""SELECT asset_id FROM declaration WHERE ministry_id IN (
        SELECT id FROM ministry WHERE code IN ({marks}))"""  # noqa: S608 - marks
    return {asset for (asset,) in store.connection.execute(query, (*ministries,))}


def _bits(packed: bytes) -> int:
    return Bitmap.unpack(packed).number
