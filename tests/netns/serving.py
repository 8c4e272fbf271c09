"""The servers of a namespace, in one process: python -m tests.netns.serving MODULE FOLDER

MODULE has a ``world()`` that says what stands where; everything else on the ports that are listened on is a
canary, which writes down whoever comes. Prints "ready" once all of it stands; the log FOLDER/seen.jsonl has one JSON
object a line: {"canary": "169.254.169.254", "port": 80}, {"axfr": "45.45.1.53"}, {"question": "www.gov.example. A"}.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import signal
import socket
import ssl
import struct
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from posture.range.listening import Peer

PATIENCE = 30.0
TTL = 1
TEXT = "Contact: mailto:soc@finance.gov.example\nExpires: 2099-01-01T00:00:00Z\n"

# Records of a name and type; several lists answer one question after the other, the last one for ever.
Records = Mapping[tuple[str, str], tuple[tuple[str, ...], ...]]
Note = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Site:
    """A web site: where it sends its visitors, and who asks for its security.txt (None: nowhere else)."""

    to: bytes | None = None
    securitytxt_to: bytes | None = None
    headers: bytes = b""


@dataclass(frozen=True, slots=True)
class World:
    """What stands where. ``listen``: (address, port) of each listening socket; who answers depends on the address that was
    dialled. ``datagrams``: addresses of the UDP sockets on port 53; "0.0.0.0" and "::" are canaries there."""

    records: Records
    resolvers: frozenset[str]
    nameservers: frozenset[str] = frozenset()
    sites: Mapping[str, Site] = field(default_factory=dict)
    mail: frozenset[str] = frozenset()
    tarpits: frozenset[str] = frozenset()
    resetting: frozenset[str] = frozenset()
    listen: tuple[tuple[str, int], ...] = ()
    datagrams: tuple[str, ...] = ()


class Zones:
    """Answers from the records of a world, as a recursive resolver and as the authoritative servers of all of it."""

    def __init__(self, records: Records, note: Note) -> None:
        self._records = records
        self._note = note
        self._asked: dict[tuple[str, str], int] = {}
        self._names = {name for name, _ in records}

    def answer(self, wire: bytes, address: str, *, recursive: bool, tcp: bool) -> bytes:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, rdtype = question.name.canonicalize().to_text(), dns.rdatatype.to_text(question.rdtype)
        reply = dns.message.make_response(query, recursion_available=recursive)
        if recursive:
            self._note(question=f"{name} {rdtype}")
        else:
            reply.flags |= dns.flags.AA
            self._note(authoritative=address, question=f"{name} {rdtype}")
        if rdtype == "AXFR":
            reply.set_rcode(dns.rcode.REFUSED)
            self._note(axfr=address)
            return reply.to_wire()
        while name != ".":
            if alias := self._records.get((name, "CNAME")):
                self._add(reply, name, "CNAME", alias[0])
                name = alias[0][0]
            else:
                break
        key = (name, rdtype)
        if found := self._records.get(key):
            count = self._asked[key] = self._asked.get(key, 0) + recursive
            self._add(reply, name, rdtype, found[min(max(count, 1), len(found)) - 1])
        elif name not in self._names and not any(each.endswith("." + name) for each in self._names):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        if not reply.answer or key not in self._records:
            self._add(reply, ".", "SOA", self._records[".", "SOA"][0], section=reply.authority)
        return reply.to_wire(max_size=65535 if tcp else 1232)

    def _add(
        self, reply: dns.message.Message, name: str, rdtype: str, data: tuple[str, ...], section: Any = None
    ) -> None:
        if data:
            records = dns.rrset.from_text(name, TTL, "IN", rdtype, *data)
            (reply.answer if section is None else section).append(records)


class _Datagrams(asyncio.DatagramProtocol):
    """A name server over UDP at one address, or (without ``zones``) a canary at all others."""

    def __init__(self, zones: Zones | None, address: str, recursive: bool, note: Note) -> None:
        self._zones, self._address, self._recursive, self._note = zones, address, recursive, note
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, peer: tuple[str | Any, int]) -> None:
        if self._zones is None:
            self._note(canary=self._address, port=53, protocol="udp", data=data.hex())
        else:
            self._transport.sendto(
                self._zones.answer(data, self._address, recursive=self._recursive, tcp=False), peer
            )  # fmt: skip


class Servers:
    """All servers of one world."""

    def __init__(self, world: World, note: Note, tls: ssl.SSLContext) -> None:
        self._world = world
        self._note = note
        self._tls = tls
        self._zones = Zones(world.records, note)
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        for address, port in self._world.listen:
            listener = _listener(address, port)
            asyncio.get_running_loop().add_reader(listener, self._accept, listener, port)
        for address in self._world.datagrams:
            zones = self._zones if address in self._world.resolvers | self._world.nameservers else None
            recursive = address in self._world.resolvers
            await asyncio.get_running_loop().create_datagram_endpoint(
                lambda z=zones, a=address, r=recursive: _Datagrams(z, a, r, self._note),  # type: ignore[misc]
                local_addr=(address, 53),
                reuse_port=True,
            )

    def _accept(self, listener: socket.socket, port: int) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.setblocking(False)
        address = connection.getsockname()[0]
        task = asyncio.ensure_future(self._serve(connection, address, port))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket, address: str, port: int) -> None:
        world = self._world
        if address in world.resetting:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
            return
        with suppress(OSError, EOFError, ValueError):
            peer = await Peer.welcome(connection)
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._converse(peer, address, port)
                await peer.leave()
            except ssl.SSLError:
                await peer.leave()
            finally:
                peer.writer.transport.abort()

    async def _converse(self, peer: Peer, address: str, port: int) -> None:
        world = self._world
        if address in world.tarpits:
            await asyncio.sleep(PATIENCE)
        elif port == 53 and address in world.resolvers | world.nameservers:
            await self._dns(peer, address)
        elif port == 25 and address in world.mail:
            await self._smtp(peer)
        elif port in (80, 443) and (site := world.sites.get(address)):
            if port == 443:
                await peer.start_tls(self._tls)
            await _web(peer, site)
        else:
            self._note(canary=address, port=port, protocol="tcp")

    async def _dns(self, peer: Peer, address: str) -> None:
        while True:
            (length,) = struct.unpack("!H", await peer.read_exactly(2))
            wire = await peer.read_exactly(length)
            reply = self._zones.answer(wire, address, recursive=address in self._world.resolvers, tcp=True)
            await peer.say(struct.pack("!H", len(reply)) + reply)

    async def _smtp(self, peer: Peer) -> None:
        await peer.say(b"220 mail ready\r\n")
        while not peer.gone():
            words = (await peer.line()).upper().split()
            if words[:1] == [b"EHLO"]:
                await peer.say(b"250-mail\r\n250 STARTTLS\r\n")
            elif words == [b"STARTTLS"]:
                await peer.say(b"220 go\r\n")
                await peer.start_tls(self._tls)
            elif words == [b"QUIT"]:
                await peer.say(b"221 bye\r\n")
                return
            elif words:
                await peer.say(b"502 what?\r\n")


async def _web(peer: Peer, site: Site) -> None:
    request = await peer.line()
    while await peer.line():
        pass
    path = [*request.split(), b"", b""][1]
    if b"security.txt" in path:
        target, body = site.securitytxt_to, TEXT.encode()
    else:
        target, body = site.to, b"<p>A page"
    kind = b"Content-Type: text/plain; charset=utf-8\r\n" if b"security.txt" in path else b""
    head = b"HTTP/1.1 302 Found\r\nLocation: " + target + b"\r\n" if target is not None else b"HTTP/1.1 200 OK\r\n"
    length = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
    await peer.say(head + kind + site.headers + length + body)


def _listener(address: str, port: int) -> socket.socket:
    """A listening socket; several may stand on one port, and the one whose address is nearest gets the caller."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.bind((address, port))
    listener.listen(1024)
    listener.setblocking(False)
    return listener


async def serve(world: World, folder: Path) -> None:
    """Until SIGTERM."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "server.pem")
    with (folder / "seen.jsonl").open("w", encoding="ascii") as log:

        def note(**seen: object) -> None:
            log.write(json.dumps(seen) + "\n")
            log.flush()

        await Servers(world, note, tls).open()
        print("ready", flush=True)
        await over.wait()


if __name__ == "__main__":
    asyncio.run(serve(importlib.import_module(sys.argv[1]).world(), Path(sys.argv[2])))
