"""Writing the trail: append-only, one system call a record, before the packet that it is about.

trail = AuditTrail.open(path, key, clock=utcnow, remembered=head, remember=keep)
trail.start(Start(...)); trail.endpoint("resolver", ...); broker = Broker(..., trail=trail); ...; trail.end("complete")
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from posture.audit.chain import Broken
from posture.audit.records import (
    Fields,
    Head,
    bounded,
    checkpoint_fields,
    closing_fields,
    decision_fields,
    one_spelling,
    order_fields,
    rotation_fields,
    signed_message,
    stamp,
    written,
)
from posture.audit.verify import Survey, survey
from posture.disk import sync_folder
from posture.errors import AuditError, PostureError
from posture.keys import OperatorKey
from posture.net.decisions import Closing, Decision
from posture.stop import Order, OrdersNow, no_orders

CHECKPOINT_RECORDS = 1000
CHECKPOINT_SECONDS = 300.0
MODE = 0o600
NOTHING_SENT = "Nothing was sent."
SENT_BEFORE = "The run ended there: nothing is sent that is not on record. Finished answers are kept."


@dataclass(frozen=True, slots=True)
class Letter:
    """An authorisation in force, as a start record names it; ``sha256`` over all its terms, ``signers`` verified ones."""

    id: str
    sha256: str
    sequence: int
    signers: tuple[str, ...]
    owner: str
    reference: str


@dataclass(frozen=True, slots=True)
class Start:
    """Who scans what: the account that runs posture, on whose behalf, on which database, under which letters."""

    run: str
    tool: str
    operator: str
    user: str
    uid: int
    database: str
    authorisations: tuple[Letter, ...]


def trail_path(database: Path) -> Path:
    """Where the trail of a database is."""
    return database.with_name(database.name + ".audit.jsonl")


class AuditTrail:
    """posture.net.decisions.Trail, on disk. One process at a time: the holder of the database's writer lock.

    Once a write has failed, nothing can be written any more, and so nothing sent.
    """

    def __init__(
        self,
        path: Path,
        key: OperatorKey,
        file: int,
        found: Survey,
        *,
        clock: Callable[[], datetime],
        remember: Callable[[Head], None],
        orders: OrdersNow,
    ) -> None:
        self.path = path
        self.head = found.head
        self.run = ""
        self._key = key
        self._file = file
        self._clock = clock
        self._remember = remember
        self._orders_now = orders
        self._size = os.fstat(file).st_size
        # What the start record of a new trail must name.
        self._previous: Head | None = None
        self._unsigned = found.head.seq - found.signed if found.records else 0
        self._signed_at = time.monotonic()
        self._sent = False
        self._fault: PostureError | None = None
        self._endpoints: set[tuple[str, str, int, str]] = set()
        self._orders: set[Order] = set()

    @classmethod
    def open(
        cls,
        path: Path,
        key: OperatorKey,
        *,
        clock: Callable[[], datetime],
        remembered: Head | None = None,
        remember: Callable[[Head], None] = lambda _head: None,
        orders: OrdersNow = no_orders,
    ) -> Self:
        """Opens the trail, or begins one, after proving that the whole of it holds.

        Args:
            remembered: the head that the database last knew; when the file is gone, the new one goes on from there.
            remember: keeps the head of each checkpoint, once that is on disk.
            orders: what the kill switch says now; each order that is met goes on record.

        Raises:
            AuditError: the trail is broken, cut, signed by another key, or cannot be written. Nothing was sent.
        """
        try:
            file, is_new = _opened(path)
        except OSError as fault:
            raise _unwritable(path, fault) from fault
        try:
            found = _surveyed(path, key, None if is_new else remembered)
            trail = cls(path, key, file, found, clock=clock, remember=remember, orders=orders)
            if is_new and remembered is not None:
                trail.head = trail._previous = remembered
            trail._mend(found)
        except BaseException:
            os.close(file)
            raise
        return trail

    # ---- what is written

    def start(self, start: Start) -> None:
        """A scan begins. Raises AuditError."""
        self.run = start.run
        self._append("start", asdict(start))

    def endpoint(self, purpose: str, name: str, address: str, port: int, protocol: str) -> None:
        """The operator's own ``purpose`` (resolver, canary) may be asked in this run; once is enough. Raises AuditError."""
        which = (purpose, one_spelling(address), port, protocol)
        if which in self._endpoints:
            return
        self._endpoints.add(which)
        where = {"address": which[1], "port": port, "protocol": protocol}
        self._append("endpoint", {"run": self.run, "purpose": purpose, "name": bounded(name), **where})

    def decided(self, decision: Decision) -> int:
        """Writes a decision down, before anything is sent. Raises AuditError."""
        self._note_orders()
        self._append("decision", decision_fields(self.run, decision), decision.at)
        record = self.head.seq
        self._sent |= decision.allowed and decision.connections > 0
        self._sign_when_due()
        return record

    def closed(self, record: int, closing: Closing) -> None:
        """How an allowed one ended. Never raises, for it is called while connections are put away: a fault meets the
        next decision, or the end."""
        with suppress(PostureError):
            self._note_orders()
            self._append("close", closing_fields(record, closing), closing.at)
            self._sign_when_due()

    def sealed(self, size: int, root: bytes) -> None:
        """Where the history's ledger stands: so many entries under that root. Raises AuditError."""
        self._append("ledger", {"run": self.run, "size": size, "root": root.hex()})

    def rotated(self, new: OperatorKey) -> None:
        """From here on ``new`` signs; what was written before is signed by the former key first. Raises AuditError."""
        if self._unsigned:
            self.checkpoint()
        at = self._clock()
        self._append("rotation", rotation_fields(self._key, new, stamp(at)), at)
        self._key = new
        self.checkpoint()

    def end(self, state: str) -> None:
        """The scan ended so; everything is signed and on disk. Raises AuditError."""
        self._note_orders()
        self._append("end", {"run": self.run, "state": state})
        self.checkpoint()

    def checkpoint(self) -> None:
        """Signs all records so far, forces them to the disk and has the head remembered.

        Raises:
            AuditError: it cannot be written.
            PostureError: whatever ``remember`` raises.
        """
        at, before = self._clock(), self.head
        signature = self._key.sign(signed_message(before, stamp(at)))
        self._append("checkpoint", checkpoint_fields(before, self._key.public, signature), at)
        try:
            os.fsync(self._file)
            self._must_be_ours(os.fstat(self._file))
        except OSError as fault:
            raise self._failed(fault) from fault
        self._unsigned, self._signed_at = 0, time.monotonic()
        try:
            self._remember(self.head)
        except PostureError as fault:
            self._fault = fault
            raise

    def close(self) -> None:
        """Lets go of the file; signs nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    # ---- how

    def _append(self, kind: str, fields: Fields, at: datetime | None = None, *, lead: bytes = b"") -> None:
        """One record, in one system call; ``lead`` goes before it."""
        if self._fault is not None:
            raise self._fault
        if self._previous is not None:
            fields, self._previous = {**fields, "previous": self._previous._asdict()}, None
        record = written(self.head, stamp(at or self._clock()), kind, fields)
        line = lead + record.line
        self._write(line)
        self.head = record.head
        self._unsigned += 1

    def _note_orders(self) -> None:
        """Each order of the kill switch that this run meets, once."""
        for order in self._orders_now().given:
            if order not in self._orders:
                self._orders.add(order)
                self._append("order", order_fields(self.run, order))

    def _sign_when_due(self) -> None:
        if self._unsigned >= CHECKPOINT_RECORDS or time.monotonic() - self._signed_at >= CHECKPOINT_SECONDS:
            self.checkpoint()

    def _mend(self, found: Survey) -> None:
        """What a crash left at the end stays, is ended by LF, and is named by a record."""
        if found.loose:
            torn = {"bytes": len(found.loose), "sha256": hashlib.sha256(found.loose).hexdigest()}
            self._append("torn", torn, lead=b"\n")
        elif found.unended:
            self._write(b"\n")

    def _write(self, line: bytes) -> None:
        rest = line
        try:
            while rest:  # a second turn only when the disk is full: it tells why
                rest = rest[os.write(self._file, rest) :]
        except OSError as fault:
            if not self._size and rest == line:
                self.path.unlink(missing_ok=True)  # an empty trail would be taken for one that was cut
            raise self._failed(fault) from fault
        self._size += len(line)

    def _must_be_ours(self, now: os.stat_result) -> None:
        """Nobody else wrote to the file, cut it or removed it."""
        if now.st_size != self._size or not now.st_nlink:
            raise OSError("somebody else changed it")

    def _failed(self, fault: OSError) -> AuditError:
        self._fault = error = _unwritable(self.path, fault, sent=self._sent)
        return error


def _opened(path: Path) -> tuple[int, bool]:
    """The file, for appending only, and whether it was made just now."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        file, is_new = os.open(path, flags), False
    except FileNotFoundError:
        file, is_new = os.open(path, flags | os.O_CREAT | os.O_EXCL, MODE), True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_new:
            sync_folder(path.parent)
    except BaseException:
        os.close(file)
        raise
    return file, is_new


