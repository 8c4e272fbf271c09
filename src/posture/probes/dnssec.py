"""Whether a zone is signed and its parent vouches for it: DNSKEY and DS, unverified (RFC 4034, RFC 9364)."""

from __future__ import annotations

import dns.dnssec

from posture.facts.dns import DnssecFacts
from posture.model import AbsentCause, NotThere, ProbeClass
from posture.probes.base import Door, Probe, Resolver
from posture.task import Task

ROOT = "."


async def observe(task: Task, door: Door) -> DnssecFacts:
    """DNSKEY of the zone that holds ``task.name``, DS at its parent, and whether the parent is signed itself.

    Raises:
        NotThere: NXDOMAIN.
        NotSeen: no usable answer to any of the questions.
    """
    resolver = door.resolver
    if (await resolver.ask(task.name, "SOA")).status == "nxdomain":
        raise NotThere(AbsentCause.NXDOMAIN, task.name)
    zone = await _apex(resolver, task.name)
    parent = await _apex(resolver, _above(zone))
    keys = (await resolver.ask(zone, "DNSKEY")).records
    ds = (await resolver.ask(zone, "DS")).records if zone != ROOT else ()
    parent_signed = bool((await resolver.ask(parent, "DNSKEY")).records)
    # A CDS waits for the registry: it tells only where the DS is still missing (RFC 8078).
    cds = bool(keys and not ds and (await resolver.ask(zone, "CDS")).records)
    return DnssecFacts(
        keys=tuple(sorted((int(key.flags), int(key.algorithm), dns.dnssec.key_id(key)) for key in keys)),
        ds=tuple(sorted((record.key_tag, int(record.algorithm), int(record.digest_type)) for record in ds)),
        parent=parent,
        parent_signed=parent_signed,
        cds=cds,
        zone=zone,
    )


async def _apex(resolver: Resolver, name: str) -> str:
    """The closest name at or above ``name`` that has an SOA of its own."""
    while name != ROOT:
        reply = await resolver.ask(name, "SOA")
        if reply.records and not reply.chain:
            return name
        name = _above(name)
    return ROOT


def _above(name: str) -> str:
    return name.partition(".")[2] or ROOT


PROBES = (Probe("dnssec", DnssecFacts, ProbeClass.PASSIVE, observe),)
