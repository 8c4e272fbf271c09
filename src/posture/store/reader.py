"""Questions to the history. Everything is *as of* a run: what was known when that run had ended."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from posture.checks import Reference
from posture.drift import Judged, Key, Probed
from posture.model import AssetKey, Finding
from posture.policy import Policy, parse_policy
from posture.store.answers import Texts, answer_from, entry_from, get_blob
from posture.store.bitmap import Bitmap
from posture.store.eventful import moved_assets
from posture.store.flapping import flapping
from posture.store.intervals import intervals
from posture.store.journals import journal_of
from posture.store.judged_view import view_of
from posture.store.lookback import known_at_last_look, last_seen, undecided
from posture.store.looks import Looks
from posture.store.moved import Moves
from posture.store.narrow import PLACE
from posture.store.past import Pasts
from posture.store.records import (
    AssetEntry,
    Interval,
    Question,
    RunRecord,
    StoredAnswer,
    Trace,
    moment,
)
from posture.store.run_rows import RUN, among, run_of
from posture.store.silences import missing_at
from posture.store.verdicts import COLUMNS, held, track_of

_AS_OF = "vantage_id = ? AND from_run <= ? AND (to_run IS NULL OR to_run > ?)"
_HELD = held("track_id = ? AND from_run <= ?")
_LOOKS_KEPT = 40  # runs whose looks stay unpacked, a megabyte or less each


class Reader:
    """Reads one database; keeps no state but caches of what never changes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._closed: dict[int, RunRecord] = {}
        self._runs: list[RunRecord] = []
        self._changes = -1  # how much this connection had changed when the runs were read
        self._open: set[int] = set()
        self._newest = 0  # of the runs read so far
        self._looks: dict[int, Looks] = {}
        self._reference: tuple[tuple[int | None, int], Reference] = ((None, 0), Reference())
        self.texts = Texts(connection)

    def forget(self) -> None:
        """After a rollback: what was given or closed within it is not."""
        self._closed.clear()
        self._open, self._newest, self._changes = set(), 0, -1
        self._looks.clear()
        self.texts.forget()

    # ---- runs and what they were bound to

    def runs(self, vantage: str | None = None) -> list[RunRecord]:
        """All runs, newest first."""
        if self._changes != self._connection.total_changes:  # only this connection changes what it sees
            self._runs, self._changes = self._read_runs(), self._connection.total_changes
        return [run for run in self._runs if vantage is None or run.vantage == vantage]

    def _read_runs(self) -> list[RunRecord]:
        open_ones = ",".join(map(str, self._open))
        rows = self._connection.execute(f"{RUN} WHERE run.id > ? OR run.id IN ({open_ones})", (self._newest,))
        fresh = [run_of(row) for row in rows]
        runs = sorted([*self._closed.values(), *fresh], key=lambda run: run.number, reverse=True)
        self._closed.update((run.number, run) for run in fresh if run.closed)
        self._open = {run.number for run in fresh if not run.closed}
        self._newest = max((run.number for run in fresh), default=self._newest)
        return runs

    def run(self, number: int) -> RunRecord:
        """Raises KeyError: no such run."""
        row = self._connection.execute(RUN + " WHERE run.id = ?", (number,)).fetchone()
        if row is None:
            raise KeyError(number)
        return run_of(row)

    def policy(self, run: RunRecord) -> Policy:
        """The policy that a run was judged by."""
        row = self._connection.execute("SELECT body FROM judgement WHERE id = ?", (run.judgement,)).fetchone()
        return parse_policy(row[0])

    def reference(self, run: RunRecord) -> Reference:
        """The dated tables that a run was judged by."""
        query = "SELECT roots_blob, roots_private FROM run WHERE id = ?"
        blob, private = self._connection.execute(query, (run.number,)).fetchone()
        if self._reference[0] != (blob, private):  # most runs share one trust store, which is large
            self._reference = ((blob, private), self._read_reference(blob, private=bool(private)))
        return self._reference[1]

    def _read_reference(self, blob: int | None, *, private: bool) -> Reference:
        if blob is None:
            return Reference(private_roots=private)
        sha256 = self._connection.execute("SELECT sha256 FROM blob WHERE id = ?", (blob,)).fetchone()[0]
        return Reference(get_blob(self._connection, blob), f"sha256:{sha256.hex()}", private)

    # ---- assets

    def assets(self) -> dict[int, AssetKey]:
        """Every asset ever seen, by number."""
        rows = self._connection.execute("SELECT id, name, kind FROM asset")
        return {number: AssetKey(name, kind) for number, name, kind in rows}

    def bits(self, only: Collection[AssetKey] | None = None) -> dict[int, AssetKey]:
        """Every asset ever seen, by its place in bitmaps; or some."""
        if only is None:
            rows = self._connection.execute("SELECT bit, name, kind FROM asset")
            return {bit: AssetKey(name, kind) for bit, name, kind in rows}
        query = "SELECT bit FROM asset WHERE kind = ? AND name = ?"
        found = ((self._connection.execute(query, (one.kind, one.name)).fetchone(), one) for one in only)
        return {row[0]: one for row, one in found if row}

    def inventory(self, run: int, ministries: Collection[str] = ()) -> dict[AssetKey, str]:
        """Whose each asset of the inventory was as of a run; of some ministries alone when they are named."""
        query = (
            "SELECT asset.name, kind, code FROM declaration JOIN asset ON asset.id = asset_id "
            "JOIN ministry ON ministry.id = ministry_id WHERE from_run <= ? AND (to_run IS NULL OR to_run > ?)"
        )
        if ministries:
            named = ",".join("?" * len(ministries))
            query += f" AND ministry_id IN (SELECT id FROM ministry WHERE code IN ({named}))"  # noqa: S608 - marks
        rows = self._connection.execute(query, (run, run, *ministries))
        return {AssetKey(name, kind): code for name, kind, code in rows}

    def whose(self, run: int, assets: Collection[AssetKey]) -> dict[AssetKey, str]:
        """As :meth:`inventory`, of some assets."""
        chosen = self._chosen(assets)
        rows = self._connection.execute(
            "SELECT asset_id, code FROM declaration JOIN ministry ON ministry.id = ministry_id "  # noqa: S608 - numbers
            "WHERE from_run <= ? AND (to_run IS NULL OR to_run > ?)" + among(chosen),
            (run, run),
        )
        return {chosen[number]: code for number, code in rows}

    def inventoried(self, run: int) -> set[str]:
        """The ministries of the inventory as of a run."""
        query = """SELECT code FROM ministry WHERE id IN (
            SELECT ministry_id FROM declaration WHERE from_run <= ? AND (to_run IS NULL OR to_run > ?))"""
        return {code for (code,) in self._connection.execute(query, (run, run))}

    def controls(self) -> dict[int, str]:
        return dict(self._connection.execute("SELECT id, code FROM control"))

    def ministries(self, state: str) -> dict[str, str]:
        """Code -> name, of every ministry of a State that was ever scanned."""
        return dict(self._connection.execute("SELECT code, name FROM ministry WHERE state = ? ORDER BY id", (state,)))

    def entries(self, run: int, only: Collection[AssetKey] | None = None) -> dict[AssetKey, AssetEntry]:
        """The inventory as of a run; ``only``: of these assets."""
        rows = self._connection.execute(
            "SELECT asset.name, kind, code, body FROM declaration JOIN asset ON asset.id = asset_id "  # noqa: S608 - numbers
            "JOIN ministry ON ministry.id = ministry_id WHERE from_run <= ? AND (to_run IS NULL OR to_run > ?)"
            + among(None if only is None else self._chosen(only)),
            (run, run),
        )
        return {AssetKey(name, kind): entry_from(AssetKey(name, kind), code, body) for name, kind, code, body in rows}

    # ---- answers

    def answers(
        self, run: RunRecord, only: Collection[AssetKey] | None = None
    ) -> dict[AssetKey, dict[tuple[str, str], StoredAnswer]]:
        """The last answers known as of a run, by asset and (probe, subject): facts and clear absences.

        Args:
            only: these assets' alone; all when left out.
        """
        assets = self._chosen(only)
        blob = cache(lambda number: get_blob(self._connection, number))
        found: dict[AssetKey, dict[tuple[str, str], StoredAnswer]] = defaultdict(dict)
        for asset, probe, subject, since, at, number, authorisation in self._as_of(
            "SELECT asset_id, probe, subject_id, from_run, at, blob_id, authorisation FROM facts WHERE ",
            run,
            only=None if only is None else assets,
        ):
            answer, digest = answer_from(blob(number), moment(at))
            stored = StoredAnswer(answer, since, digest, authorisation)
            found[assets[asset]][probe, self.texts.text(subject)] = stored
        return found

    def traces(
        self, run: RunRecord, only: Collection[AssetKey] | None = None
    ) -> dict[AssetKey, dict[tuple[str, str], Trace]]:
        """As :meth:`answers`, without reading a record."""
        assets = self._chosen(only)
        found: dict[AssetKey, dict[tuple[str, str], Trace]] = defaultdict(dict)
        for asset, probe, subject, since, at, name, absent in self._as_of(
            "SELECT asset_id, probe, subject_id, from_run, at, sha256, absent FROM facts "
            "JOIN blob ON blob.id = blob_id WHERE ",
            run,
            only=None if only is None else assets,
        ):
            digest = "" if absent else f"sha256:{name.hex()}"
            found[assets[asset]][probe, self.texts.text(subject)] = Trace(digest, since, moment(at))
        return found

    def misses(
        self, run: RunRecord, only: Collection[AssetKey] | None = None
    ) -> dict[AssetKey, dict[tuple[str, str], StoredAnswer]]:
        """What the last look, as of a run, could not see."""
        assets = self._chosen(only)
        found: dict[AssetKey, dict[tuple[str, str], StoredAnswer]] = {}
        vantage = self.texts.known(run.vantage)
        for asset, missing in missing_at(self._connection, vantage, run.number, None if only is None else assets):
            found[assets[asset]] = {question: miss.stored for question, miss in missing.items()}
        return found

    def pasts(self, vantage: str) -> Pasts:
        """Everything that was ever answered at a vantage, asset by asset."""
        return Pasts(self._connection, self.texts, vantage)

    def _as_of(self, select: str, run: RunRecord, only: Collection[int] | None = None) -> Iterator[tuple[Any, ...]]:
        """``only``: numbers of assets."""
        return self._connection.execute(select + _AS_OF + among(only), self._bound(run))

    def _bound(self, run: RunRecord) -> tuple[int, int, int]:
        """What ``_AS_OF`` takes."""
        return self.texts.known(run.vantage), run.number, run.number

    def _chosen(self, only: Collection[AssetKey] | None) -> dict[int, AssetKey]:
        """As :meth:`assets`, of some."""
        if only is None:
            return self.assets()
        query = "SELECT id FROM asset WHERE kind = ? AND name = ?"
        rows = ((self._connection.execute(query, (one.kind, one.name)).fetchone(), one) for one in only)
        return {row[0]: one for row, one in rows if row}

    # ---- findings

    def timelines(
        self, run: RunRecord, only: Collection[AssetKey] | None = None, *, judgement: int | None = None
    ) -> dict[Key, list[Interval]]:
        """Every finding ever made at the run's vantage up to that run, by key, oldest first.

        An interval that ended after the run is open again in this view.

        Args:
            only: of these assets alone; of all when left out.
            judgement: what was judged again under it, instead of what the runs themselves were told.
        """
        assets = self._chosen(only)
        chosen = None if only is None else assets
        track = track_of(self._connection, self.texts.known(run.vantage), judgement)
        rows = self._connection.execute(
            f"SELECT {COLUMNS} FROM verdict WHERE track_id = ? AND from_run <= ?{among(chosen)} "  # noqa: S608 - numbers
            f"ORDER BY {PLACE}, from_run",
            (track, run.number),
        ).fetchall()
        ministries = self.ministries_ever(run.number, chosen)
        return dict(intervals(rows, self.texts, assets, self.controls(), ministries, self._judgements(run, judgement)))

    def _judgements(self, run: RunRecord, judgement: int | None = None) -> dict[int, int]:
        """By run of a vantage what it was judged by; or one and the same."""
        return {one.number: judgement or one.judgement for one in self.runs(run.vantage)}

    def timelines_begun(self, run: RunRecord, begun: Collection[int]) -> dict[Key, list[Interval]]:
        """As :meth:`timelines`, the intervals alone that began in certain runs and still held as of this run."""
        assets = moved_assets(self._connection, begun)
        rows = self._connection.execute(
            f"SELECT {COLUMNS} FROM ({held('track_id = ? AND from_run <= ?' + among(assets))}) "  # noqa: S608 - names of our own, numbers
            f"WHERE from_run IN ({','.join(map(str, begun))}) ORDER BY 1, 2, 3",
            (self._track(run), run.number),
        ).fetchall()
        return dict(intervals(rows, self.texts, self.assets(), self.controls(), {}, self._judgements(run)))

    def _track(self, run: RunRecord) -> int:
        return track_of(self._connection, self.texts.known(run.vantage))

    def ministries_ever(self, run: int, only: Collection[int] | None = None) -> dict[int, str]:
        """By number of an asset: its ministry as of a run, or the last one of what has left the inventory since."""
        rows = self._connection.execute(
            "SELECT asset_id, code FROM declaration JOIN ministry ON ministry.id = ministry_id "  # noqa: S608 - numbers
            f"WHERE from_run <= ?{among(only)} ORDER BY from_run",
            (run,),
        )
        return dict(rows.fetchall())

    def subjects(self) -> list[str]:
        """Every subject that a finding was ever about."""
        query = "SELECT value FROM text_value WHERE id IN (SELECT subject_id FROM verdict)"
        return [text for (text,) in self._connection.execute(query)]

    def known_assets(self, run: RunRecord) -> set[AssetKey]:
        """Of which something was known as of a run."""
        query = f"SELECT name, kind FROM asset WHERE id IN (SELECT asset_id FROM ({_HELD}))"  # noqa: S608 - names of our own
        return {AssetKey(*row) for row in self._connection.execute(query, (self._track(run), run.number))}

    def known_controls(self, run: RunRecord) -> set[str]:
        """Of which something was known as of a run."""
        query = f"SELECT code FROM control WHERE id IN (SELECT control_id FROM ({_HELD}))"  # noqa: S608 - names of our own
        return {code for (code,) in self._connection.execute(query, (self._track(run), run.number))}

    def was_ever_known(self, control: str, run: RunRecord) -> bool:
        """Whether anybody ever answered a control, at the run's vantage, up to it."""
        query = (
            "SELECT 1 FROM verdict JOIN control ON control.id = control_id WHERE code = ? AND track_id = ? "
            "AND from_run <= ? AND said IS NOT NULL LIMIT 1"
        )
        row = self._connection.execute(query, (control, self._track(run), run.number)).fetchone()
        return row is not None

    # ---- coverage

    def coverage(self, run: RunRecord) -> dict[str, Probed]:
        """By probe: which assets were asked, and which answered in full."""
        bits = self.bits()
        query = "SELECT probe, targeted, answered FROM coverage WHERE run_id = ?"
        return {
            probe: Probed(_members(targeted, bits), _members(answered, bits))
            for probe, targeted, answered in self._connection.execute(query, (run.number,))
        }

    def miss_reasons(self, run: RunRecord, probe: str) -> set[str]:
        """Why a probe's answers are missing, as of the newest run of the vantage."""
        query = "SELECT DISTINCT reason FROM miss WHERE probe = ? AND vantage_id = ? AND to_run IS NULL"
        return {row[0] for row in self._connection.execute(query, (probe, self.texts.known(run.vantage)))}

    def looks(self, run: int) -> Looks:
        """By control: assets asked, assets known in full, and for those known in part the silent subjects by bit."""
        if run not in self._looks:
            query = (
                "SELECT code, asked, known, silent FROM judged JOIN control ON control.id = control_id WHERE run_id = ?"
            )
            rows = self._connection.execute(query, (run,))
            looks = Looks({code: (asked, known, silent) for code, asked, known, silent in rows})
            if not looks:  # an open run's are still to come
                return looks
            if len(self._looks) >= _LOOKS_KEPT:
                del self._looks[next(iter(self._looks))]
            self._looks[run] = looks
        return self._looks[run]

    def undecided(self, run: RunRecord, only: Collection[AssetKey] | None = None) -> set[AssetKey]:
        """See :func:`posture.store.lookback.undecided`."""
        return undecided(self, run, only)

    def known_at_last_look(self, run: RunRecord, keys: Collection[Key]) -> set[Key]:
        """See :func:`posture.store.lookback.known_at_last_look`."""
        return known_at_last_look(self, run, keys)

    # ---- drift's view

    def judged(
        self,
        run: RunRecord,
        unknown: Mapping[Key, Finding],
        timelines: Mapping[Key, list[Interval]],
        only: Collection[AssetKey] | None = None,
    ) -> Judged:
        """A run as drift looks at it.

        Args:
            unknown: the unknowns of that run, which are no part of the history.
            timelines: :meth:`timelines` of that run.
            only: of these assets alone, without coverage; of all when left out.
        """
        return view_of(self, run, unknown, timelines, only)

    def flapping(
        self,
        run: RunRecord,
        timelines: Mapping[Key, list[Interval]],
        bits: Mapping[AssetKey, int] | None = None,
    ) -> dict[Key, tuple[int, int]]:
        """What changes too often: see :func:`posture.store.flapping.flapping`."""
        return flapping(self, run, timelines, bits)

    def contradicted(self, run: RunRecord) -> dict[tuple[AssetKey, str], set[int]]:
        """Runs whose second look did not say what the first had said, by asset and subject."""
        found: dict[tuple[AssetKey, str], set[int]] = defaultdict(set)
        rows = self._connection.execute(
            "SELECT asset.name, asset.kind, subject, run.id FROM second_look JOIN asset ON asset.id = asset_id "
            "JOIN run ON run.id = run_id WHERE said = 'other' AND vantage = ? AND run.id <= ?",
            (run.vantage, run.number),
        )
        for name, kind, subject, number in rows:
            found[AssetKey(name, kind), subject].add(number)
        return found

    def until(self, run: RunRecord) -> list[RunRecord]:
        """The vantage's closed runs up to this one, which may just be closing; newest first."""
        earlier = [one for one in self.runs(run.vantage) if one.number < run.number and one.closed]
        return [run, *earlier]

    def last_seen(
        self,
        run: RunRecord,
        timelines: Mapping[Key, list[Interval]],
        *,
        runs: Sequence[RunRecord] | None = None,
        bits: Mapping[AssetKey, int] | None = None,
    ) -> dict[Key, RunRecord]:
        """See :func:`posture.store.lookback.last_seen`."""
        return last_seen(self, run, timelines, runs=runs, bits=bits)

    def moves(self, before: RunRecord, after: RunRecord) -> Moves:
        """What moved between two closed runs of one vantage and one judgement. Raises ValueError: they are of two."""
        return Moves(self._connection, self, before, after)

    # ---- the open run

    def journal(self, run: int) -> Iterator[tuple[Question, StoredAnswer]]:
        """The answers of an open run."""
        return journal_of(self._connection, self.assets(), run)

    def second_looks(self, run: int) -> dict[tuple[AssetKey, str], dict[str, str]]:
        """What second looks in a run said of what the first had seen, by asset and probe, then subject."""
        found: dict[tuple[AssetKey, str], dict[str, str]] = defaultdict(dict)
        rows = self._connection.execute(
            "SELECT name, kind, probe, subject, said FROM second_look JOIN asset ON asset.id = asset_id WHERE run_id = ?",
            (run,),
        )
        for name, kind, probe, subject, said in rows:
            found[AssetKey(name, kind), probe][subject] = said
        return found


def _members(packed: bytes, bits: Mapping[int, AssetKey]) -> frozenset[AssetKey]:
    return frozenset(bits[bit] for bit in Bitmap.unpack(packed))
