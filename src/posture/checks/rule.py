"""What a rule is: a pure function from a Case to a Verdict.

    @rule("tls.protocol.tls13", needs=(TlsFacts,))
    def tls13(case: Case) -> Verdict:
        facts = case.need(TlsFacts)
        ...
        return Verdict("TLS13_OFFERED")

A rule asks for what it needs; when a need was not observed, the judge turns the Missing that is raised
into ``unknown`` with that probe's reason, or into ``not_applicable`` when there clearly is nothing to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar, cast

from posture.facts import Facts
from posture.model import Absent, Answer, Outcome, Reason, Unobserved, Verdict
from posture.policy import Policy

F = TypeVar("F", bound=Facts)


class Missing(Exception):
    """A need that was not met; carries the Absent or Unobserved answer."""

    def __init__(self, answer: Absent | Unobserved) -> None:
        super().__init__(repr(answer))
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Declared:
    """What the inventory says of the asset that a rule may lean on.

    ``ports`` are (number, protocol) pairs declared open; ``mail`` is None when left out.
    """

    name: str
    kind: str
    roles: tuple[str, ...] = ()
    ports: tuple[tuple[int, str], ...] = ()
    mail: tuple[str, ...] | None = None
    internal: bool = False
    criticality: int = 2


@dataclass(frozen=True, slots=True)
class Reference:
    """Dated tables by digest that judging leans on. ``roots`` is the trust store as PEM bytes; a first line ``# NAME`` says
    which store it is, and of which date.

    ``private_roots``: the store came from --ca-file, so its roots count as public ones.
    """

    roots: bytes = b""
    roots_digest: str = ""
    private_roots: bool = False

    @property
    def store(self) -> str:
        """The trust store as findings show it: its name, where it is known, and the beginning of its digest."""
        first = self.roots[:200].partition(b"\n")[0]
        name = first[2:].decode("ascii", "replace") if first.startswith(b"# ") else ""
        return ", ".join(part for part in (name, self.roots_digest[:19]) if part)


@dataclass(frozen=True, slots=True)
class Previous:
    """The last known answer to this control on this subject."""

    outcome: Outcome
    tag: str | None
    first_seen: datetime | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """All that a rule may look at. ``answers`` maps (facts type name, subject) to what a probe brought home."""

    asset: Declared
    subject: str
    answers: Mapping[tuple[str, str], Answer]
    policy: Policy
    at: datetime
    reference: Reference = field(default_factory=Reference)
    previous: Previous | None = None
    lab: bool = False

    def get(self, facts: type[F], subject: str | None = None) -> F | Absent | Unobserved:
        """The answer of the probe behind ``facts`` about ``subject`` (default: the case's own)."""
        key = (facts.TYPE, self.subject if subject is None else subject)
        answer = self.answers.get(key)
        if answer is None:
            return Unobserved(Reason.NOT_RUN, self.at)
        return answer if isinstance(answer, (Absent, Unobserved)) else cast("F", answer.facts)

    def need(self, facts: type[F], subject: str | None = None) -> F:
        """Like :meth:`get`, for a rule that cannot judge without.

        Raises:
            Missing: there are no such facts; the judge knows what to make of it.
        """
        answer = self.get(facts, subject)
        if isinstance(answer, (Absent, Unobserved)):
            raise Missing(answer)
        return answer

    def every(self, facts: type[F]) -> dict[str, F | Absent | Unobserved]:
        """The answers of that probe about every subject of the asset, by subject."""
        return {subject: self.get(facts, subject) for kind, subject in sorted(self.answers) if kind == facts.TYPE}

    def unknown(self, reason: Reason, detail: str = "", code: str | None = None) -> Missing:
        """For ``raise case.unknown(...)``: the facts at hand do not decide. ``code``: of a refusal of our own."""
        return Missing(Unobserved(reason, self.at, detail, code))


# One verdict about the case's subject, or (subject, verdict) pairs: several for controls of subject "ports", none when
# the subject is not the control's business. An Unobserved in the place of a verdict makes that subject unknown.
Judged = Verdict | Iterable[tuple[str, Verdict | Unobserved]]
RuleFunction = Callable[[Case], Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """A registered rule. ``version`` grows when the same facts may give another verdict."""

    control: str
    needs: tuple[type[Facts], ...]
    judge: RuleFunction
    version: int = 1


def rule(control: str, *, needs: tuple[type[Facts], ...], version: int = 1) -> Callable[[RuleFunction], Rule]:
    """Decorator: the function that judges ``control``. The first of ``needs`` gives the subjects."""

    def register(function: RuleFunction) -> Rule:
        return Rule(control, needs, function, version)

    return register
