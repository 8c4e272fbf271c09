"""Where a domain receives its mail (RFC 5321 section 5.1, RFC 7505)."""

from __future__ import annotations

import ipaddress

from posture.facts.dns import NXDOMAIN, HostAddresses, MxFacts, MxRecord
from posture.model import ProbeClass
from posture.probes.base import Door, Probe
from posture.probes.hosts import MAX_HOSTS, name_of, resolve_hosts
from posture.task import Task


async def observe(task: Task, door: Door) -> MxFacts:
    """MX of ``task.name`` and the addresses of each exchanger. Raises NotSeen: no usable answer to the MX question."""
    resolver = door.resolver
    reply = await resolver.ask(task.name, "MX")
    if not reply.records:
        implicit = reply.status == "nodata" and bool(await resolver.addresses(task.name))
        return MxFacts(reply.status, (), implicit)
    pairs = sorted((int(record.preference), name_of(record.exchange)) for record in reply.records)[:MAX_HOSTS]
    hosts = await resolve_hosts(resolver, (name for _, name in pairs if name and not is_literal(name)))
    records = tuple(MxRecord(preference, hosts.get(name) or _unasked(name)) for preference, name in pairs)
    return MxFacts("records", records)


def is_literal(name: str) -> bool:
    """Whether somebody wrote an address where a host name belongs."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _unasked(name: str) -> HostAddresses:
    """A null MX, or an address literal: no top-level domain is a number, so that as a name it does not exist."""
    return HostAddresses(name, NXDOMAIN)


PROBES = (Probe("mx", MxFacts, ProbeClass.PASSIVE, observe),)
