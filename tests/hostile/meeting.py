"""What happens when posture meets a hostile server: the real engine, broker, scope, probes and rules against each of HOSTILE.

Every behaviour stands at a loopback address of its own, as one asset; the usual ports of its protocol lead there, all other
ports to a closed one. All are met at the same time, in one loop with the servers. The time-outs are the real ones, only
shorter: loopback is quick.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_network
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from posture.checks import Declared, Reference
from posture.engine.local import run
from posture.facts.dns import RESOLVED, HostAddresses, MxFacts, MxRecord, SpfFacts
from posture.inventory.records import Authorisation, Inventory, LabPort, Limits, Ministry, Operator, State
from posture.judge import Docket, judge
from posture.model import Answer, Finding, Observed, ProbeClass, endpoint
from posture.net import backoff as backoff_module
from posture.net import broker as broker_module
from posture.net import resolver as resolver_module
from posture.net.broker import Broker
from posture.net.governor import Governor
from posture.net.resolver import RunResolver
from posture.plan import FOLLOWS
from posture.policy import load_policy
from posture.probes import PROBES
from posture.probes.matrix import SWEEP_PORTS
from posture.range.listening import TcpPort
from posture.scan.following import follow_up
from posture.scan.shelf import Shelf
from posture.scope import Scope
from posture.task import Task
from tests.lab import hostile_certificates as certificates
from tests.lab.hostile import HOSTILE

ASSET_SECONDS = 20.0
# Of the time to connect (5 s): silence ends after 4 s instead of 10, a connection after 7 s instead of 20.
IDLE_FACTOR, LIFETIME_FACTOR = 0.8, 1.4
RESOLVER_TCP_SECONDS = 3.0
AT_ONCE = 30
CLOSED_AT = "127.0.21.1"
_FAST = Limits(
    connections_per_address=50,
    new_connections_per_second=1000,
    new_connections_burst=1000,
    sweep_pending=100,
    sweep_per_second=1000,
    prefix_per_second=100_000,
    prefix_burst=100_000,
    dns_per_second=1000,
    dns_burst=1000,
    smtp_per_minute=1000,
    smtp_per_hour=1000,
    connections=1000,
)
# The ports of a sweep that lead to the hostile server; as few as a living host has, or the sweep would not be believed.
BANNER_PORTS = (21, 22, 23, 445, 3306, 3389, 5432, 6379, 9200, 11211, 27017)
_PORTS = {
    "tls": (443,),
    "cert": (443,),
    "chain": (443,),
    "http": (80, 9200),
    "smtp": (25,),
    "dns": (53,),
    "dnstcp": (53,),
    "banner": BANNER_PORTS,
}
Question = tuple[str, str]  # probe, subject


@dataclass(frozen=True)
class Met:
    """What came of one hostile server. ``findings`` are those of the real rules on all the answers together."""

    answers: Mapping[Question, Answer]
    findings: tuple[Finding, ...]
    address: str

    def said(self, finding: Finding) -> str:
        """``control=outcome``, with the reason when it is unknown."""
        return f"{finding.control}={finding.reason or finding.outcome}"


@dataclass(frozen=True)
class _Place:
    """A hostile server: its behaviour's name, and which ports of its address lead where."""

    name: str
    address: str
    leads: Mapping[int, int]
    closed: int

    @property
    def kind(self) -> str:
        return self.name.partition(".")[0]

    @property
    def host(self) -> str:
        return f"{self.name.partition('.')[2].replace('_', '-')}.{certificates.ZONE}"

    def lab_ports(self) -> Iterable[LabPort]:
        for port in {*SWEEP_PORTS, 25, 53, 80, 443}:
            yield LabPort(self.address, port, self.leads.get(port, self.closed), "both")


async def meet(names: Iterable[str]) -> dict[str, Met]:
    """All of these behaviours at the same time."""
    turns = asyncio.Semaphore(AT_ONCE)
    numbers = count(2)
    closed = TcpPort(CLOSED_AT)

    async def one(name: str) -> Met:
        address = f"127.0.21.{next(numbers)}"
        async with turns, _standing(name, address, closed.number) as place:
            return await _meet(place)

    wanted = list(names)
    assert len(wanted) < 250
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(broker_module, "IDLE_FACTOR", IDLE_FACTOR)
        patch.setattr(broker_module, "LIFETIME_FACTOR", LIFETIME_FACTOR)
        patch.setattr(backoff_module, "FIRST_SECONDS", 0.02)
        patch.setattr(backoff_module, "MOST_SECONDS", 0.1)
        patch.setattr(resolver_module, "TCP_SECONDS", RESOLVER_TCP_SECONDS)
        try:
            return dict(zip(wanted, await asyncio.gather(*map(one, wanted)), strict=True))
        finally:
            await closed.release()


@asynccontextmanager
async def _standing(name: str, address: str, closed: int) -> AsyncIterator[_Place]:
    kind = name.partition(".")[0]
    async with AsyncExitStack() as stack:
        _, number = await stack.enter_async_context(HOSTILE[name](address))
        leads = dict.fromkeys(_PORTS[kind], number)
        if kind == "http":
            secured = certificates.context("cert.a_thousand_names")
            _, leads[443] = await stack.enter_async_context(HOSTILE[name](address, tls=secured))
        # Linux answers for all of 127.0.0.0/8: a closed number is closed at every address.
        yield _Place(name, address, leads, closed)


