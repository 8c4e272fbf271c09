"""One way to write a record as bytes, so that its hash is the same on every machine."""

from __future__ import annotations

import hashlib
import json
from typing import Any

_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":")).encode


def canonical(value: Any) -> bytes:
    """ASCII JSON, keys sorted, no spaces: for objects with ASCII keys and no floats the bytes of RFC 8785 but for
    characters outside of ASCII, which are escaped."""
    return _encode(value).encode("ascii")


def digest_of(record: Any) -> bytes:
    """SHA-256 (32 bytes) of a record's canonical bytes."""
    return hashlib.sha256(canonical(record)).digest()
