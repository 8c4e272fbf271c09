"""Puts the two TLS probes to a server on loopback, and the servers that only exist as scripts."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posture.facts import TlsFacts, TlsLegacyFacts
from posture.facts.suites import suites
from posture.probes.tls import PROBES
from posture.probes.tls.flight import SERVER_KEY_EXCHANGE
from posture.probes.tls.hello import CERTIFICATE, SERVER_HELLO
from posture.probes.tls.records import ALERT, HANDSHAKE, VERSIONS, Reader, message, record, vector
from posture.task import Task
from tests.doors import LoopbackDoor, Place
from tests.lab import free_port, need, serve

NAME = "www.gov.example"
ADDRESS = "192.0.2.7"
_PROBES = {probe.name: probe for probe in PROBES}


def task(probe: str, port: int = 443, name: str = NAME, **params: Any) -> Task:
    subject = f"{ADDRESS}:{port}/tcp"
    granted = _PROBES[probe].probe_class
    return Task("finance", name, "host", probe, "tls", granted, subject, name, "a-1", (ADDRESS,), port, params)


async def observe(probe: str, door: LoopbackDoor, port: int = 443, name: str = NAME, **params: Any) -> Any:
    return await _PROBES[probe].observe(task(probe, port, name, **params), door)


def ask(place: Place, name: str = NAME, **params: Any) -> tuple[TlsFacts, TlsLegacyFacts, int]:
    """Both probes' facts about a server that runs outside this process, and the connections they made together."""
    door = LoopbackDoor({(ADDRESS, 443): place})
    facts = asyncio.run(observe("tls", door, name=name, **params))
    legacy = asyncio.run(observe("tls_legacy", door, name=name))
    return facts, legacy, len(door.connections)


@contextmanager
def openssl_server(certificate: Path, key: Path, *options: str | Path) -> Iterator[Place]:
    """``openssl s_server`` with these options."""
    place = ("127.0.0.1", free_port())
    argv = [need("openssl", "openssl"), "s_server", "-quiet", "-accept", f"127.0.0.1:{place[1]}"]
    command: list[str | Path] = [*argv, "-cert", certificate, "-key", key, *options]
    with serve(command, ready=place):
        yield place


@contextmanager
def nginx(folder: Path, certificate: Path, key: Path, settings: str) -> Iterator[Place]:
    """nginx with one TLS server block and these settings in it."""
    place = ("127.0.0.1", free_port())
    configuration = folder / "nginx.conf"
    paths = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration.write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log stderr crit; worker_processes 1; events {{ }}\n"
        f"http {{ access_log off; {paths} server {{ listen {place[0]}:{place[1]} ssl; server_name {NAME};\n"
        f"ssl_certificate {certificate}; ssl_certificate_key {key}; {settings} return 204; }} }}\n"
    )
    argv: list[str | Path] = [need("nginx", "nginx"), "-e", "stderr", "-p", folder, "-c", configuration]
    with serve(argv, ready=place):
        yield place


@contextmanager
def gnutls_server(certificate: Path, key: Path, priority: str) -> Iterator[Place]:
    """``gnutls-serv`` with this priority string. It knows no address to bind to, so it listens on all for a moment."""
    place = ("127.0.0.1", free_port("0.0.0.0"))
    argv: list[str | Path] = [need("gnutls-serv", "gnutls-bin"), "--quiet", "--echo", "--port", str(place[1])]
    files: list[str | Path] = ["--x509certfile", certificate, "--x509keyfile", key]
    with serve([*argv, *files, "--priority", priority], ready=place):
        yield place


@contextmanager
def openssl35_server(certificate: Path, key: Path, groups: str) -> Iterator[Place]:
    """A server by the OpenSSL of pyOpenSSL, which knows ML-KEM, with these groups."""
    place = ("127.0.0.1", free_port())
    script = Path(__file__).with_name("openssl35.py")
    with serve([sys.executable, script, str(place[1]), certificate, key, groups], ready=place):
        yield place


@dataclass
class OldServer:
    """A server of records only: what today's libraries no longer speak. ``accepts``: version -> IANA names, best first.

    ``compression``: it agrees to DEFLATE. ``heeds_signal``: it refuses TLS_FALLBACK_SCSV below its best version.
    ``signs``: the scheme with which it signs a key exchange at TLS 1.2, whatever was offered. ``echoes``: extensions.
    """

    accepts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ssl2: Sequence[str] = ()
    compression: bool = False
    heeds_signal: bool = False
    signs: int = 0
    echoes: bytes = b""
    connections: int = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        header = await reader.readexactly(2)
        if header[0] & 0x80:
            await reader.readexactly(int.from_bytes(header) & 0x7FFF)
            writer.write(self._ssl2_answer())
        else:
            rest = await reader.readexactly(3)
            hello = Reader(await reader.readexactly(int.from_bytes(rest[1:])))
            writer.write(self._answer(hello))
        await writer.drain()

    def _answer(self, hello: Reader) -> bytes:
        hello.take(4)
        newest = hello.number(2)
        hello.take(32)
        hello.vector(1)
        offered = hello.vector(2)
        numbers = {offered.number(2) for _ in range(len(offered) // 2)}
        pressed = int(self.compression and b"\1" in hello.vector(1).take_all())
        best = max((VERSIONS[version] for version in self.accepts), default=0)
        if self.heeds_signal and 0x5600 in numbers and newest < best:
            return record(ALERT, newest, b"\2\x56")
        for version in sorted(self.accepts, key=lambda name: -VERSIONS[name]):
            if VERSIONS[version] <= newest:
                for name in self.accepts[version]:
                    if suites()[name].number in numbers:
                        return self._flight(VERSIONS[version], suites()[name].number, pressed)
                return record(ALERT, VERSIONS[version], b"\2\50")
        return record(ALERT, min(newest, 0x0301), b"\2\106")

    def _flight(self, version: int, suite: int, pressed: int) -> bytes:
        hello = version.to_bytes(2) + bytes(32) + b"\0" + suite.to_bytes(2) + bytes((pressed,))
        hello += vector(2, self.echoes) if self.echoes else b""
        certificates = vector(3, vector(3, b"not DER, and not the codec's to judge"))
        flight = message(SERVER_HELLO, hello) + message(CERTIFICATE, certificates)
        if self.signs:
            point = b"\3\0\x17" + vector(1, b"\4" + bytes(64))
            flight += message(SERVER_KEY_EXCHANGE, point + self.signs.to_bytes(2) + vector(2, b"signature"))
        return record(HANDSHAKE, version, flight)

    def _ssl2_answer(self) -> bytes:
        if not self.ssl2:
            return b""
        specs = b"".join(suites()[name].number.to_bytes(3) for name in self.ssl2)
        body = b"\4\0\1\0\2\0\0" + len(specs).to_bytes(2) + b"\0\x10" + specs + bytes(16)
        return (0x8000 | len(body)).to_bytes(2) + body


def answers(facts: TlsFacts | TlsLegacyFacts) -> dict[str, str]:
    return {answer.version: answer.answer for answer in facts.versions}


def names(facts: TlsFacts | TlsLegacyFacts, version: str) -> set[str]:
    found = facts.version(version)
    assert found is not None
    return set(found.suites)


def told(facts: TlsFacts | TlsLegacyFacts, name: str) -> tuple[str, tuple[str, ...]]:
    """(answer, what was seen) of a trait."""
    trait = facts.trait(name)
    assert trait is not None
    return trait.answer, trait.seen
