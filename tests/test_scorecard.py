"""posture-score/1: the worked examples, its rules one by one, and that no unknown ever raises a score."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posture.model import AssetKey, Confidence, Finding, Kind, Outcome, Reason, Severity
from posture.policy import Policy
from posture.scorecard import Score, ScoredAsset, Standing, is_overdue, scorecard
from tests.reporters.sample import controls

GOLDEN = Path(__file__).parent / "golden"
AT = datetime(2026, 11, 23, 21, tzinfo=UTC)


@dataclass(frozen=True)
class Weight:
    family: str
    severity: Severity
    kind: Kind


def policy(names: Sequence[str]) -> Policy:
    return Policy("test", "1", tuple(names), {}, "{}")


def weight(family: str, severity: str, kind: str = "practice") -> Weight:
    return Weight(family, Severity(severity), Kind(kind))


CATALOGUE: Mapping[str, Weight] = {
    "svc.baseline": weight("services", "high"),
    "svc.mgmt.rdp": weight("services", "critical", "hazard"),
    "svc.file.ftp": weight("services", "high", "hazard"),
    "tls.cert.expiry": weight("tls", "high"),
    "tls.cert.revocation": weight("tls", "high", "hazard"),
    "tls.protocol.legacy": weight("tls", "medium"),
    "tls.protocol.ssl": weight("tls", "high", "hazard"),
    "tls.note": weight("tls", "info"),
    "dns.caa.present": weight("dns", "low"),
    "web.securitytxt": weight("web", "low"),
}


def standing(asset: str, control: str, outcome: str = "pass", **changes: Any) -> Standing:
    severity = changes.pop("severity", CATALOGUE[control].severity)
    plain = Standing("finance", AssetKey(asset, "host"), control, "", Outcome(outcome), severity, observed_at=AT)
    if outcome == "unknown":
        plain = replace(plain, reason=Reason.TIMEOUT)
    return replace(plain, **changes)


def score(standings: Sequence[Standing], *, at: datetime = AT, criticality: Mapping[str, int] | None = None) -> Score:
    names = sorted({one.asset.name for one in standings})
    assets = [ScoredAsset(AssetKey(name, "host"), "finance", (criticality or {}).get(name, 2)) for name in names]
    card = scorecard(standings, assets, policy(list(CATALOGUE)), CATALOGUE, at=at)
    assert replace(card.state, ministry="finance") == card.ministry("finance")
    return card.state


def golden(name: str) -> tuple[Score, dict[str, Any]]:
    case = json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))
    weights = json.loads((GOLDEN / "catalogue.json").read_text("utf-8"))
    listed = weights["built"] | {one: weights["not_built"][one] for one in case["not_built"]}
    catalogue = {one: weight(entry["family"], entry["severity"], entry["kind"]) for one, entry in listed.items()}
    keys = [AssetKey(f"zone{n}", "zone") for n in range(1, case["zones"] + 1)]
    keys += [AssetKey(f"host{n}", "host") for n in range(1, case["hosts"] + 1)]
    standings = {
        (key, control): [Standing("m", key, control, "", Outcome.PASS, entry.severity, observed_at=AT)]
        for key in keys
        for control, entry in catalogue.items()
        if (entry.family in ("dns", "email")) == (key.kind == "zone")
    }
    for finding in case["findings"]:
        control = finding["control"]
        for key in keys:
            if key.name in finding["assets"] or key.kind in finding["assets"]:
                standings[key, control] = [
                    Standing(
                        "m",
                        key,
                        control,
                        finding.get("subject", ""),
                        Outcome(finding["outcome"]),
                        catalogue[control].severity,
                        reason=Reason(finding["reason"]) if "reason" in finding else None,
                        observed_at=AT,
                        first_seen=datetime.fromisoformat(finding.get("first_seen", AT.isoformat())),
                    )
                ]
    stale = case.get("stale", [])
    lines = [
        replace(one, stale=one.asset.name in stale and one.outcome is not Outcome.UNKNOWN)
        for group in standings.values()
        for one in group
    ]
    assets = [ScoredAsset(key, "m") for key in keys]
    at = datetime.fromisoformat(case["at"])
    return scorecard(lines, assets, policy(list(catalogue)), catalogue, at=at).ministry("m"), case["expected"]


@pytest.mark.parametrize("name", ["E1", "E2a", "E2b", "E2c", "E3a", "E3b"])
def test_worked_example_gives_the_numbers_computed_by_hand(name: str) -> None:
    got, expected = golden(name)
    assert {
        "label": got.label,
        "tenths": got.tenths,
        "raw": got.raw,
        "coverage": got.coverage,
        "low": got.low,
        "high": got.high,
        "pillars": {pillar.name: pillar.tenths for pillar in got.pillars},
        "caps": {cap.rule: len(cap.findings) for cap in got.caps},
    } == expected


def test_golden_weights_are_those_of_the_shipped_catalogue() -> None:
    built = json.loads((GOLDEN / "catalogue.json").read_text("utf-8"))["built"]
    shipped = {
        name: {"family": one.family, "severity": str(one.severity), "kind": str(one.kind)}
        for name, one in controls().items()
    }
    assert built == {name: shipped[name] for name in built}


def test_worst_subject_counts_for_the_asset() -> None:
    both = [standing("a", "tls.cert.expiry", subject="1"), standing("a", "tls.cert.expiry", "warn", subject="2")]
    assert score(both).raw == 500


def test_a_pass_beside_an_unseen_subject_is_not_known() -> None:
    got = score(
        [
            standing("a", "tls.cert.expiry", subject="1"),
            standing("a", "tls.cert.expiry", "unknown", subject="2"),
            standing("a", "dns.caa.present"),
        ]
    )
    assert [pillar.tenths for pillar in got.pillars] == [None, 1000]
    assert got.coverage == 142  # 1 of 7


def test_criticality_weighs_the_mean_over_assets() -> None:
    two = [standing("vital", "dns.caa.present", "fail"), standing("minor", "dns.caa.present")]
    assert score(two, criticality={"vital": 3, "minor": 1}).raw == 250


def test_absent_pillars_leave_their_weight_to_the_others() -> None:
    got = score([standing("a", "dns.caa.present", "fail"), standing("a", "web.securitytxt")])
    assert got.raw == 333  # (20 x 0 + 10 x 100) / 30


def test_hazard_deducts_by_share_and_by_the_severity_of_the_finding() -> None:
    clean = [standing(name, "svc.file.ftp") for name in "bcd"]
    assert score([standing("a", "svc.file.ftp", "fail"), *clean]).pillars[0].tenths == 906  # 15 x (1/2 + 1/8)
    mild = standing("a", "svc.file.ftp", "fail", severity=Severity.LOW)
    assert score([mild, *clean]).pillars[0].tenths == 987  # 2 x 5/8
    assert score([standing("a", "svc.file.ftp", "warn"), *clean]).pillars[0].tenths == 957  # 7.5 x (1/2 + 1/16)


def test_pillar_never_falls_below_zero() -> None:
    bad = [standing("a", "svc.baseline", "fail", subject="x"), standing("a", "svc.mgmt.rdp", "fail")]
    assert score(bad).pillars[0].tenths == 0


def test_info_severity_is_never_scored() -> None:
    assert score([standing("a", "tls.note", "fail"), standing("a", "dns.caa.present")]).label == "A, complete"


@pytest.mark.parametrize("outcome", ["not_applicable", "info"])
def test_what_does_not_apply_leaves_both_sides(outcome: str) -> None:
    got = score([standing("a", "tls.cert.expiry", outcome), standing("a", "dns.caa.present")])
    assert (got.raw, got.coverage) == (1000, 1000)


def test_out_of_scope_counts_only_when_it_is_not_a_providers() -> None:
    hosted = standing("a", "tls.cert.expiry", "unknown", reason=Reason.OUT_OF_SCOPE)
    rest = standing("a", "dns.caa.present")
    assert score([hosted, rest]).coverage == 142
    assert score([replace(hosted, mends="provider"), rest]).coverage == 1000


def test_an_authoritys_list_out_of_scope_is_nobodys_unknown_and_one_that_was_silent_is() -> None:
    rest = standing("a", "tls.cert.expiry")
    beyond = standing("a", "tls.cert.revocation", "unknown", reason=Reason.OUT_OF_SCOPE)
    assert score([beyond, rest]).coverage == 1000
    assert score([replace(beyond, reason=Reason.TIMEOUT), rest]).coverage < 1000


def test_baseline_is_a_note_where_another_service_fails_on_that_port() -> None:
    port = {"subject": "198.51.100.7:21/tcp"}
    ftp = standing("a", "svc.file.ftp", "fail", **port)
    assert score([ftp, standing("a", "svc.baseline", "fail", **port)]).raw == 850
    assert score([ftp, standing("a", "svc.baseline", "fail", subject="198.51.100.7:22/tcp")]).raw == 0


def test_ssl_suppresses_legacy_tls_on_the_same_endpoint() -> None:
    ssl = standing("a", "tls.protocol.ssl", "fail", subject="x")
    legacy = standing("a", "tls.protocol.legacy", "fail", subject="x")
    expiry = standing("a", "tls.cert.expiry")
    assert score([ssl, legacy, expiry]).raw == 850
    assert score([ssl, replace(legacy, subject="y"), expiry]).raw == 516  # 100 x 6/9 - 15


def test_critical_caps_only_when_confirmed_and_names_its_finding() -> None:
    rdp = standing("a", "svc.mgmt.rdp", "fail")
    others = [standing("a", "svc.baseline"), standing("a", "dns.caa.present"), standing("a", "web.securitytxt")]
    confirmed = score([rdp, *others])
    assert (confirmed.tenths, confirmed.caps[0].rule, confirmed.caps[0].findings) == (590, "critical", (rdp,))
    assert score([replace(rdp, confidence=Confidence.PROBABLE), *others]).caps[0].rule == "high"


def test_any_high_fail_keeps_the_grade_below_a() -> None:
    good = [standing(f"h{n}", "tls.cert.expiry") for n in range(20)]
    got = score([standing("bad", "tls.cert.expiry", "fail"), *good])
    assert (got.raw, got.tenths, got.grade) == (952, 890, "B")


@pytest.mark.parametrize(
    ("assets", "bad", "cap"), [(3, 1, "high"), (4, 1, "high"), (4, 2, "widespread"), (5, 2, "widespread")]
)
def test_widespread_means_more_than_a_quarter_of_at_least_four(assets: int, bad: int, cap: str) -> None:
    lines = [standing(f"h{n}", "tls.cert.expiry", "fail" if n < bad else "pass") for n in range(assets)]
    assert score(lines).caps[0].rule == cap


@pytest.mark.parametrize(
    ("changes", "overdue"),
    [
        ({"first_seen": AT - timedelta(days=30)}, False),
        ({"first_seen": AT - timedelta(days=31)}, True),
        ({"first_seen": AT, "mend_by": AT - timedelta(days=1)}, True),
        ({"first_seen": AT - timedelta(days=90), "mend_by": AT + timedelta(days=1)}, False),
        ({"first_seen": AT - timedelta(days=90), "severity": Severity.HIGH}, False),
        ({"first_seen": AT - timedelta(days=90), "outcome": Outcome.WARN}, False),
    ],
)
def test_overdue(changes: dict[str, Any], overdue: bool) -> None:
    assert is_overdue(replace(standing("a", "svc.mgmt.rdp", "fail"), **changes), AT) is overdue


@pytest.mark.parametrize(
    ("unknown", "label"),
    [(0, "A, complete"), (1, "A"), (4, "A"), (5, "B?"), (10, "B?"), (11, "not graded")],
)
def test_coverage_decides_the_question_mark_and_whether_there_is_a_grade(unknown: int, label: str) -> None:
    lines = [standing(f"h{n}", "dns.caa.present", "unknown" if n < unknown else "pass") for n in range(20)]
    lines = [replace(line, severity=Severity.LOW) for line in lines]
    expected = {1: "A, complete"}.get(unknown, label)  # 95 % is still complete
    assert score(lines).label == expected


def test_nothing_asked_is_not_graded() -> None:
    got = scorecard([], [ScoredAsset(AssetKey("a", "host"), "finance")], policy([]), {}, at=AT).state
    assert (got.label, got.tenths, got.low, got.high, got.assets) == ("not graded", None, 0, 0, 1)


def test_a_fail_that_is_not_renewed_stays_and_its_cap_outlives_thirty_days() -> None:
    stale = standing("a", "svc.mgmt.rdp", "fail", stale=True, observed_at=AT)
    rest = [standing("a", "svc.baseline"), standing("a", "dns.caa.present")]
    early, late = (score([stale, *rest], at=AT + timedelta(days=days)) for days in (30, 31))
    assert early.tenths == late.tenths == 590
    assert early.raw == late.raw == 820  # (30 x 70 + 20 x 100) / 50
    assert early.coverage == late.coverage == 411  # 7 of 17
    assert late.high == 590
    only_practice = [standing("a", "dns.caa.present", "fail", stale=True), *rest[:1]]
    assert score(only_practice, at=AT + timedelta(days=30)).high == 600
    assert score(only_practice, at=AT + timedelta(days=31)).high == 1000
    assert score(only_practice, at=AT + timedelta(days=31)).tenths == 600


def test_standing_reads_a_published_row_and_a_finding_alike() -> None:
    finding = Finding(
        "finance", AssetKey("a", "host"), "x", "svc.mgmt.rdp", Outcome.FAIL, Severity.CRITICAL,
        observed_at=AT, mend_by="2026-12-01",
    )  # fmt: skip
    row = {
        "ministry": "finance", "asset": "a", "kind": "host", "subject": "x", "control": "svc.mgmt.rdp", "outcome": "fail",
        "severity": "critical", "confidence": "confirmed", "stale": False, "reason": None, "mends": "ministry",
        "observed_at": "2026-11-23T21:00:00Z", "first_seen": None, "mend_by": "2026-12-01",
    }  # fmt: skip
    assert Standing.of(row) == Standing.of_finding(finding)


OUTCOMES = st.sampled_from(["pass", "warn", "fail", "unknown", "not_applicable"])
LINES = st.lists(
    st.builds(
        lambda asset, control, outcome, subject, stale, days: standing(
            asset, control, outcome, subject=subject, stale=stale and outcome not in ("unknown", "not_applicable"),
            observed_at=AT - timedelta(days=days), first_seen=AT - timedelta(days=days),
        ),
        st.sampled_from("abcde"), st.sampled_from(sorted(CATALOGUE)), OUTCOMES, st.sampled_from(["", "x", "y"]),
        st.booleans(), st.sampled_from([0, 20, 45]),
    ),
    min_size=1, max_size=40, unique_by=lambda one: (one.asset, one.control, one.subject),
)  # fmt: skip
ORDER = {"A": 5, "B": 4, "C": 3, "D": 2, "E": 1, None: 0}


@settings(max_examples=300, deadline=None)
@given(LINES, st.data())
def test_losing_sight_of_an_answer_never_raises_score_grade_or_bounds(
    lines: list[Standing], data: st.DataObject
) -> None:
    lost = data.draw(st.integers(0, len(lines) - 1))
    if lines[lost].outcome in (Outcome.UNKNOWN, Outcome.NOT_APPLICABLE):
        return
    before = score(lines)
    after = score([replace(one, stale=True) if index == lost else one for index, one in enumerate(lines)])
    assert after.low <= before.low
    assert after.coverage <= before.coverage
    if after.tenths is not None:
        assert before.tenths is not None
        assert after.tenths <= before.tenths
    assert ORDER[after.grade] <= ORDER[before.grade]


@settings(max_examples=300, deadline=None)
@given(LINES, st.data())
def test_turning_any_answer_into_a_bare_unknown_never_raises_the_lower_bound(
    lines: list[Standing], data: st.DataObject
) -> None:
    lost = data.draw(st.integers(0, len(lines) - 1))
    fresh = [replace(one, first_seen=AT) for one in lines]  # nothing overdue: an unknown cannot be
    blind = replace(fresh[lost], outcome=Outcome.UNKNOWN, stale=False, reason=Reason.TIMEOUT)
    after = score([blind if index == lost else one for index, one in enumerate(fresh)])
    assert after.low <= score(fresh).low


@settings(max_examples=200, deadline=None)
@given(LINES)
def test_the_score_lies_in_its_interval(lines: list[Standing]) -> None:
    got = score(lines)
    assert got.low <= got.high
    if got.tenths is not None:
        assert got.low <= got.tenths <= got.high
        assert got.raw is not None
        assert got.tenths <= got.raw
