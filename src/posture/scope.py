"""Authorisation, decided: may this be asked, of this address, on this port, now? Pure, and closed when in doubt.

Steps, per authorisation of the ministry, in this order: kill switch, what bars it from the start (signatures, sequence),
draft and dates, blackout, class, name, special-purpose address, whose address it is, port. Any authorisation that
grants is enough; otherwise the refusal that got furthest is given. Rates and the audit record come after the grant,
in the broker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from zoneinfo import ZoneInfo

from posture.inventory.names import is_placeholder
from posture.inventory.records import Authorisation, Inventory, Limits, Network
from posture.inventory.special import special_purpose
from posture.model import ProbeClass, Reason
from posture.stop import Order, OrdersNow, no_orders

NONE_COVERS = "E-SCOPE-001"
NOT_IN_FORCE = "E-SCOPE-003"
CLASS = "E-SCOPE-010"
BLACKOUT = "E-SCOPE-011"
NAME = "E-SCOPE-012"
ADDRESS = "E-SCOPE-020"
SPECIAL = "E-SCOPE-021"
OTHER_HOST = "E-SCOPE-022"
PORT = "E-SCOPE-024"
UNSIGNED = "E-SCOPE-002"
SUPERSEDED = "E-SCOPE-004"
REVOKED = "E-SCOPE-040"
STOPPED = "E-SCOPE-041"

# What the reader of the findings gets as the reason of an unknown.
REASONS: Mapping[str, Reason] = {
    NONE_COVERS: Reason.NOT_GRANTED,
    NOT_IN_FORCE: Reason.NOT_GRANTED,
    CLASS: Reason.NOT_GRANTED,
    BLACKOUT: Reason.BLACKOUT,
    NAME: Reason.OUT_OF_SCOPE,
    ADDRESS: Reason.OUT_OF_SCOPE,
    SPECIAL: Reason.OUT_OF_SCOPE,
    OTHER_HOST: Reason.OUT_OF_SCOPE,
    PORT: Reason.NOT_GRANTED,
    UNSIGNED: Reason.NOT_GRANTED,
    SUPERSEDED: Reason.NOT_GRANTED,
    REVOKED: Reason.STOPPED,
    STOPPED: Reason.STOPPED,
}
DNS_PORT, SMTP_PORT = 53, 25
FURTHEST = 100  # beyond all steps of a decision


@dataclass(frozen=True, slots=True)
class Grant:
    """Permission for one question.

    ``via`` says why the address may be asked: "networks", "third_party" (``party`` names it), "hosted", "nameserver",
    or "resolver" when only our own resolver is asked. ``lab`` permits the ports of ``[[lab_port]]``.
    """

    authorisation: str
    probe_class: ProbeClass
    via: str
    limits: Limits
    lab: bool = False
    party: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """No permission. ``text`` is a sentence or two for the operator; the last one says how to mend it."""

    code: str
    reason: Reason
    text: str
    authorisation: str | None = None


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked. ``literal`` is the address as a number, None when only our resolver is asked or it is unreadable."""

    ministry: str
    name: str
    address: str | None
    port: int | None
    protocol: str
    probe_class: ProbeClass
    at: datetime
    nameserver_of: str | None
    mx_of: str | None
    literal: IPv4Address | IPv6Address | None
    own_literal: IPv4Address | IPv6Address | None

    @property
    def zone_asked_for(self) -> str | None:
        """The zone on whose behalf its name server or mail exchanger is asked, on the port of that service only."""
        if self.nameserver_of and self.port in (None, DNS_PORT):
            return self.nameserver_of
        if self.mx_of and self.port in (None, SMTP_PORT):
            return self.mx_of
        return None

    @property
    def is_resolver_like(self) -> bool:
        """An ordinary question to a name server, as any resolver asks it."""
        return bool(self.nameserver_of) and self.port == DNS_PORT and self.probe_class is ProbeClass.PASSIVE


