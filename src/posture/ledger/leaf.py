"""A leaf: what one run did to one ministry, salted, so that its hash tells a neighbour nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from posture.ledger.canonical import canonical, digest_of
from posture.ledger.merkle import leaf_hash
from posture.ledger.records import Record

FORMAT = "posture-leaf/1"
SALT_BYTES = 16
HEAD_BYTES, TAG_BYTES = 8, 4  # what the database keeps of a leaf's hash, and of each record's


def hashes_of(records: Iterable[Record]) -> list[bytes]:
    """SHA-256 of each record."""
    return [digest_of(record) for record in records]


def hash_of_leaf(salt: bytes, run: str, ministry: str, hashes: Sequence[bytes]) -> bytes:
    """The leaf in the tree of its run: RFC 6962 over the salt (16 bytes) and the list of the records' hashes."""
    body = {"format": FORMAT, "run": run, "ministry": ministry, "records": [each.hex() for each in hashes]}
    return leaf_hash(salt + canonical(body))


def marks_of(leaf: bytes, hashes: Iterable[bytes]) -> bytes:
    """What stays in the database to name a record that was changed: beginnings of hashes. The proof is the root."""
    return leaf[:HEAD_BYTES] + b"".join(each[:TAG_BYTES] for each in hashes)


def first_difference(marks: bytes, hashes: Sequence[bytes]) -> int | None:
    """The first record (from 0) that is not what it was; None when all are, or only the salt differs."""
    kept = [marks[start : start + TAG_BYTES] for start in range(HEAD_BYTES, len(marks), TAG_BYTES)]
    for place, (mark, now) in enumerate(zip(kept, hashes, strict=False)):
        if mark != now[:TAG_BYTES]:
            return place
    return min(len(kept), len(hashes)) if len(kept) != len(hashes) else None


def alias(run: str, ministry: str) -> str:
    """How an entry names a ministry to those who know its code, and to nobody by mere reading."""
    return hashlib.sha256(f"{run}\n{ministry}".encode()).hexdigest()[:16]
