"""A whole history judged again: beside the first judgement, as if it had been in force from the first run on."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posture.checks import Case
from posture.errors import NothingToScan
from posture.facts import PortsFacts, TlsFacts
from posture.facts.service import PortAnswer
from posture.model import Answer, Observed, Reason, Verdict
from posture.policy import Policy, parse_policy
from posture.store import Question, Store
from posture.store.differing import differing
from posture.store.health import check
from posture.store.judgements import find_judgement, judgements
from posture.store.rejudging import Rejudged, rejudge, rejudged_until, runs_of
from posture.store.upkeep import prune
from tests.store import ADDRESS, CONTROLS, DAY, HTTPS, SITE, T0, World, absent, policy, silence, site, tls

Day = tuple[Mapping[Question, Answer], str, bool, int]  # answers, state, with selectors, strict policy

OTHER = site(1)
SECOND = "198.51.100.8:443"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "posture.db")


def _ageing(case: Case) -> Verdict:
    """ "good" is so for two days only; the rest as the first rule says."""
    name = case.need(TlsFacts).name
    late = T0 + 2 * DAY
    if name == "good":
        return Verdict("BAD" if case.at >= late else "GOOD", {}, good_until=None if case.at >= late else late)
    verdict: Verdict = CONTROLS["t.cert"].rule.judge(case)
    return verdict


AGEING = {**CONTROLS, "t.cert": replace(CONTROLS["t.cert"], rule=replace(CONTROLS["t.cert"].rule, judge=_ageing))}


def stricter_later(strict: int) -> Policy:
    """Dislikes "old" from the fifth day on, or from the first."""
    rows = [{"from": "2020-01-01", "value": strict}, {"from": "2026-11-05", "value": 1}]
    return parse_policy(json.dumps({**json.loads(policy(strict).body), "thresholds": {"t.strict": rows}}))


def twin(of: Policy) -> Policy:
    """Another policy that says the same."""
    return parse_policy(json.dumps({**json.loads(of.body), "name": "twin"}, sort_keys=True))


def again(world: World, under: Policy, **options: Any) -> Rejudged:
    with world.open() as store:
        return rejudge(store, under, "local", **options)


def told(store: Store, *, live: bool, judgement: int | None = None) -> list[tuple[Any, ...]]:
    """Intervals in short, of the runs' own judgements or of another."""
    rows = store.connection.execute(
        "SELECT asset_id, code, subject.value, from_run, to_run, outcome, severity, body.value FROM finding "
        "JOIN control ON control.id = control_id JOIN text_value AS subject ON subject.id = subject_id "
        "JOIN text_value AS body ON body.id = body_id WHERE live = ? AND ? IN (0, judgement_id) "
        "ORDER BY asset_id, code, subject.value, from_run",
        (live, judgement or 0),
    )
    return rows.fetchall()


def both(world: World, judgement: int) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    with world.open(write=False) as store:
        return told(store, live=True), told(store, live=False, judgement=judgement)


def ports(*numbers: int) -> Answer:
    return Observed(PortsFacts(ADDRESS, tuple(PortAnswer(number, "open") for number in numbers), True), T0)


def outcomes(world: World, judgement: int, control: str = "t.cert") -> list[tuple[int, int | None, int]]:
    with world.open(write=False) as store:
        return [(row[3], row[4], row[5]) for row in told(store, live=False, judgement=judgement) if row[1] == control]


# ---- as the folding of each run


ANSWERS = st.one_of(
    st.sampled_from([tls(name) for name in ("good", "old", "bad", "undecided")]),
    st.sampled_from([silence(), silence(Reason.RESET), absent()]),
)
PORTS = st.one_of(st.sampled_from([ports(443), ports(443, 23), ports(23, 3389)]), st.just(silence()))
QUESTIONS: tuple[Question, ...] = (
    (SITE, "tls", HTTPS),
    (SITE, "tls", SECOND),
    (SITE, "ports", ADDRESS),
    (OTHER.key, "tls", HTTPS),
)
ANSWERED = st.fixed_dictionaries(
    {}, optional={question: PORTS if question[1] == "ports" else ANSWERS for question in QUESTIONS}
).filter(bool)
STATES = st.sampled_from(["complete", "complete", "complete", "partial", "stopped", "quarantined"])
RUNS = st.lists(st.tuples(ANSWERED, STATES, st.booleans(), st.sampled_from([0, 0, 0, 1])), min_size=1, max_size=7)