class Scope:
    """All authorisations of an inventory.

    Args:
        lab: whether the run was started with --lab; special-purpose addresses need this and ``lab = true``.
        barred: authorisations that grant nothing from the start, with the refusal to give (signatures, sequence).
        orders: what the kill switch says now.
    """

    def __init__(
        self,
        inventory: Inventory,
        *,
        lab: bool,
        barred: Mapping[str, Refusal] | None = None,
        orders: OrdersNow = no_orders,
    ) -> None:
        self._inventory = inventory
        self._lab = lab
        self._barred = barred or {}
        self._orders = orders
        self._zone = ZoneInfo(inventory.state.timezone)
        self._authorisations = {
            ministry.code: tuple(
                inventory.authorisations[each] for each in ministry.authorisations if each in inventory.authorisations
            )
            for ministry in inventory.ministries
        }
        self._assets = frozenset((asset.ministry, asset.name) for asset in inventory.assets)

    def decide(
        self,
        *,
        ministry: str,
        name: str,
        address: str | None,
        port: int | None,
        protocol: str,
        probe_class: ProbeClass,
        at: datetime,
        nameserver_of: str | None = None,
        mx_of: str | None = None,
    ) -> Grant | Refusal:
        """Whether one question may be asked.

        Args:
            name: what the question is about, or what it says on the wire: a name, or an address (kind address).
            address: the literal to connect to; None (with ``port`` None) asks our own resolver only.
            protocol: "tcp" or "udp".
            at: now, with a time zone.
            nameserver_of: the zone whose own name server is asked (port 53).
            mx_of: the zone whose mail exchanger is asked (port 25).
        """
        question = _Question(
            ministry,
            _canonical(name),
            address,
            port,
            protocol,
            probe_class,
            at,
            _canonical(nameserver_of) if nameserver_of else None,
            _canonical(mx_of) if mx_of else None,
            _literal(address),
            _literal(name),
        )
        orders = self._orders()
        if order := orders.about_address(address) or orders.about_address(name):
            return stopped(order)
        authorisations = self._authorisations.get(ministry, ())
        if not authorisations:
            return _refuse(
                NONE_COVERS,
                f"no authorisation covers {name!r}. Nothing was sent. Ask the owner for a signed letter "
                "('posture init DIR' writes one), and add an [[authorisation]].",
            )
        refusals: list[tuple[int, Refusal]] = []
        for authorisation in authorisations:
            step, decision = self._decide(authorisation, question)
            if isinstance(decision, Grant):
                return decision
            refusals.append((step, decision))
        return max(refusals, key=lambda each: each[0])[1]

    def in_force(self, at: datetime) -> tuple[Authorisation, ...]:
        """Authorisations of some ministry under which something may be sent now: not a draft, and in their dates."""
        today = at.astimezone(self._zone).date()
        named = {each.id: each for authorisations in self._authorisations.values() for each in authorisations}
        return tuple(
            each
            for each in named.values()
            if not each.is_draft and each.not_before <= today <= each.not_after and each.id not in self._barred
        )

    def ended(self, at: datetime) -> tuple[Authorisation, ...]:
        """Authorisations that ended and left a ministry without one in force (a renewed one is not ended)."""
        today = at.astimezone(self._zone).date()
        found: dict[str, Authorisation] = {}
        for authorisations in self._authorisations.values():
            if not any(each.not_before <= today <= each.not_after for each in authorisations):
                found |= {each.id: each for each in authorisations if each.not_after < today}
        return tuple(found.values())

    def placeholder_contact(self) -> bool:
        """Whether nobody real answers for the scans: then only lab addresses may be scanned."""
        return is_placeholder(self._inventory.operator.contact)

    def _decide(self, authorisation: Authorisation, question: _Question) -> tuple[int, Grant | Refusal]:
        """The grant, or the number of the step that refused and its refusal; an order of the kill switch comes first.

        What would be granted but for the order is stopped, whatever other authorisations say of it.
        """
        number, outcome = self._decide_without_orders(authorisation, question)
        order = self._orders().about_authorisation(authorisation.id)
        if order is None:
            return number, outcome
        return FURTHEST if isinstance(outcome, Grant) else 0, stopped(order)

    def _decide_without_orders(self, authorisation: Authorisation, question: _Question) -> tuple[int, Grant | Refusal]:
        steps = (self._not_barred, self._in_force, self._blackout, self._class, self._name, self._special)
        for number, step in enumerate(steps):
            refusal = step(authorisation, question)
            if refusal is not None:
                return number, refusal
        lab = authorisation.lab and self._lab
        basis = _basis(authorisation, question)
        if isinstance(basis, Refusal):
            return len(steps), basis
        via, party = basis
        refusal = _port(authorisation, question, via)
        if refusal is not None:
            return len(steps) + 1, refusal
        return -1, Grant(authorisation.id, question.probe_class, via, authorisation.limits, lab, party)

    def _not_barred(self, authorisation: Authorisation, question: _Question) -> Refusal | None:  # noqa: ARG002 - a step
        return self._barred.get(authorisation.id)

    def _in_force(self, authorisation: Authorisation, question: _Question) -> Refusal | None:
        if authorisation.is_draft:
            return _refuse(
                NONE_COVERS,
                f"{authorisation.id} is a draft. Nothing was sent. "
                "Have the letter signed and write its number and date into reference.",
                authorisation,
            )
        today = question.at.astimezone(self._zone).date()
        if today > authorisation.not_after:
            days = (today - authorisation.not_after).days
            return _refuse(
                NOT_IN_FORCE,
                f"{authorisation.id} ended {authorisation.not_after} ({days} day{'s' if days != 1 else ''} ago, "
                f"{self._zone.key}). Ask {authorisation.owner} to renew it, then change not_after.",
                authorisation,
            )
        if today < authorisation.not_before:
            return _refuse(
                NOT_IN_FORCE,
                f"{authorisation.id} begins {authorisation.not_before} ({self._zone.key}). Wait, or correct not_before.",
                authorisation,
            )
        return None

    def _blackout(self, authorisation: Authorisation, question: _Question) -> Refusal | None:
        local = question.at.astimezone(self._zone)
        for blackout in authorisation.blackouts:
            if question.probe_class in blackout.classes and blackout.covers(local):
                return _refuse(
                    BLACKOUT,
                    f"{authorisation.id} has a blackout for {question.probe_class}: {blackout.when} ({self._zone.key}). "
                    "Scan again outside of it; --asset or --ministry asks only what is missing.",
                    authorisation,
                )
        return None

    def _class(self, authorisation: Authorisation, question: _Question) -> Refusal | None:
        if question.probe_class in authorisation.classes:
            return None
        return _refuse(
            CLASS,
            f"{question.name}: the probe is {question.probe_class}; {authorisation.id} grants "
            f"{_listed(authorisation.classes)}. If {authorisation.owner} agrees, add it to classes.",
            authorisation,
        )

    def _name(self, authorisation: Authorisation, question: _Question) -> Refusal | None:
        if question.own_literal is not None:
            return self._own_address(authorisation, question)
        if _excluded(question.name, authorisation):
            return _refuse(
                NAME,
                f"{question.name} is excluded by {authorisation.id}. It is left alone; to scan it, delete it from exclude.",
                authorisation,
            )
        covered = question.zone_asked_for or question.name
        if authorisation.covers_name(covered):
            return None
        if (question.ministry, question.name) not in self._assets and covered == question.name:
            return _refuse(
                OTHER_HOST,
                f"{question.name} is another host, not covered by {authorisation.id}: not followed. "
                "If it is the owner's, add its zone to the authorisation.",
                authorisation,
            )
        return _refuse(
            NAME,
            f"{covered} is in no zone of {authorisation.id} ({_listed(authorisation.zones)}). "
            f"If {authorisation.owner} agrees, add it to zones.",
            authorisation,
        )

    def _own_address(self, authorisation: Authorisation, question: _Question) -> Refusal | None:
        """An asset that is an address may only be asked at itself."""
        if question.address is None or question.literal == question.own_literal:
            return None
        return _refuse(
            OTHER_HOST,
            f"{question.address} is not {question.name}: not followed. If it is the owner's, add it as an asset.",
            authorisation,
        )

    def _special(self, authorisation: Authorisation, question: _Question) -> Refusal | None:
        literal = question.literal or question.own_literal
        if question.address is not None and question.literal is None:
            return _refuse(
                SPECIAL,
                f"{question.name}: {question.address[:60]!r} is not an address in its ordinary spelling: refused always. "
                "Correct the address.",
                authorisation,
            )
        what = special_purpose(literal) if literal is not None else ""
        if not what or (authorisation.lab and self._lab):
            return None
        return _refuse(
            SPECIAL,
            f"{question.name} resolves to {literal} ({what}): refused, in any network. "
            "Correct the DNS, or look from outside; practice machines need lab = true and --lab.",
            authorisation,
        )


