"""What goes into the history and what comes out of it, as values."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from posture.checks import Declared, Reference
from posture.drift import Event
from posture.exemptions import Exemption
from posture.model import Answer, AssetKey, Finding, Outcome, Severity
from posture.policy import Policy
from posture.signatures import Authority

# Stored as their place in these rows; the schema's CHECKs and views say the same.
OUTCOMES = (Outcome.PASS, Outcome.WARN, Outcome.FAIL, Outcome.INFO, Outcome.NOT_APPLICABLE)
SEVERITIES = (Severity.INFO, Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)


@lru_cache(maxsize=4096)
def stamp(at: datetime) -> str:
    """RFC 3339, UTC, whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """Inverse of :func:`stamp`."""
    return datetime.fromisoformat(text)


@dataclass(frozen=True, slots=True)
class AssetEntry:
    """What the inventory says of one asset; ``providers``: subject -> who must mend what is found there."""

    ministry: str
    declared: Declared
    providers: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> AssetKey:
        return AssetKey(self.declared.name, self.declared.kind)


# (asset, probe, subject): what is asked once per run.
Question = tuple[AssetKey, str, str]


def new_run_id(started_at: datetime) -> str:
    """What people type; unique for runs that began in different seconds, and nearly so for others."""
    return f"R-{started_at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


@dataclass(frozen=True, slots=True)
class RunStart:
    """Everything a run is bound to before its first packet.

    ``assets`` is the whole inventory, also what the selectors leave out. ``planned``: every question, those settled
    without a packet included. ``selectors`` {} means the whole inventory and catalogue; ``controls`` are the ids asked.
    ``authorities``: the letters that it may go under, as signed; ``named``: those that the inventory names, by ministry.
    ``exemptions``: all of the operator's file, also those past their time. ``id``: made when left out.
    """

    started_at: datetime
    state: str
    timezone: str
    tool: str
    policy: Policy
    controls: tuple[str, ...]
    inventory_digest: str
    authorisation_digest: str
    ministries: Mapping[str, str]
    assets: tuple[AssetEntry, ...]
    planned: tuple[Question, ...]
    vantage: str = "local"
    selectors: Mapping[str, Any] = field(default_factory=dict)
    reference: Reference = field(default_factory=Reference)
    lab: bool = False
    authorities: tuple[Authority, ...] = ()
    named: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    exemptions: tuple[Exemption, ...] = ()
    id: str = ""


class RunRecord(NamedTuple):
    """A run in the history. ``number`` orders runs; ``id`` is what people type."""

    number: int
    id: str
    state_code: str
    timezone: str
    vantage: str
    started_at: datetime
    ended_at: datetime | None
    state: str
    selectors: Mapping[str, Any]
    controls: tuple[str, ...]
    judgement: int
    policy: str
    policy_digest: str
    rules_digest: str
    tool: str
    inventory_digest: str
    authorisation_digest: str
    lab: bool
    suspect: bool

    @property
    def end(self) -> datetime:
        """When it ended; its start while it runs."""
        return self.ended_at or self.started_at

    @property
    def closed(self) -> bool:
        return self.state != "running"

    def document(self) -> dict[str, Any]:
        """The run object of the published JSON."""
        return {
            "id": self.id,
            "started_at": stamp(self.started_at),
            "ended_at": stamp(self.ended_at) if self.ended_at else None,
            "state": self.state,
            "policy": self.policy,
            "vantage": self.vantage,
            "tool": self.tool,
        }


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer in the history. ``digest`` is "" for what is no facts record; ``since`` the run that first saw it."""

    answer: Answer
    since: int
    digest: str = ""
    authorisation: str | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """Where an answer stands: its digest ("" for a clear absence), the run that first saw it, and when."""

    digest: str
    since: int
    at: datetime


class Interval(NamedTuple):  # a year of a nation has half a million: a tuple is made in half the time
    """A finding that held from run ``since`` up to, not including, run ``until`` (None: it still holds)."""

    finding: Finding
    since: int
    until: int | None
    judgement: int
    cause: str
    end_cause: str | None = None


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """A ministry's score at a run's end, in tenths of a point; None where nothing is known. Ministry "" is the State.

    ``parts``: what moved it since the scored run before, by the name of the part: (tenths, how many things).
    """

    tenths: int | None
    low: int | None
    high: int | None
    coverage: int
    grade: str
    parts: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Closed:
    """A run that has just been folded into the history."""

    run: RunRecord
    events: tuple[Event, ...] = ()
    suspect: bool = False
