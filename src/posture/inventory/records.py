"""The inventory as values: who is scanned, by whom, under whose authority. Parsed and normalised; nothing here reads files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from posture.model import AssetKey, ProbeClass

Network = IPv4Network | IPv6Network
DRAFT = "DRAFT"  # how the reference of an authorisation begins until its letter is signed


@dataclass(frozen=True, slots=True)
class State:
    """``code`` is ISO 3166-1 alpha-2; ``timezone`` an IANA name."""

    code: str
    name: str
    timezone: str


@dataclass(frozen=True, slots=True)
class Operator:
    """Who runs the scans; ``contact`` goes into the User-Agent and EHLO."""

    name: str
    contact: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """Politeness: counts, and rates per second unless the name says otherwise."""

    connections_per_address: int = 2
    new_connections_per_second: int = 10
    new_connections_burst: int = 20
    sweep_pending: int = 20
    sweep_per_second: int = 50
    prefix_per_second: int = 100
    prefix_burst: int = 200
    dns_per_second: int = 20
    dns_burst: int = 40
    smtp_per_minute: int = 6
    smtp_per_hour: int = 20
    connections: int = 200

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(f.name for f in fields(cls))


@dataclass(frozen=True, slots=True)
class ThirdParty:
    """Somebody else's machines, with that party's consent."""

    party: str
    networks: tuple[Network, ...]
    classes: frozenset[ProbeClass]
    reference: str


@dataclass(frozen=True, slots=True)
class Blackout:
    """A weekly window in the State's time zone: weekdays (0 = Monday), minutes of the day [start, end)."""

    when: str
    weekdays: frozenset[int]
    start: int
    end: int
    classes: frozenset[ProbeClass]

    def covers(self, local: datetime) -> bool:
        """Whether an instant, in the State's time zone, lies in the window.

        Where clocks go back, from the first time that they show the start to the last time that they show the end.
        """
        if local.weekday() in self.weekdays and self.start <= local.hour * 60 + local.minute < self.end:
            return True
        at = local.astimezone(UTC)
        days = (local.date() + timedelta(days=step) for step in (-1, 0, 1))
        return any(
            self._instant(day, self.start, local, fold=0) <= at < self._instant(day, self.end, local, fold=1)
            for day in days
            if day.weekday() in self.weekdays
        )

    def _instant(self, day: date, minutes: int, like: datetime, *, fold: int) -> datetime:
        midnight = datetime.combine(day, datetime.min.time(), like.tzinfo)
        return (midnight + timedelta(minutes=minutes)).replace(fold=fold).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class SignatureFile:
    """A detached signature as found: what the inventory calls it, and its bytes, not looked at yet."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Authorisation:
    """What an owner permits. Dates are whole days in the State's time zone, both ends included.

    ``ports`` are (low, high, protocol or "") ranges; "" covers TCP and UDP. A higher ``sequence`` supersedes a lower one.
    """

    id: str
    owner: str
    officer: str
    basis: str
    reference: str
    not_before: date
    not_after: date
    classes: frozenset[ProbeClass]
    zones: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    hosted_classes: frozenset[ProbeClass] = frozenset()
    ports: tuple[tuple[int, int, str], ...] = ()
    lab: bool = False
    document: str = ""
    document_sha256: str = ""
    emergency: str = ""
    limits: Limits = field(default_factory=Limits)
    third_parties: tuple[ThirdParty, ...] = ()
    blackouts: tuple[Blackout, ...] = ()
    sequence: int = 0
    signatures: tuple[SignatureFile, ...] = ()

    @property
    def is_draft(self) -> bool:
        """Whether the letter is still to be signed: ``posture init`` writes such a reference."""
        return self.reference.upper().startswith(DRAFT)

    def allows_port(self, port: int, protocol: str) -> bool:
        return any(low <= port <= high and kind in ("", protocol) for low, high, kind in self.ports)

    def covers_name(self, name: str) -> bool:
        """Whether ``name`` is at or below one of the zones and not excluded."""
        return _below(name, self.zones) and not _below(name, self.exclude)


def _below(name: str, zones: tuple[str, ...]) -> bool:
    return any(name == zone or name.endswith("." + zone) for zone in zones)


@dataclass(frozen=True, slots=True)
class Port:
    """A declared port: ``443``, ``8443/https``, ``161/udp``. ``service`` is the suffix when it names one, else ""."""

    number: int
    protocol: str = "tcp"
    service: str = ""


@dataclass(frozen=True, slots=True)
class Asset:
    """One thing to look at. ``ports``, ``mail`` are None when left out: then defaults hold, or mail is inferred."""

    name: str
    kind: str
    ministry: str
    roles: tuple[str, ...] = ()
    criticality: int = 2
    ports: tuple[Port, ...] | None = None
    internal: bool = False
    addresses: tuple[str, ...] = ()
    mail: tuple[str, ...] | None = None
    dkim_selectors: tuple[str, ...] = ()
    file: str = ""
    line: int = 0

    @property
    def key(self) -> AssetKey:
        return AssetKey(self.name, self.kind)

    @property
    def has_host(self) -> bool:
        """Whether host controls apply at the asset's own name: kind host, or a zone with role web or api."""
        return self.kind in ("host", "address") or bool({"web", "api"} & set(self.roles))

    @property
    def declared_ports(self) -> tuple[Port, ...]:
        """The declared ports, or the default of the asset's kind."""
        if self.ports is not None:
            return self.ports
        return (Port(80), Port(443)) if self.has_host and self.kind != "address" else ()


@dataclass(frozen=True, slots=True)
class Ministry:
    code: str
    name: str
    authorisations: tuple[str, ...]
    contact: str = ""
    sector: str = ""


@dataclass(frozen=True, slots=True)
class LabPort:
    """With ``lab = true`` and --lab the broker's last step dials ``to`` instead of ``port``."""

    address: str
    port: int
    to: int
    protocol: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """A whole inventory. ``digest`` (sha256 hex) covers the TOML and its sheets; assets are unique by key."""

    path: Path
    state: State
    operator: Operator
    authorisations: Mapping[str, Authorisation]
    ministries: tuple[Ministry, ...]
    assets: tuple[Asset, ...]
    lab_ports: tuple[LabPort, ...] = ()
    digest: str = ""

    def ministry(self, code: str) -> Ministry:
        """Raises KeyError: no such ministry."""
        for ministry in self.ministries:
            if ministry.code == code:
                return ministry
        raise KeyError(code)
