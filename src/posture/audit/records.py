"""The audit trail's format, ``posture-trail/1``: one record a line, each bound to all before it.

A record is one line of ASCII JSON without spaces, ended by LF, its keys in a fixed order: ``seq`` (1, 2, 3, ...),
``at`` (UTC, RFC 3339 with milliseconds), ``kind``, the kind's own keys, and last ``hash``. So every line ends in::

    ,"hash":"<64 lower-case hex digits>"}

**Chain.** ``hash`` = SHA-256 of (the ASCII digits of the hash before || the bytes of this line before ``,"hash":"``).
Before the first record stand 64 zeros. Checking it needs no JSON: cut the line, hash, compare. When an older trail was
moved away, the first record has ``previous`` {seq, hash}: the last one that the database remembers. Numbers and hashes
go on from there, so that the gap is on record and the files together are one chain.

**Kinds.**

=============  ===================================================================================================
start          a scan begins: run, tool, operator, user, uid, database, authorisations [{id, sha256, sequence,
               signers, owner, reference}]; in a new trail after an older one: previous
endpoint       the operator's own resolver or canary, asked in this run without an authorisation: purpose, name,
               address, port, protocol
decision       before anything is sent: run, allowed, code (of a refusal), authorisation, via, ministry, asset, probe,
               class, traffic, name, address, port, protocol, connections (of a child process: the most it may make; 0:
               an answer that another decision's connection brought is used under this authority too). Nothing was sent
               under a record that is not allowed, or of 0 connections
close          how an allowed decision ended: of (its seq), end, sent and received (bytes of payload). One that has
               connections and no close was cut off by a crash
order          a stop order was met: run, reason, by, given_at, authorisation, address
end            the scan ended: run, state
checkpoint     signs all before it: records (seq of the record before), head (its hash), key (OpenSSH), signature
torn           the bytes between the record before and this line are no record, because the machine stopped while it
               was written: bytes (how many, without the LF that ended them), sha256
=============  ===================================================================================================

**Signature.** Ed25519 (RFC 8032), base64, of four lines each ended by LF: ``posture-trail/1``, ``records``, ``head`` and
``at`` of the checkpoint. There is one every 1000 records, five minutes (when there is something to sign) and at the end
of a scan; only then is the file forced to the disk.

A chain alone does not stop who may write the file from making it anew; the signatures stop who has not the key, and the
database remembers the last head. Who holds all three can forge: a head kept elsewhere (printed, mailed to the owner) is
what stops that one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, NamedTuple

from posture.keys import OperatorKey, PublicKey
from posture.ledger.entry import succession
from posture.net.decisions import Closing, Decision
from posture.scope import Grant
from posture.stop import Order

FORMAT = "posture-trail/1"
ZEROS = "0" * 64
# The end of a line: ,"hash":"<64 digits>"} and LF.
MARK = b',"hash":"'
ENDING = b'"}\n'
TAIL = len(MARK) + 64 + len(ENDING)
LONGEST = 1 << 20  # bytes of a line; the longest are starts with many authorisations
LONGEST_TEXT = 400  # characters of a text that a scanned host may have chosen

Fields = Mapping[str, Any]
_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


class Head(NamedTuple):
    """Where a chain stands: number and hash of its last record."""

    seq: int
    hash: str


START = Head(0, ZEROS)


class Written(NamedTuple):
    """A line with its LF, and where the chain stands after it."""

    line: bytes
    head: Head


def written(after: Head, at: str, kind: str, fields: Fields) -> Written:
    """The next record of a chain."""
    seq = after.seq + 1
    body = _encode({"seq": seq, "at": at, "kind": kind, **fields})[:-1].encode("ascii")
    digest = hashlib.sha256(after.hash.encode("ascii") + body).hexdigest()
    return Written(body + MARK + digest.encode("ascii") + ENDING, Head(seq, digest))


def is_record(line: bytes) -> bool:
    """Whether a line, with its LF, has the shape of a record; not whether it is a true one."""
    return line[-TAIL : 9 - TAIL] == MARK and line[-3:] == ENDING


def kind_of(line: bytes) -> str:
    """Without reading the JSON; "" when there is none. No text inside a record can look like a key: its quotes are escaped."""
    start = line.find(b'"kind":"', 0, 120)
    return line[start + 8 : line.find(b'"', start + 8)].decode("ascii", "replace") if start >= 0 else ""


def stamp(at: datetime) -> str:
    """UTC, RFC 3339, milliseconds: 24 characters, so that texts sort as times do."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """Inverse of :func:`stamp`."""
    return datetime.fromisoformat(text)


def decision_fields(run: str, decision: Decision) -> Fields:
    task, outcome = decision.task, decision.outcome
    granted = outcome if isinstance(outcome, Grant) else None
    return {
        "run": run,
        "allowed": granted is not None,
        "code": None if isinstance(outcome, Grant) else outcome.code,
        "authorisation": outcome.authorisation,
        "via": granted.via if granted else None,
        "ministry": task.ministry,
        "asset": task.asset,
        "probe": task.probe,
        "class": str(task.probe_class),
        "traffic": str(decision.traffic),
        "name": bounded(decision.name),
        "address": one_spelling(decision.address),
        "port": decision.port,
        "protocol": decision.protocol,
        "connections": decision.connections,
    }


def closing_fields(record: int, closing: Closing) -> Fields:
    return {"of": record, "end": closing.end, "sent": closing.sent, "received": closing.received}


def order_fields(run: str, order: Order) -> Fields:
    return {
        "run": run,
        "reason": bounded(order.reason),
        "by": bounded(order.by),
        "given_at": stamp(order.at) if order.at else None,
        "authorisation": order.authorisation,
        "address": order.address,
    }


def bounded(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "..."


@lru_cache(maxsize=4096)
def one_spelling(address: str) -> str:
    """An address as ``ipaddress`` writes it, so that it is found again; what is none stays as it is, bounded."""
    try:
        return str(ip_address(address))
    except ValueError:
        return bounded(address)


def signed_message(head: Head, at: str) -> bytes:
    """The bytes that a checkpoint signs."""
    return f"{FORMAT}\n{head.seq}\n{head.hash}\n{at}\n".encode("ascii")


def checkpoint_fields(head: Head, key: PublicKey, signature: bytes) -> Fields:
    return {
        "records": head.seq,
        "head": head.hash,
        "key": key.openssh,
        "signature": base64.b64encode(signature).decode("ascii"),
    }


def rotation_fields(old: OperatorKey, new: OperatorKey, at: str) -> Fields:
    """A change of the operator's key, signed by both."""
    message = succession(old.public, new.public, at)
    return {
        "old": old.public.openssh,
        "new": new.public.openssh,
        "by_old": base64.b64encode(old.sign(message)).decode("ascii"),
        "by_new": base64.b64encode(new.sign(message)).decode("ascii"),
    }


