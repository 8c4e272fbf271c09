"""Entries of the log: a closed run, or a change of the operator's key."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from posture.keys import PublicKey
from posture.ledger.canonical import canonical
from posture.ledger.leaf import alias
from posture.ledger.merkle import leaf_hash
from posture.ledger.note import Signer
from posture.store import RunRecord, stamp

FORMAT = "posture-entry/1"
RUN, ROTATION = "run", "rotation"
LONGEST = 1 << 20  # bytes of an entry


class EntryError(ValueError):
    """What is wrong with an entry, as the end of a sentence about it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Entry ``place`` (from 0) of the log; ``data`` are the bytes that its hash is of."""

    place: int
    data: bytes
    body: Mapping[str, Any]

    @classmethod
    def read(cls, place: int, data: bytes) -> Entry:
        """Raises EntryError: no entry of this format."""
        try:
            body = json.loads(data) if len(data) <= LONGEST else None
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict) or body.get("format") != FORMAT or body.get("kind") not in (RUN, ROTATION):
            raise EntryError(f"is no {FORMAT}")
        wanted = ("run", "root", "key", "members") if body["kind"] == RUN else ("old", "new", "at", "by_old", "by_new")
        if any(name not in body for name in wanted):
            raise EntryError("is not whole")
        return cls(place, data, body)

    @property
    def hash(self) -> bytes:
        return leaf_hash(self.data)

    @property
    def is_run(self) -> bool:
        return bool(self.body["kind"] == RUN)

    @property
    def run(self) -> str:
        """The run's id; "" for a rotation."""
        return str(self.body["run"]) if self.is_run else ""

    @property
    def words(self) -> str:
        """How a sentence names it."""
        return f"run {self.run}" if self.is_run else "the change of the key"

    @property
    def key_before(self) -> PublicKey:
        """Whose signature held until this entry; of a run, still holds. Raises EntryError: it names none."""
        try:
            return PublicKey.parse(str(self.body["key" if self.is_run else "old"]))
        except ValueError:
            raise EntryError("names no key") from None

    def key_after(self, before: PublicKey | None) -> PublicKey:
        """Whose signature holds once this entry stands.

        Args:
            before: whose held until then; None at the log's beginning.

        Raises:
            EntryError: another key than that, or one that did not sign its own succession.
        """
        try:
            key = self.key_before
            if before is not None and key != before:
                raise EntryError(f"goes by the key {key.fingerprint}, but the log's key then was {before.fingerprint}")
            if self.is_run:
                return key
            new = PublicKey.parse(str(self.body["new"]))
            by_old, by_new = (base64.b64decode(str(self.body[name]), validate=True) for name in ("by_old", "by_new"))
            message = succession(key, new, str(self.body["at"]))
        except (ValueError, binascii.Error) as fault:
            raise fault if isinstance(fault, EntryError) else EntryError("names no key") from None
        if not key.verifies(by_old, message) or not new.verifies(by_new, message):
            raise EntryError("is not signed by both keys")
        return new


def run_entry(
    run: RunRecord, root: bytes, ministries: Iterable[str], key: PublicKey, *, trail: tuple[int, str] | None, late: bool
) -> bytes:
    """The bytes of a run's entry.

    Args:
        root: over the leaves of its ministries, by their codes in order.
        trail: number and hash of the audit trail's record that the history last knew.
        late: written when a later run closed, since there was no ledger yet or no key at hand.
    """
    return canonical(
        {
            "format": FORMAT,
            "kind": RUN,
            "run": run.id,
            "state": run.state,
            "state_code": run.state_code,
            "vantage": run.vantage,
            "started_at": stamp(run.started_at),
            "ended_at": stamp(run.end),
            "tool": run.tool,
            "policy": run.policy,
            "policy_sha256": run.policy_digest,
            "rules_sha256": run.rules_digest,
            "inventory_sha256": run.inventory_digest,
            "authorisation_sha256": run.authorisation_digest,
            "trail": {"record": trail[0], "hash": trail[1]} if trail else None,
            "late": late,
            "members": [alias(run.id, ministry) for ministry in sorted(ministries)],
            "root": root.hex(),
            "key": key.openssh,
        }
    )


def rotation_entry(old: Signer, new: Signer, at: str) -> bytes:
    """The bytes of a change of key, signed by both. ``at``: RFC 3339, UTC."""
    message = succession(old.public, new.public, at)
    return canonical(
        {
            "format": FORMAT,
            "kind": ROTATION,
            "old": old.public.openssh,
            "new": new.public.openssh,
            "at": at,
            "by_old": base64.b64encode(old.sign(message)).decode(),
            "by_new": base64.b64encode(new.sign(message)).decode(),
        }
    )


def succession(old: PublicKey, new: PublicKey, at: str) -> bytes:
    """What both keys sign when one follows the other."""
    return f"posture-key-rotation/1\n{old.openssh}\n{new.openssh}\n{at}\n".encode("ascii")
