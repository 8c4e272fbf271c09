"""The TLS probes alone, at round-trip time zero: hosts per CPU second of this process, layer by layer.

200 addresses 127.0.31.1 to .200 are served by one nginx (Debian package nginx-light or nginx) with TLS 1.2 and 1.3, three
suites each. Each host is asked everything that the ``tls`` and ``tls_legacy`` probes ask. Three ways, in turns, medians:

codec    the hellos are made and recorded answers are read, without a socket;
probes   through bare sockets of asyncio;
scan     as a scan does it: engine, decisions, limits, byte budgets and an audit record, signed trail, per connection.

CPU is this process's own (user + system); nginx is another. ``bench_hello.py N ROUNDS`` asks N hosts.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench_scan import free_port, until
from measure import Cost, cost_of_call, interleaved, median

from posture.audit import AuditTrail
from posture.engine.local import run
from posture.facts import TlsFacts, TlsLegacyFacts
from posture.inventory.records import LabPort, Limits
from posture.keys import load_or_make_key
from posture.model import Observed, ProbeClass
from posture.net.broker import Broker
from posture.net.governor import Governor
from posture.probes.tls import PROBES
from posture.range.certificates import Authority
from posture.scope import Grant
from posture.task import Task

HOSTS, ROUNDS = 200, 3
GOAL = 200.0  # hosts per CPU second
NAME = "www.gov.example"
LIMITS = Limits(
    connections_per_address=8,
    new_connections_per_second=10_000,
    new_connections_burst=100_000,
    prefix_per_second=100_000,
    prefix_burst=100_000,
    connections=200,
)
NGINX = """\
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    {listen}
    ssl_certificate {folder}/chain.pem; ssl_certificate_key {folder}/key.pem; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:\
ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-CHACHA20-POLY1305;
    return 204;
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Lab:
    """``addresses`` that all answer at ``port``."""

    folder: Path
    addresses: tuple[str, ...]
    port: int


