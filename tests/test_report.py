from __future__ import annotations

from typing import Any

import pytest

from posture.errors import UsageError
from posture.model import AssetKey
from posture.report import TLP_LEVELS, Rescored, narrow, scorecard_document, tlp_level
from posture.reporters.html import pages
from posture.reporters.markdown import scorecard_markdown
from posture.scorecard import Scorecard
from posture.steps import five_things
from tests.reporters import sample


def open_row(asset: str, control: str, **changes: Any) -> dict[str, Any]:
    return sample.row(asset, control, changes.pop("outcome", "fail"), **changes)


def test_five_things_put_severity_before_importance_before_age() -> None:
    rows = [
        open_row("a.x.test", "tls.hsts.policy", first_seen="2026-01-01T00:00:00Z"),
        open_row("b.x.test", "tls.cert.expiry", first_seen="2026-03-01T00:00:00Z"),
        open_row("b.x.test", "tls.cert.trust", first_seen="2026-02-01T00:00:00Z"),
        open_row("c.x.test", "tls.cert.key", first_seen="2026-09-01T00:00:00Z"),
        open_row("a.x.test", "svc.mgmt.rdp", first_seen="2026-11-01T00:00:00Z"),
        open_row("a.x.test", "tls.cert.hostname", outcome="warn", first_seen="2020-01-01T00:00:00Z"),
        open_row("a.x.test", "tls.cert.chain", outcome="pass"),
    ]
    criticality = {AssetKey("c.x.test", "zone"): 3, AssetKey("c.x.test", "host"): 3}
    assert [step.control for step in five_things(rows, criticality)] == [
        "svc.mgmt.rdp", "tls.cert.key", "tls.cert.trust", "tls.cert.expiry", "tls.cert.hostname",
    ]  # fmt: skip


def test_one_control_of_a_ministry_is_one_thing_with_its_oldest_date() -> None:
    rows = [
        open_row("a.b.x.test", "tls.cert.expiry", first_seen="2026-03-01T00:00:00Z"),
        open_row("c.d.x.test", "tls.cert.expiry", first_seen="2026-02-01T00:00:00Z"),
    ]
    (step,) = five_things(rows, {})
    assert [asset.name for asset in step.assets] == ["a.b.x.test", "c.d.x.test"]
    assert step.since == "2026-02-01T00:00:00Z"


def test_there_are_at_most_five_things_and_none_without_open_findings() -> None:
    assert len(five_things(sample.rows(), {})) == 5
    assert five_things([open_row("a.x.test", "tls.cert.expiry", outcome="unknown")], {}) == ()


def test_narrowed_report_keeps_only_the_ministrys_own() -> None:
    narrowed = narrow(sample.report(), ["health"])
    assert narrowed.is_narrowed
    assert {row["ministry"] for row in narrowed.findings} == {"health"}
    assert {event["ministry"] for event in narrowed.events} == {"health"}
    assert [ministry.code for ministry in narrowed.ministries] == ["health"]


def test_narrowing_to_nothing_keeps_everything_and_to_an_unknown_one_is_refused() -> None:
    report = sample.report()
    assert narrow(report, []) is report
    with pytest.raises(UsageError, match="Choose from: finance, health"):
        narrow(report, ["finance", "sport"])


@pytest.mark.parametrize("level", TLP_LEVELS)
def test_tlp_levels_in_any_case_with_or_without_prefix(level: str) -> None:
    assert tlp_level(level) == tlp_level(level.lower()) == tlp_level(level.removeprefix("TLP:")) == level


def test_scorecard_document_has_both_scores_and_every_addend() -> None:
    document = scorecard_document(sample.report())
    finance = document["ministries"][0]
    assert (finance["score"]["label"], finance["score"]["score"], finance["before"]["label"]) == ("D", 59.0, "B")
    rdp = next(one for one in finance["score"]["addends"] if one["control"] == "svc.mgmt.rdp")
    assert rdp == {
        "control": "svc.mgmt.rdp", "pillar": "services", "kind": "hazard", "weight": 10,
        "value": 0.4, "deduction": 21.0, "known": 2, "applicable": 2,
    }  # fmt: skip
    assert document["score"] is not None
    assert scorecard_document(narrow(sample.report(), ["finance"]))["score"] is None


def test_where_the_rules_have_changed_last_times_score_is_told_as_it_was_and_as_it_is() -> None:
    plain = sample.report()
    assert plain.state_before is not None
    card = Scorecard(
        plain.policy, sample.AT, tuple(one.before for one in plain.ministries if one.before), plain.state_before
    )
    report = sample.report(rescored=Rescored(card, {sample.FINANCE: 712}))
    rows = {row["ministry"]: row for row in scorecard_document(report)["ministries"]}
    assert rows[sample.FINANCE]["before_told"] == 71.2
    assert rows[sample.HEALTH]["before_told"] is None
    (finance,) = [one for one in report.ministries if one.code == sample.FINANCE]
    assert finance.before is not None
    now = f"{(finance.before.tenths or 0) / 10:.1f}"
    page = next(text for name, text in pages(report).items() if name.startswith("ministry-finance"))
    assert f"its score was 71.2, and is {now} under the new rules" in " ".join(page.split())
    assert f"its score was 71.2, and is {now} under the new rules" in scorecard_markdown(report)
    assert "under the new rules" not in scorecard_markdown(plain)


def test_what_is_accepted_for_a_time_is_not_to_do_first() -> None:
    row = open_row("a.x.test", "tls.cert.expiry")
    assert len(five_things([row], {})) == 1
    assert five_things([{**row, "exemption": "EX-1 until 2027-01-01: R"}], {}) == ()