def _basis(authorisation: Authorisation, question: _Question) -> tuple[str, str | None] | Refusal:
    """Why the address may be asked: (via, party). An address that nothing covers is refused."""
    literal = question.literal or question.own_literal
    if literal is None:
        return "resolver", None
    only_resolver = question.address is None
    if _within(literal, authorisation.networks):
        return "resolver" if only_resolver else "networks", None
    holders = [each for each in authorisation.third_parties if _within(literal, each.networks)]
    for holder in holders:
        if question.probe_class in holder.classes:
            return "resolver" if only_resolver else "third_party", holder.party
    if question.own_literal is None:
        if question.is_resolver_like:
            return "nameserver", None
        if question.probe_class is ProbeClass.CLIENT and ProbeClass.CLIENT in authorisation.hosted_classes:
            return "hosted", None
    if holders:
        return _refuse(
            CLASS,
            f"{question.name}: {literal} belongs to {holders[0].party}, who permits {_listed(holders[0].classes)}, "
            f"not {question.probe_class}. Ask {holders[0].party}.",
            authorisation,
        )
    return _outside(authorisation, question, literal)


def _outside(authorisation: Authorisation, question: _Question, literal: IPv4Address | IPv6Address) -> Refusal:
    place = f"{literal} is" if question.own_literal is not None else f"{question.name} resolves to {literal},"
    mend = "Add the address to networks, if it is the owner's, or a [[authorisation.third_party]] with consent."
    if question.own_literal is None and question.probe_class is ProbeClass.CLIENT:
        mend = f'DNS facts only. To look as a browser would: hosted_classes = ["client"]. {mend}'
    return _refuse(ADDRESS, f"{place} outside the networks of {authorisation.id}. {mend}", authorisation)