async def _meet(place: _Place) -> Met:
    resolver = RunResolver(place.address, place.leads.get(53, place.closed), tries=(1.5, 1.5))
    broker = Broker(
        Scope(_inventory(place), lab=True),
        Governor(),
        clock=_now,
        user_agent="posture-test (soc@cert.example)",
        resolver=resolver,
        roots=certificates.root_pem(),
        lab_ports=place.lab_ports(),
    )
    tasks = list(_tasks(place))
    answers: dict[Question, Answer] = {}
    probes = {probe.name: probe for probe in PROBES}
    try:
        async for task, answer in run(tasks, probes, broker, asset_deadline=ASSET_SECONDS):
            answers[task.probe, task.subject] = answer
        following = list(_following(place, answers))
        async for task, answer in run(following, probes, broker, asset_deadline=ASSET_SECONDS):
            answers[task.probe, task.subject] = answer
    finally:
        await resolver.aclose()
    assert len(answers) == len(tasks) + len(following)
    return Met(answers, _judged(place, answers), place.address)


def _now() -> datetime:
    return datetime.now(UTC)


def _inventory(place: _Place) -> Inventory:
    letter = Authorisation(
        id="lab",
        owner="Lab",
        officer="Lab",
        basis="own",
        reference="loopback",
        not_before=date.today() - timedelta(days=2),
        not_after=date.today() + timedelta(days=2),
        classes=frozenset({ProbeClass.PASSIVE, ProbeClass.CLIENT, ProbeClass.ACTIVE}),
        zones=(certificates.ZONE,),
        networks=(ip_network(f"{place.address}/32"),),
        ports=((1, 65535, ""),),
        lab=True,
        limits=_FAST,
    )
    return Inventory(
        path=Path("inventory.toml"),
        state=State("ZZ", "Example Islands", "UTC"),
        operator=Operator("CERT", "soc@cert.example"),
        authorisations={letter.id: letter},
        ministries=(Ministry("lab", "Lab", ("lab",)),),
        assets=(),
    )


def _tasks(place: _Place) -> Iterable[Task]:
    """What a plan would hold for such a server."""
    base = Task("lab", place.host, "host", "", "tls", ProbeClass.CLIENT, "", place.host, "lab", (place.address,))
    secure = endpoint(place.address, 443)
    if place.kind in ("tls", "cert", "chain", "http"):
        for probe, params in (("tls", {}), ("tls_legacy", {}), ("http", {"scheme": "https"}), ("securitytxt", {})):
            yield _of(base, probe, secure, 443, params)
    if place.kind == "http":
        yield _of(base, "http", endpoint(place.address, 80), 80, {"scheme": "http"})
    if place.kind == "smtp":
        mail = {"mx_of": certificates.ZONE, "ehlo": "cert.example"}
        yield _of(base, "smtp", f"mx:{place.host}:25", 25, mail)
        for probe in ("tls", "tls_legacy"):
            yield _of(base, probe, f"mx:{place.host}:25", 25, {**mail, "starttls": "smtp"})
    if place.kind in ("dns", "dnstcp"):
        own = {"nameserver_of": certificates.ZONE, "server": place.host, "status": RESOLVED}
        for probe in ("nameserver", "axfr"):
            yield replace(_of(base, probe, f"ns:{place.host}", 53, own), name=certificates.ZONE)
        for probe in ("delegation", "dnssec", "caa", "mx", "spf", "dmarc"):
            yield replace(_of(base, probe, "", None, {}), addresses=())
    else:
        ports = {"ports": sorted(SWEEP_PORTS), "again_after": 0.0, "banner_seconds": 0.5}
        yield _of(base, "ports", place.address, None, ports)


def _following(place: _Place, answers: Mapping[Question, Answer]) -> Iterable[Task]:
    """What a run asks once certificates have been seen."""
    base = Task("lab", place.host, "host", "", "tls", ProbeClass.CLIENT, "", place.host, "lab")
    secure = endpoint(place.address, 443)
    waiting = [
        _of(base, probe, subject, None, {FOLLOWS: "tls"}) for probe, subject in (("crl", secure), ("key_use", ""))
    ]
    seen = {(base.key, *question): answer for question, answer in answers.items()}
    return follow_up(waiting, seen, {base.key: "lab"}, Shelf(), _now()).tasks


def _of(base: Task, probe: str, subject: str, port: int | None, params: Mapping[str, Any]) -> Task:
    probe_class = next(one.probe_class for one in PROBES if one.name == probe)
    return replace(base, probe=probe, probe_class=probe_class, subject=subject, port=port, params=params)


def _judged(place: _Place, answers: Mapping[Question, Answer]) -> tuple[Finding, ...]:
    """The findings of all rules. What a scan would know of the zone besides is made up: it is about another server."""
    now = _now()
    here = HostAddresses(place.host, RESOLVED, (place.address,))
    known: dict[Question, Answer] = {}
    if place.kind == "smtp":
        known["mx", ""] = Observed(MxFacts("records", (MxRecord(10, here),)), now)
        known["spf", ""] = Observed(SpfFacts(()), now)
    roots = certificates.root_pem()
    declared = Declared(place.host, "host", ("web",), ((80, "tcp"), (443, "tcp")))
    docket = Docket("lab", declared, {**known, **answers})
    findings = judge(docket, load_policy(), now, reference=Reference(roots, "lab", private_roots=True), lab=True)
    return tuple(each for each in findings if place.kind != "smtp" or not each.control.startswith("mail.spf"))
