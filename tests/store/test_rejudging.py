"""A whole history judged again: beside the first judgement, as if it had been in force from the first run on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posture.checks import Case
from posture.facts import PortsFacts, TlsFacts
from posture.facts.service import PortAnswer
from posture.model import Answer, Observed, Reason, Verdict
from posture.policy import Policy, parse_policy
from posture.store import Question, Store
from posture.store.rejudging import Rejudged, rejudge
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


@settings(max_examples=150, deadline=None)
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


@settings(max_examples=100, deadline=None)
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
