"""The dns family on recorded answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from posture.facts import AxfrFacts, CaaFacts, DelegationFacts, DnssecFacts, NameserverFacts
from posture.facts.dns import AxfrAnswer, CaaRecord, HostAddresses, ServerAnswer
from posture.judge import sentence as words
from posture.model import Confidence, Reason, Unobserved
from posture.policy import load_policy
from posture.reporters.cells import terminal
from tests.checks.zone import AT, GONE, SILENT, ZONE, Answers, asset_level, findings, said

SIGNED, CAA, COUNT, LAME, AXFR = (
    "dns.dnssec.signed",
    "dns.caa.present",
    "dns.ns.count",
    "dns.ns.lame",
    "dns.ns.axfr",
)
KEYS, DS = ((257, 13, 4711),), ((4711, 13, 2),)
NS1, NS2 = "ns1.gov.example", "ns2.gov.example"
A, B, V6 = "198.51.100.53", "203.0.113.53", "2001:db8::53"


def dnssec(
    keys: tuple[tuple[int, int, int], ...] = (),
    ds: tuple[tuple[int, int, int], ...] = (),
    *,
    parent_signed: bool = True,
    cds: bool = False,
) -> Answers:
    return asset_level(DnssecFacts(keys, ds, "gov.example", parent_signed, cds, ZONE))


def caa(*records: tuple[int, str, str]) -> Answers:
    found = tuple(CaaRecord(*record) for record in records)
    return asset_level(CaaFacts(ZONE if found else "", found, (ZONE, "gov.example", "example")))


def answer(address: str, udp: str = "authoritative", tcp: str = "authoritative", tries: int = 1) -> ServerAnswer:
    return ServerAnswer(address, udp, tcp, tries)


def server(*answers: ServerAnswer, name: str = NS1, status: str = "resolved") -> NameserverFacts:
    return NameserverFacts(name, status, answers)


def lame(*answers: ServerAnswer, status: str = "resolved") -> Answers:
    return {("nameserver", f"ns:{NS1}"): server(*answers, status=status)}


def zone(*servers: NameserverFacts | None) -> Answers:
    """A delegation to the servers; None stands for one that could not be asked."""
    names = [one.name if one else NS2 for one in servers]
    hosts = tuple(HostAddresses(name, "resolved") for name in names)
    asked = {("nameserver", f"ns:{name}"): one or SILENT for name, one in zip(names, servers, strict=True)}
    return {**asset_level(DelegationFacts(hosts)), **asked}


def axfr(*words: str) -> Answers:
    answers = tuple(AxfrAnswer(A, word, 12 if word == "transferred" else 0) for word in words)
    return {("axfr", f"ns:{NS1}"): AxfrFacts(NS1, answers)}


GOOD = server(answer(A))
GOOD2 = server(answer(B), name=NS2)
EIGHT = [server(answer(f"198.51.100.{n}"), name=f"ns{n}.gov.example") for n in range(8)]

# (control, answers, tag or reason)
CASES = [
    (SIGNED, dnssec(KEYS, DS), "SIGNED"),
    (SIGNED, dnssec(KEYS), "DS_MISSING"),
    (SIGNED, dnssec(KEYS, cds=True), "DS_AWAITED"),
    (SIGNED, dnssec(), "UNSIGNED"),
    (SIGNED, dnssec((), DS), "DS_WITHOUT_KEYS"),
    (SIGNED, dnssec(parent_signed=False), "PARENT_UNSIGNED"),
    (SIGNED, dnssec(KEYS, parent_signed=False), "PARENT_UNSIGNED"),
    (SIGNED, {("dnssec", ""): SILENT}, Reason.TIMEOUT),
    (SIGNED, {("dnssec", ""): GONE}, "NOTHING_THERE"),
    (CAA, caa((0, "issue", "letsencrypt.org")), "CAA_RESTRICTS"),
    (CAA, caa((0, "issuewild", ";"), (0, "iodef", "mailto:soc@gov.example")), "CAA_RESTRICTS"),
    (CAA, caa((0, "issue", "ca.example; accounturi=https://ca.example/1")), "CAA_RESTRICTS"),
    (CAA, caa((0, "iodef", "mailto:soc@gov.example")), "CAA_WITHOUT_ISSUER"),
    (CAA, caa((0, "issuemail", "ca.example")), "CAA_WITHOUT_ISSUER"),
    (CAA, caa((128, "tbs", "x"), (0, "issue", "ca.example")), "CAA_UNKNOWN_CRITICAL"),
    (CAA, caa((128, "issue", "ca.example")), "CAA_RESTRICTS"),
    (CAA, caa((0, "issue", "Let's Encrypt")), "CAA_MALFORMED"),
    (CAA, caa(), "CAA_MISSING"),
    (CAA, {("caa", ""): Unobserved(Reason.TEMPORARY, AT)}, Reason.TEMPORARY),
    (COUNT, zone(GOOD, GOOD2), "NAMESERVERS_ENOUGH"),
    (
        COUNT,
        zone(GOOD, GOOD2, server(answer("192.0.2.9", "refused", "refused"), name="ns3.x.test")),
        "NAMESERVERS_ENOUGH",
    ),
    (COUNT, zone(GOOD, server(answer(A), name=NS2)), "NAMESERVERS_ON_ONE_ADDRESS"),
    (COUNT, zone(GOOD, server(answer(V6), name=NS2)), "NAMESERVERS_ON_ONE_ADDRESS"),
    (COUNT, zone(*EIGHT), "NAMESERVERS_MANY"),
    (COUNT, zone(*EIGHT[:7]), "NAMESERVERS_ENOUGH"),
    (COUNT, zone(GOOD), "NAMESERVERS_TOO_FEW"),
    (COUNT, zone(GOOD, server(answer(B, "refused", "refused"), name=NS2)), "NAMESERVERS_DEAD"),
    (COUNT, zone(GOOD, server(answer(B, "closed", "closed"), name=NS2)), "NAMESERVERS_DEAD"),
    (COUNT, zone(GOOD, server(name=NS2, status="nxdomain")), "NAMESERVERS_DEAD"),
    (COUNT, zone(GOOD, server(answer(B, "timeout", "timeout"), name=NS2)), Reason.TIMEOUT),
    (COUNT, zone(GOOD, server(answer(B, "timeout", "closed"), name=NS2)), Reason.TIMEOUT),
    (COUNT, zone(GOOD, None), Reason.TIMEOUT),
    (COUNT, zone(GOOD, server(answer(V6), name="ns3.x.test"), None), Reason.TIMEOUT),
    (COUNT, {("delegation", ""): SILENT}, Reason.TIMEOUT),
    (COUNT, {("delegation", ""): GONE}, "NOTHING_THERE"),
    (LAME, lame(answer(A)), "SERVER_AUTHORITATIVE"),
    (LAME, lame(answer(A), answer(V6, "vantage_limited", "vantage_limited")), "SERVER_AUTHORITATIVE"),
    (LAME, lame(answer(A, tries=2)), "SERVER_SLOW_TO_ANSWER"),
    (LAME, lame(answer(A, "refused", "refused")), "SERVER_LAME"),
    (LAME, lame(answer(A, "not_authoritative", "not_authoritative")), "SERVER_LAME"),
    (LAME, lame(answer(A, "servfail", "servfail", 3)), "SERVER_LAME"),
    (LAME, lame(answer(A, "closed", "timeout")), "SERVER_LAME"),
    (LAME, lame(answer(A, tcp="closed")), "SERVER_LAME"),
    (LAME, lame(answer(A, "timeout", "timeout", 3), answer(B, "refused", "refused")), "SERVER_LAME"),
    (LAME, lame(status="nxdomain"), "SERVER_UNRESOLVABLE"),
    (LAME, lame(status="cname"), "SERVER_UNRESOLVABLE"),
    (LAME, lame(status="silent"), Reason.TIMEOUT),
    (LAME, lame(answer(A, "timeout", "timeout", 3)), Reason.TIMEOUT),
    (LAME, lame(answer(A, tcp="timeout")), Reason.TIMEOUT),
    (LAME, lame(answer(A, tcp="servfail")), Reason.TEMPORARY),
    (LAME, lame(answer(A), answer(B, "malformed", "malformed", 3)), Reason.MALFORMED),
    (LAME, lame(answer(V6, "vantage_limited", "vantage_limited")), Reason.VANTAGE_LIMITED),
    (AXFR, axfr("refused"), "TRANSFER_REFUSED"),
    (AXFR, axfr("refused", "closed"), "TRANSFER_REFUSED"),
    (AXFR, axfr("refused", "soa_only"), "TRANSFER_GIVES_SOA"),
    (AXFR, axfr("timeout", "transferred"), "TRANSFER_ALLOWED"),
    (AXFR, axfr("refused", "timeout"), Reason.TIMEOUT),
    (AXFR, axfr("servfail"), Reason.TEMPORARY),
    (AXFR, axfr("vantage_limited"), Reason.VANTAGE_LIMITED),
    (AXFR, axfr("refused", "out_of_scope"), Reason.OUT_OF_SCOPE),
    (AXFR, {("axfr", f"ns:{NS1}"): GONE}, "NOTHING_THERE"),
]


@pytest.mark.parametrize(("control", "answers", "expected"), CASES)
def test_recorded_answers_are_judged(control: str, answers: Answers, expected: str | Reason) -> None:
    assert said(control, answers) == expected


def test_each_server_is_judged_alone() -> None:
    judged = findings(LAME, zone(GOOD, server(answer(B, "refused", "refused"), name=NS2)))

    assert [(finding.subject, finding.tag) for finding in judged] == [
        (f"ns:{NS1}", "SERVER_AUTHORITATIVE"),
        (f"ns:{NS2}", "SERVER_LAME"),
    ]


def test_an_address_that_we_have_no_way_to_is_a_stated_gap() -> None:
    (sure,) = findings(LAME, lame(answer(A)))
    (gap,) = findings(LAME, lame(answer(A), answer(V6, "vantage_limited", "vantage_limited")))

    assert (sure.confidence, gap.confidence) == (Confidence.CONFIRMED, Confidence.PROBABLE)


@pytest.mark.parametrize("control", [SIGNED, CAA, COUNT, LAME, AXFR])
@pytest.mark.parametrize("reason", [Reason.TIMEOUT, Reason.TEMPORARY, Reason.REFUSED_BY_TARGET, Reason.TRUNCATED])
def test_silence_is_never_absence(control: str, reason: Reason) -> None:
    unseen = Unobserved(reason, AT)
    answers = {("dnssec", ""): unseen, ("caa", ""): unseen, ("delegation", ""): unseen}
    answers |= {("nameserver", f"ns:{NS1}"): unseen, ("axfr", f"ns:{NS1}"): unseen}

    assert said(control, answers) is reason


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        (zone(GOOD), f"{ZONE} lists 1 of at least 3 name servers ({NS1}); add"),
        (zone(GOOD, GOOD2), f"{ZONE} lists 2 of at least 3 name servers ({NS1}, {NS2}); add"),
        (
            zone(*EIGHT[:2], server(answer(B, "closed", "closed"), name=NS2)),
            f"these do not serve the zone: {NS2}; repair or replace them: 2 of at least 3 are left.",
        ),
        (zone(GOOD, GOOD2, server(answer(A), name="ns3.x.test")), "answer on 2 of at least 3 IPv4 addresses"),
        (zone(*EIGHT[:3]), f"3 name servers answer for {ZONE}, at least 3 are asked for"),
    ],
)
def test_how_many_name_servers_is_said_beside_what_the_policy_asks_for(answers: Answers, sentence: str) -> None:
    policy = load_policy()
    stricter = replace(policy, thresholds={**policy.thresholds, "dns.ns.minimum": ((date(2020, 1, 1), 3),)})

    (finding,) = findings(COUNT, answers, policy=stricter)
    assert sentence in terminal(words(finding))
