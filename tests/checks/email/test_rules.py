"""The email family on recorded answers."""

from __future__ import annotations

import pytest

from posture.facts import DmarcFacts, MxFacts, SmtpFacts, SpfFacts
from posture.facts.dns import DmarcStep, HostAddresses, MxRecord, SpfLookup
from posture.facts.smtp import SmtpAnswer
from posture.model import Absent, AbsentCause, Confidence, Reason, Unobserved
from tests.checks.zone import AT, SILENT, ZONE, Answers, Mail, asset_level, findings, said

PRESENT, VALID, LOOKUPS, POLICY = "mail.spf.present", "mail.spf.valid", "mail.spf.lookups", "mail.spf.policy"
D_PRESENT, D_VALID, D_POLICY = "mail.dmarc.present", "mail.dmarc.valid", "mail.dmarc.policy"
STARTTLS, MX_VALID, PARKED = "mail.starttls", "mail.mx.valid", "mail.parked"
MX, MX2 = "mx.gov.example", "mx2.gov.example"
A, B, V6 = "8.8.4.4", "9.9.9.9", "2606:4700::1"  # public as the special-purpose registries have it; nothing is sent

MAILING = MxFacts("records", (MxRecord(10, HostAddresses(MX, "resolved", (A,))),))
NO_MX = MxFacts("nodata", ())
NULL_MX = MxFacts("records", (MxRecord(0, HostAddresses("", "nxdomain")),))
SENDS, RECEIVES = ("sends",), ("receives",)
REJECT = DmarcFacts((DmarcStep(ZONE, ("v=DMARC1; p=reject; rua=mailto:d@gov.example",)),))
NO_DMARC = DmarcFacts((DmarcStep(ZONE, ()), DmarcStep("gov.example", ()), DmarcStep("example", ())))


def include(target: str, *records: str, status: str = "answer", by: str = ZONE) -> SpfLookup:
    return SpfLookup(by, f"include:{target}", target, status, records)


def redirect(target: str, *records: str, status: str = "answer", by: str = ZONE) -> SpfLookup:
    return SpfLookup(by, f"redirect={target}", target, status, records)


def looked(*statuses: str, names: int = 0) -> tuple[SpfLookup, ...]:
    return tuple(SpfLookup(ZONE, f"a:{n}.test", f"{n}.test", word, names=names) for n, word in enumerate(statuses))


def spf(*records: str, lookups: tuple[SpfLookup, ...] = (), mx: MxFacts = MAILING, type99: bool = False) -> Answers:
    return asset_level(SpfFacts(records, lookups, type99), mx)


def with_dmarc(answers: Answers, dmarc: DmarcFacts | Unobserved) -> Answers:
    return {**answers, ("dmarc", ""): dmarc}


def dmarc(*own: str, parents: tuple[tuple[str, str], ...] = ()) -> Answers:
    above = [DmarcStep(domain, (record,) if record else ()) for domain, record in parents]
    return asset_level(DmarcFacts((DmarcStep(ZONE, own), *above)))


def smtp(*answers: SmtpAnswer, mx: MxFacts = MAILING, name: str = MX) -> Answers:
    return {**asset_level(mx), ("smtp", f"mx:{name}:25"): SmtpFacts(name, answers)}


def at(address: str, state: str = "greeted", starttls: str = "unclear", tls: str = "", version: str = "") -> SmtpAnswer:
    return SmtpAnswer(address, state, ("PIPELINING",), starttls, tls, version)


def leading_to(status: str, *addresses: str, name: str = MX) -> Answers:
    mx = MxFacts("records", (MxRecord(10, HostAddresses(name, status, addresses)),))
    return {**asset_level(mx), ("smtp", f"mx:{name}:25"): SILENT}


def parked(record: str, policy: str, mx: MxFacts = NULL_MX) -> Answers:
    records = (record,) if record else ()
    steps = (DmarcStep(ZONE, (policy,) if policy else ()),)
    return asset_level(mx, SpfFacts(records), DmarcFacts(steps))


TLS13 = at(A, starttls="offered", tls="accepted", version="TLS 1.3")
CLOSED_SPF, REJECTS = "v=spf1 -all", "v=DMARC1; p=reject"
TEN = tuple("answer" for _ in range(10))
NESTED = (include("a.test", "v=spf1 include:b.test -all"), include("b.test", "v=spf1 +all", by="a.test"))
LONG = "v=spf1 " + " ".join(f"ip4:198.51.100.{n}" for n in range(30)) + " -all"

