"""Our own resolver, asked once for each name and type in a run; and questions to authoritative servers.

Only a clear answer is an answer: NXDOMAIN and NODATA are told apart from SERVFAIL, REFUSED, truncation and silence,
which say nothing about the name (RFC 1035, RFC 2308, RFC 6891; DO and CD set, so that signatures come along and
a validating resolver hides nothing).
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from posture.door import Door, Reply, Resolver
from posture.model import NotSeen, NotThere, Reason
from posture.net import tcp, udp
from posture.net.asset import ClockedResolver, Deadline, Stopwatch

PORT = 53
# RFC 9715: what crosses any path without fragments.
UDP_PAYLOAD = 1232
# Seconds for the tries of one question: later ones give a resolver time to recurse through slow servers.
TRIES = (2.0, 3.0, 5.0)
TCP_SECONDS = 5.0
IN_FLIGHT = 50
MAX_CNAMES = 8
MAX_ADDRESSES = 20

_REASONS = {dns.rcode.SERVFAIL: Reason.TEMPORARY, dns.rcode.REFUSED: Reason.REFUSED_BY_TARGET}
_PRINTABLE = re.compile(r"[!-~]{1,1010}")


_Key = tuple[dns.name.Name, dns.rdatatype.RdataType]


class Clocks(NamedTuple):
    """Of a task: what runs while its question is on the wire, and what runs while it stands in line for that."""

    on_wire: Stopwatch
    in_line: Stopwatch


@dataclass(slots=True, eq=False)
class _Question:
    """One name and type, and the clocks of the tasks that wait for the answer."""

    name: dns.name.Name
    rdtype: dns.rdatatype.RdataType
    on_wire: bool = False
    clocks: list[Clocks] = field(default_factory=list)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        self._turn(on_wire=True)
        try:
            yield
        finally:
            self._turn(on_wire=False)

    def _turn(self, *, on_wire: bool) -> None:
        for clocks in self.clocks:
            self._running(clocks).stop()
        self.on_wire = on_wire
        for clocks in self.clocks:
            self._running(clocks).start()

    @contextmanager
    def awaited(self, clocks: Clocks) -> Iterator[None]:
        self.clocks.append(clocks)
        self._running(clocks).start()
        try:
            yield
        finally:
            self.clocks.remove(clocks)
            self._running(clocks).stop()

    def _running(self, clocks: Clocks) -> Stopwatch:
        return clocks.on_wire if self.on_wire else clocks.in_line


class RunResolver:
    """The resolver of a run: posture.door.Resolver over UDP and TCP.

    Equal questions at the same time, or after an answer, are asked once. A failure is shared by those who wait for
    it and not remembered.

    Args:
        address, port: a recursive resolver; a literal.
        tries: seconds to wait in each try.
        in_flight: questions under way at once.
    """

    def __init__(
        self, address: str, port: int = PORT, *, tries: tuple[float, ...] = TRIES, in_flight: int = IN_FLIGHT
    ) -> None:
        self.address = address
        self.port = port
        self._tries = tries
        self._turns = asyncio.Semaphore(in_flight)
        self._asked: dict[_Key, tuple[_Question, asyncio.Task[Reply]]] = {}

    async def ask(self, name: str, rdtype: str, clocks: Clocks | None = None) -> Reply:
        """One question.

        Args:
            name: absolute, with or without the last dot, in A-label form.
            rdtype: mnemonic, as "A" or "TXT".
            clocks: of the task that asks; without them it waits as long as it takes.

        Raises:
            NotSeen: TIMEOUT, TEMPORARY (SERVFAIL), REFUSED_BY_TARGET, TRUNCATED or MALFORMED; DEADLINE of ``clocks``.
        """
        key = (parse_name(name), dns.rdatatype.from_text(rdtype))
        if key not in self._asked:
            question = _Question(*key)
            task = asyncio.create_task(self._resolve(question))
            task.add_done_callback(lambda done: self._forget_failure(key, done))
            self._asked[key] = question, task
        question, task = self._asked[key]
        # One who stops waiting does not take the answer away from the others.
        if clocks is None:
            return await asyncio.shield(task)
        with question.awaited(clocks):
            while not task.done():
                if (left := clocks.on_wire.remaining) <= 0:
                    raise NotSeen(Reason.DEADLINE, "the time for this asset is used up")
                await asyncio.wait({task}, timeout=left)
            return task.result()

    async def addresses(self, name: str) -> tuple[str, ...]:
        """All A and AAAA of a name, sorted, at most 20; () for a clear NXDOMAIN or NODATA of both. Raises NotSeen."""
        return _addresses(await asyncio.gather(self.ask(name, "A"), self.ask(name, "AAAA")))

    def forget(self) -> None:
        """From here on everything is asked anew: for a second look in the same run."""
        self._asked = {key: asked for key, asked in self._asked.items() if not asked[1].done()}

    async def aclose(self) -> None:
        """Stops what is still being asked."""
        pending = [task for _, task in self._asked.values() if not task.done()]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    def _forget_failure(self, key: _Key, done: asyncio.Task[Reply]) -> None:
        if done.cancelled() or done.exception() is not None:
            self._asked.pop(key, None)

    async def _resolve(self, question: _Question) -> Reply:
        chain: list[str] = []
        target = name = question.name
        rdtype = question.rdtype
        while True:
            message = await self._asked_for(question, target)
            target, found = _follow(message, target, rdtype, chain)
            if len(chain) > MAX_CNAMES:
                raise NotSeen(Reason.MALFORMED, f"more than {MAX_CNAMES} CNAMEs from {to_text(name)}")
            if found is not None or not _is_open_end(message, target):
                return _reply(message, target, rdtype, found, tuple(chain))

    async def _asked_for(self, question: _Question, name: dns.name.Name) -> dns.message.Message:
        """What our resolver says to a question of the same type about ``name``, to which its CNAMEs led."""
        rdtype = question.rdtype
        failure = NotSeen(Reason.TIMEOUT, to_text(name))
        for seconds in self._tries:
            query = make_query(name, rdtype, recursion=True, dnssec=True)
            query.flags |= dns.flags.CD
            try:
                async with self._turns:
                    with question.under_way():
                        return _checked(await self._exchange(query, seconds))
            except NotSeen as fault:
                failure = fault
                if fault.reason not in (Reason.TIMEOUT, Reason.TEMPORARY, Reason.RESET):
                    break
            except NotThere as fault:
                failure = NotSeen(Reason.TIMEOUT, f"our resolver {self.address} port {self.port} is not there")
                failure.__cause__ = fault
        failure.detail = f"{to_text(name)} {dns.rdatatype.to_text(rdtype)}: {failure.detail or failure.reason}"
        raise failure

    async def _exchange(self, query: dns.message.QueryMessage, seconds: float) -> dns.message.Message:
        now = asyncio.get_running_loop().time
        wire = query.to_wire()
        deadline = Deadline(now() + seconds, Reason.TIMEOUT)
        answer = await udp.exchange(
            self.address, self.port, wire, deadline, accept=lambda datagram: _is_answer(query, datagram)
        )
        message = parse_message(query, answer)
        if not message.flags & dns.flags.TC:
            return message
        deadline = Deadline(now() + TCP_SECONDS, Reason.TIMEOUT)
        connection = await tcp.dial(self.address, self.port, deadline)
        async with tcp.TcpStream(connection, deadline, idle=TCP_SECONDS, on_close=_nothing) as stream:
            await stream.write(struct.pack("!H", len(wire)) + wire)
            message = parse_message(query, await _read_framed(stream))
        if message.flags & dns.flags.TC:
            raise NotSeen(Reason.TRUNCATED, "truncated even over TCP")
        return message


class TaskResolver:
    """posture.door.Resolver of one task. Its time runs while a question of its own is on the wire, and not while all
    turns are taken by those of others: zones whose servers are silent must not use up the time of the next."""

    def __init__(self, resolver: RunResolver, clocks: Clocks) -> None:
        self._resolver = resolver
        self._clocks = clocks

    async def ask(self, name: str, rdtype: str) -> Reply:
        """As the run's; raises NotSeen(DEADLINE) too."""
        return await self._resolver.ask(name, rdtype, self._clocks)

    async def addresses(self, name: str) -> tuple[str, ...]:
        """As the run's; raises NotSeen(DEADLINE) too."""
        return _addresses(await asyncio.gather(self.ask(name, "A"), self.ask(name, "AAAA")))


