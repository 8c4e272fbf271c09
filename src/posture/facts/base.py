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
from collections.abc import Callable
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
    if isinstance(value, str | int | None):
        return value
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    kind: Any = type(value)
    if names := _field_names(kind):
        return {name: _to_json(getattr(value, name)) for name in names}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value


@cache
def _field_names(cls: Any) -> tuple[str, ...]:
    """Of a dataclass; none of anything else."""
    return tuple(field.name for field in fields(cls)) if is_dataclass(cls) else ()


def _build(hint: Any, value: Any) -> Any:
    return _builder(hint)(value)


@cache
def _builder(hint: Any) -> Callable[[Any], Any]:
    """What makes a value of this type from its JSON."""
    origin = typing.get_origin(hint)
    if origin is typing.Union or origin is types.UnionType:
        some = _builder(next(arm for arm in typing.get_args(hint) if arm is not type(None)))
        return lambda value: None if value is None else some(value)
    if origin is tuple:
        return _tuple_builder(typing.get_args(hint))
    if isinstance(hint, type) and is_dataclass(hint):
        return _record_builder(hint)
    return base64.b64decode if hint is bytes else _as_it_is


def _record_builder(hint: Any) -> Callable[[Any], Any]:
    hints, names = typing.get_type_hints(hint), frozenset(_field_names(hint))
    parts = {name: part for name in names if (part := _builder(hints[name])) is not _as_it_is}

    def build(value: dict[str, Any]) -> Any:
        said = value if names.issuperset(value) else {name: value[name] for name in names.intersection(value)}
        return hint(**{**said, **{name: part(said[name]) for name, part in parts.items() if name in said}})

    return build if parts else lambda value: hint(**value) if names.issuperset(value) else build(value)


def _tuple_builder(arms: tuple[Any, ...]) -> Callable[[Any], Any]:
    if len(arms) == 2 and arms[1] is Ellipsis:
        each = _builder(arms[0])
        if each is _as_it_is:
            return tuple
        return lambda value: tuple([each(item) for item in value])
    parts = [_builder(arm) for arm in arms]
    return lambda value: tuple(part(item) for part, item in zip(parts, value, strict=True))


def _as_it_is(value: Any) -> Any:
    return value
