"""The report of a past time: its scores, policy, inventory and drift are those of that time."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from posture.checks import Declared
from posture.config import Config, load_config
from posture.errors import UsageError
from posture.explained import explained
from posture.inventory.records import Asset, Inventory, Ministry, Operator, State
from posture.model import Severity
from posture.report import MinistryReport, Report, scorecard_document
from posture.reporters import write_site
from posture.scan import report_of
from posture.store import AssetEntry, stamp
from tests.store import CONTROLS, DAY, HTTPS, SITE, T0, World, policy, tls

# The history's own rules under the names of shipped controls, so that what they say is scored.
SHIPPED = {
    name: replace(CONTROLS["t.cert"], id=name, severity=severity)
    for name, severity in (("tls.cert.expiry", Severity.HIGH), ("tls.cert.trust", Severity.CRITICAL))
}
TODAY = Inventory(
    path=Path("inventory.toml"),
    state=State("LC", "Saint Lucia", "America/St_Lucia"),
    operator=Operator("CERT-LC", "soc@cert.example"),
    authorisations={},
    ministries=(Ministry("health", "Ministry of Health", ()),),
    assets=(Asset(SITE.name, SITE.kind, "health"),),
)


@dataclass
class Past:
    """A year of one site, a run every ten days."""

    world: World
    config: Config
    runs: int = 0

    def says(self, name: str, ministry: str = "finance", criticality: int = 2, **terms: Any) -> datetime:
        """One run; when it ended."""
        entry = AssetEntry(ministry, Declared(SITE.name, SITE.kind, criticality=criticality))
        start = T0 - 300 * DAY + self.runs * 10 * DAY
        self.runs += 1
        titles = {"finance": "Ministry of Finance", "health": "Ministry of Health"}
        terms = {"ministries": titles, "started_at": start, **terms}
        return self.world.scan({(SITE, "tls", HTTPS): tls(name)}, [entry], **terms).run.end

    def report(self, at: datetime | str | None = None, inventory: Inventory | None = None, **choice: Any) -> Report:
        when = stamp(at) if isinstance(at, datetime) else at
        return report_of(self.config, inventory, at=when, **choice)


@pytest.fixture
def past(tmp_path: Path) -> Past:
    world = World(tmp_path / "posture.db", policy(controls=tuple(SHIPPED)), SHIPPED)
    config = load_config(config=None, inventory=None, environ={"POSTURE_DB": str(world.path)}, cwd=tmp_path)
    return Past(world, replace(config, db=world.path))


def tenths(report: Report) -> int:
    assert report.state_score is not None
    assert report.state_score.tenths is not None
    return report.state_score.tenths


def only(report: Report) -> MinistryReport:
    (found,) = report.ministries
    return found


def test_scores_are_those_of_the_time(past: Past) -> None:
    good, bad, _ = past.says("good"), past.says("bad"), past.says("good")

    assert (tenths(past.report(good)), tenths(past.report(bad)), tenths(past.report())) == (1000, 0, 1000)
    assert {row["outcome"] for row in past.report(bad).findings} == {"fail"}
    assert past.report(bad).run["ended_at"] == stamp(bad)
    assert explained(past.report(good), "finance")["score"] == 100.0


def test_drift_and_the_score_before_are_those_of_the_time(past: Past) -> None:
    good, bad, _ = past.says("good"), past.says("bad"), past.says("good")
    first, second = past.report(good), past.report(bad)

    assert (first.drift, first.state_before) == (None, None)
    assert second.drift is not None
    assert {row["kind"] for row in second.events} == {"new"}
    assert second.state_before is not None
    assert second.state_before.tenths == 1000
    assert {row["kind"] for row in past.report().events} == {"fixed"}


def test_the_policy_is_that_of_the_time(past: Past) -> None:
    lenient = past.says("old")
    past.world.policy = policy(strict=1, controls=tuple(SHIPPED))
    past.says("old")

    assert (past.report(lenient).policy, tenths(past.report(lenient))) == ("t/0", 1000)
    assert (past.report().policy, tenths(past.report())) == ("t/1", 0)


def test_ministries_and_criticality_are_those_of_the_time_also_beside_todays_inventory(past: Past) -> None:
    then = past.says("good", criticality=3)
    past.says("good", "health")
    report = past.report(then, TODAY)

    assert (only(report).code, only(report).name) == ("finance", "Ministry of Finance")
    assert report.criticality == {SITE: 3}
    assert (report.state_name, report.operator) == ("Saint Lucia", "CERT-LC")
    assert only(past.report(None, TODAY)).code == "health"
    assert past.report(then, replace(TODAY, state=replace(TODAY.state, code="GD"))).state_name == "LC"


def test_deadlines_count_to_the_time(past: Past) -> None:
    found = past.says("bad")

    def caps(at: datetime | None) -> list[str]:
        score = past.report(at).state_score
        assert score is not None
        return [cap.rule for cap in score.caps]

    assert caps(found + 5 * DAY) == ["critical", "high"]
    assert caps(found + 40 * DAY) == ["overdue", "critical", "high"]
    assert caps(None) == ["overdue", "critical", "high"]


def test_no_time_lies_ahead_of_the_present(past: Past) -> None:
    past.says("good")
    report = past.report("2199-01-01")

    assert report.as_of is not None
    assert report.as_of <= report.at <= datetime.now(UTC)


def test_a_date_means_its_end_in_the_states_time_zone(past: Past) -> None:
    ended = past.says("good")
    day = ended.date()
    report = past.report(day.isoformat())

    assert report.as_of == datetime(day.year, day.month, day.day, 3, 59, 59, 999999, UTC) + DAY


def test_the_comparison_stays_at_the_vantage_that_is_shown(past: Past) -> None:
    past.says("good")
    past.says("bad")
    past.says("good", vantage="outside")
    report = past.report()

    assert report.run["vantage"] == "outside"
    assert (report.drift, report.state_before) == (None, None), "the two runs from elsewhere are no comparison"


def test_a_time_before_the_first_run_and_a_run_beside_a_time_are_refused(past: Past) -> None:
    ended = past.says("good")

    with pytest.raises(UsageError, match="no run had ended by"):
        past.report(ended - DAY)
    with pytest.raises(UsageError, match="--run and --at"):
        past.report(ended, run="latest")


def test_every_page_of_a_look_back_says_so(past: Past, tmp_path: Path) -> None:
    then = past.says("bad")
    past.says("good")
    back, today = past.report(then), past.report()
    write_site(back, tmp_path / "then")
    write_site(today, tmp_path / "now")
    pages = [page.read_text("utf-8") for page in (tmp_path / "then").rglob("*.html")]

    assert pages
    assert all("a look back, not the state of today" in page for page in pages)
    assert all("a look back" not in page.read_text("utf-8") for page in (tmp_path / "now").rglob("*.html"))
    assert f"As it was known on {then:%Y-%m-%d %H:%M} UTC." in write_site(back, tmp_path, format="md").read_text(
        "utf-8"
    )
    assert scorecard_document(back)["as_of"] == stamp(then)
    assert scorecard_document(today)["as_of"] is None
    assert json.loads(write_site(back, tmp_path, format="json").read_text("utf-8"))["as_of"] == stamp(then)


def test_the_score_before_is_that_of_the_run_compared_with_also_within_one_second(past: Past) -> None:
    start = T0 - 300 * DAY
    past.says("good", started_at=start)
    past.says("bad", started_at=start)
    report = past.report()

    assert report.state_before is not None
    assert (report.state_before.tenths, tenths(report)) == (1000, 0)
