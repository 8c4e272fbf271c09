"""Holds what was sent against the audit trail. Pure functions: lines and packets in, discrepancies out."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.netns.packets import Endpoint, Sent

# Times in the trail are cut to the millisecond.
TICK = 0.0015


@dataclass(frozen=True, slots=True)
class Allow:
    """One allow record: ``connections`` is its budget (0: the answer of another record's connection is used under this
    authority too), ``end`` how it ended ("" when no closing was written)."""

    seq: int
    at: float
    endpoint: Endpoint
    connections: int
    traffic: str
    probe_class: str
    end: str
    probe: str = ""


@dataclass(frozen=True, slots=True)
class Trail:
    """The decisions of a trail: what was allowed, refused (endpoint by code), and the operator's own endpoints."""

    allows: tuple[Allow, ...]
    refusals: tuple[tuple[str, Endpoint], ...]
    own: frozenset[Endpoint]


@dataclass(frozen=True, slots=True)
class Comparison:
    """``uncovered``: sent without an allow record written before it that had budget left; ``unused``: allow records
    under which nothing was sent; ``matched``: each covered packet with its record, in the order of sending."""

    uncovered: tuple[Sent, ...]
    unused: tuple[Allow, ...]
    matched: tuple[tuple[Sent, Allow], ...]

    def under(self, *traffic: str) -> tuple[Sent, ...]:
        """The packets of these kinds of traffic."""
        return tuple(sent for sent, allow in self.matched if allow.traffic in traffic)


def read_trail(lines: Iterable[str]) -> Trail:
    """Reads NAME.db.audit.jsonl."""
    records: list[Mapping[str, Any]] = [json.loads(line) for line in lines if line.strip()]
    ends = {record["of"]: str(record["end"]) for record in records if record["kind"] == "close"}
    decisions = [record for record in records if record["kind"] == "decision"]
    return Trail(
        allows=tuple(
            Allow(
                record["seq"],
                datetime.fromisoformat(record["at"]).timestamp(),
                _endpoint(record),
                record["connections"],
                record["traffic"],
                record["class"],
                ends.get(record["seq"], ""),
                record.get("probe", ""),
            )
            for record in decisions
            if record["allowed"]
        ),
        refusals=tuple((record["code"], _endpoint(record)) for record in decisions if not record["allowed"]),
        own=frozenset(
            Endpoint(protocol, record["address"], record["port"])
            for record in records
            if record["kind"] == "endpoint"
            for protocol in _protocols(record)
        ),
    )


def _endpoint(record: Mapping[str, Any]) -> Endpoint:
    return Endpoint(record["protocol"], record["address"], record["port"])


def _protocols(record: Mapping[str, Any]) -> tuple[str, ...]:
    return (record["protocol"],) if record["protocol"] in ("tcp", "udp") else ("tcp", "udp")


def compare(sent: Sequence[Sent], trail: Trail) -> Comparison:
    """Gives every packet the earliest allow record for its endpoint that stood before it and has connections left.

    A record is written before its packet, so a packet that finds none was sent without one: no other way of giving
    them out would cover more. Which of several programs sent a packet cannot be told: a child's budget is used last.

    Args:
        sent: first SYNs and datagrams, in any order.
    """
    waiting: dict[tuple[Endpoint, bool], list[tuple[Allow, int]]] = defaultdict(list)
    for allow in reversed(trail.allows):
        if allow.connections:
            waiting[allow.endpoint, allow.traffic == "child"].append((allow, allow.connections))
    uncovered: list[Sent] = []
    matched: list[tuple[Sent, Allow]] = []
    for packet in sorted(sent, key=lambda each: each.at):
        if packet.endpoint in trail.own:
            continue
        lines = (waiting[packet.endpoint, is_child] for is_child in (False, True))
        line = next((line for line in lines if line and line[-1][0].at <= packet.at + TICK), None)
        if line is None:
            uncovered.append(packet)
            continue
        allow, left = line.pop()
        matched.append((packet, allow))
        if left > 1:
            line.append((allow, left - 1))
    used = {allow.seq for _, allow in matched}
    unused = tuple(allow for allow in trail.allows if allow.connections and allow.seq not in used)
    return Comparison(tuple(uncovered), unused, tuple(matched))