@contextmanager
def servers(folder: Path, hosts: int) -> Iterator[Lab]:
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if nginx is None:
        sys.exit("nginx is missing: apt-get install -y nginx-light")
    issued = Authority(datetime.now(UTC).replace(microsecond=0)).issue(NAME)
    (folder / "chain.pem").write_bytes(issued.chain)
    (folder / "key.pem").write_bytes(issued.key)
    lab = Lab(folder, tuple(f"127.0.31.{number}" for number in range(1, hosts + 1)), free_port())
    listen = "\n    ".join(f"listen {address}:{lab.port} ssl;" for address in lab.addresses)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, listen=listen), "utf-8")
    command = [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as child:
        try:
            until(lambda: asyncio.run(_answers(lab)), child)
            yield lab
        finally:
            child.terminate()


async def _answers(lab: Lab) -> bool:
    _, writer = await asyncio.open_connection(lab.addresses[-1], lab.port)
    writer.close()
    return True


def tasks_of(lab: Lab) -> list[Task]:
    return [
        Task(
            "m",
            NAME,
            "host",
            probe.name,
            "tls",
            probe.probe_class,
            f"{address}:443/tcp",
            NAME,
            "a",
            (address,),
            443,
            {},
        )
        for address in lab.addresses
        for probe in PROBES
    ]


# ---- bare sockets


class Bare:
    """A stream without deadline or budget."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def read(self, limit: int = 65536) -> bytes:
        return await self.reader.read(limit)

    async def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.close()


@dataclass
class BareDoor:
    """``heard`` keeps what each connection brought, when it is wanted."""

    port: int
    heard: list[list[bytes]] | None = None
    connections: int = 0

    async def connect(self, address: str, _port: int) -> Any:
        self.connections += 1
        stream: Any = Bare(*await asyncio.open_connection(address, self.port))
        if self.heard is not None:
            self.heard.append([])
            stream = Keeping(stream, self.heard[-1])
        return stream

    def throttled(self, address: str) -> None:
        raise AssertionError(address)


class Keeping(Bare):
    """Keeps what it reads."""

    def __init__(self, inner: Bare, heard: list[bytes]) -> None:
        super().__init__(inner.reader, inner.writer)
        self._heard = heard

    async def read(self, limit: int = 65536) -> bytes:
        self._heard.append(await super().read(limit))
        return self._heard[-1]


# ---- no sockets


@dataclass
class Recorded:
    """A door behind which are the answers that a server gave before, connection by connection."""

    heard: list[list[bytes]]
    connections: int = 0

    async def connect(self, _address: str, _port: int) -> Any:
        self.connections += 1
        return Replay(iter(self.heard[self.connections - 1]))


@dataclass
class Replay:
    said: Iterator[bytes] = field(default_factory=lambda: iter(()))

    async def read(self, _limit: int = 65536) -> bytes:
        return next(self.said, b"")

    async def write(self, data: bytes) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None: ...


# ---- the three ways


async def _codec(tasks: list[Task], heard: Mapping[str, list[list[bytes]]]) -> None:
    by_name = {probe.name: probe for probe in PROBES}
    for task in tasks:
        await by_name[task.probe].observe(task, Recorded(heard[task.probe]))  # type: ignore[arg-type]  # no more is asked of it


async def _probes(tasks: list[Task], lab: Lab) -> None:
    by_name = {probe.name: probe for probe in PROBES}
    room = asyncio.Semaphore(100)

    async def one(task: Task) -> None:
        async with room:
            await by_name[task.probe].observe(task, BareDoor(lab.port))  # type: ignore[arg-type]  # no more is asked of it

    await asyncio.gather(*(one(task) for task in tasks))


class Everything:
    """A scope that grants all that is asked."""

    def decide(self, *, probe_class: ProbeClass, **_request: Any) -> Grant:
        return Grant("a", probe_class, "networks", LIMITS, True, None)


async def _scan(tasks: list[Task], lab: Lab) -> None:
    trail_file = lab.folder / "trail.jsonl"
    trail_file.unlink(missing_ok=True)
    clock = lambda: datetime.now(UTC)  # noqa: E731
    trail = AuditTrail.open(trail_file, load_or_make_key(lab.folder / "operator.key")[0], clock=clock)
    ports = [LabPort(address, 443, lab.port, "tcp") for address in lab.addresses]
    broker = Broker(
        Everything(),  # type: ignore[arg-type]  # a decider as far as it is asked
        Governor(),
        clock=clock,
        user_agent="bench (soc@cert.example)",
        resolver=None,  # type: ignore[arg-type]  # never asked
        roots=b"",
        lab_ports=ports,
        trail=trail,
    )
    async with aclosing(run(tasks, {probe.name: probe for probe in PROBES}, broker)) as answers:
        async for task, answer in answers:
            assert isinstance(answer, Observed), (task.subject, answer)
    trail.close()


async def _recording(lab: Lab) -> dict[str, list[list[bytes]]]:
    heard: dict[str, list[list[bytes]]] = {}
    for probe, task in zip(PROBES, tasks_of(lab)[:2], strict=True):
        heard[probe.name] = []
        facts = await probe.observe(task, BareDoor(lab.port, heard[probe.name]))  # type: ignore[arg-type]
        assert isinstance(facts, (TlsFacts, TlsLegacyFacts))
        assert all(one.complete for one in facts.versions)
    return heard


def main(hosts: int, rounds: int) -> int:
    with tempfile.TemporaryDirectory() as name, servers(Path(name), hosts) as lab:
        tasks, heard = tasks_of(lab), asyncio.run(_recording(lab))
        connections = {probe: len(answers) for probe, answers in heard.items()}
        print(
            f"{hosts} hosts, {rounds} rounds; connections per host: {connections}, {sum(connections.values())} in all"
        )
        ways: dict[str, Callable[[], Awaitable[None]]] = {
            "codec": lambda: _codec(tasks, heard),
            "probes": lambda: _probes(tasks, lab),
            "scan": lambda: _scan(tasks, lab),
        }

        def measured(way: Callable[[], Any]) -> Callable[[], Cost]:
            return lambda: cost_of_call(lambda: asyncio.run(way()))

        costs = interleaved([measured(way) for way in ways.values()], rounds)
    rates = {}
    for way, spent in zip(ways, costs, strict=True):
        cpu, wall = median(one.cpu for one in spent), median(one.wall for one in spent)
        rates[way] = hosts / cpu
        print(f"{way:7} {hosts / cpu:8.0f} hosts per CPU second   {cpu:6.2f} s CPU {wall:6.2f} s wall")
    print(f"goal, of the probes: {GOAL:.0f}")
    return 0 if rates["probes"] >= GOAL else 1


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    sys.exit(main(*given, *(HOSTS, ROUNDS)[len(given) :]))
