"""The audit trail of a scan: opened before the first packet, closed when nothing can be sent any more."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from posture.audit import AuditTrail, Head, Letter, Start, trail_path
from posture.errors import Interrupted, NothingToScan, PostureError, UsageError
from posture.keys import OperatorKey, key_path, load_or_make_key
from posture.ledger import Checkpoint
from posture.ledger.log import must_go_on_with
from posture.net.decisions import Decision
from posture.net.governor import Traffic
from posture.net.resolver import RunResolver
from posture.plan import Plan, Refused
from posture.scan.beginning import TOOL
from posture.scan.ended import Ended
from posture.scan.terms import Terms
from posture.stop import account
from posture.store import Store
from posture.store.records import new_run_id
from posture.store.trail import last_head, put_head
from posture.task import Task

if TYPE_CHECKING:
    from posture.scan.run import Progress


@dataclass(slots=True)
class Recording:
    """The trail of one scan. ``run`` is the id under which it goes, also before the history knows the run; ``new_run``
    that of the run that the history is to begin, "" when it is to go on with one."""

    trail: AuditTrail
    key: OperatorKey
    run: str
    new_run: str
    terms: Terms
    state: str = "failed"

    def planned(self, plan: Plan, at: datetime) -> None:
        """What planning refused goes on record as what the broker refuses does; port 0 where it names none.

        Raises:
            AuditError: it cannot be written.
        """
        for refused in plan.refusals:
            self.trail.decided(_decision(refused, at))

    def sealed(self, checkpoint: Checkpoint | None) -> None:
        """Where the ledger stood when the run had closed, so that its end cannot be cut off unseen. Raises AuditError."""
        if checkpoint is not None:
            self.trail.sealed(checkpoint.size, checkpoint.root)

    def begun(self, run: str) -> None:
        """The run as the history knows it. A quarantined scan does not go on with the run that it was to resume."""
        if run != self.run:
            self.run = run
            self.trail.start(_start(self.terms, run))

    def ended(self, ended: Ended) -> Ended:
        """How it ended, for the last record."""
        state = "quarantined" if ended.quarantine else str(ended.run["state"])
        self.state = "interrupted" if state == "running" else state
        return ended


@contextmanager
def on_record(
    terms: Terms,
    store: Store,
    resolver: RunResolver,
    progress: Progress,
    *,
    resume: bool,
    clock: Callable[[], datetime],
) -> Iterator[Recording]:
    """For the length of the block everything that is sent goes on record, our own resolver first.

    Raises:
        ConfigurationError: the operator's key cannot be used.
        AuditError: the trail is broken, or cannot be written.
    """
    key = _key(terms, store, progress)
    trail = _opened(terms, key, store, progress, clock)
    try:
        leftover = store.leftover(terms.config.vantage) if resume else None
        new = "" if leftover else new_run_id(clock())
        recording = Recording(trail, key, leftover.run.id if leftover else new, new, terms)
        trail.start(_start(terms, recording.run))
        trail.endpoint("resolver", resolver.address, resolver.address, resolver.port, "udp")
        trail.endpoint("resolver", resolver.address, resolver.address, resolver.port, "tcp")
        try:
            yield recording
        except BaseException as fault:
            with suppress(PostureError):  # what went wrong first is what counts
                trail.end(_state_after(fault))
            raise
        trail.end(recording.state)
    finally:
        trail.close()


def _key(terms: Terms, store: Store, progress: Progress) -> OperatorKey:
    """Raises ConfigurationError: it cannot be used, or is not the one that the ledger of this history goes on with."""
    key, is_new = load_or_make_key(key_path(terms.config.db, terms.config.key))
    if is_new:
        progress.said(f"made the operator's key {key.path}: {key.public.fingerprint}")
    must_go_on_with(store, key)
    return key


def _opened(
    terms: Terms, key: OperatorKey, store: Store, progress: Progress, clock: Callable[[], datetime]
) -> AuditTrail:
    def remember(head: Head) -> None:
        with store.writing() as connection:
            put_head(connection, *head, clock())

    path, known = trail_path(terms.config.db), last_head(store.connection)
    if known and _is_gone(path):
        progress.said(f"the audit trail {path} is not there any more; a new one goes on from record {known[0]}")
    remembered = Head(*known) if known else None
    return AuditTrail.open(path, key, clock=clock, remembered=remembered, remember=remember, orders=terms.orders)


def _is_gone(path: Path) -> bool:
    """False where nobody can tell: whoever opens it says why."""
    try:
        return not path.exists()
    except OSError:
        return False


def _state_after(fault: BaseException) -> str:
    if isinstance(fault, NothingToScan):
        return "nothing"
    if isinstance(fault, UsageError):
        return "refused"
    return "interrupted" if isinstance(fault, Interrupted | KeyboardInterrupt) else "failed"


def _decision(refused: Refused, at: datetime) -> Decision:
    key, authorisation = refused.key, refused.refusal.authorisation or ""
    task = Task(
        refused.ministry, key.name, key.kind, refused.probe, "", refused.probe_class, "", refused.name, authorisation
    )
    traffic = Traffic.SWEEP if refused.probe == "ports" else Traffic.CONNECTION
    return Decision(at, task, traffic, refused.name, refused.address or "", refused.port or 0, "tcp", refused.refusal)


def _start(terms: Terms, run: str) -> Start:
    """Who scans, and under which letters."""
    inventory = terms.inventory
    letters = []
    for one in terms.permitted:
        words = inventory.authorisations[one.authorisation]
        letters.append(Letter(one.authorisation, one.sha256, one.sequence, one.signers, words.owner, words.reference))
    return Start(
        run=run,
        tool=TOOL,
        operator=inventory.operator.name,
        user=account(),
        uid=os.getuid(),
        database=str(terms.config.db.absolute()),
        authorisations=tuple(letters),
    )