# (control, answers, declared mail, tag or reason)
CASES: list[tuple[str, Answers, Mail, str | Reason]] = [
    (PRESENT, spf(CLOSED_SPF), None, "SPF_ONE_RECORD"),
    (PRESENT, spf(CLOSED_SPF), SENDS, "SPF_ONE_RECORD"),
    (PRESENT, spf(), None, "SPF_MISSING"),
    (PRESENT, spf(type99=True), None, "SPF_TYPE_99_ONLY"),
    (PRESENT, spf(CLOSED_SPF, "v=spf1 mx -all"), None, "SPF_SEVERAL_RECORDS"),
    (PRESENT, spf(), RECEIVES, "NOT_A_SENDER"),
    (PRESENT, spf(mx=NO_MX), None, "SPF_JUDGED_AS_PARKED"),
    (PRESENT, spf(), (), "SPF_JUDGED_AS_PARKED"),
    (PRESENT, {("spf", ""): SILENT, ("mx", ""): MAILING}, None, Reason.TIMEOUT),
    (PRESENT, {("spf", ""): SpfFacts((CLOSED_SPF,)), ("mx", ""): SILENT}, None, Reason.TIMEOUT),
    (VALID, spf("v=spf1 mx -all"), None, "SPF_VALID"),
    (VALID, spf("v=spf1 include:x.test -all", lookups=(include("x.test", CLOSED_SPF),)), None, "SPF_VALID"),
    (VALID, spf("v=spf1 ptr -all"), None, "SPF_USES_PTR"),
    (VALID, spf("v=spf1 include=x.test -all"), None, "SPF_UNKNOWN_MODIFIER"),
    (VALID, spf(LONG), None, "SPF_LONG"),
    (VALID, spf(CLOSED_SPF, CLOSED_SPF), None, "SPF_SEVERAL_RECORDS"),
    (VALID, spf("v=spf1 ipv4:198.51.100.1 -all"), None, "SPF_TERM_INVALID"),
    (VALID, spf("v=spf1 include:x.test", lookups=(include("x.test"),)), None, "SPF_TARGET_WITHOUT_SPF"),
    (VALID, spf("v=spf1 include:x.test", lookups=(include("x.test", status="void"),)), None, "SPF_TARGET_WITHOUT_SPF"),
    (VALID, spf("v=spf1 include:x.test", lookups=(include("x.test", "v=spf1 bad"),)), None, "SPF_TARGET_INVALID"),
    (
        VALID,
        spf("v=spf1 redirect=x.test", lookups=(redirect("x.test", CLOSED_SPF, CLOSED_SPF),)),
        None,
        "SPF_TARGET_INVALID",
    ),
    (VALID, spf("v=spf1 include:x.test", lookups=(include(ZONE, status="loop", by="x.test"),)), None, "SPF_LOOP"),
    (VALID, spf(), None, "NO_SPF_TO_JUDGE"),
    (VALID, spf("v=spf1 bad"), RECEIVES, "NO_SPF_TO_JUDGE"),
    (VALID, spf("v=spf1 include:x.test", lookups=(include("x.test", status="silent"),)), None, Reason.TIMEOUT),
    (VALID, spf("v=spf1 a:x.test -all", lookups=looked("silent")), None, "SPF_VALID"),
    (LOOKUPS, spf("v=spf1 -all"), None, "SPF_LOOKUPS_FEW"),
    (LOOKUPS, spf(CLOSED_SPF, lookups=looked(*TEN[:8])), None, "SPF_LOOKUPS_FEW"),
    (LOOKUPS, spf(CLOSED_SPF, lookups=looked(*TEN[:9])), None, "SPF_LOOKUPS_NEAR_LIMIT"),
    (LOOKUPS, spf(CLOSED_SPF, lookups=looked(*TEN)), None, "SPF_LOOKUPS_NEAR_LIMIT"),
    (LOOKUPS, spf(CLOSED_SPF, lookups=looked(*TEN, "skipped")), None, "SPF_TOO_MANY_LOOKUPS"),
    (LOOKUPS, spf(CLOSED_SPF, lookups=(include(ZONE, status="loop"),)), None, "SPF_TOO_MANY_LOOKUPS"),
    (LOOKUPS, spf(CLOSED_SPF, lookups=looked("void")), None, "SPF_LOOKUPS_FEW"),
    (LOOKUPS, spf(CLOSED_SPF, lookups=looked("void", "void")), None, "SPF_VOIDS_AT_LIMIT"),
    (LOOKUPS, spf(CLOSED_SPF, lookups=looked("void", "void", "silent", "void")), None, "SPF_TOO_MANY_VOIDS"),
    (LOOKUPS, spf(CLOSED_SPF, lookups=looked("answer", names=11)), None, "SPF_MX_TOO_LONG"),
    (LOOKUPS, spf(), None, "NO_SPF_TO_JUDGE"),
    (LOOKUPS, spf("v=spf1 bad"), None, "NO_SPF_TO_JUDGE"),
    (LOOKUPS, spf(CLOSED_SPF, lookups=looked("answer", "silent")), None, Reason.TIMEOUT),
    (POLICY, spf("v=spf1 mx -all"), None, "SPF_HARD_FAIL"),
    (POLICY, spf("v=spf1 redirect=x.test", lookups=(redirect("x.test", CLOSED_SPF),)), None, "SPF_HARD_FAIL"),
    (POLICY, with_dmarc(spf("v=spf1 mx ~all"), REJECT), None, "SPF_SOFT_FAIL_WITH_DMARC"),
    (POLICY, with_dmarc(spf("v=spf1 mx ~all"), NO_DMARC), None, "SPF_SOFT_FAIL"),
    (POLICY, with_dmarc(spf("v=spf1 mx ~all"), SILENT), None, Reason.TIMEOUT),
    (POLICY, spf("v=spf1 mx ?all"), None, "SPF_NEUTRAL"),
    (POLICY, spf("v=spf1 mx all"), None, "SPF_ALLOWS_EVERYBODY"),
    (POLICY, spf("v=spf1 include:a.test -all", lookups=NESTED), None, "SPF_ALLOWS_EVERYBODY"),
    (POLICY, spf("v=spf1 -include:a.test -all", lookups=NESTED), None, "SPF_HARD_FAIL"),
    (POLICY, spf("v=spf1 mx"), None, "SPF_NO_LAST_WORD"),
    (POLICY, spf("v=spf1 redirect=x.test", lookups=(redirect("x.test", status="void"),)), None, "SPF_NO_LAST_WORD"),
    (POLICY, spf("v=spf1 redirect=x.test", lookups=(redirect("x.test", status="silent"),)), None, Reason.TIMEOUT),
    (POLICY, spf("v=spf1 ip4:10.0.0.0/15 -all"), None, "SPF_RANGE_TOO_WIDE"),
    (POLICY, spf("v=spf1 ip4:198.51.0.0/16 -all"), None, "SPF_HARD_FAIL"),
    (POLICY, spf(), None, "NO_SPF_TO_JUDGE"),
    (D_PRESENT, dmarc(REJECTS), None, "DMARC_FOUND"),
    (D_PRESENT, dmarc(parents=(("gov.example", REJECTS),)), None, "DMARC_FOUND"),
    (D_PRESENT, dmarc(parents=(("gov.example", "v=DMARC1; p=reject; psd=y"),)), None, "DMARC_AT_SUFFIX_ONLY"),
    (D_PRESENT, dmarc(), None, "DMARC_MISSING"),
    (D_PRESENT, dmarc("v=dmarc1; p=reject"), None, "DMARC_MISSING"),
    (D_PRESENT, dmarc(REJECTS, "v=DMARC1; p=none", parents=(("gov.example", REJECTS),)), None, "DMARC_SEVERAL_RECORDS"),
    (D_PRESENT, {("dmarc", ""): SILENT}, None, Reason.TIMEOUT),
    (D_VALID, dmarc("v=DMARC1; p=reject; sp=reject; np=reject; t=n; psd=u; pct=100"), None, "DMARC_VALID"),
    (D_VALID, dmarc("v=DMARC1; rua=mailto:d@gov.example; p=none"), None, "DMARC_VALID"),
    (D_VALID, dmarc("v=DMARC1; p=reject; policy=reject"), None, "DMARC_UNKNOWN_TAGS"),
    (D_VALID, dmarc("v=DMARC1; rua=mailto:d@gov.example"), None, "DMARC_POLICY_MISSING"),
    (D_VALID, dmarc("v=DMARC1; p=rejct; rua=mailto:d@gov.example"), None, "DMARC_POLICY_READ_AS_NONE"),
    (D_VALID, dmarc("v=DMARC1; p=reject; rua=mailto:d@gov.example!10m"), None, "DMARC_SIZE_SUFFIX"),
    (D_VALID, dmarc("p=reject; v=DMARC1"), None, "DMARC_VERSION_WRONG"),
    (D_VALID, dmarc("v=DMARC1; p=rejct"), None, "DMARC_POLICY_INVALID"),
    (D_VALID, dmarc("v=DMARC1; rua=d@gov.example"), None, "DMARC_POLICY_INVALID"),
    (D_VALID, dmarc("v=DMARC1; p=reject; sp=all"), None, "DMARC_POLICY_INVALID"),
    (D_VALID, dmarc(), None, "NO_DMARC_TO_JUDGE"),
    (D_VALID, {("dmarc", ""): SILENT}, None, Reason.TIMEOUT),
    (D_POLICY, dmarc(REJECTS), None, "DMARC_REJECT"),
    (D_POLICY, dmarc("v=DMARC1; p=reject; pct=20"), None, "DMARC_REJECT_IN_PART"),
    (D_POLICY, dmarc("v=DMARC1; p=quarantine"), None, "DMARC_QUARANTINE"),
    (D_POLICY, dmarc("v=DMARC1; p=reject; t=y"), None, "DMARC_TESTING_ACTS_AS_QUARANTINE"),
    (D_POLICY, dmarc("v=DMARC1; p=none"), None, "DMARC_NOT_ENFORCED"),
    (D_POLICY, dmarc("v=DMARC1; rua=mailto:d@gov.example"), None, "DMARC_NOT_ENFORCED"),
    (D_POLICY, dmarc("v=DMARC1; p=rejct"), None, "DMARC_NOT_ENFORCED"),
    (D_POLICY, dmarc("v=DMARC1; p=quarantine; t=y"), None, "DMARC_TESTING_ACTS_AS_NONE"),
    (D_POLICY, dmarc(parents=(("gov.example", "v=DMARC1; p=reject; sp=none"),)), None, "DMARC_NOT_ENFORCED"),
    (D_POLICY, dmarc(parents=(("gov.example", "v=DMARC1; p=none; sp=reject"),)), None, "DMARC_REJECT"),
    (D_POLICY, dmarc(), None, "NO_DMARC_TO_JUDGE"),
    (D_POLICY, {("dmarc", ""): SILENT}, None, Reason.TIMEOUT),
    (STARTTLS, smtp(TLS13), None, "STARTTLS_WORKS"),
    (STARTTLS, smtp(TLS13, at(B, "closed")), None, "STARTTLS_WORKS"),
    (STARTTLS, smtp(TLS13, at(V6, "vantage_limited")), None, "STARTTLS_WORKS"),
    (STARTTLS, smtp(TLS13, at(B, starttls="not_offered")), None, "STARTTLS_NOT_OFFERED"),
    (STARTTLS, smtp(at(A, starttls="offered", tls="refused")), None, "STARTTLS_FAILS"),
    (STARTTLS, smtp(at(A, starttls="offered", tls="accepted", version="TLS 1.0")), None, "STARTTLS_OUTDATED"),
    (STARTTLS, smtp(TLS13), SENDS, "NOT_A_RECEIVER"),
    (STARTTLS, smtp(at(A, "closed")), None, "NOTHING_THERE"),
    (STARTTLS, smtp(at(A, "temporary")), None, Reason.REFUSED_BY_TARGET),
    (STARTTLS, smtp(TLS13, at(B, "timeout")), None, Reason.TIMEOUT),
    (STARTTLS, smtp(at(A, "rejected")), None, Reason.REFUSED_BY_TARGET),
    (STARTTLS, smtp(at(A, starttls="masked")), None, Reason.BLOCKED),
    (STARTTLS, smtp(at(A, starttls="offered", tls="unclear")), None, Reason.TEMPORARY),
    (STARTTLS, smtp(at(V6, "vantage_limited")), None, Reason.VANTAGE_LIMITED),
    (STARTTLS, smtp(TLS13, at(V6, "out_of_scope")), None, Reason.OUT_OF_SCOPE),
    (MX_VALID, smtp(TLS13), None, "MX_ANSWERS"),
    (MX_VALID, smtp(at(A), at(V6, "vantage_limited")), None, "MX_ANSWERS"),
    (MX_VALID, smtp(TLS13, at(B, "closed")), None, "MX_REFUSES"),
    (MX_VALID, leading_to("nxdomain", name="198.51.100.25"), None, "MX_IS_ADDRESS"),
    (MX_VALID, leading_to("cname", A), None, "MX_IS_ALIAS"),
    (MX_VALID, leading_to("nxdomain"), None, "MX_DOES_NOT_EXIST"),
    (MX_VALID, leading_to("nodata"), None, "MX_WITHOUT_ADDRESS"),
    (MX_VALID, leading_to("resolved", A, "10.1.2.3"), None, "MX_PRIVATE_ADDRESS"),
    (MX_VALID, leading_to("silent"), None, Reason.TIMEOUT),
    (MX_VALID, leading_to("resolved", A), None, Reason.TIMEOUT),
    (MX_VALID, leading_to("resolved", A), SENDS, "NOT_A_RECEIVER"),
    (MX_VALID, smtp(at(A, "closed")), None, Reason.REFUSED_BY_TARGET),
    (MX_VALID, smtp(at(A, "rejected")), None, Reason.REFUSED_BY_TARGET),
    (MX_VALID, smtp(at(A, "temporary")), None, Reason.REFUSED_BY_TARGET),
    (PARKED, parked(CLOSED_SPF, REJECTS), None, "PARKED_LOCKED"),
    (PARKED, parked(CLOSED_SPF, REJECTS), (), "PARKED_LOCKED"),
    (PARKED, parked(CLOSED_SPF, REJECTS, NO_MX), None, "PARKED_WITHOUT_NULL_MX"),
    (PARKED, parked(CLOSED_SPF, REJECTS, MAILING), (), "PARKED_WITHOUT_NULL_MX"),
    (PARKED, parked("", REJECTS), None, "PARKED_UNPROTECTED"),
    (PARKED, parked("v=spf1 ~all", REJECTS), None, "PARKED_UNPROTECTED"),
    (PARKED, parked(CLOSED_SPF, "v=DMARC1; p=quarantine"), None, "PARKED_UNPROTECTED"),
    (PARKED, parked(CLOSED_SPF, "v=DMARC1; p=reject; sp=none"), None, "PARKED_UNPROTECTED"),
    (PARKED, parked(CLOSED_SPF, "v=DMARC1; p=reject; t=y"), None, "PARKED_UNPROTECTED"),
    (PARKED, {**parked("", ""), ("dmarc", ""): SILENT}, None, "PARKED_UNPROTECTED"),
    (PARKED, {**parked(CLOSED_SPF, ""), ("dmarc", ""): SILENT}, None, Reason.TIMEOUT),
    (PARKED, {**parked(CLOSED_SPF, REJECTS), ("mx", ""): SILENT}, None, Reason.TIMEOUT),
    (PARKED, {**parked(CLOSED_SPF, REJECTS), ("mx", ""): SILENT}, (), Reason.TIMEOUT),
    (PARKED, parked("v=spf1 mx -all", REJECTS), None, "NOT_PARKED"),
    (PARKED, parked(CLOSED_SPF, REJECTS, MAILING), None, "NOT_PARKED"),
    (PARKED, parked(CLOSED_SPF, REJECTS), SENDS, "NOT_PARKED"),
]