def for_task(resolver: Resolver, clocks: Clocks) -> Resolver:
    """A resolver as one task sees it, on its clocks; one that keeps no line runs on the first of them all the time."""
    if isinstance(resolver, RunResolver):
        return TaskResolver(resolver, clocks)
    return ClockedResolver(resolver, clocks.on_wire)


def _addresses(replies: Iterable[Reply]) -> tuple[str, ...]:
    found = sorted(record.address for reply in replies for record in reply.records)
    return tuple(found[:MAX_ADDRESSES])


async def ask_server(
    door: Door,
    address: str,
    name: str,
    rdtype: str,
    *,
    recursion: bool = False,
    tcp: bool = False,
    timeout: float = 2.0,
    dnssec: bool = False,
) -> dns.message.Message:
    """One question to an authoritative server through a task's door, tried once.

    Returns:
        The message as it came, with any rcode and possibly truncated.

    Raises:
        NotThere: CLOSED.
        NotSeen: as the door does; MALFORMED when the answer is not one to this question.
    """
    query = make_query(parse_name(name), dns.rdatatype.from_text(rdtype), recursion=recursion, dnssec=dnssec)
    wire = query.to_wire()
    if not tcp:
        return parse_message(query, await door.ask_udp(address, PORT, wire, timeout=timeout))
    async with await door.connect(address, PORT, timeout=timeout) as stream:
        await stream.write(struct.pack("!H", len(wire)) + wire)
        (length,) = struct.unpack("!H", await stream.read_exactly(2))
        return parse_message(query, await stream.read_exactly(length))


