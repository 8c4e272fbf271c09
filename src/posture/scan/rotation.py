"""The operator's key changes: the ledger and the audit trail say so, signed by both, and then the new one is in its place.

Killed anywhere, it is finished by doing it again: until the very end the new key waits beside the old one. The former
key stays beside it under a name of its own: a backup from before the change can be gone on with only by that one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from posture.audit import AuditTrail, Head, trail_path
from posture.audit.verify import survey
from posture.config import Config
from posture.disk import sync_folder
from posture.errors import ConfigurationError
from posture.keys import PRIVATE_MODE, OperatorKey, PublicKey, key_path, load_key, make_key
from posture.ledger.log import key_of, last_checkpoint, rotate
from posture.store import Store
from posture.store.trail import last_head, put_head


@dataclass(frozen=True, slots=True)
class Rotated:
    """``ledger`` and ``trail``: whether they hold anything that had to be handed over; ``archive``: where the former is."""

    path: Path
    archive: Path
    old: PublicKey
    new: PublicKey
    ledger: bool
    trail: bool


def rotate_key(config: Config, clock: Callable[[], datetime]) -> Rotated:
    """A new key in the place of the operator's.

    Raises:
        UsageError, StoreError: there is no such history, or it cannot be written.
        NothingToScan: a scan is under way.
        ConfigurationError: the key cannot be used, or is not that of the ledger.
        AuditError: the audit trail is broken, or cannot be written.
    """
    path = key_path(config.db, config.key)
    waiting = path.with_name(path.name + ".new")
    old = load_key(path)
    if not config.db.exists():
        raise ConfigurationError(
            f"{path} has signed nothing yet: there is no history {config.db}. To begin with another key, move it away: "
            "the first scan makes one."
        )
    with Store.open(config.db, write=True) as store:
        new = load_key(waiting) if waiting.exists() else make_key(waiting)
        ledger = _in_ledger(store, old, new, clock)
        trail = _in_trail(store, config, old, new, clock)
        archive = _take_place(path, waiting, old)
    return Rotated(path, archive, old.public, new.public, ledger, trail)


def _in_ledger(store: Store, old: OperatorKey, new: OperatorKey, clock: Callable[[], datetime]) -> bool:
    kept = key_of(store.connection)
    if kept is None or kept == new.public:  # nothing is signed yet, or it was done before
        return kept is not None
    if kept != old.public:
        raise ConfigurationError(
            f"the ledger of {store.path} is signed by {kept.fingerprint}, not by {old.path} ({old.public.fingerprint}): "
            "only that key can hand over. Put it back first."
        )
    with store.writing():
        rotate(store, old, new, clock())
    return True


def _in_trail(store: Store, config: Config, old: OperatorKey, new: OperatorKey, clock: Callable[[], datetime]) -> bool:
    path = trail_path(config.db)
    if not path.exists():
        return False
    with path.open("rb") as stream:
        if survey(stream).key == new.public:
            return True  # done before

    def remember(head: Head) -> None:
        with store.writing() as connection:
            put_head(connection, *head, clock())

    known = last_head(store.connection)
    trail = AuditTrail.open(path, old, clock=clock, remembered=Head(*known) if known else None, remember=remember)
    try:
        if kept := last_checkpoint(store.connection):
            trail.sealed(kept.size, kept.root)  # so that the handing over itself cannot be cut off unseen
        trail.rotated(new)
    finally:
        trail.close()
    return True


def _take_place(path: Path, waiting: Path, old: OperatorKey) -> Path:
    """The new key where the old one is, which is kept first. Raises ConfigurationError: it cannot be written."""
    archive = path.with_name(f"{path.name}.{hashlib.sha256(old.public.raw).hexdigest()[:8]}")
    part = archive.with_name(archive.name + ".part")
    try:
        part.unlink(missing_ok=True)
        opened = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_MODE)
        with os.fdopen(opened, "wb") as file:
            file.write(path.read_bytes())
            file.flush()
            os.fsync(file.fileno())
        part.replace(archive)
        waiting.replace(path)
        sync_folder(path.parent)
    except OSError as fault:
        raise ConfigurationError(
            f"the new key {waiting} cannot take the place of {path}: {fault.strerror}. "
            "Free some space or mend the folder's permissions; 'posture keys rotate' then finishes it."
        ) from fault
    return archive
