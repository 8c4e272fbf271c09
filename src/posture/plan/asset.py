"""The plan of one asset: which probes at which addresses, and what is settled before any packet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NoReturn

from posture.facts import Facts
from posture.facts.dns import RESOLVED, DelegationFacts, HostAddresses, MxFacts
from posture.inventory.records import Asset, Authorisation, Inventory, Port
from posture.model import (
    Absent,
    AbsentCause,
    NotSeen,
    NotThere,
    ProbeClass,
    Reason,
    Unobserved,
    endpoint,
)
from posture.net.decisions import Decider
from posture.plan.deep import DEEP_PROBES, NOT_DEEP, deep_probes, is_https
from posture.plan.following import following
from posture.plan.settled import Refused, Settled
from posture.probes import PROBES
from posture.probes.base import Resolver
from posture.probes.matrix import SWEEP_PORTS
from posture.scope import Grant, Refusal
from posture.task import Task

# Declared ports on which TLS starts at once, and those on which it is asked for in the protocol.
TLS_PORTS = frozenset({443, 465, 636, 853, 990, 993, 995, 5061, 8443})
STARTTLS_PORTS: Mapping[int, str] = {
    21: "ftp",
    25: "smtp",
    110: "pop3",
    143: "imap",
    389: "ldap",
    587: "smtp",
    3389: "rdp",
    5222: "xmpp",
    5269: "xmpp-server",
    5432: "postgres",
}
ENDPOINT_PROBES = ("tls", "tls_legacy", "crl", "key_use", "http", "securitytxt")
ZONE_PROBES = ("delegation", "dnssec", "caa", "mx", "spf", "dmarc")
PORTS_SHOWN = 10
OUTSIDE = "E-SCOPE-020"  # the refusal that means "hosted elsewhere"
NOT_IN_PROFILE = "not in this profile"
INTRUSIVE_ALONE = "intrusive probes run only with --profile deep and the asset named by --asset"
_PROBES = {probe.name: probe for probe in PROBES}


@dataclass(frozen=True, slots=True)
class Terms:
    """What planning every asset leans on. ``check_of``: the probes wanted, each with its family; ``deep``: the profile;
    ``all_suites``: also in others."""

    inventory: Inventory
    scope: Decider
    resolver: Resolver
    check_of: Mapping[str, str]
    classes: frozenset[ProbeClass]
    at: datetime
    deep: bool = False
    all_suites: bool = False


@dataclass(slots=True)
class AssetPlanner:
    """Plans one asset. ``hosted``: whether every address of the name is somebody else's; None when nobody asked."""

    terms: Terms
    asset: Asset
    tasks: list[Task] = field(default_factory=list)
    settled: list[Settled] = field(default_factory=list)
    refusals: list[Refused] = field(default_factory=list)
    hosted: bool | None = None
    providers: dict[str, str] = field(default_factory=dict)

    async def plan(self) -> None:
        if refusal := self._stopped():
            self._settle_stopped(refusal)
            return
        if self.asset.kind == "zone":
            await self._zone()
        if self.asset.has_host:
            await self._host()

    # ---- the kill switch

    def _stopped(self) -> Refusal | None:
        """The order that leaves nothing of this asset to be asked: then our own resolver is not asked about it either."""
        decisions = [self._passive(probe_class) for probe_class in ProbeClass]
        if any(isinstance(decision, Grant) for decision in decisions):
            return None
        refusals = (decision for decision in decisions if isinstance(decision, Refusal))
        return next((refusal for refusal in refusals if refusal.reason is Reason.STOPPED), None)

    def _passive(self, probe_class: ProbeClass) -> Grant | Refusal:
        return self.terms.scope.decide(
            ministry=self.asset.ministry,
            name=self.asset.name,
            address=None,
            port=None,
            protocol="tcp",
            probe_class=probe_class,
            at=self.terms.at,
        )

    def _settle_stopped(self, refusal: Refusal) -> None:
        zone = (*ZONE_PROBES, "nameserver", "axfr", "smtp") if self.asset.kind == "zone" else ()
        host = (*ENDPOINT_PROBES, "ports", *DEEP_PROBES) if self.asset.has_host else ()
        for probe in (*zone, *host):
            if probe in self.terms.check_of:
                self._record_refusal(probe, None, None, refusal)
                self._settle_refusal(probe, "", refusal)

    # ---- zones: the DNS and mail

    async def _zone(self) -> None:
        for probe in ZONE_PROBES:
            self._offer(probe, "", self.asset.name)
        servers = await self._ask("delegation", ("nameserver", "axfr"))
        if isinstance(servers, DelegationFacts):
            for server in servers.servers:
                self._nameserver(server)
        exchangers = await self._ask("mx", ("smtp",))
        if isinstance(exchangers, MxFacts):
            self._exchangers(exchangers)

    async def _ask(self, probe: str, dependants: tuple[str, ...]) -> Facts | None:
        """Facts of a passive DNS probe, asked now because they list the subjects of others; None settles those."""
        if not any(name in self.terms.check_of for name in dependants):
            return None
        question = self._task(probe, "", self.asset.name, (), None, "", {})
        try:
            return await _PROBES[probe].observe(question, ResolverDoor(self.terms.resolver))
        except NotThere as absent:
            self._settle_all(dependants, Absent(absent.cause, self.terms.at, absent.detail))
        except NotSeen as unseen:
            self._settle_all(dependants, Unobserved(unseen.reason, self.terms.at, unseen.detail, unseen.code))
        return None

    def _nameserver(self, server: HostAddresses) -> None:
        subject, zone = f"ns:{server.name}", self.asset.name
        params = {"nameserver_of": zone, "server": server.name, "status": server.status}
        if server.status == RESOLVED:
            for probe in ("nameserver", "axfr"):
                self._offer(probe, subject, zone, server.addresses, 53, params)
            return
        # A delegation to a name that leads nowhere is itself a fact about that server.
        self._offer("nameserver", subject, zone, (), None, params)
        self._settle("axfr", subject, _unresolved(server, self.terms.at))

    def _exchangers(self, mx: MxFacts) -> None:
        zone = self.asset.name
        hosts = [record.host for record in mx.records if record.host.name]
        if not hosts:
            self._settle("smtp", "", Absent(AbsentCause.NODATA, self.terms.at, "no mail exchanger"))
        for host in hosts:
            subject = f"mx:{host.name}:25"
            params = {"mx_of": zone, "ehlo": self._ehlo()}
            if host.status != RESOLVED:
                self._settle("smtp", subject, _unresolved(host, self.terms.at))
                continue
            self._offer("smtp", subject, host.name, host.addresses, 25, params)
            for probe in ("tls", "tls_legacy"):
                self._offer(probe, subject, host.name, host.addresses, 25, {**params, "starttls": "smtp"}, most=1)

    def _ehlo(self) -> str:
        """The name we greet with: the contact's domain, so that a postmaster knows whom to ask."""
        return self.terms.inventory.operator.contact.rpartition("@")[2] or "posture.invalid"

    # ---- hosts: TLS, web and services at the asset's own name

    async def _host(self) -> None:
        wanted = [probe for probe in (*ENDPOINT_PROBES, "ports", *DEEP_PROBES) if probe in self.terms.check_of]
        if not wanted:
            return
        try:
            addresses = await self._addresses()
        except NotSeen as unseen:
            self._settle_all(wanted, Unobserved(unseen.reason, self.terms.at, unseen.detail, unseen.code))
            return
        if not addresses:
            absent = Absent(AbsentCause.NXDOMAIN, self.terms.at, f"{self.asset.name} has no address")
            self._settle_all(wanted, absent)
            return
        self._not_declared()
        for address in addresses:
            self._endpoints(address)
            self._sweep(address)
        tasks, settled = following(self.tasks, self.settled, self.terms.check_of)
        self.tasks += tasks
        self.settled += settled
        for address in addresses:
            self._deep(address)

    async def _addresses(self) -> tuple[str, ...]:
        if self.asset.kind == "address":
            return (self.asset.name,)
        return self.asset.addresses or await self.terms.resolver.addresses(self.asset.name)

    def _not_declared(self) -> None:
        """Controls of what the inventory says is not offered are not applicable, and say so."""
        absent = Absent(AbsentCause.NOT_DECLARED, self.terms.at)
        if not any(_starts_tls(port) or _starttls(port) for port in self.asset.declared_ports):
            self._settle_all(("tls", "tls_legacy", "tls_stores", "tls_vulnerability"), absent)
        if not any(map(is_https, self.asset.declared_ports)):
            self._settle("tls_early_data", "", absent)
        if not _is_web(self.asset):
            self._settle_all(("http", "securitytxt"), absent)

    def _endpoints(self, address: str) -> None:
        name = self.asset.name
        for port in self.asset.declared_ports:
            starttls = _starttls(port)
            if _starts_tls(port) or starttls:
                params: dict[str, Any] = {"starttls": starttls, "ehlo": self._ehlo()} if starttls else {}
                if self.terms.deep or self.terms.all_suites:
                    params["all_suites"] = True
                for probe in ("tls", "tls_legacy"):
                    subject = endpoint(address, port.number)
                    self._offer(probe, subject, name, (address,), port.number, params)
        if _is_web(self.asset):
            for number, scheme in ((80, "http"), (443, "https")):
                self._offer("http", endpoint(address, number), name, (address,), number, {"scheme": scheme})
            self._offer("securitytxt", endpoint(address, 443), name, (address,), 443)

    def _deep(self, address: str) -> None:
        """What deep scans ask; in others it is known beforehand that nobody asked."""
        for port in self.asset.declared_ports:
            starttls, subject = _starttls(port), endpoint(address, port.number)
            params = {"starttls": starttls} if starttls else {}
            for probe in deep_probes(port, starttls, starts_tls=_starts_tls(port)):
                if why := self._not_deep(probe):
                    self._settle(probe, subject, Unobserved(Reason.NOT_RUN, self.terms.at, why))
                else:
                    self._offer(probe, subject, self.asset.name, (address,), port.number, params)

    def _not_deep(self, probe: str) -> str:
        """Why a deep probe does not belong to this run; a refusal to be granted it would be about nothing then."""
        if _PROBES[probe].probe_class not in self.terms.classes:
            return INTRUSIVE_ALONE
        return "" if self.terms.deep else NOT_DEEP

    def _sweep(self, address: str) -> None:
        """One sweep of the authorised part of the port matrix; when none is granted one refusal stands for all."""
        if "ports" not in self.terms.check_of:
            return
        declared = (port.number for port in self.asset.declared_ports if port.protocol == "tcp")
        decisions = {
            port: self._decide("ports", self.asset.name, address, port) for port in sorted({*SWEEP_PORTS, *declared})
        }
        granted = {port: decision for port, decision in decisions.items() if isinstance(decision, Grant)}
        if not granted:
            port, refusal = next((port, d) for port, d in decisions.items() if isinstance(d, Refusal))
            self._record_refusal("ports", address, port, refusal)
            if provider := self._provider(self.asset.name, address, refusal, {}):
                self.providers[address] = provider
            self._settle_refusal("ports", address, refusal)
            return
        if refused := {port: d for port, d in decisions.items() if isinstance(d, Refusal)}:
            shown = ", ".join(map(str, list(refused)[:PORTS_SHOWN])) + (", ..." if len(refused) > PORTS_SHOWN else "")
            text = f"{len(refused)} of {len(decisions)} ports of the matrix are not granted here: {shown}."
            first = next(iter(refused.values()))
            self._record_refusal(
                "ports", address, None, replace(first, text=f"{text} Add them to ports, if they may be.")
            )
        grant = next(iter(granted.values()))
        # A filtered port is asked again a second later; in a lab nothing is lost on the way.
        params = {"ports": list(granted), "again_after": 0.0 if grant.lab else 1.0}
        self._add("ports", address, self.asset.name, (address,), None, grant, params)

    # ---- one question: planned, or settled with the reason why not

    def _offer(
        self,
        probe: str,
        subject: str,
        name: str,
        addresses: tuple[str, ...] = (),
        port: int | None = None,
        params: Mapping[str, Any] | None = None,
        *,
        most: int | None = None,
    ) -> None:
        """Plans a probe at those of its addresses (at ``most`` so many) that the scope grants; settles it when none is.

        What is refused among several goes along as params["refused"]: nobody may call the rest the whole.
        """
        if probe not in self.terms.check_of:
            return
        params = params or {}
        asked: tuple[str | None, ...] = addresses or (None,)
        decisions = {address: self._decide(probe, name, address, port, params) for address in asked}
        granted = {address: decision for address, decision in decisions.items() if isinstance(decision, Grant)}
        for address, decision in decisions.items():
            if isinstance(decision, Refusal):
                self._record_refusal(probe, address, port, decision, str(params.get("server", name)))
            if address and subject and (provider := self._provider(name, address, decision, params)):
                self.providers[subject] = provider
        if granted:
            literals = tuple(address for address in granted if address)[:most]
            refused = {a: str(d.reason) for a, d in decisions.items() if a and isinstance(d, Refusal)}
            codes = {a: d.code for a, d in decisions.items() if a and isinstance(d, Refusal)}
            params = {**params, "refused": refused, "codes": codes} if refused else params
            self._add(probe, subject, name, literals, port, next(iter(granted.values())), params)
        else:
            refusal = next(decision for decision in decisions.values() if isinstance(decision, Refusal))
            self._settle_refusal(probe, subject, refusal)

    def _provider(self, name: str, address: str, decision: Grant | Refusal, params: Mapping[str, Any]) -> str:
        """Who must mend what is found there, when it is not the ministry; ``""`` when it is."""
        if "mx_of" in params:
            own = any(authorisation.covers_name(name) for authorisation in self._authorisations())
            return "" if own else name.partition(".")[2] or name
        if "nameserver_of" in params:
            return ""  # a delegation is the ministry's own to mend, wherever the server stands
        if isinstance(decision, Grant):
            return decision.party or (f"the host of {address}" if decision.via == "hosted" else "")
        return f"the host of {address}" if decision.code == OUTSIDE else ""

    def _authorisations(self) -> tuple[Authorisation, ...]:
        inventory = self.terms.inventory
        codes = inventory.ministry(self.asset.ministry).authorisations
        return tuple(inventory.authorisations[code] for code in codes)

    def _decide(
        self, probe: str, name: str, address: str | None, port: int | None, params: Mapping[str, Any] | None = None
    ) -> Grant | Refusal:
        probe_class = _PROBES[probe].probe_class
        relation = {key: value for key, value in (params or {}).items() if key in ("nameserver_of", "mx_of")}
        decision = self.terms.scope.decide(
            ministry=self.asset.ministry,
            name=(params or {}).get("server", name),
            address=address,
            port=port,
            protocol="tcp",
            probe_class=probe_class,
            at=self.terms.at,
            **relation,
        )
        if address and not relation and probe_class is ProbeClass.CLIENT:
            outside = isinstance(decision, Refusal) and decision.code == OUTSIDE
            self.hosted = outside if self.hosted is None else self.hosted and outside
        return decision

    def _add(
        self,
        probe: str,
        subject: str,
        name: str,
        addresses: tuple[str, ...],
        port: int | None,
        grant: Grant,
        params: Mapping[str, Any],
    ) -> None:
        probe_class = _PROBES[probe].probe_class
        if probe_class in self.terms.classes:
            self.tasks.append(self._task(probe, subject, name, addresses, port, grant.authorisation, params))
        else:
            self._settle(probe, subject, Unobserved(Reason.NOT_RUN, self.terms.at, NOT_IN_PROFILE))

    def _task(
        self,
        probe: str,
        subject: str,
        name: str,
        addresses: tuple[str, ...],
        port: int | None,
        authorisation: str,
        params: Mapping[str, Any],
    ) -> Task:
        return Task(
            ministry=self.asset.ministry,
            asset=self.asset.name,
            kind=self.asset.kind,
            probe=probe,
            check=self.terms.check_of.get(probe, "dns"),
            probe_class=_PROBES[probe].probe_class,
            subject=subject,
            name=name,
            authorisation=authorisation,
            addresses=addresses,
            port=port,
            params=params,
        )

    def _settle(self, probe: str, subject: str, answer: Absent | Unobserved) -> None:
        if probe in self.terms.check_of:
            self.settled.append(Settled(self.asset.ministry, self.asset.key, probe, subject, answer))

    def _settle_all(self, probes: Iterable[str], answer: Absent | Unobserved) -> None:
        for probe in probes:
            self._settle(probe, "", answer)

    def _settle_refusal(self, probe: str, subject: str, refusal: Refusal) -> None:
        answer = Unobserved(refusal.reason, self.terms.at, refusal.text, refusal.code)
        self.settled.append(Settled(self.asset.ministry, self.asset.key, probe, subject, answer, refusal.authorisation))

    def _record_refusal(
        self, probe: str, address: str | None, port: int | None, refusal: Refusal, name: str = ""
    ) -> None:
        name = name or self.asset.name
        self.refusals.append(Refused(self.asset.ministry, self.asset.key, probe, name, address, port, refusal))