def _surveyed(path: Path, key: OperatorKey, remembered: Head | None) -> Survey:
    """Raises AuditError: it does not hold, or is not ours."""
    mine = key.public.fingerprint
    try:
        with path.open("rb", buffering=1 << 20) as stream:
            found = survey(stream, remembered=remembered)
    except Broken as fault:
        raise _broken(path, f"is broken: {fault}") from fault
    except OSError as fault:
        raise _unwritable(path, fault) from fault
    if found.key is not None and found.key.fingerprint != mine:
        raise _broken(path, f"is signed by {found.key.fingerprint}, not by the operator's key {key.path} ({mine})")
    return found


def _broken(path: Path, what: str) -> AuditError:
    return AuditError(
        f"E-AUDIT-001 the audit trail {path} {what}. {NOTHING_SENT} "
        f"Keep the file as evidence, and look: 'posture verify --audit {path}'. "
        f"To scan again, move it away: mv {path} {path}.kept (the new trail will name where the old one stood)."
    )


def _unwritable(path: Path, fault: OSError, *, sent: bool = False) -> AuditError:
    """Exit code 4 when nothing was sent, else 5."""
    why = "another process writes it" if isinstance(fault, BlockingIOError) else fault.strerror or str(fault)
    error = AuditError(
        f"E-AUDIT-001 the audit trail {path} cannot be written: {why}. {SENT_BEFORE if sent else NOTHING_SENT} "
        f"Mend the cause (space, permissions), then 'posture scan{' --resume' if sent else ''}'."
    )
    if sent:
        error.exit_code = 5
    return error
