"""What the broker says about each thing to be sent, and who writes it down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from posture.model import ProbeClass
from posture.net.governor import Traffic
from posture.scope import Grant, Refusal
from posture.task import Task


class Decider(Protocol):
    """posture.scope.Scope, as far as the broker needs it."""

    def decide(
        self,
        *,
        ministry: str,
        name: str,
        address: str | None,
        port: int | None,
        protocol: str,
        probe_class: ProbeClass,
        at: datetime,
        nameserver_of: str | None = None,
        mx_of: str | None = None,
    ) -> Grant | Refusal: ...


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to be sent. ``name`` is said on the wire, ``address`` dialled; "" while only the name is known.

    ``connections`` is 1, or the budget of a child process, whose connections we do not see one by one.
    """

    traffic: Traffic
    name: str
    address: str
    port: int
    protocol: str
    connections: int = 1


@dataclass(frozen=True, slots=True)
class Decision:
    """What goes into the audit record, before anything is sent; the fields of its Request are repeated.

    ``port`` is the one spoken of, also where a lab's ``[[lab_port]]`` leads elsewhere.
    """

    at: datetime
    task: Task
    traffic: Traffic
    name: str
    address: str
    port: int
    protocol: str
    outcome: Grant | Refusal
    connections: int = 1

    @property
    def allowed(self) -> bool:
        return isinstance(self.outcome, Grant)


@dataclass(frozen=True, slots=True)
class Closing:
    """How something that was sent ended: ``end`` is "open", "closed", "filtered", "answered" or a Reason; bytes of
    payload in each direction."""

    at: datetime
    end: str
    sent: int = 0
    received: int = 0


class Trail(Protocol):
    """The audit trail (posture.audit). If it raises, nothing is sent."""

    def decided(self, decision: Decision) -> int:
        """Writes a decision down, before anything is sent; refusals too. Returns the record's number."""

    def closed(self, record: int, closing: Closing) -> None:
        """Writes down how what was allowed in ``record`` ended."""


class NoTrail:
    """Writes nothing down: for tests of other things."""

    def decided(self, decision: Decision) -> int:  # noqa: ARG002
        return 0

    def closed(self, record: int, closing: Closing) -> None: ...


@dataclass(slots=True)
class Account:
    """One allowed thing from its record to its closing."""

    trail: Trail
    clock: Callable[[], datetime]
    record: int
    end: str = "open"
    sent: int = 0
    received: int = 0

    def close(self) -> None:
        self.trail.closed(self.record, Closing(self.clock(), self.end, self.sent, self.received))
