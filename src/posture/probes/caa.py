"""Which certificate authorities may issue for a name (RFC 8659 section 3)."""

from __future__ import annotations

from typing import Any

from posture.facts.dns import CaaFacts, CaaRecord
from posture.model import AbsentCause, NotThere, ProbeClass
from posture.probes.base import Door, Probe
from posture.task import Task

MAX_RECORDS = 50
MAX_TAG = 40
MAX_VALUE = 512


async def observe(task: Task, door: Door) -> CaaFacts:
    """The first CAA set on the way from ``task.name`` to its top-level domain; CNAMEs are followed by the resolver.

    Raises:
        NotThere: NXDOMAIN of the name itself.
        NotSeen: a step had no usable answer, so that a certificate authority could not decide either.
    """
    labels = task.name.split(".")
    climbed: list[str] = []
    for start in range(len(labels)):
        name = ".".join(labels[start:])
        reply = await door.resolver.ask(name, "CAA")
        if reply.status == "nxdomain" and not climbed and not reply.chain:
            raise NotThere(AbsentCause.NXDOMAIN, name)
        climbed.append(name)
        if reply.records:
            records = sorted(map(_record, reply.records), key=lambda one: (one.tag, one.value, one.flags))
            return CaaFacts(name, tuple(records[:MAX_RECORDS]), tuple(climbed))
    return CaaFacts("", (), tuple(climbed))


def _record(rdata: Any) -> CaaRecord:
    return CaaRecord(
        int(rdata.flags),
        rdata.tag.decode("ascii", "backslashreplace").lower()[:MAX_TAG],
        rdata.value.decode("ascii", "backslashreplace")[:MAX_VALUE],
    )


PROBES = (Probe("caa", CaaFacts, ProbeClass.PASSIVE, observe),)
