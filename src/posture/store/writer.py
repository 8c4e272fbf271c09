"""The history as a file: one writer or many readers, runs that are begun, recorded and closed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from posture.checks import Control, catalogue
from posture.drift import Event
from posture.errors import StoreError
from posture.judge import judge
from posture.model import Absent, Answer, AssetKey, Finding, Outcome, Reason, Unobserved
from posture.store.answers import DETAIL_LIMIT, answer_bytes, entry_body, put_blob
from posture.store.authority import put_authority, put_named
from posture.store.bitmap import Bitmap
from posture.store.database import (
    WriterLock,
    check_space,
    connect_read,
    connect_write,
    of_today,
    store_error,
    transaction,
)
from posture.store.dockets import docket_of
from posture.store.exemptions import put_exemptions
from posture.store.fold import Fold
from posture.store.fold_findings import FindingsFold
from posture.store.judgements import put_judgement, rules_digest
from posture.store.judging import compare_runs, trusted_before
from posture.store.reader import Reader
from posture.store.records import Closed, Question, RunRecord, RunStart, ScoreRow, StoredAnswer, new_run_id, stamp
from posture.store.scores import put_scores
from posture.task import Task

_OUR_BUGS = (sqlite3.IntegrityError, sqlite3.ProgrammingError)
# Signs the history as it is once a run is closed in it, in that transaction.
Seal = Callable[["Store"], object]
CLOSED_STATES = ("complete", "partial", "stopped", "quarantined")


@dataclass(slots=True)
class Store:
    """One database. Use as a context manager; open for writing by one process at a time."""

    path: Path
    connection: sqlite3.Connection
    reader: Reader
    shipped: Mapping[str, Control]
    lock: WriterLock | None = None

    @classmethod
    def open(cls, path: Path, *, write: bool, shipped: Mapping[str, Control] | None = None) -> Store:
        """Opens the history; only for writing is it created when there is none.

        Args:
            shipped: the controls to judge by; the shipped catalogue when left out.

        Raises:
            UsageError: reading, and there is no such database; or the file is something else.
            NothingToScan: writing, and another process does; says who.
            StoreError: it cannot be read or written.
        """
        controls = catalogue() if shipped is None else shipped
        if not write:
            connection = connect_read(path)
            try:
                of_today(path, connection)
                connection.execute("BEGIN")  # all questions of a reader see the history at one moment
            except sqlite3.Error as fault:
                connection.close()
                raise store_error(path, fault) from fault
            except StoreError:
                connection.close()
                raise
            return cls(path, connection, Reader(connection), controls)
        lock = WriterLock(path)
        try:
            connection = connect_write(path)
        except BaseException:
            lock.release()
            raise
        return cls(path, connection, Reader(connection), controls, lock)

    def close(self) -> None:
        self.connection.close()
        if self.lock:
            self.lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes. A fault of the file becomes a sentence; raises StoreError."""
        self.close()
        if isinstance(fault, sqlite3.DatabaseError) and not isinstance(fault, _OUR_BUGS):
            raise store_error(self.path, fault) from fault

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction on disk when the block ends. Raises StoreError, also when opened for reading."""
        if self.lock is None:
            raise StoreError(f"{self.path} was opened for reading. Open it for writing first.")
        try:
            with transaction(self.path, self.connection):
                yield self.connection
        except BaseException:
            self.reader.forget()
            raise

    # ---- runs

    def begin(self, start: RunStart, *, seal: Seal | None = None) -> OpenRun:
        """A new run. A leftover of the same vantage is folded first, and sealed in the same transaction.

        Raises:
            StoreError: the disk is too small or the database cannot be written.
        """
        check_space(self.path, len(start.planned))
        self.fold_partial(start.vantage, seal=seal)
        with self.writing() as connection:
            number = _Beginning(self, connection, start).write()
        run = self.reader.run(number)
        assert self.lock is not None
        self.lock.say(run.id)
        return OpenRun(self, run)

    def leftover(self, vantage: str) -> OpenRun | None:
        """The run that a dead process left open at this vantage. Only the holder of the lock may ask."""
        open_runs = [run for run in self.reader.runs(vantage) if not run.closed]
        return OpenRun(self, open_runs[0]) if open_runs and self.lock else None

    def fold_partial(self, vantage: str, *, seal: Seal | None = None) -> Closed | None:
        """Closes a leftover as partial: its answers stay, it feeds neither drift nor scores."""
        leftover = self.leftover(vantage)
        if leftover is None:
            return None
        last = max((stored.answer.at for _, stored in leftover.answers()), default=leftover.run.started_at)
        return leftover.close(leftover.judged(last), "partial", last, seal=seal)


@dataclass(slots=True)
class OpenRun:
    """A run that is going on."""

    store: Store
    run: RunRecord
    _numbers: dict[AssetKey, int] = field(default_factory=dict)

    def record(self, task: Task, answer: Answer) -> None:
        """Keeps one answer; on disk when this returns. A second answer to the same question replaces the first.

        Raises:
            StoreError: the disk is full, or the database cannot be written; what was recorded before is kept.
        """
        self.settle(task.key, task.probe, task.subject, answer, task.authorisation)

    def settle(
        self, asset: AssetKey, probe: str, subject: str, answer: Answer, authorisation: str | None = None
    ) -> None:
        """As :meth:`record`, for what planning knew without a task."""
        self.settle_all([((asset, probe, subject), answer, authorisation)])

    def settle_all(self, answers: Iterable[tuple[Question, Answer, str | None]]) -> None:
        """Many at once, all or none."""
        with self.store.writing() as connection:
            for (asset, probe, subject), answer, authorisation in answers:
                row = (self.run.number, self._number(asset), probe, subject, stamp(answer.at))
                connection.execute(
                    "INSERT OR REPLACE INTO journal (run_id, asset_id, probe, subject, at, blob_id, absent, reason, code, "
                    "detail, authorisation) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*row, *_answer_columns(connection, answer), authorisation),
                )

    def looked_again(self, said: Mapping[Question, str]) -> None:
        """Keeps what second looks said of the first answers: same, other or nothing. Raises StoreError."""
        with self.store.writing() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO second_look (run_id, asset_id, probe, subject, said) VALUES (?, ?, ?, ?, ?)",
                [
                    (self.run.number, self._number(asset), probe, subject, word)
                    for (asset, probe, subject), word in said.items()
                ],
            )

    def _number(self, asset: AssetKey) -> int:
        if not self._numbers:
            self._numbers = {key: number for number, key in self.store.reader.assets().items()}
        return self._numbers[asset]

    def answers(self) -> Iterator[tuple[Question, StoredAnswer]]:
        """All that has been recorded so far: ((asset, probe, subject), answer with its authorisation)."""
        return self.store.reader.journal(self.run.number)

    def done(self) -> set[Question]:
        """The questions that need not be asked again."""
        return {question for question, _ in self.answers()}

    def planned(self) -> set[Question]:
        """Every question that the run set out to ask."""
        assets = self.store.reader.assets()
        query = "SELECT asset_id, probe, subject FROM planned WHERE run_id = ?"
        rows = self.store.connection.execute(query, (self.run.number,))
        return {(assets[asset], probe, subject) for asset, probe, subject in rows}

    def differs_from(self, start: RunStart) -> tuple[str, ...]:
        """What forbids to go on with this run in the place of a new one: names of terms that are not the same."""
        shipped, run = self.store.shipped, self.run
        same = {
            "inventory": run.inventory_digest == start.inventory_digest,
            "authorisation": run.authorisation_digest == start.authorisation_digest,
            "policy": run.policy_digest == start.policy.digest
            and run.rules_digest == rules_digest(start.policy, shipped),
            "selectors": dict(run.selectors) == dict(start.selectors) and set(run.controls) == set(start.controls),
        }
        return tuple(name for name, equal in same.items() if not equal)

    def judged(self, at: datetime) -> list[Finding]:
        """The answers so far, judged under the run's own policy; what was planned and not asked is unknown: stopped."""
        reader = self.store.reader
        policy, reference, entries = (
            reader.policy(self.run),
            reader.reference(self.run),
            reader.entries(self.run.number),
        )
        by_asset: dict[AssetKey, dict[tuple[str, str], StoredAnswer]] = {}
        unasked = StoredAnswer(Unobserved(Reason.STOPPED, at), self.run.number)
        for asset, probe, subject in self.planned():
            by_asset.setdefault(asset, {})[probe, subject] = unasked
        for (asset, probe, subject), stored in self.answers():
            by_asset.setdefault(asset, {})[probe, subject] = stored
        return [
            finding
            for asset, answers in by_asset.items()
            if asset in entries
            for finding in judge(
                docket_of(entries[asset], answers),
                policy,
                at,
                reference=reference,
                lab=self.run.lab,
                controls=self.run.controls,
                shipped=self.store.shipped,
            )
        ]

    def close(
        self,
        findings: Iterable[Finding],
        state: str,
        ended_at: datetime,
        *,
        scores: Callable[[RunRecord], Mapping[str, ScoreRow]] | None = None,
        seal: Seal | None = None,
    ) -> Closed:
        """Folds the journal into the history, in one transaction.

        Args:
            findings: everything that was judged, unknowns included.
            state: complete, partial, stopped or quarantined. Only a complete run feeds drift and scores; a
                quarantined one leaves nothing but its own line, because its answers cannot be trusted.
            scores: by ministry ("" is the State), of a complete run, from the history as it is once folded.
            seal: what is to be signed of the history once the run is closed in it.

        Raises:
            StoreError: nothing was changed; the answers are still in the journal.
            ValueError: no such state.
        """
        if state not in CLOSED_STATES:
            raise ValueError(f"a run does not close as {state!r}")
        store, closing = self.store, self.run._replace(state=state, ended_at=ended_at.replace(microsecond=0))
        events: tuple[Event, ...] = ()
        suspect = False
        with store.writing() as connection:
            if state != "quarantined":
                events, suspect = self._fold(connection, closing, tuple(findings))
            connection.execute("DELETE FROM journal WHERE run_id = ?", (closing.number,))
            connection.execute("DELETE FROM planned WHERE run_id = ?", (closing.number,))
            connection.execute(
                "UPDATE run SET state = ?, ended_at = ?, suspect = ? WHERE id = ?",
                (state, stamp(ended_at), suspect, closing.number),
            )
            if state == "complete" and scores is not None:
                put_scores(connection, store.reader.texts, closing.number, scores(store.reader.run(closing.number)))
            if seal is not None:
                seal(store)
        self.run = store.reader.run(closing.number)
        return Closed(self.run, events, suspect)

    def _fold(
        self, connection: sqlite3.Connection, closing: RunRecord, findings: tuple[Finding, ...]
    ) -> tuple[tuple[Event, ...], bool]:
        reader, shipped = self.store.reader, self.store.shipped
        earlier = [run for run in reader.runs(closing.vantage) if run.closed and run.state != "quarantined"]
        fold = Fold(connection, reader, closing, reader.policy(closing), shipped)
        fold.answers()
        FindingsFold(fold, findings, earlier[0] if earlier else None).run()
        complete = trusted_before(reader, closing)
        events: tuple[Event, ...] = ()
        why: Sequence[str] = ()
        if closing.state == "complete" and complete is not None:
            unknown = {(f.asset, f.control, f.subject): f for f in findings if f.outcome is Outcome.UNKNOWN}
            events, why = compare_runs(reader, complete, closing, shipped, unknown)
            fold.events(events)
        fold.put_moved()
        return events, bool(why)


