"""What cannot be seen from where we stand is never the target's fault."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from posture.facts import SmtpFacts
from posture.facts.smtp import SmtpAnswer
from posture.model import Absent, AbsentCause, Answer, Observed, ProbeClass, Reason, Unobserved
from posture.net.selftest import SelfTest
from posture.scan.vantage import limited_by, port_25_is_blocked
from posture.task import Task

AT = datetime(2026, 6, 1, tzinfo=UTC)
WELL = SelfTest(True, True, True, True, True)


def task(number: int = 1, *, probe: str = "smtp", addresses: tuple[str, ...] | None = None) -> Task:
    name = f"mx{number}.gov.example"
    return Task(
        ministry="finance",
        asset="gov.example",
        kind="zone",
        probe=probe,
        check="email",
        probe_class=ProbeClass.CLIENT,
        subject=f"mx:{name}:25",
        name=name,
        authorisation="a-1",
        addresses=(f"198.51.100.{number}",) if addresses is None else addresses,
        port=25,
    )


def heard(*states: str) -> Answer:
    answers = tuple(SmtpAnswer(f"198.51.100.{n}", state) for n, state in enumerate(states))
    return Observed(SmtpFacts("mx.gov.example", answers), AT)


SILENT = Unobserved(Reason.TIMEOUT, AT)
LIMITED = Unobserved(Reason.VANTAGE_LIMITED, AT)


@pytest.mark.parametrize(
    ("answers", "blocked"),
    [
        ([SILENT, SILENT, SILENT], True),
        ([SILENT, heard("timeout", "timeout"), SILENT], True),
        ([SILENT, SILENT], False),
        ([SILENT, SILENT, SILENT, LIMITED], True),
        ([SILENT, SILENT, LIMITED], False),
        ([SILENT, SILENT, heard("timeout", "greeted")], False),
        ([SILENT, SILENT, heard("closed")], False),
        ([SILENT, SILENT, Unobserved(Reason.RESET, AT)], False),
        ([SILENT, SILENT, Absent(AbsentCause.CLOSED, AT)], False),
        ([SILENT, SILENT, SILENT, None], False),
        ([], False),
    ],
)
def test_port_25_is_blocked_when_several_exchangers_are_silent_and_none_speaks(
    answers: list[Answer | None], blocked: bool
) -> None:
    tasks = [task(number) for number in range(len(answers))]
    known = {(t.key, t.probe, t.subject): a for t, a in zip(tasks, answers, strict=True) if a is not None}

    assert port_25_is_blocked(tasks, known) is blocked


def test_other_probes_on_port_25_do_not_count() -> None:
    tasks = [task(number, probe="tls") for number in range(5)]

    assert not port_25_is_blocked(tasks, {(t.key, t.probe, t.subject): SILENT for t in tasks})


@pytest.mark.parametrize(
    ("seen", "limited"),
    [
        (WELL, False),
        (SelfTest(True, False, False, True, True), True),
        (SelfTest(True, True, False, True, True), True),
        (SelfTest(True, True, True, True, False), False),
    ],
)
def test_without_dnssec_only_dnssec_is_limited(seen: SelfTest, limited: bool) -> None:
    assert bool(limited_by(task(probe="dnssec", addresses=()), seen)) is limited
    assert limited_by(task(probe="caa", addresses=()), seen) == ""


@pytest.mark.parametrize(
    ("addresses", "limited"),
    [
        (("2001:db8::1", "2001:db8::2"), True),
        (("198.51.100.1", "2001:db8::1"), False),
        (("::1",), False),
        ((), False),
    ],
)
def test_without_ipv6_what_has_only_ipv6_is_limited(addresses: tuple[str, ...], limited: bool) -> None:
    without = SelfTest(True, True, True, True, False)

    assert bool(limited_by(task(probe="tls", addresses=addresses), without)) is limited
    assert limited_by(task(probe="tls", addresses=addresses), WELL) == ""
