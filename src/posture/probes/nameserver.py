"""One name server of a zone: does it answer for the zone, and does it give the whole zone away?

Tasks of subject ``ns:NAME``: ``task.name`` is the zone, ``params`` are {"server": NS name, "status": how that name
resolved}, ``addresses`` where to ask.
"""

from __future__ import annotations

import asyncio
import hashlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype

from posture.facts.dns import AxfrAnswer, AxfrFacts, NameserverFacts, ServerAnswer
from posture.model import NotSeen, NotThere, ProbeClass, Reason
from posture.net.resolver import PORT, ask_server, parse_name
from posture.probes.base import Door, Probe, Stream
from posture.task import Task

UDP_TRIES = 3
MAX_RECORDS = 50_000
# Several servers of a zone that all give it away must stay far below what one asset may send.
MAX_BYTES = 400_000
# What a server's silence or nonsense is called in the facts; any other reason is ours and ends the probe.
_SEEN_AS = {
    Reason.TIMEOUT: "timeout",
    Reason.RESET: "reset",
    Reason.MALFORMED: "malformed",
    Reason.TRUNCATED: "malformed",
    Reason.VANTAGE_LIMITED: "vantage_limited",
}
_AGAIN = ("timeout", "servfail", "malformed")


async def observe(task: Task, door: Door) -> NameserverFacts:
    """SOA without recursion over UDP, three tries, then TCP, at every address (RFC 1912 section 2.8)."""
    answers = await asyncio.gather(*(_ask(door, address, task.name) for address in task.addresses))
    return NameserverFacts(str(task.params["server"]), str(task.params["status"]), tuple(sorted(answers, key=_address)))


async def observe_axfr(task: Task, door: Door) -> AxfrFacts:
    """AXFR over TCP at every address (RFC 5936). Of a zone that comes only the number of records and a digest stay."""
    answers = await asyncio.gather(*(_transfer(door, address, task.name) for address in task.addresses))
    codes = task.params.get("codes", {})
    refused = (
        AxfrAnswer(address, reason, code=codes.get(address, ""))
        for address, reason in task.params.get("refused", {}).items()
    )
    return AxfrFacts(str(task.params["server"]), tuple(sorted((*answers, *refused), key=_address)))


def _address(answer: ServerAnswer | AxfrAnswer) -> str:
    return answer.address


async def _ask(door: Door, address: str, zone: str) -> ServerAnswer:
    words: list[str] = []
    while len(words) < UDP_TRIES and (not words or words[-1] in _AGAIN):
        words.append(await _heard(lambda: _soa(door, address, zone, tcp=False)))
    # A single SERVFAIL passes: it counts only when every try ended so.
    udp = words[-1] if words[-1] != "servfail" or set(words) == {"servfail"} else "timeout"
    tcp = await _twice_if_reset(door, address, lambda: _soa(door, address, zone, tcp=True))
    return ServerAnswer(address, udp, tcp, len(words))


async def _twice_if_reset(door: Door, address: str, question: Callable[[], Awaitable[str]]) -> str:
    """A reset may be one of too many connections: once more, after the pause that the door now keeps."""
    word = await _heard(question)
    if word != "reset":
        return word
    door.throttled(address)
    return await _heard(question)


async def _heard(question: Callable[[], Awaitable[str]]) -> str:
    """The word for what came back; raises NotSeen when the reason is ours."""
    try:
        return await question()
    except NotThere:
        return "closed"
    except NotSeen as unseen:
        if unseen.reason not in _SEEN_AS:
            raise
        return _SEEN_AS[unseen.reason]


async def _soa(door: Door, address: str, zone: str, *, tcp: bool) -> str:
    message = await ask_server(door, address, zone, "SOA", tcp=tcp)
    authoritative = bool(message.flags & dns.flags.AA)
    if message.flags & dns.flags.TC and not authoritative:
        return "malformed"  # a rate limiter's "ask me over TCP": says nothing about the zone
    match message.rcode():
        case dns.rcode.NOERROR:
            return "authoritative" if authoritative and _has_soa(message, zone) else "not_authoritative"
        case dns.rcode.NXDOMAIN | dns.rcode.NOTAUTH:
            return "not_authoritative"
        case dns.rcode.REFUSED:
            return "refused"
        case dns.rcode.SERVFAIL:
            return "servfail"
        case _:
            return "malformed"


def _has_soa(message: dns.message.Message, zone: str) -> bool:
    if message.flags & dns.flags.TC:
        return True
    owner = parse_name(zone)
    return message.get_rrset(dns.message.ANSWER, owner, dns.rdataclass.IN, dns.rdatatype.SOA) is not None