def _answer_columns(
    connection: sqlite3.Connection, answer: Answer
) -> tuple[int | None, bool, str | None, str | None, str]:
    """blob_id, absent, reason, code, detail."""
    if isinstance(answer, Unobserved):
        return None, False, str(answer.reason), answer.code, answer.detail[:DETAIL_LIMIT]
    return put_blob(connection, answer_bytes(answer)), isinstance(answer, Absent), None, None, ""


@dataclass(slots=True)
class _Beginning:
    """The first transaction of a run: its terms, its inventory, its plan."""

    store: Store
    connection: sqlite3.Connection
    start: RunStart

    def write(self) -> int:
        """The number of the new run."""
        start, connection = self.start, self.connection
        numbers, bits = self._assets()
        inventory = Bitmap(bits[entry.key] for entry in start.assets)
        run = self._run(inventory)
        self._declarations(run, numbers)
        connection.executemany(
            "INSERT OR IGNORE INTO planned (run_id, asset_id, probe, subject) VALUES (?, ?, ?, ?)",
            [(run, numbers[asset], probe, subject) for asset, probe, subject in start.planned],
        )
        put_authority(connection, run, start.authorities)
        put_named(connection, run, start.named)
        put_exemptions(connection, self.store.reader.texts, run, start.exemptions)
        return run

    def _run(self, inventory: Bitmap) -> int:
        start, connection = self.start, self.connection
        reference = start.reference
        roots = put_blob(connection, reference.roots) if reference.roots else None
        row = connection.execute(
            "INSERT INTO run (name, state_code, timezone, vantage, started_at, state, selectors, controls, judgement_id, "
            "tool, inventory_sha256, authorisation_sha256, roots_blob, roots_private, lab, inventory) "
            "VALUES (?, ?, ?, ?, ?, 'running', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                start.id or new_run_id(start.started_at),
                start.state,
                start.timezone,
                start.vantage,
                stamp(start.started_at),
                json.dumps(start.selectors, sort_keys=True),
                json.dumps(start.controls),
                put_judgement(connection, start.policy, self.store.shipped),
                start.tool,
                start.inventory_digest,
                start.authorisation_digest,
                roots,
                reference.private_roots,
                start.lab,
                inventory.pack(),
            ),
        )
        return int(row.lastrowid or 0)

    def _assets(self) -> tuple[dict[AssetKey, int], dict[AssetKey, int]]:
        """Numbers and bits of all assets; new ones get the next bit, which is never given to another."""
        known = set(self.store.reader.bits().values())
        following = self.connection.execute("SELECT coalesce(max(bit), -1) + 1 FROM asset").fetchone()[0]
        new = sorted({entry.key for entry in self.start.assets} - known)
        self.connection.executemany(
            "INSERT INTO asset (kind, name, bit) VALUES (?, ?, ?)",
            [(asset.kind, asset.name, following + place) for place, asset in enumerate(new)],
        )
        reader = self.store.reader
        return {key: n for n, key in reader.assets().items()}, {key: bit for bit, key in reader.bits().items()}

    def _declarations(self, run: int, numbers: Mapping[AssetKey, int]) -> None:
        ministries = self._ministries()
        query = "SELECT asset_id, ministry_id, body FROM declaration WHERE to_run IS NULL"
        old = {asset: (ministry, body) for asset, ministry, body in self.connection.execute(query)}
        for entry in self.start.assets:
            number, now = numbers[entry.key], (ministries[entry.ministry], entry_body(entry))
            if old.get(number) == now:
                continue
            if number in old:
                close = "UPDATE declaration SET to_run = ? WHERE asset_id = ? AND to_run IS NULL"
                self.connection.execute(close, (run, number))
            insert = "INSERT INTO declaration (asset_id, from_run, ministry_id, body) VALUES (?, ?, ?, ?)"
            self.connection.execute(insert, (number, run, *now))

    def _ministries(self) -> dict[str, int]:
        names = {entry.ministry: entry.ministry for entry in self.start.assets} | dict(self.start.ministries)
        for code, name in names.items():
            self.connection.execute(
                "INSERT INTO ministry (state, code, name) VALUES (?, ?, ?) "
                "ON CONFLICT (state, code) DO UPDATE SET name = excluded.name",
                (self.start.state, code, name),
            )
        query = "SELECT code, id FROM ministry WHERE state = ?"
        return dict(self.connection.execute(query, (self.start.state,)).fetchall())
