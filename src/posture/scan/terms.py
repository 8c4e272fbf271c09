"""What a run is made on: inventory, scope, policy, selection, reference data. Decided before anything is sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import certifi

import posture
from posture.checks import Declared, Reference
from posture.checks.baseline import load_baseline
from posture.config import Config
from posture.errors import ConfigurationError, NothingToScan
from posture.exempted import exemptions_now
from posture.exemptions import Exemption
from posture.exemptions import remarks as ending
from posture.inventory.records import Asset, Inventory
from posture.inventory.special import special_purpose
from posture.model import Reason
from posture.net.decisions import Decider
from posture.net.resolver import RunResolver, system_resolver
from posture.plan import Plan, Selection, make_plan
from posture.plan.selection import check_selection
from posture.policy import DEFAULT, Policy
from posture.scan.authority import authorities_of, barred_by, remarks
from posture.scope import Grant, Refusal, Scope
from posture.signatures import Authority
from posture.stop import OrdersNow, StopFile, no_orders


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one run. ``reference`` holds the trust store that this run judges by.

    ``authorities``: every authorisation as signed; ``barred``: those that grant nothing, by id, with the refusal;
    ``exemptions``: all of the operator's file; ``orders``: what the kill switch says now.
    """

    config: Config
    inventory: Inventory
    scope: Scope
    policy: Policy
    selection: Selection
    reference: Reference
    lab: bool
    authorities: tuple[Authority, ...] = ()
    barred: Mapping[str, Refusal] = field(default_factory=dict)
    exemptions: tuple[Exemption, ...] = ()
    orders: OrdersNow = no_orders

    @property
    def user_agent(self) -> str:
        """Says who we are and whom to ask (RFC 9110 section 10.1.5)."""
        operator = self.inventory.operator
        return f"posture/{posture.__version__} (+{operator.url or 'mailto:' + operator.contact})"

    def resolver(self) -> RunResolver:
        """Our own resolver, with an empty cache.

        Raises:
            ConfigurationError: none is configured and the system names none.
        """
        address = self.config.resolver or system_resolver()
        if address is None:
            raise ConfigurationError("no DNS resolver. Name one: --resolver 192.0.2.53, or resolver in posture.toml.")
        return RunResolver(*address)

    async def plan(self, resolver: RunResolver, at: datetime) -> Plan:
        return await make_plan(self.inventory, self.decider(), resolver, self.policy, self.selection, at)

    def no_plan(self) -> Plan:
        """The plan of a run that may ask nothing, because nothing it saw could be believed."""
        return Plan((), (), (), self.selection.chosen_controls(self.policy), self.inventory.assets)

    def lapsed(self, at: datetime) -> tuple[str, ...]:
        """Authorisations of the selected ministries that ended or are barred, and left a ministry without one."""
        chosen = self.selection.ministries
        ours = [set(each.authorisations) for each in self.inventory.ministries if not chosen or each.code in chosen]
        ended = {authorisation.id for authorisation in self.scope.ended(at)}
        valid = {authorisation.id for authorisation in self.scope.in_force(at)}
        barred = {name for names in ours if not names & valid for name in names & self.barred.keys()}
        return tuple(sorted(set().union(*ours) & ended | barred))

    @property
    def permitted(self) -> tuple[Authority, ...]:
        """The authorisations that the run may go under, as signed."""
        return tuple(one for one in self.authorities if one.authorisation not in self.barred)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What whoever starts the run should know of its authorisations."""
        return remarks(self.authorities, self.barred)

    def ending(self, at: datetime) -> tuple[str, ...]:
        """The exemptions that have ended, or are about to, in sentences."""
        return ending(self.exemptions, at.astimezone(ZoneInfo(self.inventory.state.timezone)).date())

    def decider(self) -> Decider:
        """What the broker asks: without somebody to complain to, a scan reaches nothing but a lab."""
        return LabOnly(self.scope) if self.scope.placeholder_contact() else self.scope

    def must_be_allowed(self, at: datetime) -> None:
        """Refuses a run under which nothing may be sent at all.

        Raises:
            NothingToScan: no authorisation is in force, or nobody could be asked about the scans.
        """
        if not self.scope.in_force(at):
            which = ", ".join(self.inventory.authorisations) or "the inventory has none"
            barred = "".join(f"\n  {refusal.code} {refusal.text}" for refusal in self.barred.values())
            raise NothingToScan(
                f"no authorisation is in force at {at:%Y-%m-%d} ({which}); nothing was sent. "
                f"'posture inventory check' shows the dates; a new letter renews them.{barred}"
            )
        if self.scope.placeholder_contact() and not self.lab:
            raise NothingToScan(
                f"the operator's contact {self.inventory.operator.contact!r} is a placeholder; nothing was sent. "
                "Whoever sees the scans must be able to ask: set [operator] contact in the inventory."
            )


@dataclass(frozen=True, slots=True)
class LabOnly:
    """A scope of which only what ``lab = true`` and --lab admit is left: special-purpose addresses, and questions to our
    own resolver on their behalf."""

    scope: Scope

    def decide(self, **question: Any) -> Grant | Refusal:
        outcome = self.scope.decide(**question)
        address = question["address"]
        if isinstance(outcome, Refusal) or (outcome.lab and (address is None or special_purpose(ip_address(address)))):
            return outcome
        text = "the operator's contact is a placeholder: only lab addresses are asked. Set [operator] contact."
        return Refusal("E-SCOPE-005", Reason.NOT_GRANTED, text, outcome.authorisation)


def prepare(config: Config, inventory: Inventory, selection: Selection, *, lab: bool) -> Terms:
    """The terms of a run of this inventory.

    Raises:
        UsageError: a selector that matches nothing.
        PolicyError, ConfigurationError, ExemptionError: a file that cannot be used.
        StoreError: the history, which remembers the sequence of letters, cannot be read.
    """
    policy = load_baseline(config.policy or DEFAULT)
    chosen = replace(selection, profile=selection.profile or config.profile)
    check_selection(chosen, inventory, policy)
    authorities = authorities_of(inventory, config)
    barred = barred_by(config, authorities)
    orders = StopFile(config.db).orders
    return Terms(
        config=config,
        inventory=inventory,
        scope=Scope(inventory, lab=lab, barred=barred, orders=orders),
        policy=policy,
        selection=chosen,
        reference=trust_store(config.ca_file),
        lab=lab,
        authorities=authorities,
        barred=barred,
        exemptions=exemptions_now(config) or (),
        orders=orders,
    )


def trust_store(ca_file: Path | None) -> Reference:
    """The public roots, or those of --ca-file in their place.

    Raises:
        ConfigurationError: the file cannot be read or holds no certificate.
    """
    path = ca_file or Path(certifi.where())
    try:
        roots = path.read_bytes()
    except OSError as fault:
        raise ConfigurationError(
            f"{path}: {fault.strerror}. --ca-file needs a PEM file of root certificates."
        ) from fault
    if b"-----BEGIN CERTIFICATE-----" not in roots:
        raise ConfigurationError(f"{path} holds no PEM certificate. --ca-file needs a PEM file of root certificates.")
    return Reference(roots, hashlib.sha256(roots).hexdigest(), private_roots=ca_file is not None)


def declared(asset: Asset) -> Declared:
    """What rules may know of an asset's entry in the inventory."""
    return Declared(
        name=asset.name,
        kind=asset.kind,
        roles=asset.roles,
        ports=tuple((port.number, port.protocol) for port in asset.declared_ports),
        mail=asset.mail,
        internal=asset.internal,
        criticality=asset.criticality,
    )


def authorisation_digest(inventory: Inventory) -> str:
    """SHA-256 (hex) over all authorisations, so that a resumed run is under the same ones."""
    terms = {name: asdict(authorisation) for name, authorisation in inventory.authorisations.items()}
    return hashlib.sha256(json.dumps(terms, sort_keys=True, default=_plain).encode()).hexdigest()


def _plain(value: object) -> Any:
    """Sets in order, so that every process makes the same digest; all else by its text."""
    return sorted(map(str, value)) if isinstance(value, frozenset) else str(value)
