"""The practice range itself: everything started, changed once, and stopped again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import dns.name
import dns.zone

from posture.errors import UsageError
from posture.inventory.records import LabPort
from posture.probes.matrix import SWEEP_PORTS
from posture.range import layout, servers, zones
from posture.range.certificates import Authority
from posture.range.files import write_files
from posture.range.layout import Planted
from posture.range.lessons import LESSONS, Lesson, lesson
from posture.range.listening import TcpPort, bind_both
from posture.range.nameserver import NameServer
from posture.range.services import telnet

OPENED_LATER = ("portal.finance.gov.example", 23)
CLOSED_LATER = ("records.health.gov.example", 6379)
_OPEN_TO_TRANSFER = frozenset({dns.name.from_text("health.gov.example.")})
_LAME_FOR = dns.name.from_text("health.gov.example.")


class PracticeRange:
    """Small misconfigured servers on loopback addresses (127.0.20.0/24) at free ports; they listen and never connect.

        async with PracticeRange() as practice:
            inventory = practice.write(directory)
            ...                       # scan
            await practice.change()   # one thing mended, one thing broken
            ...                       # scan again, compare with practice.truth()

    Several ranges can stand at the same time. Raises OSError on entering where 127.0.20.x is no local address (Linux has
    all of 127.0.0.0/8).
    """

    def __init__(self) -> None:
        self.changed = False
        self.resolver = (layout.RESOLVER, 0)
        self.root_pem = b""
        self.trust_anchor = ""
        self.lab_ports: tuple[LabPort, ...] = ()
        self._ports: dict[tuple[str, int], TcpPort] = {}
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        now = datetime.now(UTC).replace(microsecond=0)
        try:
            authority, name_space = Authority(now), zones.build(now)
            self.root_pem, self.trust_anchor = authority.root_pem, name_space.anchor
            mapped = await self._name_servers(name_space.zones)
            for host, services in {**servers.finance(authority, now), **servers.health(authority, now)}.items():
                mapped += self._host(layout.entry(host), services)
            self.lab_ports = tuple(mapped)
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    @property
    def names(self) -> tuple[str, ...]:
        """The servers of the range: its hosts, and its name servers (our resolver among them) by address."""
        name_servers = (layout.RESOLVER, layout.ROOT_SERVER, layout.FIRST_SERVER, layout.SECOND_SERVER)
        return (*(host.name for host in layout.HOSTS), *name_servers)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of the hosts that run."""
        return tuple(sorted({name for name, _ in self._ports}))

    def dialled(self, name: str, port: int) -> tuple[str, int]:
        """Where a port of a host really is: the loopback address and the number to dial. KeyError: no such port."""
        held = self._ports[name, port]
        return held.address, held.number

    def write(self, directory: Path, *, lesson: Lesson | None = None) -> Path:
        """Writes inventory.toml, health.csv, posture.toml, ca.pem and root-anchor.txt (and LESSON.md); the inventory's path.

        With ``lesson`` only its assets are in the inventory. The directory is made when missing. Raises OSError.
        """
        return write_files(
            directory,
            resolver=self.resolver,
            root_pem=self.root_pem,
            trust_anchor=self.trust_anchor,
            lab_ports=self.lab_ports,
            today=datetime.now(UTC).date(),
            lesson=lesson,
        )

    async def change(self) -> None:
        """The planted change: the open data store is closed, and a maintenance Telnet appears on the best host."""
        if not self.changed:
            await self._ports[CLOSED_LATER].close()
            self._ports[OPENED_LATER].open(telnet)
            self.changed = True

    def truth(self) -> list[Planted]:
        """What a correct scan finds now."""
        return layout.truth(changed=self.changed)

    async def _name_servers(self, all_zones: Mapping[dns.name.Name, dns.zone.Zone]) -> list[LabPort]:
        top = {origin: zone for origin, zone in all_zones.items() if len(origin) <= len(dns.name.from_text("example."))}
        government = {origin: zone for origin, zone in all_zones.items() if origin not in top}
        without_lame = {origin: zone for origin, zone in government.items() if origin != _LAME_FOR}
        address, port = await self._name_server(layout.RESOLVER, NameServer(all_zones, resolver=True))
        self.resolver = (address, port)
        authoritative = {
            layout.ROOT_SERVER: NameServer(top),
            layout.FIRST_SERVER: NameServer(government, transfers=_OPEN_TO_TRANSFER),
            layout.SECOND_SERVER: NameServer(without_lame, refused=frozenset({_LAME_FOR})),
        }
        mapped = []
        for where, server in authoritative.items():
            address, port = await self._name_server(where, server)
            mapped.append(LabPort(address, 53, port, "both"))
        return mapped

    async def _name_server(self, address: str, server: NameServer) -> tuple[str, int]:
        tcp, udp = await bind_both(address, server.answer_udp)
        self._open.push_async_callback(udp.release)
        self._open.push_async_callback(tcp.release)
        tcp.open(server.serve_tcp)
        return address, tcp.number

    def _host(self, host: layout.Entry, services: servers.Services) -> list[LabPort]:
        """Opens a host's services. Every other port that a scan may ask leads to a closed one: nothing else that
        happens to listen on this machine is ever asked, and every scan finds the same."""
        closed = self._bind(host.address)
        own = {port: self._bind(host.address) for port in services}
        for port, service in services.items():
            own[port].open(service.conversation, tls=service.tls)
        if host.name == OPENED_LATER[0]:
            own[OPENED_LATER[1]] = self._bind(host.address)
        self._ports |= {(host.name, port): held for port, held in own.items()}
        asked = sorted({*SWEEP_PORTS, *own, *(host.ports or ())})
        return [LabPort(host.address, port, own.get(port, closed).number, "both") for port in asked]

    def _bind(self, address: str) -> TcpPort:
        port = TcpPort(address)
        self._open.push_async_callback(port.release)
        return port


async def serve_forever(directory: Path, number: int | None, ready: Callable[[Path], None]) -> None:
    """Runs a range until cancelled; ``ready`` is called once with the inventory's absolute path when all servers answer.

    Raises:
        UsageError: no lesson has that number.
        OSError: the files cannot be written, or the loopback addresses do not exist here.
    """
    chosen = None if number is None else _lesson(number)
    async with PracticeRange() as practice:
        ready(practice.write(directory, lesson=chosen))
        await asyncio.get_running_loop().create_future()


def _lesson(number: int) -> Lesson:
    try:
        return lesson(number)
    except KeyError:
        titles = "; ".join(f"{known.number} {known.title}" for known in LESSONS)
        raise UsageError(f"there is no lesson {number}. Choose one of: {titles}.") from None