def play(world: World, days: list[Day]) -> None:
    """As a scan does it. A run that did not end planned everything, and what it did not ask was stopped."""
    for answers, state, narrowed, strict in days:
        world.policy = stricter_later(strict)
        planned = {**dict.fromkeys(QUESTIONS, silence()), **answers} if state != "complete" else answers
        keys = {question[0] for question in planned}
        entries = [entry for entry in (site(), OTHER) if narrowed or entry.key in keys]
        terms = {"selectors": {"assets": sorted(key.name for key in keys)}} if narrowed else {}
        with world.open() as store:
            run = store.begin(world.start(planned, entries, **terms))
            at = run.run.started_at + timedelta(minutes=5)
            run.settle_all((question, replace(answer, at=at), "lc-2026-001") for question, answer in answers.items())
            end = run.run.started_at + timedelta(minutes=10)
            run.close(run.judged(end), state, end)
        world.day += 1


@settings(max_examples=80, deadline=None)
@given(RUNS)
def test_another_policy_that_says_the_same_tells_the_same(
    tmp_path_factory: pytest.TempPathFactory, days: list[Day]
) -> None:
    world = World(tmp_path_factory.mktemp("years") / "posture.db", controls=AGEING)
    play(world, [(*day[:3], 0) for day in days])
    done = again(world, twin(stricter_later(0)))
    live, other = both(world, done.judgement)
    assert other == live
    assert done.added == len(live)


@settings(max_examples=50, deadline=None)
@given(RUNS, st.data())
def test_in_pieces_as_at_once(
    tmp_path_factory: pytest.TempPathFactory,
    days: list[Day],
    data: st.DataObject,
) -> None:
    """Judged again while the history grows, whatever the runs were judged by, it is what one judging of all tells."""
    folder = tmp_path_factory.mktemp("years")
    at_once, in_pieces = World(folder / "one.db", controls=AGEING), World(folder / "two.db", controls=AGEING)
    play(at_once, days)
    cut = data.draw(st.integers(0, len(days)))
    play(in_pieces, days[:cut])
    again(in_pieces, stricter_later(1)) if cut else None
    play(in_pieces, days[cut:])
    first, second = again(at_once, stricter_later(1)), again(in_pieces, stricter_later(1))
    with at_once.open(write=False) as one, in_pieces.open(write=False) as two:
        assert told(one, live=False, judgement=first.judgement) == told(two, live=False, judgement=second.judgement)


# ---- what it leaves


def test_another_policy_adds_its_verdicts_and_changes_none(world: World) -> None:
    for name in ("old", "old", "fine"):
        world.scan({(SITE, "tls", HTTPS): tls(name)})
    with world.open(write=False) as store:
        before = told(store, live=True)
    done = again(world, policy(1))
    assert (done.runs, done.added, done.dropped) == (3, 3, 0)
    assert outcomes(world, done.judgement) == [(1, 3, 2), (3, None, 0)], "fail, then pass"
    with world.open(write=False) as store:
        assert told(store, live=True) == before


def test_a_second_time_adds_nothing(world: World) -> None:
    world.scan({(SITE, "tls", HTTPS): tls("old")})
    assert again(world, policy(1)).added == 2
    assert again(world, policy(1)).added == again(world, policy(1)).runs == 0


def test_a_longer_history_is_judged_from_where_it_stopped(world: World) -> None:
    world.scan({(SITE, "tls", HTTPS): tls("old")})
    again(world, policy(1))
    world.scan({(SITE, "tls", HTTPS): tls("fine")})
    done = again(world, policy(1))
    assert (done.runs, done.added) == (1, 1)
    assert outcomes(world, done.judgement) == [(1, 2, 2), (2, None, 0)]


def test_under_their_own_judgement_runs_are_not_told_twice(world: World) -> None:
    world.scan({(SITE, "tls", HTTPS): tls("old")})
    done = again(world, policy(0))
    assert (done.runs, done.added) == (0, 0)


def test_runs_of_this_very_judgement_end_what_was_told_beside_them(world: World) -> None:
    world.scan({(SITE, "tls", HTTPS): tls("old")})
    world.policy = policy(1)
    world.scan({(SITE, "tls", HTTPS): tls("old")})
    world.policy = policy(0)
    world.scan({(SITE, "tls", HTTPS): tls("old")})
    done = again(world, policy(1))
    assert outcomes(world, done.judgement) == [(1, 2, 2), (3, None, 2)]
    with world.open(write=False) as store:
        run = store.reader.runs()[0]
        known = store.reader.timelines(run, judgement=done.judgement)
        assert [str(spans[-1].finding.outcome) for key, spans in known.items() if key[1] == "t.cert"] == ["fail"]


def test_only_up_to_a_run(world: World) -> None:
    for name in ("old", "fine"):
        world.scan({(SITE, "tls", HTTPS): tls(name)})
    done = again(world, policy(1), until=1)
    assert outcomes(world, done.judgement) == [(1, None, 2)]
    again(world, policy(1))
    assert again(world, policy(1), until=1).runs == 0, "never back"
    assert outcomes(world, done.judgement) == [(1, 2, 2), (2, None, 0)]