def checked_rotation(line: bytes) -> tuple[PublicKey, PublicKey]:
    """(former key, key that signs from here on).

    Raises:
        BadCheckpoint: it is not whole, or not signed by both.
    """
    try:
        said = json.loads(line)
        old, new = PublicKey.parse(said["old"]), PublicKey.parse(said["new"])
        by_old, by_new = (base64.b64decode(said[name], validate=True) for name in ("by_old", "by_new"))
        message = succession(old, new, str(said["at"]))
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise BadCheckpoint("is no whole change of the key") from None
    if not old.verifies(by_old, message) or not new.verifies(by_new, message):
        raise BadCheckpoint("is a change of the key that is not signed by both keys")
    return old, new


class BadCheckpoint(Exception):
    """What is wrong with a checkpoint; the text goes on from "record 12 ..."."""


def checked_checkpoint(line: bytes, before: Head) -> PublicKey:
    """The key that signed the chain up to ``before``.

    Raises:
        BadCheckpoint: it names another head, is not whole, or the signature is not that key's.
    """
    try:
        said = json.loads(line)
        named = Head(int(said["records"]), str(said["head"]))
        key, signature = PublicKey.parse(said["key"]), base64.b64decode(said["signature"], validate=True)
        message = signed_message(named, str(said["at"]))
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise BadCheckpoint("is no whole checkpoint") from None
    if named != before:
        raise BadCheckpoint("is a checkpoint of another record than the one before it")
    if not key.verifies(signature, message):
        raise BadCheckpoint(f"is a checkpoint whose signature is not by the key that it names, {key.fingerprint}")
    return key
