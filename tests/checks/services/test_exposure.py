"""The services family on recorded sweeps: every tag, every way not to know."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from posture.checks import Declared
from posture.facts import PortsFacts
from posture.facts.service import CLOSED, FILTERED, OPEN, UNASKED, PortAnswer
from posture.judge import Docket, judge
from posture.model import (
    Absent,
    AbsentCause,
    Answer,
    Confidence,
    Finding,
    Observed,
    Outcome,
    Reason,
    Unobserved,
    endpoint,
)
from posture.policy import load_policy
from posture.probes.matrix import SWEEP_PORTS

AT = datetime(2026, 11, 23, 21, tzinfo=UTC)
ADDRESS = "198.51.100.7"
DECLARED = Declared("www.finance.gov.example", "host", ports=((80, "tcp"), (443, "tcp")))


def sweep(*answers: PortAnswer, rest: str = CLOSED, alive: bool = True, without: tuple[int, ...] = ()) -> PortsFacts:
    """The whole matrix: ``answers`` as given, every other port in state ``rest``."""
    ports = {port: PortAnswer(port, rest) for port in SWEEP_PORTS if port not in without}
    ports.update({answer.port: answer for answer in answers})
    return PortsFacts(ADDRESS, tuple(ports[port] for port in sorted(ports)), alive)


def found(port: int, service: str = "", access: str = "", why: str = "") -> PortAnswer:
    return PortAnswer(port, OPEN, service, access, "", why)


SITE = (found(80, "http"), found(443, "tls"))
UNASKED_23 = PortAnswer(23, UNASKED, why="deadline")
DEAD = sweep(rest=FILTERED, alive=False)
TARPIT = sweep(rest=OPEN)
REFUSED = Unobserved(Reason.OUT_OF_SCOPE, AT, "hosted elsewhere", "E-SCOPE-020")
TELNET, RDP, SMB, FTP = "svc.mgmt.telnet", "svc.mgmt.rdp", "svc.file.smb", "svc.file.ftp"
BASELINE, SQL, STORE = "svc.baseline", "svc.db.sql", "svc.db.unauth"

# (control, sweep or answer, port of the expected finding or None for the address, tag or reason)
CASES = [
    (BASELINE, sweep(*SITE), None, "ONLY_DECLARED_PORTS_OPEN"),
    (BASELINE, sweep(*SITE, rest=FILTERED), None, "ONLY_DECLARED_PORTS_OPEN"),
    (BASELINE, sweep(*SITE, found(8080, "http")), 8080, "UNDECLARED_COMMON_PORT_OPEN"),
    (BASELINE, sweep(*SITE, found(25, "smtp")), 25, "UNDECLARED_COMMON_PORT_OPEN"),
    (BASELINE, sweep(*SITE, found(53)), 53, "UNDECLARED_COMMON_PORT_OPEN"),
    (BASELINE, sweep(*SITE, found(8080, "redis", "open")), 8080, "UNDECLARED_PORT_OPEN"),
    (BASELINE, sweep(*SITE, found(9100, why="not_run")), 9100, "UNDECLARED_PORT_OPEN"),
    (BASELINE, DEAD, None, Reason.TIMEOUT),
    (BASELINE, TARPIT, None, Reason.BLOCKED),
    (BASELINE, sweep(*SITE, UNASKED_23), None, Reason.DEADLINE),
    (BASELINE, REFUSED, None, Reason.OUT_OF_SCOPE),
    (TELNET, sweep(*SITE), None, "TELNET_NOT_REACHABLE"),
    (TELNET, sweep(*SITE, rest=FILTERED), None, "TELNET_NOT_REACHABLE"),
    (TELNET, sweep(found(23, "ssh")), None, "TELNET_NOT_REACHABLE"),
    (TELNET, sweep(found(23, "telnet", "login")), 23, "TELNET_REACHABLE"),
    (TELNET, sweep(found(8000, "telnet", "login")), 8000, "TELNET_REACHABLE"),
    (TELNET, sweep(found(23, why="malformed")), 23, Reason.MALFORMED),
    (TELNET, DEAD, None, Reason.TIMEOUT),
    (TELNET, TARPIT, None, Reason.BLOCKED),
    (TELNET, sweep(UNASKED_23), None, Reason.DEADLINE),
    (TELNET, sweep(without=(2323,)), None, Reason.NOT_GRANTED),
    (RDP, sweep(*SITE), None, "RDP_NOT_REACHABLE"),
    (RDP, sweep(found(443, "rd_gateway", "login")), 443, "RD_GATEWAY_REACHABLE"),
    (RDP, sweep(found(3389, "rdp", "nla")), 3389, "RDP_REACHABLE"),
    (RDP, sweep(found(3389, "rdp", "no_nla")), 3389, "RDP_WITHOUT_NLA"),
    (RDP, sweep(found(3389, "http")), None, "RDP_NOT_REACHABLE"),
    (RDP, sweep(found(3389, why="timeout")), 3389, Reason.TIMEOUT),
    (SMB, sweep(*SITE), None, "SMB_NOT_REACHABLE"),
    (SMB, sweep(found(445, "smb")), 445, "SMB_REACHABLE"),
    (SMB, sweep(found(139, "netbios")), 139, "SMB_REACHABLE"),
    (SMB, sweep(found(135, "msrpc")), 135, "SMB_REACHABLE"),
    (SMB, sweep(found(445, "smb", "smb1")), 445, "SMB1_ACCEPTED"),
    (SMB, sweep(found(445, why="reset")), 445, Reason.RESET),
    (FTP, sweep(*SITE), None, "FTP_NOT_REACHABLE"),
    (FTP, sweep(found(21, "ftp", "tls_required")), None, "FTP_REQUIRES_TLS"),
    (FTP, sweep(found(21, "ftp", "tls_optional")), 21, "FTP_TLS_OPTIONAL"),
    (FTP, sweep(found(21, "ftp", "clear")), 21, "FTP_WITHOUT_TLS"),
    (FTP, sweep(found(21, "ftp", "", "timeout")), 21, Reason.TIMEOUT),
    (SQL, sweep(*SITE), None, "SQL_NOT_REACHABLE"),
    (SQL, sweep(found(3306, "mysql", "denied")), 3306, "SQL_ADDRESS_REFUSED"),
    (SQL, sweep(found(5432, "postgresql", "login")), 5432, "SQL_REACHABLE"),
    (SQL, sweep(found(3306, "mysql", "", "refused_by_target")), 3306, Reason.REFUSED_BY_TARGET),
    (SQL, sweep(found(50000, why="timeout")), 50000, Reason.TIMEOUT),
    (STORE, sweep(*SITE), None, "DATASTORE_NOT_REACHABLE"),
    (STORE, sweep(found(80, "redis", "login")), None, "DATASTORE_LOGIN_REQUIRED"),
    (STORE, sweep(found(6379, "redis", "login")), 6379, "DATASTORE_REACHABLE"),
    (STORE, sweep(found(6379, "redis", "denied")), 6379, "DATASTORE_REACHABLE"),
    (STORE, sweep(found(6379, "redis", "open")), 6379, "DATASTORE_WITHOUT_LOGIN"),
    (STORE, sweep(found(80, "memcached", "open")), 80, "DATASTORE_WITHOUT_LOGIN"),
    (STORE, sweep(found(27017, "mongodb", "", "reset")), 27017, Reason.RESET),
    (STORE, sweep(found(9200, "http")), None, "DATASTORE_NOT_REACHABLE"),
]


def findings(control: str, answer: PortsFacts | Answer, declared: Declared = DECLARED) -> tuple[Finding, ...]:
    recorded = Observed(answer, AT) if isinstance(answer, PortsFacts) else answer
    docket = Docket("finance", declared, {("ports", ADDRESS): recorded})
    return judge(docket, load_policy(), AT, controls=[control])


@pytest.mark.parametrize(("control", "answer", "port", "expected"), CASES)
def test_a_sweep_is_judged(control: str, answer: PortsFacts | Answer, port: int | None, expected: str | Reason) -> None:
    (finding,) = findings(control, answer)

    assert (finding.reason or finding.tag) == expected
    assert finding.subject == (ADDRESS if port is None else endpoint(ADDRESS, port))


def test_each_bad_port_is_a_finding_of_its_own_and_an_unclear_one_stays_unknown() -> None:
    seen = findings(TELNET, sweep(found(23, "telnet", "login"), found(2323, why="timeout")))

    assert {(finding.subject, finding.outcome) for finding in seen} == {
        (endpoint(ADDRESS, 23), Outcome.FAIL),
        (endpoint(ADDRESS, 2323), Outcome.UNKNOWN),
    }


def test_a_service_that_fails_its_own_control_stays_in_the_baseline_too() -> None:
    (finding,) = findings(BASELINE, sweep(found(23, "telnet", "login")))

    assert finding.tag == "UNDECLARED_PORT_OPEN"


def test_silence_of_a_living_host_is_only_probably_closed() -> None:
    (sure,) = findings(TELNET, sweep(*SITE))
    (likely,) = findings(TELNET, sweep(*SITE, rest=FILTERED))

    assert (sure.confidence, likely.confidence) == (Confidence.CONFIRMED, Confidence.PROBABLE)


def test_a_web_server_of_which_two_ports_were_asked_is_no_tarpit() -> None:
    facts = PortsFacts(ADDRESS, SITE, alive=True)

    (finding,) = findings(BASELINE, facts)

    assert finding.tag == "ONLY_DECLARED_PORTS_OPEN"


def test_an_asset_that_declares_nothing_should_show_nothing() -> None:
    seen = findings(BASELINE, sweep(*SITE), replace(DECLARED, ports=()))

    assert [finding.outcome for finding in seen] == [Outcome.WARN, Outcome.WARN]


def test_a_name_that_does_not_exist_exposes_nothing() -> None:
    docket = Docket("finance", DECLARED, {("ports", ""): Absent(AbsentCause.NXDOMAIN, AT)})

    seen = judge(docket, load_policy(), AT, controls=[TELNET, BASELINE])

    assert {finding.outcome for finding in seen} == {Outcome.NOT_APPLICABLE}


def test_an_ipv6_address_makes_bracketed_subjects() -> None:
    facts = replace(sweep(found(23, "telnet", "login")), address="2001:db8::7")
    docket = Docket("finance", DECLARED, {("ports", "2001:db8::7"): Observed(facts, AT)})

    (finding,) = judge(docket, load_policy(), AT, controls=[TELNET])

    assert finding.subject == "[2001:db8::7]:23/tcp"