def test_of_dropped_evidence_nothing_is_told(world: World) -> None:
    for name in "abc":
        world.scan({(SITE, "tls", HTTPS): tls(name), (OTHER.key, "tls", HTTPS): tls("x")})
    world.scan({(SITE, "tls", HTTPS): tls("d"), (OTHER.key, "tls", HTTPS): tls("x")})
    prune(world.path, timedelta(0), T0 + 30 * DAY)
    done = again(world, policy(1))
    assert done.dropped == 2
    assert [row[0] for row in outcomes(world, done.judgement)] == [3, 4, 1], "what is kept, and the other asset"


def test_each_asset_is_progress(world: World) -> None:
    world.scan({(SITE, "tls", HTTPS): tls("a"), (OTHER.key, "tls", HTTPS): tls("x")})
    seen: list[tuple[int, int]] = []
    again(world, policy(1), progress=lambda done, every: seen.append((done, every)))
    assert seen == [(1, 2), (2, 2)]


class Killed(BaseException):
    """As a SIGKILL in the middle, which nothing catches."""


def test_interrupted_in_the_middle_the_history_is_the_old_one(world: World) -> None:
    world.scan({(SITE, "tls", HTTPS): tls("old"), (OTHER.key, "tls", HTTPS): tls("old")})

    def die(done: int, _every: int) -> None:
        if done == 1:
            raise Killed

    with world.open() as store, pytest.raises(Killed):
        rejudge(store, policy(1), "local", progress=die)
    with world.open(write=False) as store:
        assert told(store, live=False) == []
        assert store.connection.execute("SELECT count(*) FROM judgement").fetchone() == (1,)
    assert again(world, policy(1)).added == 4


@pytest.mark.parametrize("place", ["first", "last"])
def test_killed_in_the_middle_the_history_is_the_old_one(world: World, place: str) -> None:
    """kill -9 while the transaction is open."""
    world.scan({(site(number).key, "tls", HTTPS): tls("old") for number in range(6)})
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from tests.store import World, policy; from posture.store.rejudging import rejudge\n"
        f"at = {{'first': 1, 'last': 6}}[{place!r}]\n"
        f"with World(Path({str(world.path)!r})).open() as store:\n"
        "    rejudge(store, policy(1), 'local', progress=lambda d, e: d == at and os.kill(os.getpid(), signal.SIGKILL))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == -signal.SIGKILL
    with world.open(write=False) as store:
        assert told(store, live=False) == []
    assert check(world.path).sound
    assert again(world, policy(1)).added == 12


def test_nothing_that_was_told_again_can_be_changed(world: World) -> None:
    world.scan({(SITE, "tls", HTTPS): tls("old")})
    again(world, policy(1))
    with world.open() as store:
        for change in (
            "DELETE FROM verdict WHERE track_id > 1",
            "UPDATE verdict SET said = 0 WHERE track_id > 1",
            "INSERT INTO verdict SELECT asset_id, control_id, subject_id, track_id, 0, 0, body_id, 0, 0 FROM verdict",
            "UPDATE rejudged SET until_run = 0",
            "DELETE FROM rejudged",
        ):
            with pytest.raises(sqlite3.IntegrityError), store.writing() as connection:
                connection.execute(change)


def test_one_writer(world: World) -> None:
    world.scan({(SITE, "tls", HTTPS): tls("old")})
    with world.open(), pytest.raises(NothingToScan, match="another scan holds"):
        again(world, policy(1))


def test_in_how_many_findings_each_run_differs(world: World) -> None:
    for name in ("old", "fine", "old"):
        world.scan({(SITE, "tls", HTTPS): tls(name), (OTHER.key, "tls", HTTPS): tls("old")})
    world.policy = policy(1)
    world.scan({(SITE, "tls", HTTPS): tls("old"), (OTHER.key, "tls", HTTPS): tls("old")})
    done = again(world, policy(1))
    with world.open(write=False) as store:
        runs = runs_of(store, "local")
        place = store.reader.texts.known("local")
        assert differing(store.connection, place, done.judgement, runs) == {1: 2, 2: 1, 3: 2, 4: 0}


def test_a_recorded_judgement_is_found_again(world: World) -> None:
    world.scan({(SITE, "tls", HTTPS): tls("old")})
    done = again(world, policy(1))
    with world.open(write=False) as store:
        assert find_judgement(store.connection, policy(1), CONTROLS) == done.judgement
        assert find_judgement(store.connection, policy(2), CONTROLS) == 0
        assert rejudged_until(store.connection, done.judgement, store.reader.texts.known("local")) == 1
        assert {one.policy.id for one in judgements(store.connection).values()} == {"t/0", "t/1"}
