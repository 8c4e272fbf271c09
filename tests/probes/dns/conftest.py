"""NSD with the lab's zones, an NSD without them, and unbound as our resolver, on high ports of loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from posture.facts import Facts
from posture.model import ProbeClass
from posture.net.resolver import RunResolver
from posture.probes.base import Probe
from posture.task import Task
from tests.doors import LoopbackDoor, Place
from tests.lab import free_port, need, serve
from tests.probes.dns.zones import zone_files

HERE = "127.0.0.1"


@dataclass
class DnsLab:
    """Where the servers listen: ``full`` serves every zone, ``empty`` none, but lists unloaded.test, whose file is missing."""

    resolver: int
    full: int
    empty: int

    def ask(
        self,
        probe: Probe,
        name: str,
        *,
        places: dict[Place, Place] | None = None,
        addresses: tuple[str, ...] = (),
        patience: float = 0.3,
        **params: str,
    ) -> Facts:
        """One observation through a real door and our own resolver."""
        task = Task(
            "finance", name, "zone", probe.name, "dns", ProbeClass.PASSIVE, "", name, "a-1", addresses, params=params
        )

        async def observe() -> Facts:
            resolver = RunResolver(HERE, self.resolver)
            try:
                return await probe.observe(task, LoopbackDoor(places or {}, resolver=resolver, patience=patience))
            finally:
                await resolver.aclose()

        return asyncio.run(observe())


def _nsd(
    directory: Path, port: int, zones: dict[str, str], *, transfers: tuple[str, ...] = (), missing: str = ""
) -> Path:
    directory.mkdir()
    lines = [
        "server:",
        f"  ip-address: {HERE}@{port}",
        '  username: ""',
        '  chroot: ""',
        "  server-count: 1",
        "  rrl-ratelimit: 0",
        '  database: ""',
        f'  zonesdir: "{directory}"',
        f'  pidfile: "{directory}/pid"',
        f'  xfrdfile: "{directory}/xfrd"',
        f'  zonelistfile: "{directory}/list"',
        "remote-control:",
        "  control-enable: no",
    ]
    for number, (name, text) in enumerate(zones.items()):
        (directory / f"{number}.zone").write_text(f"$ORIGIN {name.rstrip('.')}.\n$TTL 60\n{text}")
        lines += ["zone:", f'  name: "{name}"', f'  zonefile: "{number}.zone"']
        if name in transfers:
            lines += [f"  provide-xfr: {HERE} NOKEY"]
    if missing:
        lines += ["zone:", f'  name: "{missing}"', '  zonefile: "not-there.zone"']
    config = directory / "nsd.conf"
    config.write_text("\n".join(lines) + "\n")
    return config


def _unbound(directory: Path, port: int, upstream: int, refusing: int) -> Path:
    directory.mkdir()
    config = directory / "unbound.conf"
    config.write_text(
        f"""server:
  interface: {HERE}@{port}
  username: ""
  chroot: ""
  directory: "{directory}"
  pidfile: "{directory}/pid"
  use-syslog: no
  do-daemonize: no
  do-ip6: no
  num-threads: 1
  module-config: "iterator"
  do-not-query-localhost: no
  local-zone: "test." nodefault
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: {HERE}@{upstream}
forward-zone:
  name: "broken.test."
  forward-addr: {HERE}@{refusing}
"""
    )
    return config


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DnsLab]:
    """The servers, for all tests of this worker."""
    nsd, unbound = need("nsd", "nsd"), need("unbound", "unbound")
    base = tmp_path_factory.mktemp("dns")
    resolver, full, empty = (free_port() for _ in range(3))
    with ExitStack() as stack:
        config = _nsd(base / "full", full, zone_files(), transfers=("good.gov.test",))
        stack.enter_context(serve([nsd, "-d", "-c", config], ready=(HERE, full)))
        config = _nsd(base / "empty", empty, {}, missing="unloaded.test")
        stack.enter_context(serve([nsd, "-d", "-c", config], ready=(HERE, empty)))
        config = _unbound(base / "unbound", resolver, full, empty)
        stack.enter_context(serve([unbound, "-d", "-c", config], ready=(HERE, resolver)))
        yield DnsLab(resolver, full, empty)