def make_query(
    name: dns.name.Name, rdtype: dns.rdatatype.RdataType, *, recursion: bool, dnssec: bool
) -> dns.message.QueryMessage:
    """A query with EDNS and a payload size that needs no fragments."""
    return dns.message.make_query(
        name,
        rdtype,
        use_edns=0,
        payload=UDP_PAYLOAD,
        want_dnssec=dnssec,
        flags=dns.flags.RD if recursion else 0,
    )


def parse_name(text: str) -> dns.name.Name:
    """An absolute name in A-label form.

    Raises:
        NotSeen: MALFORMED, not a name that can be asked for.
    """
    try:
        if not _PRINTABLE.fullmatch(text):
            raise NotSeen(Reason.MALFORMED, f"not a domain name: {text[:80]!r}")
        return dns.name.from_text(text).canonicalize()
    except (dns.exception.DNSException, struct.error) as fault:  # "\\256": a byte that does not exist
        raise NotSeen(Reason.MALFORMED, f"not a domain name: {text[:80]!r}") from fault


def parse_message(query: dns.message.QueryMessage, wire: bytes) -> dns.message.Message:
    """The answer to ``query``.

    Raises:
        NotSeen: MALFORMED, no DNS message or not an answer to this question.
    """
    try:
        message = dns.message.from_wire(wire, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError, struct.error) as fault:
        raise NotSeen(Reason.MALFORMED, f"not a DNS message: {type(fault).__name__}") from fault
    if not query.is_response(message):
        raise NotSeen(Reason.MALFORMED, "an answer to another question")
    return message


def system_resolver(path: Path = Path("/etc/resolv.conf")) -> tuple[str, int] | None:
    """The first name server of the system's configuration; None when there is none."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    for line in lines:
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            return words[1], PORT
    return None


def to_text(name: dns.name.Name) -> str:
    """Lower case, without the last dot; "." for the root."""
    return name.canonicalize().to_text(omit_final_dot=True)


def _is_answer(query: dns.message.QueryMessage, datagram: bytes) -> bool:
    """The cheap part of the check, on which a forged datagram is passed over rather than believed to be the answer."""
    return len(datagram) >= 12 and datagram[:2] == query.id.to_bytes(2, "big") and bool(datagram[2] & 0x80)


async def _read_framed(stream: tcp.TcpStream) -> bytes:
    (length,) = struct.unpack("!H", await stream.read_exactly(2))
    return await stream.read_exactly(length)


def _checked(message: dns.message.Message) -> dns.message.Message:
    """The message if its rcode answers the question."""
    rcode = message.rcode()
    if rcode in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return message
    raise NotSeen(_REASONS.get(rcode, Reason.MALFORMED), dns.rcode.to_text(rcode))


def _follow(
    message: dns.message.Message, name: dns.name.Name, rdtype: dns.rdatatype.RdataType, chain: list[str]
) -> tuple[dns.name.Name, dns.rrset.RRset | None]:
    """Walks the CNAMEs of one answer, adding to ``chain``; the last name and the records there, if any."""
    while len(chain) <= MAX_CNAMES:
        found = _rrset(message, name, rdtype)
        if found is not None:
            return name, found
        alias = _rrset(message, name, dns.rdatatype.CNAME)
        if alias is None:
            return name, None
        name = alias[0].target.canonicalize()
        chain.append(to_text(name))
    return name, None


def _rrset(
    message: dns.message.Message, name: dns.name.Name, rdtype: dns.rdatatype.RdataType
) -> dns.rrset.RRset | None:
    return message.get_rrset(dns.message.ANSWER, name, dns.rdataclass.IN, rdtype)


def _is_open_end(message: dns.message.Message, target: dns.name.Name) -> bool:
    """Whether the answer stops at a CNAME whose target it says nothing about, neither records nor their absence."""
    asked = message.question[0].name
    denied = any(rrset.rdtype == dns.rdatatype.SOA for rrset in message.authority)
    return message.rcode() == dns.rcode.NOERROR and target != asked and not denied


def _reply(
    message: dns.message.Message,
    name: dns.name.Name,
    rdtype: dns.rdatatype.RdataType,
    found: dns.rrset.RRset | None,
    chain: tuple[str, ...],
) -> Reply:
    if found is not None:
        records = tuple(sorted(found, key=lambda record: record.to_digestable()))
        signed = any(
            rrset.name == name and rrset.rdtype == dns.rdatatype.RRSIG and rrset.covers == rdtype
            for rrset in message.answer
        )
        return Reply("noerror", records, to_text(name), chain, signed, message)
    if message.rcode() == dns.rcode.NOERROR and _is_referral(message):
        raise NotSeen(
            Reason.MALFORMED, f"{to_text(name)}: a referral instead of an answer; this is no recursive resolver"
        )
    status = "nxdomain" if message.rcode() == dns.rcode.NXDOMAIN else "nodata"
    signed = any(rrset.rdtype == dns.rdatatype.RRSIG for rrset in message.authority)
    return Reply(status, (), to_text(name), chain, signed, message)


def _is_referral(message: dns.message.Message) -> bool:
    types = {rrset.rdtype for rrset in message.authority}
    return dns.rdatatype.NS in types and dns.rdatatype.SOA not in types and not message.flags & dns.flags.AA


def _nothing() -> None:
    """A connection to our own resolver holds no lease."""
