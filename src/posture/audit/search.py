"""What a trail says about an asset, an address or a time: grouped, in one pass over the raw bytes, its chain checked."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from typing import Any, BinaryIO

from posture.audit.chain import Broken, Chain
from posture.audit.records import LONGEST, START, Head, is_record, kind_of
from posture.audit.verify import Signatures, at_of, proved

Address = IPv4Address | IPv6Address
ENDPOINT = "endpoint"
NO_END = "no end on record"
# What decisions of a group have in common, and what tells them apart: port, protocol (in common too), connections.
_DECISION = re.compile(rb'("run":.*),"port":(\d{1,9}),"protocol":("[^"]*"),"connections":(\d{1,9})[,}]')
_CLOSE = re.compile(rb'"of":(\d{1,18}),"end":"([^"]*)","sent":(\d{1,18}),"received":(\d{1,18})[,}]')


@dataclass(frozen=True, slots=True)
class Asked:
    """``first`` and ``last`` are stamps (posture.audit.records.stamp), both ends included; None: no limit."""

    asset: str | None = None
    address: Address | None = None
    first: str | None = None
    last: str | None = None

    @property
    def needles(self) -> tuple[tuple[bytes, ...], ...]:
        """Of each group one must stand in a record's line."""
        groups: list[tuple[bytes, ...]] = []
        if self.asset is not None:
            groups.append((f'"asset":{json.dumps(self.asset)},'.encode(),))
        if self.address is not None:
            groups.append(tuple(f'"address":"{each}",'.encode() for each in spellings(self.address)))
        return tuple(groups)


def spellings(address: Address) -> tuple[str, ...]:
    """How a record may spell an address; an IPv4 address may have been dialled through IPv6 (RFC 4291 section 2.5.5.2)."""
    plain = getattr(address, "ipv4_mapped", None) or address
    if not isinstance(plain, IPv4Address):
        return (str(address),)
    return str(plain), f"::ffff:{int(plain) >> 16:x}:{int(plain) & 0xFFFF:x}", f"::ffff:{plain}"


@dataclass(slots=True)
class Contacts:
    """Decisions that are alike but for port and time, as one. ``connections`` counts all that they permitted."""

    said: Mapping[str, Any]
    first_at: str
    last_at: str
    connections: int = 0
    ports: set[int] = field(default_factory=set)
    sent: int = 0
    received: int = 0
    ends: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Found:
    """``broken`` says what does not hold, or ""; ``owners``: authorisation -> whose; ``shared`` counts decisions under
    which nothing was sent, because another's connection had brought the answer already."""

    head: Head = START
    before: Head = START
    first_at: str = ""
    last_at: str = ""
    records: int = 0
    broken: str = ""
    contacts: list[Contacts] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)
    shared: int = 0


def search(stream: BinaryIO, asked: Asked, *, remembered: Head | None = None) -> Found:
    """Everything in the trail that answers the question.

    A trail that does not hold is read all the same, to its end, and the answer says so.

    Args:
        stream: the file, at its beginning; seekable.
        remembered: a head kept elsewhere, which the trail must still contain.

    Raises:
        OSError: the file cannot be read.
    """
    chain, pass_ = Chain(stream), _Pass(asked)
    try:
        for _, seq, line in proved(chain, Signatures(), remembered=remembered):
            pass_.read(seq, line)
    except Broken as fault:
        stream.seek(0)
        pass_ = _Pass(asked)
        for seq, line in _unproved(stream):
            pass_.read(seq, line)
        pass_.found.broken = str(fault)
    found = pass_.finished()
    found.head, found.before = chain.head, chain.before
    return found


def _unproved(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Whatever looks like a record and has a time, with the number that it gives itself."""
    for line in iter(partial(stream.readline, LONGEST), b""):
        said = _object(line) if is_record(line) else {}
        if isinstance(said.get("seq"), int) and at_of(line):
            yield said["seq"], line


class _Pass:
    """One pass over the records."""

    def __init__(self, asked: Asked) -> None:
        self.found = Found()
        self._needles = asked.needles
        self._first = asked.first or ""
        self._last = asked.last or "~"  # after every stamp
        self._endpoints_count = asked.asset is None
        self._groups: dict[Hashable, Contacts] = {}
        self._open: dict[int, Contacts] = {}
        self._asked_now: list[tuple[str, bytes]] = []
        self._previous_at = ""

    def read(self, seq: int, line: bytes) -> None:
        found = self.found
        found.records += 1
        at = at_of(line)
        if not found.first_at:
            found.first_at = at
        if b'"kind":"close"' in line:
            if self._open:
                self._close(line)
        elif b'"kind":"decision"' in line:
            if self._first <= at <= self._last and self._matches(line):
                self._decision(seq, at, line)
        else:
            self._other(at, line)
        self._previous_at = at

    def finished(self) -> Found:
        self._endpoints_until(self._previous_at)
        for group in self._open.values():
            group.ends[NO_END] += 1
        self.found.last_at = self._previous_at
        self.found.contacts = list(self._groups.values())
        return self.found

    def _matches(self, line: bytes) -> bool:
        return all(any(needle in line for needle in group) for group in self._needles)

    def _decision(self, seq: int, at: str, line: bytes) -> None:
        parts = _DECISION.search(line)
        if parts is None:
            return
        allowed, connections = b'"allowed":true' in line, int(parts[4])
        if allowed and not connections:
            self.found.shared += 1
            return
        group = self._group(parts.group(1, 3), line, at)
        group.said = {**group.said, "allowed": allowed}
        group.connections += connections
        if port := int(parts[2]):  # a refusal may name none
            group.ports.add(port)
        if allowed:
            self._open[seq] = group

    def _group(self, key: Hashable, line: bytes, at: str) -> Contacts:
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Contacts(_object(line), at, at)
        group.first_at, group.last_at = min(group.first_at, at), max(group.last_at, at)
        return group

    def _close(self, line: bytes) -> None:
        parts = _CLOSE.search(line)
        group = self._open.pop(int(parts[1]), None) if parts else None
        if group and parts:
            group.ends[parts[2].decode("ascii", "replace")] += 1
            group.sent += int(parts[3])
            group.received += int(parts[4])

    def _other(self, at: str, line: bytes) -> None:
        kind = kind_of(line)
        if kind == "start":
            self._endpoints_until(self._previous_at)
            with suppress(KeyError, TypeError):
                for letter in _object(line).get("authorisations") or ():
                    self.found.owners[str(letter["id"])] = str(letter["owner"])
        elif kind == "end":
            self._endpoints_until(at)
        elif kind == ENDPOINT and self._endpoints_count and self._matches(line):
            self._asked_now.append((at, line))

    def _endpoints_until(self, until: str) -> None:
        """The operator's own were asked from their record to the end of the scan."""
        for since, line in self._asked_now:
            if since <= self._last and until >= self._first:
                group = self._group(line, line, since)
                group.said = {**group.said, "allowed": True, "traffic": ENDPOINT}
                group.last_at = max(group.last_at, until)
                if isinstance(port := group.said.get("port"), int):
                    group.ports.add(port)
        self._asked_now = []


def _object(line: bytes) -> dict[str, Any]:
    """A record as JSON; {} for a line that is none, which only an unproved trail holds."""
    with suppress(ValueError, RecursionError):
        said = json.loads(line)
        if isinstance(said, dict):
            return said
    return {}