@pytest.mark.parametrize(("control", "answers", "mail", "expected"), CASES)
def test_recorded_answers_are_judged(control: str, answers: Answers, mail: Mail, expected: str | Reason) -> None:
    assert said(control, answers, mail) == expected


SPF_UNANSWERED: list[tuple[str, str | Reason]] = [(control, Reason.TIMEOUT) for control in (VALID, LOOKUPS, POLICY)]


@pytest.mark.parametrize(("control", "expected"), SPF_UNANSWERED)
def test_an_spf_question_without_answer_is_unknown(control: str, expected: Reason) -> None:
    assert said(control, {("spf", ""): SILENT, ("mx", ""): MAILING}) is expected


@pytest.mark.parametrize("control", [PRESENT, VALID, LOOKUPS, POLICY, STARTTLS, MX_VALID, PARKED])
def test_an_mx_question_without_answer_makes_the_inferred_role_unknown(control: str) -> None:
    unseen = Unobserved(Reason.TEMPORARY, AT)
    answers = {("mx", ""): unseen, ("smtp", ""): unseen, **asset_level(SpfFacts(("v=spf1 ~all",)), NO_DMARC)}

    assert said(control, answers) is Reason.TEMPORARY


def test_a_private_address_is_public_in_the_lab() -> None:
    mx = MxFacts("records", (MxRecord(10, HostAddresses(MX, "resolved", ("127.0.20.1",))),))

    assert said(MX_VALID, smtp(at("127.0.20.1"), mx=mx)) == "MX_PRIVATE_ADDRESS"
    assert said(MX_VALID, smtp(at("127.0.20.1"), mx=mx), lab=True) == "MX_ANSWERS"


