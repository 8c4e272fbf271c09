"""The record layer, handshake framing and alerts (RFC 8446 sections 4, 5 and 6; RFC 5246; RFC 6101). Bytes in, values out.

Every parser is total: on any bytes it returns, or raises CodecError.
"""

from __future__ import annotations

from dataclasses import dataclass, field

ALERT, HANDSHAKE = 21, 22
_CONTENT_TYPES = frozenset({20, 21, 22, 23, 24})
# RFC 5246 allows 2^14 + 2048 octets in a protected record; what we read is in clear, with some slack.
_RECORD_LIMIT = 2**14 + 2048
# The longest message that is of use: a Certificate of more than is kept. Longer ones only want our memory and time.
_MESSAGE_LIMIT = 2**18
_MOST_WARNINGS = 5

VERSIONS = {"SSL 3.0": 0x0300, "TLS 1.0": 0x0301, "TLS 1.1": 0x0302, "TLS 1.2": 0x0303, "TLS 1.3": 0x0304}
VERSION_NAMES = {number: name for name, number in VERSIONS.items()}

ALERTS = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    21: "decryption_failed",
    22: "record_overflow",
    30: "decompression_failure",
    40: "handshake_failure",
    41: "no_certificate",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    60: "export_restriction",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    100: "no_renegotiation",
    109: "missing_extension",
    110: "unsupported_extension",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
}
_WARNING, _FATAL = 1, 2


class CodecError(Exception):
    """The bytes are not what the protocol allows at this place."""


class NotTls(CodecError):
    """The first bytes belong to another protocol."""


class Reader:
    """A cursor over bytes whose every read is checked."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __len__(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes. Raises CodecError when there are fewer."""
        if count > len(self):
            raise CodecError("a field ends before its announced length")
        self._at += count
        return self._data[self._at - count : self._at]

    def take_all(self) -> bytes:
        """All that is left."""
        return self.take(len(self))

    def number(self, octets: int) -> int:
        """A big-endian unsigned integer."""
        return int.from_bytes(self.take(octets))

    def vector(self, octets: int) -> Reader:
        """What follows a length of ``octets`` octets."""
        return Reader(self.take(self.number(octets)))


@dataclass(frozen=True, slots=True)
class Message:
    """A handshake message: its type and body without the four-octet header."""

    kind: int
    body: bytes


@dataclass(slots=True)
class Flight:
    """What a server has sent so far in clear: whole handshake messages, and the first alert, if any.

    Raises (from :meth:`feed`):
        CodecError: the bytes are not TLS records.
    """

    messages: list[Message] = field(default_factory=list)
    alert: str = ""
    _wire: bytearray = field(default_factory=bytearray)
    _handshake: bytearray = field(default_factory=bytearray)
    _warnings: int = 0

    @property
    def midway(self) -> bool:
        """Whether a record or message has begun and not ended."""
        return bool(self._wire or self._handshake)

    def feed(self, data: bytes) -> None:
        """Takes the next bytes from the connection."""
        self._wire += data
        while not self.alert and (record := self._next_record()):
            kind, body = record
            if kind == ALERT:
                self._take_alert(body)
            elif kind == HANDSHAKE:
                if not body:
                    raise CodecError("an empty record of a handshake")
                self._handshake += body
                self._take_messages()
            # Anything else is already protected (TLS 1.3 after ServerHello) and none of our business.

    def _next_record(self) -> tuple[int, bytes] | None:
        wire = self._wire
        if wire and wire[0] not in _CONTENT_TYPES:
            raise NotTls("not TLS")
        if len(wire) >= 2 and wire[1] != 3:
            raise NotTls("not TLS")
        if len(wire) < 5:
            return None
        length = int.from_bytes(wire[3:5])
        if length > _RECORD_LIMIT:
            raise CodecError("a record longer than the protocol allows")
        if len(wire) < 5 + length:
            return None
        kind, body = wire[0], bytes(wire[5 : 5 + length])
        del wire[: 5 + length]
        return kind, body

    def _take_alert(self, body: bytes) -> None:
        if len(body) != 2 or body[0] not in (_WARNING, _FATAL):
            raise CodecError("not an alert")
        # A warning such as unrecognized_name may precede a ServerHello (RFC 6066 section 3); close_notify ends it.
        if body[0] == _FATAL or body[1] == 0:
            self.alert = ALERTS.get(body[1], f"alert_{body[1]}")
        self._warnings += 1
        if self._warnings > _MOST_WARNINGS:
            raise CodecError("warnings without end")

    def _take_messages(self) -> None:
        pending = self._handshake
        while len(pending) >= 4:
            length = int.from_bytes(pending[1:4])
            if length > _MESSAGE_LIMIT:
                raise CodecError("a message longer than any that is of use")
            if len(pending) < 4 + length:
                return
            self.messages.append(Message(pending[0], bytes(pending[4 : 4 + length])))
            del pending[: 4 + length]


def record(kind: int, version: int, body: bytes) -> bytes:
    """One record in clear; ``version`` is what its header says."""
    return bytes((kind,)) + version.to_bytes(2) + len(body).to_bytes(2) + body


def message(kind: int, body: bytes) -> bytes:
    """One handshake message with its header."""
    return bytes((kind,)) + len(body).to_bytes(3) + body


def vector(octets: int, body: bytes) -> bytes:
    """``body`` behind its length in ``octets`` octets."""
    return len(body).to_bytes(octets) + body
