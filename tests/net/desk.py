"""A broker for tests, with a scope that permits loopback and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

from posture.door import Reply
from posture.inventory.records import LabPort, Limits
from posture.model import NotSeen, ProbeClass, Reason
from posture.net.broker import Broker
from posture.net.decisions import Closing, Decision
from posture.net.governor import Governor
from posture.scope import Grant, Refusal
from posture.task import Task

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
FAST = Limits(
    connections_per_address=50, new_connections_per_second=1000, new_connections_burst=1000, prefix_per_second=10_000
)
TASK = Task(
    ministry="finance",
    asset="www.finance.gov.example",
    kind="host",
    probe="test",
    check="tls",
    probe_class=ProbeClass.CLIENT,
    subject="",
    name="www.finance.gov.example",
    authorisation="lc-2026-001",
    addresses=("127.0.0.1",),
    port=443,
)


@dataclass
class Loopback:
    """Grants everything on loopback until ``closed``; keeps what it was asked."""

    limits: Limits = FAST
    lab: bool = True
    closed: bool = False
    asked: list[dict[str, Any]] = field(default_factory=list)

    def decide(self, **request: Any) -> Grant | Refusal:
        self.asked.append(request)
        if self.closed:
            return Refusal("E-SCOPE-011", Reason.BLACKOUT, "blackout until 17:00", "lc-2026-001")
        if request["address"] and not ip_address(request["address"]).is_loopback:
            return Refusal("E-SCOPE-021", Reason.OUT_OF_SCOPE, "refused always", "lc-2026-001")
        if not request["name"].endswith((".gov.example", "127.0.0.1", "::1")):
            return Refusal("E-SCOPE-012", Reason.OUT_OF_SCOPE, "not in the zones", "lc-2026-001")
        return Grant("lc-2026-001", request["probe_class"], "networks", self.limits, self.lab, None)


@dataclass
class Names:
    """A resolver that knows some names; counts how often each was asked for."""

    known: dict[str, tuple[str, ...]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def ask(self, name: str, rdtype: str) -> Reply:
        raise NotSeen(Reason.TEMPORARY, f"{name} {rdtype}")

    async def addresses(self, name: str) -> tuple[str, ...]:
        self.asked.append(name)
        return self.known.get(name, ())


def broker(scope: Any = None, **options: Any) -> Broker:
    """Needs a running loop."""
    settings: dict[str, Any] = {
        "clock": lambda: AT,
        "user_agent": "posture-test (soc@cert.example)",
        "resolver": Names(),
        "roots": b"",
        **options,
    }
    if listener := settings.pop("on_decision", None):
        settings["trail"] = Listening(listener)
    return Broker(scope or Loopback(), settings.pop("governor", None) or Governor(), **settings)


class Listening:
    """A trail that hands each decision on."""

    def __init__(self, listener: Callable[[Decision], object]) -> None:
        self._listener = listener
        self.closings: list[tuple[int, Closing]] = []
        self._records = 0

    def decided(self, decision: Decision) -> int:
        self._listener(decision)
        self._records += 1
        return self._records

    def closed(self, record: int, closing: Closing) -> None:
        self.closings.append((record, closing))


def task(addresses: Sequence[str] = ("127.0.0.1",), **changes: Any) -> Task:
    return replace(TASK, addresses=tuple(addresses), **changes)


def dns_ports(to: int) -> tuple[LabPort, ...]:
    """Port 53 of 127.0.0.1 is really there."""
    return (LabPort("127.0.0.1", 53, to, "both"),)
