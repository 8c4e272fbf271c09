"""What cannot be seen from where we stand: it makes just its own controls unknown, never the target's fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from posture.facts import SmtpFacts
from posture.model import Answer, Observed, Reason, Unobserved
from posture.net.selftest import SelfTest
from posture.store import Question
from posture.task import Task

# Fewer silent mail exchangers than this are their own affair.
ENOUGH_EXCHANGERS = 3


def limited_by(task: Task, seen: SelfTest) -> str:
    """Why a task cannot be seen from here, or ""."""
    if task.probe == "dnssec" and not (seen.passes_dnssec and seen.validates):
        return "our resolver does not pass DNSSEC on, or its root does not validate"
    if task.addresses and not seen.ipv6 and all(":" in address and address != "::1" for address in task.addresses):
        return "this machine has no IPv6"
    return ""


def port_25_is_blocked(tasks: Sequence[Task], answers: Mapping[Question, Answer]) -> bool:
    """Whether several mail exchangers were asked on port 25 and every one of them was silent."""
    asked = [(task, answers.get((task.key, task.probe, task.subject))) for task in tasks if task.probe == "smtp"]
    tried = [(task, answer) for task, answer in asked if not _is_limited(answer)]
    exchangers = {address for task, _ in tried for address in task.addresses}
    return len(exchangers) >= ENOUGH_EXCHANGERS and all(_is_silent(answer) for _, answer in tried)


def _is_limited(answer: Answer | None) -> bool:
    return isinstance(answer, Unobserved) and answer.reason is Reason.VANTAGE_LIMITED


def _is_silent(answer: Answer | None) -> bool:
    if isinstance(answer, Observed) and isinstance(answer.facts, SmtpFacts):
        return all(one.state == "timeout" for one in answer.facts.answers)
    return isinstance(answer, Unobserved) and answer.reason is Reason.TIMEOUT