def test_a_closed_exchanger_is_a_warning_while_another_one_greets() -> None:
    answers = {**smtp(at(A, "closed")), ("smtp", f"mx:{MX2}:25"): SmtpFacts(MX2, (at(B),))}

    assert [(one.subject, one.tag) for one in findings(MX_VALID, answers)] == [
        (f"mx:{MX}:25", "MX_REFUSES"),
        (f"mx:{MX2}:25", "MX_ANSWERS"),
    ]


def test_an_address_beyond_our_reach_is_a_stated_gap() -> None:
    (finding,) = findings(STARTTLS, smtp(TLS13, at(V6, "vantage_limited")))

    assert finding.confidence is Confidence.PROBABLE


def test_a_zone_that_receives_without_exchangers_has_none_to_judge() -> None:
    answers = {**asset_level(NO_MX), ("smtp", ""): Absent(AbsentCause.NODATA, AT)}

    assert said(MX_VALID, answers, RECEIVES) == "NOTHING_THERE"
    assert said(STARTTLS, answers, RECEIVES) == "NOTHING_THERE"


@pytest.mark.parametrize(
    ("record", "lookups", "sends"),
    [
        ("v=spf1 -all", (), False),
        ("v=spf1 ~all", (), False),
        ("v=spf1 -mx ?all", (), False),
        ("v=spf1 -all mx", (), False),
        ("v=spf1 mx -all", (), True),
        ("v=spf1 +all", (), True),
        ("v=spf1 mistake", (), True),
        ("v=spf1 redirect=x.test", (redirect("x.test", CLOSED_SPF),), False),
        ("v=spf1 redirect=x.test", (redirect("x.test", "v=spf1 mx -all"),), True),
        ("v=spf1 redirect=x.test", (redirect("x.test", status="silent"),), True),
    ],
)
def test_the_role_of_a_domain_without_mx_follows_its_spf(
    record: str, lookups: tuple[SpfLookup, ...], sends: bool
) -> None:
    answers = {**parked(record, REJECTS), **asset_level(SpfFacts((record,), lookups))}

    assert (said(PARKED, answers) == "NOT_PARKED") is sends


