"""As much BSON as the answer of a MongoDB server to ``hello`` needs: top-level scalars of an OP_MSG. Pure and total."""

from __future__ import annotations

import struct

OP_MSG = 2013
_SIZES = {0x01: 8, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16}
Scalar = float | int | bool | str


def op_msg(command: bytes) -> bytes:
    """A request that carries one command (MongoDB wire protocol, OP_MSG, section kind 0)."""
    body = b"\0\0\0\0\0" + command
    return struct.pack("<iiii", 16 + len(body), 1, 0, OP_MSG) + body


def text(name: str, value: str) -> bytes:
    """A string element."""
    raw = value.encode() + b"\0"
    return b"\x02" + name.encode() + b"\0" + struct.pack("<i", len(raw)) + raw


def document(name: str, elements: bytes) -> bytes:
    """An element that holds a document."""
    return b"\x03" + name.encode() + b"\0" + struct.pack("<i", len(elements) + 5) + elements + b"\0"


def command(name: str, *elements: bytes, **flags: bool) -> bytes:
    """The BSON document ``{name: 1, flag: true, ..., elements, $db: "admin"}``."""
    body = b"\x10" + name.encode() + b"\0" + struct.pack("<i", 1)
    for flag, value in flags.items():
        body += b"\x08" + flag.encode() + b"\0" + bytes([value])
    body += b"".join(elements) + text("$db", "admin")
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def whole(data: bytes) -> bool:
    """Whether ``data`` holds a complete message."""
    return len(data) >= 4 and len(data) >= int.from_bytes(data[:4], "little") >= 26


def scalars(message: bytes) -> dict[str, Scalar] | None:
    """Top-level numbers, booleans and strings of the document in an OP_MSG reply; None when it is not one."""
    if not whole(message) or int.from_bytes(message[12:16], "little") != OP_MSG or message[20] != 0:
        return None
    end = 21 + int.from_bytes(message[21:25], "little")
    if end > len(message):
        return None
    return _elements(message[25 : end - 1])


def _elements(data: bytes) -> dict[str, Scalar] | None:
    found: dict[str, Scalar] = {}
    position = 0
    while position < len(data):
        kind = data[position]
        name_end = data.find(b"\0", position + 1)
        if name_end < 0:
            return None
        name = data[position + 1 : name_end].decode("utf-8", "replace")
        value = data[name_end + 1 :]
        size = _size(kind, value)
        if size is None or size > len(value):
            return None
        if (scalar := _scalar(kind, value[:size])) is not None:
            found[name] = scalar
        position = name_end + 1 + size
    return found


def _size(kind: int, value: bytes) -> int | None:
    """The length of a value; None for a type that does not occur here."""
    length = int.from_bytes(value[:4], "little")
    if kind == 0x02:  # string
        return 4 + length
    if kind in (0x03, 0x04):  # document, array
        return length if length >= 5 else None
    if kind == 0x05:  # binary
        return 5 + length
    return _SIZES.get(kind)


def _scalar(kind: int, value: bytes) -> Scalar | None:
    if kind == 0x01:
        return float(struct.unpack("<d", value)[0])
    if kind == 0x02:
        return value[4:-1].decode("utf-8", "replace")
    if kind == 0x08:
        return value != b"\0"
    if kind in (0x10, 0x12):
        return int.from_bytes(value, "little", signed=True)
    return None
