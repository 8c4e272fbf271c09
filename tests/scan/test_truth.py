"""A scan of the practice range finds what is planted there, and nothing else; before and after it changes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from posture.plan import Selection
from posture.range import Planted
from posture.report import Row
from posture.scan import Ended
from tests.range.standing import standing_range
from tests.scan.wiring import ALL_BUT_TARPIT, TARPIT, Watch, scanned, state_of, terms_of
from tests.truth import CONSEQUENCES, PLANTED_CHANGE, changes, contradicted, unplanted

pytestmark = pytest.mark.xdist_group("truth of the range")


@dataclass(frozen=True)
class Scan:
    ended: Ended
    rows: list[Row]
    truth: list[Planted]
    watch: Watch


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[Scan]:
    """Before and after the planted change."""
    found = []
    with standing_range() as standing:
        inventory = standing.practice.write(tmp_path_factory.mktemp("truth"))
        for _ in range(2):
            terms, watch = terms_of(inventory, Selection(assets=ALL_BUT_TARPIT)), Watch()
            ended = scanned(terms, watch)
            truth = [planted for planted in standing.practice.truth() if planted.asset != TARPIT]
            found.append(Scan(ended, state_of(terms), truth, watch))
            standing.change()
    return found


DEEP = ("tls.early_data", "tls.reneg", "tls.vuln.ccs", "tls.vuln.heartbleed", "tls.vuln.robot")


@pytest.fixture(params=[0, 1], ids=["before", "after"])
def one(request: pytest.FixtureRequest, scans: list[Scan]) -> Scan:
    place: int = request.param
    return scans[place]


def test_everything_planted_is_found(one: Scan) -> None:
    assert contradicted(one.truth, one.rows) == []


def test_nothing_is_found_that_is_not_planted(one: Scan) -> None:
    assert unplanted(one.truth, one.rows) == CONSEQUENCES


def test_every_asset_that_speaks_is_seen_in_full_but_for_what_only_deep_scans_ask(one: Scan) -> None:
    unknown = {(row["control"], row["reason"]) for row in one.rows if row["outcome"] == "unknown"}
    assert unknown == {(control, "not_run") for control in DEEP}
    assert (one.ended.run["state"], one.ended.silent, one.ended.quarantine) == ("complete", (), "")
    assert one.watch.ends == 1


def test_the_run_alone_says_the_same_as_the_state_after_it(one: Scan) -> None:
    def keys(rows: list[Row]) -> set[tuple[str, ...]]:
        names = ("asset", "control", "subject", "outcome")
        return {tuple(row[name] for name in names) for row in rows}

    assert keys(list(one.ended.state_rows)) == keys(one.rows)
    assert keys(list(one.ended.rows)) <= keys(one.rows)


def test_the_drift_is_the_planted_change(scans: list[Scan]) -> None:
    first, second = scans

    assert first.ended.drift is None
    assert second.ended.drift is not None
    assert changes(second.ended.drift) == PLANTED_CHANGE


def test_only_what_changed_is_looked_at_twice(scans: list[Scan]) -> None:
    first, second = scans

    at_once, following = first.watch.asked
    assert {probe for _, probe, _ in following} == {"crl"}
    assert not {probe for _, probe, _ in at_once} & {"crl"}
    assert {(key.name, probe) for key, probe, _ in second.watch.asked[2]} == {
        ("portal.finance.gov.example", "ports"),
        ("records.health.gov.example", "ports"),
    }
