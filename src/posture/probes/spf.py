"""The SPF record of a domain and the DNS questions that evaluating it costs a receiver (RFC 7208 section 4.6.4)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from posture.facts.dns import SpfFacts, SpfLookup
from posture.facts.parse_spf import LOOKUP_TERMS, SpfError, SpfRecord, expand, is_spf, parse_spf
from posture.model import NotSeen, ProbeClass
from posture.probes.base import Door, Probe, Reply, Resolver
from posture.probes.hosts import texts
from posture.task import Task

MAX_LOOKUPS = 11  # one more than receivers do: enough to know that there are too many
MAX_LISTED = 60
WALK_SECONDS = 20.0
MAX_RECORDS = 10


async def observe(task: Task, door: Door) -> SpfFacts:
    """The domain's SPF records and, of a single one that parses, the walk of its look-ups.

    Raises:
        NotSeen: no usable answer to the domain's own TXT question. Further on, silence is a look-up's status.
    """
    records = await _spf_records(door.resolver, task.name)
    if not records:
        return SpfFacts((), type99=await _has_type99(door.resolver, task.name))
    walk = _Walk(door.resolver, asyncio.get_running_loop().time() + WALK_SECONDS)
    await walk.follow(task.name, records, (task.name,))
    return SpfFacts(records, tuple(walk.lookups))


async def _spf_records(resolver: Resolver, name: str) -> tuple[str, ...]:
    _, found = await texts(resolver, name)
    return tuple(text for text in found if is_spf(text))[:MAX_RECORDS]


async def _has_type99(resolver: Resolver, name: str) -> bool:
    """Whether only the retired record type is there; silence changes nothing, because it protects nobody either way."""
    with contextlib.suppress(NotSeen):
        return bool((await resolver.ask(name, "SPF")).records)
    return False


@dataclass
class _Walk:
    """The worst case: every mechanism up to ``all`` is evaluated, each look-up in order, depth first."""

    resolver: Resolver
    until: float
    lookups: list[SpfLookup] = field(default_factory=list)
    asked: int = 0

    async def follow(self, domain: str, records: tuple[str, ...], path: tuple[str, ...]) -> None:
        """Adds the look-ups of ``domain``'s record; nothing when it has no single record that parses."""
        if len(records) != 1:
            return
        try:
            record = parse_spf(records[0])
        except SpfError:
            return
        for name, term, domain_spec in _terms(record):
            if len(self.lookups) >= MAX_LISTED:
                return
            target = expand(domain_spec, domain)
            lookup = await self._look_up(domain, name, term, target, path)
            self.lookups.append(lookup)
            if name in ("include", "redirect") and target and lookup.status == "answer":
                await self.follow(target, lookup.records, (*path, target))

    async def _look_up(self, by: str, name: str, term: str, target: str | None, path: tuple[str, ...]) -> SpfLookup:
        if target is None or name == "ptr":
            return SpfLookup(by, term, "", "macro")
        if not _is_askable(target):
            return SpfLookup(by, term, target, "malformed")
        if name in ("include", "redirect") and target in path:
            return SpfLookup(by, term, target, "loop")
        if self.asked >= MAX_LOOKUPS or asyncio.get_running_loop().time() >= self.until:
            return SpfLookup(by, term, target, "skipped")
        self.asked += 1
        try:
            async with asyncio.timeout_at(self.until):
                return await self._ask(by, name, term, target)
        except (NotSeen, TimeoutError):
            return SpfLookup(by, term, target, "silent")

    async def _ask(self, by: str, name: str, term: str, target: str) -> SpfLookup:
        match name:
            case "include" | "redirect":
                reply, found = await texts(self.resolver, target)
                spf = tuple(text for text in found if is_spf(text))[:MAX_RECORDS]
                return SpfLookup(by, term, target, _status(reply), spf)
            case "mx":
                reply = await self.resolver.ask(target, "MX")
                return SpfLookup(by, term, target, _status(reply), names=len(reply.records))
            case "exists":
                return SpfLookup(by, term, target, _status(await self.resolver.ask(target, "A")))
            case _:
                found = await self.resolver.addresses(target)
                return SpfLookup(by, term, target, "answer" if found else "void")


def _terms(record: SpfRecord) -> Iterator[tuple[str, str, str]]:
    """(name, text, domain-spec) of the terms that cost a look-up; redirect last and only without ``all``."""
    for mechanism in record.evaluated:
        if mechanism.name in LOOKUP_TERMS:
            yield mechanism.name, mechanism.text, mechanism.domain
    if record.redirect and record.all is None:
        yield "redirect", f"redirect={record.redirect}", record.redirect


def _is_askable(name: str) -> bool:
    return all(0 < len(label) <= 63 for label in name.split(".")) and name.isascii() and " " not in name


def _status(reply: Reply) -> str:
    return "answer" if reply.records else "void"


PROBES = (Probe("spf", SpfFacts, ProbeClass.PASSIVE, observe),)
