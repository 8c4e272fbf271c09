"""Is a trail whole? The chain, every signature, every closing, and that it still reaches where it once stood."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO

from posture.audit.chain import Broken, Chain
from posture.audit.records import BadCheckpoint, Head, checked_checkpoint, checked_rotation
from posture.keys import PublicKey


@dataclass(slots=True)
class Survey:
    """What a whole trail holds.

    ``head`` is its last record, ``before`` what its first one follows (seq 0: it is the first trail of its database);
    ``signed`` the last record that a checkpoint signs; ``key`` whose the last checkpoints are, ``former`` whose those before.
    ``allowed`` and ``refused`` count decisions, ``open`` the allowed ones without a closing. ``loose`` and ``unended``
    are what a crash left at the very end, ``tears`` those recorded since.
    """

    head: Head
    before: Head
    first_at: str = ""
    last_at: str = ""
    runs: list[str] = field(default_factory=list)
    allowed: int = 0
    refused: int = 0
    open: int = 0
    checkpoints: int = 0
    signed: int = 0
    key: PublicKey | None = None
    former: list[PublicKey] = field(default_factory=list)
    tears: int = 0
    loose: bytes = b""
    unended: bool = False

    @property
    def records(self) -> int:
        return self.head.seq - self.before.seq


@dataclass(slots=True)
class Signatures:
    """``keys``: whose the checkpoints are, each but the first handed over to by the one before; ``count`` of them;
    ``signed``: the last record that one signs; ``first``: number and line of the first one."""

    keys: list[PublicKey] = field(default_factory=list)
    count: int = 0
    signed: int = 0
    first: tuple[int, int] = (0, 0)

    @property
    def key(self) -> PublicKey | None:
        """Whose the next one must be."""
        return self.keys[-1] if self.keys else None


def proved(
    chain: Chain, signatures: Signatures, *, remembered: Head | None = None, signer: str | None = None
) -> Iterator[tuple[int, int, bytes]]:
    """(Line number, record number, line) of every record; all that can be checked of it has been checked.

    Raises:
        Broken: at the first record that fails.
        OSError: the file cannot be read.
    """
    wanted = remembered.seq if remembered else -1
    number = 0
    for number, seq, line in chain:
        if b'"kind":"checkpoint"' in line:
            _check_signature(signatures, chain, number, line)
        elif b'"kind":"rotation"' in line:
            _check_rotation(signatures, chain, number, line)
        if seq == wanted and chain.head != remembered:
            raise Broken(seq, number, "is another than the one that the database remembers: this is not its trail")
        yield number, seq, line
    if remembered:
        _must_contain(chain.head, chain.before, remembered, number)
    if signer and not signatures.count:
        raise Broken(chain.head.seq, number, "is the last, and no checkpoint signs it or any before it")
    if signer and signer not in {key.fingerprint for key in signatures.keys}:
        signers = ", then ".join(key.fingerprint for key in signatures.keys)
        raise Broken(*signatures.first, f"is signed by {signers}, not by {signer}")


def survey(stream: BinaryIO, *, remembered: Head | None = None, signer: str | None = None) -> Survey:
    """Reads a whole trail and believes nothing.

    Args:
        stream: the file, at its beginning.
        remembered: a head kept elsewhere, which the trail must still contain.
        signer: the fingerprint of a key that the checkpoints must be by, itself or those that follow it by succession.

    Raises:
        Broken: at the first record that fails.
        OSError: the file cannot be read.
    """
    chain, signatures = Chain(stream), Signatures()
    found = Survey(chain.head, chain.before)
    open_decisions: set[int] = set()
    line = b""
    for number, seq, line in proved(chain, signatures, remembered=remembered, signer=signer):
        if b'"kind":"decision"' in line:
            if b'"allowed":true' in line:
                found.allowed += 1
                if b'"connections":0,' not in line:
                    open_decisions.add(seq)
            else:
                found.refused += 1
        elif b'"kind":"close"' in line:
            closed = closed_by(line)
            if closed not in open_decisions:
                raise Broken(seq, number, f"closes record {closed}, which is no open decision")
            open_decisions.remove(closed)
        elif b'"kind":"start"' in line:
            with suppress(ValueError, KeyError, TypeError):
                found.runs.append(str(json.loads(line)["run"]))
        if not found.first_at:
            found.first_at = at_of(line)
    found.head, found.before, found.open = chain.head, chain.before, len(open_decisions)
    found.last_at = at_of(line)
    found.key, found.checkpoints, found.signed = signatures.key, signatures.count, signatures.signed
    found.former = signatures.keys[:-1]
    found.tears, found.loose, found.unended = chain.tears, chain.loose, chain.unended
    return found


def _check_signature(signatures: Signatures, chain: Chain, number: int, line: bytes) -> None:
    seq, before = chain.head.seq, chain.preceding
    try:
        key = checked_checkpoint(line, before)
    except BadCheckpoint as fault:
        raise Broken(seq, number, str(fault)) from None
    if signatures.key is not None and key != signatures.key:
        raise Broken(seq, number, f"is signed by another key than those before it, {key.fingerprint}")
    if not signatures.keys:
        signatures.keys.append(key)
    if not signatures.count:
        signatures.first = seq, number
    signatures.signed = before.seq
    signatures.count += 1


def _check_rotation(signatures: Signatures, chain: Chain, number: int, line: bytes) -> None:
    try:
        old, new = checked_rotation(line)
    except BadCheckpoint as fault:
        raise Broken(chain.head.seq, number, str(fault)) from None
    if signatures.key is not None and old != signatures.key:
        raise Broken(
            chain.head.seq, number, f"hands over from another key than that of the checkpoints, {old.fingerprint}"
        )
    signatures.keys = [*(signatures.keys or [old]), new]


def _must_contain(head: Head, before: Head, remembered: Head, number: int) -> None:
    """Whether a trail from ``before`` to ``head`` (at line ``number``) reaches back and forth to what is remembered."""
    if head.seq == before.seq:
        raise Broken(1, 1, f"is missing: the file holds none, but the database remembers record {remembered.seq}")
    if remembered.seq > head.seq:
        raise Broken(head.seq, number, f"is the last, but the database remembers {remembered.seq}: the end was cut off")
    if remembered.seq <= before.seq and remembered != before:
        raise Broken(
            before.seq + 1, 1, f"is the first, but the database remembers record {remembered.seq} of another trail"
        )


def closed_by(line: bytes) -> int:
    """The decision that a close record names; -1 when it names none."""
    start = line.find(b'"of":') + 5
    with suppress(ValueError):
        return int(line[start : line.find(b",", start)])
    return -1


def at_of(line: bytes) -> str:
    """A record's time as it stands there; "" when there is none."""
    start = line.find(b'"at":"', 0, 60)
    return line[start + 6 : start + 30].decode("ascii", "replace") if start >= 0 else ""
