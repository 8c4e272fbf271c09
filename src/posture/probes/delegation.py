"""The name servers of a zone, as our resolver finds them."""

from __future__ import annotations

from posture.facts.dns import DelegationFacts
from posture.model import AbsentCause, NotThere, ProbeClass
from posture.probes.base import Door, Probe
from posture.probes.hosts import name_of, resolve_hosts
from posture.task import Task


async def observe(task: Task, door: Door) -> DelegationFacts:
    """NS of ``task.name`` and the addresses of each server.

    Raises:
        NotThere: NXDOMAIN, or NODATA: the name is no zone of its own.
        NotSeen: no usable answer to the NS question.
    """
    reply = await door.resolver.ask(task.name, "NS")
    if not reply.records or reply.chain:
        cause = AbsentCause.NXDOMAIN if reply.status == "nxdomain" else AbsentCause.NODATA
        raise NotThere(cause, f"{task.name} has no NS records")
    hosts = await resolve_hosts(door.resolver, (name_of(record.target) for record in reply.records))
    return DelegationFacts(tuple(hosts.values()))


PROBES = (Probe("delegation", DelegationFacts, ProbeClass.PASSIVE, observe),)
