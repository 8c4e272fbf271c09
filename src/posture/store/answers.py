"""Answers, findings and inventory entries to what the tables hold, and back."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from posture.checks import Control, Declared
from posture.facts import FACTS, decode, digest, encode
from posture.model import (
    Absent,
    AbsentCause,
    Answer,
    AssetKey,
    Confidence,
    Finding,
    Observed,
    Outcome,
    Reason,
    Severity,
    Unobserved,
)
from posture.policy import Policy
from posture.store.records import AssetEntry, moment, stamp

DETAIL_LIMIT = 500  # characters of a detail that are kept
_AT_ONCE = 10_000  # numbers of texts in one query
BLOB_LIMIT = 8_000_000  # bytes of one record of facts; more is a bug, or a bomb
DROPPED = "the evidence was dropped when its time had passed"


def text_hash(text: str) -> int:
    """By which a text is found: four bytes, so that its index is small. Two texts may share one; they are compared."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big", signed=True)


class Texts:
    """Every text once: text <-> number, remembered for the life of a connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._numbers: dict[str, int] = {}
        self._texts: dict[int, str] = {}

    def number(self, text: str) -> int:
        """The number of a text, given to it when it has none. Only within a transaction."""
        if text not in self._numbers:
            found = self._find(text)
            if found is None:
                insert = "INSERT INTO text_value (hash, value) VALUES (?, ?)"
                found = self._connection.execute(insert, (text_hash(text), text)).lastrowid
            self._numbers[text] = int(found or 0)
        return self._numbers[text]

    def known(self, text: str) -> int:
        """The number of a text, or 0, which no text has."""
        return self._find(text) or 0

    def text(self, number: int) -> str:
        if number not in self._texts:
            row = self._connection.execute("SELECT value FROM text_value WHERE id = ?", (number,)).fetchone()
            self._texts[number] = str(row[0])
        return self._texts[number]

    def load(self, numbers: Iterable[int]) -> None:
        """Reads many texts at once, so that :meth:`text` finds them remembered."""
        missing = [number for number in numbers if number not in self._texts]
        for first in range(0, len(missing), _AT_ONCE):
            some = ",".join(map(str, missing[first : first + _AT_ONCE]))
            query = f"SELECT id, value FROM text_value WHERE id IN ({some})"  # noqa: S608 - numbers
            self._texts.update(self._connection.execute(query).fetchall())

    def forget(self) -> None:
        """After a rollback: numbers given within it are gone."""
        self._numbers.clear()
        self._texts.clear()

    def trim(self, most: int) -> None:
        """Forgets all when more texts than this are remembered, so that a long walk stays small."""
        if len(self._numbers) + len(self._texts) > most:
            self.forget()

    def _find(self, text: str) -> int | None:
        query = "SELECT id FROM text_value WHERE hash = ? AND value = ?"
        row = self._connection.execute(query, (text_hash(text), text)).fetchone()
        return int(row[0]) if row else None


def put_blob(connection: sqlite3.Connection, data: bytes) -> int:
    """Keeps bytes once, compressed; their number. What retention had emptied is filled again."""
    name = hashlib.sha256(data).digest()
    row = connection.execute("SELECT id, length(data) FROM blob WHERE sha256 = ?", (name,)).fetchone()
    if row:
        if not row[1]:
            connection.execute("UPDATE blob SET data = ? WHERE id = ?", (zlib.compress(data, 9), row[0]))
        return int(row[0])
    insert = "INSERT INTO blob (sha256, data) VALUES (?, ?)"
    return int(connection.execute(insert, (name, zlib.compress(data, 9))).lastrowid or 0)


def get_blob(connection: sqlite3.Connection, number: int) -> bytes:
    """The bytes behind a number; none when retention has emptied it."""
    packed = connection.execute("SELECT data FROM blob WHERE id = ?", (number,)).fetchone()[0]
    return zlib.decompressobj().decompress(packed, BLOB_LIMIT)


def answer_bytes(answer: Observed[Any] | Absent) -> bytes:
    """Canonical bytes of what was answered; a clear absence is a record too."""
    if isinstance(answer, Observed):
        return encode(answer.facts)
    body = {"type": "absent", "version": 1, "cause": str(answer.cause), "detail": answer.detail[:DETAIL_LIMIT]}
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode("ascii")


def answer_from(data: bytes, at: datetime) -> tuple[Answer, str]:
    """Inverse of :func:`answer_bytes`, and the digest of a facts record ("" for others). No bytes: not kept any longer."""
    if not data:
        return Unobserved(Reason.NOT_RECORDED, at, DROPPED), ""
    if data.startswith(b'{"cause":'):
        body = json.loads(data)
        if body.get("type") == "absent":
            return Absent(AbsentCause(body["cause"]), at, body["detail"]), ""
    try:
        return Observed(decode(data, FACTS), at), digest(data)
    except ValueError as fault:
        return Unobserved(Reason.NOT_RECORDED, at, str(fault)[:DETAIL_LIMIT]), ""


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))

# What most findings have in common, and their bodies leave out.
_ORDINARY: dict[str, Any] = {
    "args": {},
    "authorisation": None,
    "confidence": str(Confidence.CONFIRMED),
    "exemption": None,
    "good_until": None,
    "mend_by": None,
    "mends": "ministry",
    "provider": None,
    "tag": None,
}


def finding_body(finding: Finding) -> str:
    """What, beside outcome and severity, makes a finding what it is: canonical JSON, for text_value."""
    body = {
        "tag": finding.tag,
        "args": finding.args,
        "confidence": str(finding.confidence),
        "authorisation": finding.authorisation,
        "mends": finding.mends,
        "provider": finding.provider,
        "mend_by": finding.mend_by,
        "exemption": finding.exemption,
        "good_until": stamp(finding.good_until) if finding.good_until else None,
    }
    said = {name: value for name, value in body.items() if value != _ORDINARY[name]}
    return _CANONICAL.encode(said)


def finding_from(
    asset: AssetKey, ministry: str, control: str, subject: str, outcome: Outcome, severity: Severity, body: str
) -> Finding:
    """Inverse of :func:`finding_body`."""
    return Finding(ministry, asset, subject, control, outcome, severity, **_finding_fields(body))


def body_fields(body: str) -> dict[str, Any]:
    """All that a body says as JSON values, with what is ordinary and left out."""
    return {**_ORDINARY, **json.loads(body)}


@lru_cache(maxsize=4096)
def _finding_fields(body: str) -> dict[str, Any]:
    """One body read once: thousands of assets have the very same finding. To be read only."""
    fields = body_fields(body)
    fields["confidence"] = Confidence(fields["confidence"])
    fields["good_until"] = moment(fields["good_until"]) if fields["good_until"] else None
    return fields


def entry_body(entry: AssetEntry) -> str:
    """What the inventory said, as canonical JSON."""
    declared = entry.declared
    body = {
        "roles": declared.roles,
        "ports": declared.ports,
        "mail": declared.mail,
        "internal": declared.internal,
        "criticality": declared.criticality,
        "providers": dict(entry.providers),
    }
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


def entry_from(asset: AssetKey, ministry: str, body: str) -> AssetEntry:
    """Inverse of :func:`entry_body`."""
    fields = json.loads(body)
    declared = Declared(
        name=asset.name,
        kind=asset.kind,
        roles=tuple(fields["roles"]),
        ports=tuple((number, protocol) for number, protocol in fields["ports"]),
        mail=None if fields["mail"] is None else tuple(fields["mail"]),
        internal=fields["internal"],
        criticality=fields["criticality"],
    )
    return AssetEntry(ministry, declared, fields["providers"])


def rule_versions(policy: Policy, shipped: Mapping[str, Control]) -> str:
    """The versions of the rules that a policy is judged by, as canonical JSON."""
    versions = {name: shipped[name].rule.version for name in policy.controls if name in shipped}
    return json.dumps(versions, sort_keys=True, separators=(",", ":"))
