"""Facts to canonical JSON and back.

A facts class is a frozen dataclass of strings, integers, booleans, None, bytes, tuples of these and
nested frozen dataclasses. Its canonical form is ``{"type", "version", ...fields}`` with sorted keys,
no white space, ASCII; bytes are base64. Two observations of the same thing have the same bytes, so
facts are stored once by their SHA-256.
"""

from __future__ import annotations

import base64
import hashlib
import json
import types
import typing
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, ClassVar


class Facts:
    """Base of all facts records.

    ``TYPE`` is the stable name, equal to the name of the probe that records it; ``VERSION`` grows
    when a field changes meaning (readers of old versions stay: override :meth:`upgrade`).
    """

    TYPE: ClassVar[str]
    VERSION: ClassVar[int] = 1

    @classmethod
    def upgrade(cls, version: int, body: dict[str, Any]) -> dict[str, Any]:
        """The body of an older version in today's shape.

        Raises:
            ValueError: that version was never written.
        """
        if version != cls.VERSION:
            raise ValueError(f"{cls.TYPE} facts of version {version} are not known to this release")
        return body


def encode(facts: Facts) -> bytes:
    """Canonical JSON bytes of a record."""
    body = {"type": facts.TYPE, "version": facts.VERSION, **_to_json(facts)}
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def digest(encoded: bytes) -> str:
    """``sha256:<hex>`` of canonical bytes: the identity of facts in findings and exports."""
    return "sha256:" + hashlib.sha256(encoded).hexdigest()


def decode(encoded: bytes, registry: dict[str, type[Facts]]) -> Facts:
    """The record behind canonical bytes.

    Raises:
        ValueError: the type or version is not known, or a field is missing.
    """
    body = json.loads(encoded)
    try:
        cls = registry[body.pop("type")]
        body = cls.upgrade(body.pop("version"), body)
        return typing.cast("Facts", _build(cls, body))
    except (KeyError, TypeError) as fault:
        raise ValueError(f"not a facts record: {fault}") from fault


def _to_json(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _to_json(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _build(hint: Any, value: Any) -> Any:
    origin = typing.get_origin(hint)
    if origin is typing.Union or origin is types.UnionType:
        if value is None:
            return None
        hint = next(arm for arm in typing.get_args(hint) if arm is not type(None))
        return _build(hint, value)
    if origin is tuple:
        arms = typing.get_args(hint)
        if len(arms) == 2 and arms[1] is Ellipsis:
            return tuple(_build(arms[0], item) for item in value)
        return tuple(_build(arm, item) for arm, item in zip(arms, value, strict=True))
    if isinstance(hint, type) and is_dataclass(hint):
        hints = _hints(hint)
        return hint(**{f.name: _build(hints[f.name], value[f.name]) for f in fields(hint) if f.name in value})
    if hint is bytes:
        return base64.b64decode(value)
    return value
