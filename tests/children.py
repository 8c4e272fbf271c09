"""Scans in which a probe starts programs of others as well; in the catalogue only those of deep scans do.

``python -m tests.children nmap,sslyze scan INVENTORY`` is ``posture scan INVENTORY`` with them. nmap goes with the port
sweep of an address, sslyze with HTTPS; the answer of the probe is its usual one, and there is none when the program
did not say all that it should.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import posture.scan.run
from posture.cli.entry import run
from posture.door import Door
from posture.facts import Facts
from posture.inventory.records import Limits
from posture.model import NotSeen, Reason
from posture.net.broker import BrokerDoor
from posture.net.child import run_child
from posture.net.nmap import NmapXmlError, nmap_argv, nmap_connections, nmap_targets, parse_nmap_xml
from posture.net.sslyze import COMMANDS, run_sslyze
from posture.probes.base import Probe
from posture.task import Task

NMAP = Path("/usr/bin/nmap")
NMAP_PORT, SSLYZE_PORT = 80, 443
SECONDS = 30.0
Child = Callable[[Task, BrokerDoor], Awaitable[None]]


async def nmap(
    task: Task,
    door: BrokerDoor,
    *,
    port: int = NMAP_PORT,
    services: bool = True,
    astray: Sequence[str] = (),
    budget: int = 0,
) -> None:
    """nmap against one port of the task's address.

    Args:
        services: asks what speaks there, too, which takes it many seconds.
        astray: further addresses for it, for which nobody gave a grant.
        budget: connections that its record speaks of; 0 for as many as it may make.

    Raises:
        NotSeen: as run_child; MALFORMED, there is no whole report about that port.
    """
    address = task.addresses[0]
    version = 6 if ":" in address else 4
    connections = budget or nmap_connections(NMAP, port, seconds=SECONDS, services=services)
    ran = await run_child(
        door,
        address,
        {port: connections},
        lambda dialled: nmap_argv(NMAP, dialled, Limits(), version=version, seconds=SECONDS, services=services),
        stdin=nmap_targets([address, *astray]),
        seconds=SECONDS,
    )
    try:
        reports = parse_nmap_xml(ran.stdout).ports if ran.succeeded else ()
    except NmapXmlError as fault:
        raise NotSeen(Reason.MALFORMED, str(fault)) from fault
    if not any(report.address == address for report in reports):
        raise NotSeen(Reason.MALFORMED, f"nmap ended with {ran.status} and says nothing of {address}")


async def sslyze(task: Task, door: BrokerDoor) -> None:
    """sslyze, if it is HTTPS that the task asks. Raises NotSeen as run_sslyze; MALFORMED, there is no report."""
    if task.params.get("scheme") != "https":
        return
    done = await run_sslyze(door, task.addresses[0], SSLYZE_PORT, COMMANDS)
    if not done.ran.succeeded or not json.loads(done.ran.stdout)["server_scan_results"]:
        raise NotSeen(Reason.MALFORMED, f"sslyze ended with {done.ran.status}")


def beside(name: str, child: Child, *, deadline: float = 120.0) -> None:
    """From here on the probe of that name waits for ``child`` before it asks itself, in every scan of this process."""

    def accompanied(probe: Probe) -> Probe:
        async def observe(task: Task, door: Door) -> Facts:
            assert isinstance(door, BrokerDoor)
            await child(task, door)
            return await probe.observe(task, door)

        return replace(probe, observe=observe, deadline=deadline)

    changed(name, accompanied)


def changed(name: str, change: Callable[[Probe], Probe]) -> None:
    """From here on every scan of this process has that probe changed."""
    running: Any = posture.scan.run
    assert name in {probe.name for probe in running.PROBES}
    running.PROBES = tuple(change(probe) if probe.name == name else probe for probe in running.PROBES)


async def nmap_everywhere(task: Task, door: BrokerDoor) -> None:
    """nmap as it may be run, after it has been tried against hosts and a port for which there is no grant."""
    for address, port in FORBIDDEN:
        with suppress(NotSeen):
            await nmap(replace(task, addresses=(address or task.addresses[0],)), door, port=port)
    await nmap(task, door)


# "" is the task's own address.
FORBIDDEN = (("46.47.0.80", 80), ("169.254.169.254", 80), ("45.45.31.25", 80), ("", 8080))
CHILDREN: dict[str, tuple[str, Child]] = {
    "nmap": ("ports", nmap),
    "everywhere": ("ports", nmap_everywhere),
    "astray": ("ports", partial(nmap, services=False, astray=("46.47.0.80",))),
    "wasteful": ("ports", partial(nmap, budget=1)),
    "sslyze": ("http", sslyze),
}


if __name__ == "__main__":
    for wanted in sys.argv.pop(1).split(","):
        beside(*CHILDREN[wanted])
    sys.exit(run(sys.argv[1:]))
