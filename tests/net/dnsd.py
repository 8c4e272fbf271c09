"""A scripted name server: a function from query to answer, over UDP and TCP on one port."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from tests.net import servers

# Returns the message, raw bytes, or None for silence.
Script = Callable[[dns.message.Message, bool], dns.message.Message | bytes | None]


@dataclass
class NameServer:
    port: int = 0
    queries: list[dns.message.Message] = field(default_factory=list)
    over_tcp: int = 0

    def count(self, name: str, rdtype: str) -> int:
        return sum(str(query.question[0]).startswith(f"{name}. IN {rdtype}") for query in self.queries)


def answer(
    query: dns.message.Message,
    *records: str,
    authority: tuple[str, ...] = (),
    rcode: int = dns.rcode.NOERROR,
    flags: int = 0,
) -> dns.message.Message:
    """An answer of records in zone-file form: "name ttl class type rdata"."""
    reply = dns.message.make_response(query)
    reply.set_rcode(dns.rcode.Rcode(rcode))
    reply.flags |= flags
    for section, texts in ((reply.answer, records), (reply.authority, authority)):
        for text in texts:
            name, ttl, rdclass, rdtype, rdata = text.split(None, 4)
            section.append(dns.rrset.from_text(name, int(ttl), rdclass, rdtype, rdata))
    return reply


SOA = "gov.example. 300 IN SOA ns.gov.example. hostmaster.gov.example. 1 7200 900 1209600 300"


def nodata(query: dns.message.Message) -> dns.message.Message:
    return answer(query, authority=(SOA,))


def nxdomain(query: dns.message.Message) -> dns.message.Message:
    return answer(query, authority=(SOA,), rcode=dns.rcode.NXDOMAIN)


@asynccontextmanager
async def name_server(script: Script) -> AsyncIterator[NameServer]:
    server = NameServer()

    def respond(wire: bytes, tcp: bool) -> bytes | None:
        query = dns.message.from_wire(wire)
        server.queries.append(query)
        reply = script(query, tcp)
        if isinstance(reply, dns.message.Message):
            reply = reply.to_wire(max_size=65535)
        return reply

    def datagram(wire: bytes) -> list[bytes]:
        reply = respond(wire, False)
        return [] if reply is None else [reply]

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        server.over_tcp += 1
        reply = respond(await reader.readexactly(length), True)
        if reply is not None:
            writer.write(struct.pack("!H", len(reply)) + reply)
            await writer.drain()

    async with servers.tcp_server(stream) as seen, servers.udp_server(datagram, seen.port) as port:
        server.port = port
        yield server