def _port(authorisation: Authorisation, question: _Question, via: str) -> Refusal | None:
    if question.address is None and question.port is None:
        return None
    if question.address is None:
        return _refuse(PORT, "a port without an address cannot be decided. Name the address.", authorisation)
    if via == "nameserver" or question.is_resolver_like:
        return None  # an ordinary DNS question needs no port in the list
    if question.port is not None and authorisation.allows_port(question.port, question.protocol):
        return None
    return _refuse(
        PORT,
        f"{question.name}: port {question.port}/{question.protocol} is not in the ports of {authorisation.id}. "
        f"If {authorisation.owner} agrees, add it to ports.",
        authorisation,
    )


def stopped(order: Order) -> Refusal:
    """The refusal behind an order of the kill switch."""
    when = f" at {order.at:%Y-%m-%d %H:%M} UTC" if order.at else ""
    whom = f" by {order.by}" if order.by else ""
    what = " and ".join(filter(None, order.target)) or "everything"
    text = f'{what} was stopped{whom}{when} ("{order.reason}"). "posture stop --status" shows it, --lift ends it.'
    return _refuse(REVOKED if order.authorisation else STOPPED, text, order.authorisation)


def _refuse(code: str, text: str, authorisation: Authorisation | str | None = None) -> Refusal:
    named = authorisation.id if isinstance(authorisation, Authorisation) else authorisation
    return Refusal(code, REASONS[code], text, named)


@lru_cache(maxsize=4096)
def _literal(text: str | None) -> IPv4Address | IPv6Address | None:
    """An address in its ordinary spelling without a zone id; None for anything else."""
    try:
        return ip_address(text) if text is not None and "%" not in text else None
    except ValueError:
        return None


def _canonical(name: str) -> str:
    return name.lower().removesuffix(".")


def _excluded(name: str, authorisation: Authorisation) -> bool:
    return any(name == each or name.endswith(f".{each}") for each in authorisation.exclude)


def _within(address: IPv4Address | IPv6Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


def _listed(items: frozenset[ProbeClass] | tuple[str, ...]) -> str:
    return ", ".join(sorted(map(str, items))) or "nothing"