@dataclass
class _Zone:
    """What has come of a zone so far: its records as canonical text, without the SOA that closes it."""

    lines: set[str] = field(default_factory=set)
    records: int = 0
    soas: int = 0
    octets: int = 0

    def forget(self) -> None:
        """What came of an attempt that was cut short."""
        self.lines.clear()
        self.records = self.soas = self.octets = 0

    def take(self, message: dns.message.Message, octets: int) -> None:
        self.octets += octets
        for rrset in message.answer:
            self.soas += len(rrset) if rrset.rdtype == dns.rdatatype.SOA else 0
            for record in rrset:
                self.records += 1
                owner = rrset.name.canonicalize()
                self.lines.add(
                    f"{owner} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} {record.to_digestable().hex()}"
                )

    @property
    def given_away(self) -> bool:
        return self.records > self.soas

    @property
    def complete(self) -> bool:
        return self.soas >= 2

    @property
    def over(self) -> bool:
        return self.records > MAX_RECORDS or self.octets > MAX_BYTES

    @property
    def digest(self) -> str:
        if not self.complete:
            return ""
        return "sha256:" + hashlib.sha256("\n".join(sorted(self.lines)).encode()).hexdigest()


async def _transfer(door: Door, address: str, zone: str) -> AxfrAnswer:
    came = _Zone()

    async def receive() -> str:
        if came.given_away:
            return "ended"  # before it was reset
        came.forget()
        return await _receive(door, address, zone, came)

    answer = await _twice_if_reset(door, address, receive)
    if came.given_away:  # the zone, or so much of it that the end does not matter
        return AxfrAnswer(address, "transferred", len(came.lines), came.digest)
    if came.records:  # old servers send a record a message: only what follows tells, or that nothing does
        return AxfrAnswer(address, "soa_only" if answer in ("ended", "timeout") else answer, len(came.lines))
    return AxfrAnswer(address, "refused" if answer == "ended" else answer)


async def _receive(door: Door, address: str, zone: str, came: _Zone) -> str:
    """Fills ``came``; "ended" when the server had no more to say, else the word for its refusal."""
    query = dns.message.make_query(parse_name(zone), dns.rdatatype.AXFR, flags=0)
    async with await door.connect(address, PORT) as stream:
        wire = query.to_wire()
        await stream.write(struct.pack("!H", len(wire)) + wire)
        async for wire in _messages(stream):
            message = _parsed(query, wire)
            if message.flags & dns.flags.TC:
                return "malformed"  # cut short over TCP: says nothing about the transfer
            match message.rcode():
                case dns.rcode.NOERROR:
                    if not came.records and not _may_begin(query, message):
                        return "malformed"
                    came.take(message, len(wire))
                case dns.rcode.SERVFAIL:
                    return "servfail"
                case dns.rcode.REFUSED | dns.rcode.NOTAUTH | dns.rcode.NOTIMP | dns.rcode.NXDOMAIN:
                    return "refused"
                case _:
                    return "malformed"
            if came.complete or came.over or not message.answer:
                return "ended"
    return "ended"


def _may_begin(query: dns.message.QueryMessage, message: dns.message.Message) -> bool:
    """The first message repeats the question and begins with the SOA, or has nothing to give (RFC 5936 section 2.2).

    Servers that answer whatever is asked with an address of their own give no zone away.
    """
    begins = not message.answer or message.answer[0].rdtype == dns.rdatatype.SOA
    return begins and message.question == query.question


async def _messages(stream: Stream) -> AsyncIterator[bytes]:
    """Messages with their two octets of length, until a clean end of the stream between two of them."""
    while first := await stream.read(1):
        (length,) = struct.unpack("!H", first + await stream.read_exactly(1))
        yield await stream.read_exactly(length)


def _parsed(query: dns.message.QueryMessage, wire: bytes) -> dns.message.Message:
    try:
        message = dns.message.from_wire(wire, xfr=True, one_rr_per_rrset=True, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError, struct.error) as fault:
        raise NotSeen(Reason.MALFORMED, f"not a DNS message: {type(fault).__name__}") from fault
    if message.id != query.id or not message.flags & dns.flags.QR:
        raise NotSeen(Reason.MALFORMED, "an answer to another question")
    return message


PROBES = (
    Probe("nameserver", NameserverFacts, ProbeClass.PASSIVE, observe),
    Probe("axfr", AxfrFacts, ProbeClass.ACTIVE, observe_axfr),
)