def test_the_finding_says_how_the_role_is_known() -> None:
    (inferred,) = findings(PARKED, parked(CLOSED_SPF, REJECTS))
    (declared,) = findings(PARKED, parked(CLOSED_SPF, REJECTS), ())

    assert (inferred.args["role"], declared.args["role"]) == ("inferred", "declared")


def test_the_organisational_domain_is_the_one_below_the_public_suffix() -> None:
    parents = (("finance.example", "v=DMARC1; p=none; sp=quarantine"), ("example", "v=DMARC1; p=reject; psd=y"))

    assert said(D_POLICY, dmarc(parents=parents)) == "DMARC_QUARANTINE"


def test_the_highest_record_applies_where_none_names_a_suffix() -> None:
    parents = (("finance.example", "v=DMARC1; p=reject"), ("example", "v=DMARC1; p=none"))

    assert said(D_POLICY, dmarc(parents=parents)) == "DMARC_NOT_ENFORCED"


def test_a_parked_domain_is_told_the_exact_records() -> None:
    (finding,) = findings(PARKED, parked("", "", NO_MX))

    assert finding.args["publish"] == [
        f'{ZONE} TXT "v=spf1 -all"',
        f'_dmarc.{ZONE} TXT "v=DMARC1; p=reject"',
        f"{ZONE} MX 0 .",
    ]
