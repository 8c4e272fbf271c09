"""The DMARC records on the way from a domain to the root: the tree walk of RFC 9989 section 4.10."""

from __future__ import annotations

from collections.abc import Iterator

from posture.facts.dns import DmarcFacts, DmarcStep
from posture.facts.parse_dmarc import is_dmarc, parse_dmarc, resembles_dmarc
from posture.model import NotSeen, ProbeClass
from posture.probes.base import Door, Probe, Resolver
from posture.probes.hosts import texts
from posture.task import Task

MAX_LABELS = 7  # what remains of a longer name after the first query: at most 8 queries in all
MAX_RECORDS = 10


async def observe(task: Task, door: Door) -> DmarcFacts:
    """All steps, up to a record that says whether it is a public suffix (psd=y or psd=n).

    Raises:
        NotSeen: a step without usable answer that could change which record applies.
    """
    steps: list[DmarcStep] = []
    for domain in walk(task.name):
        try:
            step = DmarcStep(domain, await _records(door.resolver, domain))
        except NotSeen:
            if not steps or len(_valid(steps[0])) != 1:
                raise
            steps.append(DmarcStep(domain, (), "silent"))
            break
        steps.append(step)
        valid = _valid(step)
        if len(valid) == 1 and parse_dmarc(valid[0]).psd in ("y", "n"):
            break
    return DmarcFacts(tuple(steps))


def walk(domain: str) -> Iterator[str]:
    """The names of the tree walk, the domain first."""
    yield domain
    labels = domain.split(".")
    for start in range(max(1, len(labels) - MAX_LABELS), len(labels)):
        yield ".".join(labels[start:])


async def _records(resolver: Resolver, domain: str) -> tuple[str, ...]:
    _, found = await texts(resolver, f"_dmarc.{domain}")
    return tuple(text for text in found if is_dmarc(text) or resembles_dmarc(text))[:MAX_RECORDS]


def _valid(step: DmarcStep) -> list[str]:
    return [text for text in step.records if is_dmarc(text)]


PROBES = (Probe("dmarc", DmarcFacts, ProbeClass.PASSIVE, observe),)
