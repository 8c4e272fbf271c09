"""The words of the field, as types: what every room of the house shares. Standard library only.

An *answer* is what a probe brought home about one subject of one asset:

    Observed(facts)      the wire said something: facts, no opinion
    Absent(cause)        the wire said clearly that there is nothing: a closed port, NXDOMAIN
    Unobserved(reason)   we could not see; never evidence of anything
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Generic, NamedTuple, Self, TypeVar


class Outcome(StrEnum):
    """What a rule says of one control on one subject. ``is_open``: whether somebody has something to mend."""

    is_open: bool

    PASS = "pass"  # noqa: S105 (an outcome, no password)
    WARN = "warn"
    FAIL = "fail"
    INFO = "info"
    NOT_APPLICABLE = "not_applicable"
    UNKNOWN = "unknown"

    def __new__(cls, value: str) -> Self:
        """Kept with the member: the history of a nation asks it a million times."""
        one = str.__new__(cls, value)
        one._value_ = value
        one.is_open = value in ("warn", "fail")
        return one


class Severity(StrEnum):
    """How much harm an unmet control can do; ``rank`` 4 is critical, 0 is info."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"

    @property
    def rank(self) -> int:
        return _SEVERITY_RANK[self]


_SEVERITY_RANK = {Severity.CRITICAL: 4, Severity.HIGH: 3, Severity.MEDIUM: 2, Severity.LOW: 1, Severity.INFO: 0}


class Kind(StrEnum):
    """practice: must be present, earns points. hazard: must be absent, only subtracts and caps."""

    PRACTICE = "practice"
    HAZARD = "hazard"


class ProbeClass(StrEnum):
    """How much a probe intrudes; an authorisation grants classes by name."""

    PASSIVE = "passive"
    CLIENT = "client"
    ACTIVE = "active"
    INTRUSIVE = "intrusive"

    @property
    def rank(self) -> int:
        return _CLASS_RANK[self]


_CLASS_RANK = {ProbeClass.PASSIVE: 0, ProbeClass.CLIENT: 1, ProbeClass.ACTIVE: 2, ProbeClass.INTRUSIVE: 3}


class Confidence(StrEnum):
    """confirmed: protocol evidence. probable: evidence with a stated gap. inferred: from a banner."""

    CONFIRMED = "confirmed"
    PROBABLE = "probable"
    INFERRED = "inferred"


class Reason(StrEnum):
    """Why something is unknown; set exactly when the outcome is."""

    TIMEOUT = "timeout"
    RESET = "reset"
    REFUSED_BY_TARGET = "refused_by_target"
    BLOCKED = "blocked"
    RATE_LIMITED = "rate_limited"
    TEMPORARY = "temporary"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    OUT_OF_SCOPE = "out_of_scope"
    NOT_GRANTED = "not_granted"
    BLACKOUT = "blackout"
    STOPPED = "stopped"
    NOT_RUN = "not_run"
    FEED_STALE = "feed_stale"
    TOOL_MISSING = "tool_missing"
    VANTAGE_LIMITED = "vantage_limited"
    NOT_RECORDED = "not_recorded"
    DEADLINE = "deadline"
    BUG = "bug"


class AbsentCause(StrEnum):
    """A clear "there is nothing here"."""

    CLOSED = "closed"  # RST to connect, or ICMP port unreachable
    NXDOMAIN = "nxdomain"
    NODATA = "nodata"
    NOT_OFFERED = "not_offered"  # the server said in full what it offers, and this is not among it
    NOT_DECLARED = "not_declared"  # the inventory declares no such port or role


class AssetKey(NamedTuple):
    """Identity of an asset: (name, kind). kind is host, zone or address.

    A tuple, which Python hashes and compares by itself: a national history looks up hundreds of thousands of these.
    """

    name: str
    kind: str


F_co = TypeVar("F_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Observed(Generic[F_co]):
    """Facts and when they were seen (UTC)."""

    facts: F_co
    at: datetime


@dataclass(frozen=True, slots=True)
class Absent:
    """A positive answer that there is nothing to look at."""

    cause: AbsentCause
    at: datetime
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unobserved:
    """We could not see. ``code`` is the E-SCOPE-0xx behind a refusal of our own."""

    reason: Reason
    at: datetime
    detail: str = ""
    code: str | None = None


Answer = Observed[Any] | Absent | Unobserved

# An arg of findings that tells more of the same when a deeper scan asked; no change of what was found.
STORES = "stores"


class NotSeen(Exception):
    """Raised below the engine when a question got no usable answer; becomes Unobserved."""

    def __init__(self, reason: Reason, detail: str = "", code: str | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail
        self.code = code


class NotThere(Exception):
    """Raised below the engine on a clear "nothing here"; becomes Absent."""

    def __init__(self, cause: AbsentCause, detail: str = "") -> None:
        super().__init__(f"{cause}: {detail}" if detail else str(cause))
        self.cause = cause
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule returns: a declared tag and absolute arguments (dates and names, never "in 29 days").

    The outcome and the sentence belong to the tag (controls.toml). ``severity`` overrides the
    catalogue's where the row says so; ``good_until`` is the next instant at which the same facts
    may be judged differently.
    """

    tag: str
    args: Mapping[str, Any] = field(default_factory=dict)
    confidence: Confidence = Confidence.CONFIRMED
    severity: Severity | None = None
    good_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One judged (asset, control, subject); the fields of ``posture-findings/1`` that a judge can know.

    ``args`` holds JSON values only. ``facts`` lists the digests ("sha256:...") that the verdict rests on.
    """

    ministry: str
    asset: AssetKey
    subject: str
    control: str
    outcome: Outcome
    severity: Severity
    confidence: Confidence = Confidence.CONFIRMED
    tag: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    reason: Reason | None = None
    code: str | None = None
    authorisation: str | None = None
    mends: str = "ministry"
    provider: str | None = None
    mend_by: str | None = None
    observed_at: datetime | None = None
    good_until: datetime | None = None
    facts: tuple[str, ...] = ()
    exemption: str | None = None


def endpoint(address: str, port: int, protocol: str = "tcp") -> str:
    """The subject of a port: ``198.51.100.7:443/tcp`` or ``[2001:db8::1]:443/tcp``."""
    host = f"[{address}]" if ":" in address else address
    return f"{host}:{port}/{protocol}"


@lru_cache(maxsize=4096)
def parse_endpoint(subject: str) -> tuple[str, int, str]:
    """Inverse of :func:`endpoint`.

    Raises:
        ValueError: ``subject`` is not an endpoint.
    """
    hostport, slash, protocol = subject.rpartition("/")
    host, colon, port = hostport.rpartition(":")
    if not slash or not colon:
        raise ValueError(f"not an endpoint: {subject!r}")
    address = str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]")))
    return address, int(port), protocol
