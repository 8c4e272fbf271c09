"""A run's score under other rules: only the rules differ, whatever was silent, has grown old or is no longer kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from posture import history
from posture.checks import Case
from posture.facts import TlsFacts
from posture.model import AssetKey, Outcome, Reason, Verdict
from posture.rescoring import recorded_scores, score_under, standings_of
from posture.scorecard import Score, ScoredAsset, Standing, scorecard
from posture.store import RunRecord, ScoreRow, Store
from posture.store.under import known_under
from posture.store.upkeep import prune
from tests.store import CONTROLS, DAY, HTTPS, SITE, T0, World, policy, silence, site, tls

OTHER = site(1, "health")
HERE, ALSO, THERE = (SITE, "tls", HTTPS), (SITE, "tls", "198.51.100.8:443"), (OTHER.key, "tls", HTTPS)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "posture.db")


def told(store: Store, run: RunRecord) -> Score:
    """The State's score as the run was told it."""
    rows = history.state_after(store, run)["findings"]
    entries = store.reader.entries(run.number).items()
    assets = [ScoredAsset(asset, entry.ministry) for asset, entry in entries]
    return scorecard(map(Standing.of, rows), assets, store.reader.policy(run), store.shipped, at=run.end).state


def short(score: Score) -> tuple[object, ...]:
    """All of a score but when exactly each answer came."""
    caps = [(cap.rule, [(one.asset, one.control, one.subject) for one in cap.findings]) for cap in score.caps]
    return score.tenths, score.low, score.high, score.coverage, score.grade, score.addends, caps


def now(store: Store) -> RunRecord:
    return store.reader.runs()[0]


def test_under_its_own_judgement_a_run_scores_as_it_did(world: World) -> None:
    world.scan({HERE: tls("bad"), ALSO: tls("fine"), THERE: tls("x")})
    world.scan({HERE: silence(), ALSO: silence(), THERE: tls("bad")})
    world.scan({HERE: tls("undecided"), ALSO: tls("new"), THERE: tls("y")})
    world.scan({THERE: silence()}, (site(), OTHER), selectors={"assets": [OTHER.key.name]})
    with world.open(write=False) as store:
        for run in store.reader.runs():
            assert short(score_under(store, run).state) == short(told(store, run))


def test_only_the_stricter_policy_lowers_it(world: World) -> None:
    world.scan({HERE: tls("old"), THERE: tls("fine")}, (site(), OTHER))
    with world.open(write=False) as store:
        before, after = score_under(store, now(store)), score_under(store, now(store), policy(strict=1))
    assert (before.ministry("finance").tenths, before.ministry("health").tenths) == (1000, 1000)
    assert (after.ministry("finance").tenths, after.ministry("health").tenths) == (500, 1000)
    assert after.policy == "t/1"


def test_what_only_the_new_rules_find_has_no_deadline_behind_it(world: World) -> None:
    """A rule of today does not make a ministry late for what it was never told."""
    world.scan({HERE: tls("old")})
    for _ in range(3):
        world.scan({HERE: tls("old")})
    with world.open(write=False) as store:
        run = now(store)
        found = [*standings_of(store, run, known_under(store.reader, run, policy(strict=1), store.shipped))]
    assert [one.first_seen for one in found if one.outcome is Outcome.FAIL] == [None]


def test_what_was_open_already_keeps_its_date(world: World) -> None:
    world.scan({HERE: tls("bad")})
    world.scan({HERE: tls("bad")})
    with world.open(write=False) as store:
        run = now(store)
        found = [*standings_of(store, run, known_under(store.reader, run, policy(strict=1), store.shipped))]
    assert [one.first_seen for one in found if one.outcome is Outcome.FAIL] == [T0]


def ageing() -> Mapping[str, object]:
    """A rule by which an answer is bad from the second day on."""

    def judge(case: Case) -> Verdict:
        name = case.need(TlsFacts).name
        late = case.at >= T0 + DAY
        return Verdict("BAD" if late else "GOOD", {"name": name}, good_until=None if late else T0 + DAY)

    control = CONTROLS["t.cert"]
    return {**CONTROLS, "t.cert": replace(control, rule=replace(control.rule, judge=judge))}


def test_an_asset_that_fell_silent_is_not_judged_older_than_its_last_answer(tmp_path: Path) -> None:
    world = World(tmp_path / "posture.db", controls=ageing())  # type: ignore[arg-type]
    both = {HERE: tls("a"), THERE: tls("b")}
    world.scan(both)
    world.scan({**both, HERE: silence()})
    with world.open(write=False) as store:
        under = known_under(store.reader, now(store), policy(strict=1), store.shipped)
        outcomes = {key[0]: one.outcome for key, one in under.known.items() if key[1] == "t.cert"}
        assert outcomes == {SITE: Outcome.PASS, OTHER.key: Outcome.FAIL}
        assert [key for key in under.silent if key[1] == "t.cert"] == [(SITE, "t.cert", HTTPS)]
        assert short(score_under(store, now(store)).state) == short(told(store, now(store)))


def test_dropped_evidence_is_unknown_and_counted(world: World) -> None:
    world.scan({HERE: tls("a"), THERE: tls("x")})
    for name in "bcd":
        world.scan({HERE: tls(name), THERE: tls("x")})
    prune(world.path, timedelta(0), T0 + 30 * DAY)
    with world.open(write=False) as store:
        first = store.reader.runs()[-1]
        under = known_under(store.reader, first, policy(strict=1), store.shipped)
    assert under.dropped == 1
    assert under.unknown[SITE, "t.cert", HTTPS].reason is Reason.NOT_RECORDED
    assert under.known[OTHER.key, "t.cert", HTTPS].outcome is Outcome.PASS


def test_only_some_assets(world: World) -> None:
    world.scan({HERE: tls("a"), THERE: tls("x")})
    with world.open(write=False) as store:
        under = known_under(store.reader, now(store), policy(), store.shipped, assets=[AssetKey(*_pair(SITE))])
    assert {key[0] for key in under.known} == {SITE}


def _pair(asset: AssetKey) -> tuple[str, str]:
    return asset.name, asset.kind


def _as_told(scores: Mapping[str, ScoreRow], _run: RunRecord) -> Mapping[str, ScoreRow]:
    return scores


def test_the_scores_that_a_run_was_told(world: World) -> None:
    row = ScoreRow(712, 700, 720, 990, "C")
    answers = {HERE: tls("a")}
    with world.open() as store:
        for scores in (dict[str, ScoreRow](), {"finance": row}):
            run = store.begin(world.start(answers))
            run.settle_all((question, answer, None) for question, answer in answers.items())
            at = T0 + timedelta(minutes=5)
            run.close(run.judged(at), "complete", at, scores=partial(_as_told, scores))
        last, first = store.reader.runs()
        assert recorded_scores(store, first) == {}
        assert recorded_scores(store, last) == {"finance": row}
