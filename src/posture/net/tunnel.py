"""What goes through a tunnel as its middle sees it: TLS records by kind (RFC 5246 section 6.2.1), never their content.

A program that talks through us says what it concluded; the records say whether the question was put at all, and whether
there was an answer or only silence. What a server leaks is never kept: of a record in clear only its length and, of a
handshake or an alert, the last four bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, DATA, HEARTBEAT = 20, 21, 22, 23, 24
# A client that hangs up after so many quiet seconds did not get its answer; one that got it does so at once.
SILENT_SECONDS = 4.0
RECORDS = 64
_KINDS = frozenset({CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, DATA, HEARTBEAT})
_HEAD = 5
_TAIL = 4


class End(StrEnum):
    """How a tunnel ended. The reset, the time-out and the limit are of the connection to the target."""

    CLIENT = "client"  # the client hung up
    TARGET = "target"  # the target hung up
    SILENCE = "silence"  # the client hung up after it had waited in vain
    RESET = "reset"
    TIMEOUT = "timeout"
    CLOSED = "closed"  # there was none: RST to connect
    LEFT = "left"  # there was none yet: the client hung up while it waited for its turn
    UNSEEN = "unseen"  # there was none, or no more: a limit, a deadline, a refusal of our own


@dataclass(frozen=True, slots=True)
class Record:
    """One TLS record. ``tail``: the end of a handshake record or an alert before ChangeCipherSpec, at most four bytes."""

    up: bool
    kind: int
    length: int
    tail: bytes = b""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A tunnel that has ended; ``records``: the first ones of both ways, in the order in which they were whole.

    ``answered``: whether a byte came from the target.
    """

    end: End
    records: tuple[Record, ...] = ()
    answered: bool = False


@dataclass(slots=True)
class _Way:
    """The records of one direction, out of whatever pieces they come in."""

    up: bool
    begun: bool = False
    secret: bool = False  # after ChangeCipherSpec
    astray: bool = False  # no TLS any more
    _head: bytearray = field(default_factory=bytearray)
    _left: int = 0
    _tail: bytes = b""

    def feed(self, data: bytes) -> list[Record]:
        found: list[Record] = []
        while data and not self.astray:
            if len(self._head) < _HEAD:
                wanted = _HEAD - len(self._head)
                self._head += data[:wanted]
                data = data[wanted:]
                if len(self._head) < _HEAD:
                    break
                self._left = int.from_bytes(self._head[3:5], "big")
                self.astray = self._head[0] not in _KINDS or self._head[1] != 3
                if self.astray:
                    break
            taken, data = data[: self._left], data[self._left :]
            self._left -= len(taken)
            self._tail = (self._tail + taken)[-_TAIL:]
            if not self._left:
                found.append(self._whole())
        return found

    def _whole(self) -> Record:
        kind, length = self._head[0], int.from_bytes(self._head[3:5], "big")
        tail = self._tail if kind in (HANDSHAKE, ALERT) and not self.secret else b""
        self.secret = self.secret or kind == CHANGE_CIPHER_SPEC
        self._head.clear()
        self._tail = b""
        return Record(self.up, kind, length, tail)


@dataclass(slots=True)
class Observer:
    """Looks on while a tunnel carries. ``quiet_since`` is the time of its last byte.

    What is said before TLS begins (STARTTLS) is passed over: TLS begins with the client's first hello.
    """

    quiet_since: float
    _up: _Way = field(default_factory=lambda: _Way(up=True))
    _down: _Way = field(default_factory=lambda: _Way(up=False))
    _records: list[Record] = field(default_factory=list)
    _answered: bool = False

    def saw(self, data: bytes, *, up: bool, at: float) -> None:
        """Bytes that went by at a time of the loop's clock."""
        self.quiet_since = at
        self._answered = self._answered or not up
        way = self._up if up else self._down
        if up and not way.begun:
            way.begun = self._down.begun = data[:2] == b"\x16\x03"
        if way.begun and len(self._records) < RECORDS:
            self._records += way.feed(data)

    def ended(self, end: End, at: float) -> Tunnel:
        if end is End.CLIENT and at - self.quiet_since >= SILENT_SECONDS:
            end = End.SILENCE
        return Tunnel(end, tuple(self._records[:RECORDS]), self._answered)