class ResolverDoor:
    """A door behind which there is only our own resolver: what the planner's look-ups get."""

    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver

    async def connect(self, *_args: Any, **_options: Any) -> NoReturn:
        raise AssertionError("a look-up of the planner wanted more than our own resolver")

    sweep = ask_udp = get = connect

    def throttled(self, address: str) -> None:
        raise AssertionError(address)


def _unresolved(host: HostAddresses, at: datetime) -> Absent | Unobserved:
    """The answer about a server whose name leads nowhere."""
    causes = {"nxdomain": AbsentCause.NXDOMAIN, "nodata": AbsentCause.NODATA, "cname": AbsentCause.NODATA}
    if host.status in causes:
        return Absent(causes[host.status], at, f"{host.name}: {host.status}")
    return Unobserved(Reason.TIMEOUT, at, f"{host.name} did not resolve")


def _starts_tls(port: Port) -> bool:
    return port.protocol == "tcp" and (port.number in TLS_PORTS or port.service in ("https", "tls"))


def _starttls(port: Port) -> str:
    return "" if port.protocol != "tcp" or port.service else STARTTLS_PORTS.get(port.number, "")


def _is_web(asset: Asset) -> bool:
    declared = asset.declared_ports
    return asset.kind != "address" and any(port.number in (80, 443) and port.protocol == "tcp" for port in declared)
