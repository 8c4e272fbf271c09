"""What the kill switch kept from being asked is no evidence: nothing is closed, fixed or lost for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from posture.model import Outcome, Reason
from tests.store import HTTPS, World, policy, said, silence, site, tls
from tests.store.test_fold import cert, known, ports

STOPPED = silence(Reason.STOPPED, "E-SCOPE-040")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "posture.db", policy(controls=("t.cert", "t.port")))


@pytest.mark.parametrize("subject", [HTTPS, ""], ids=["under way", "before it began"])
def test_a_stopped_asset_stays_as_it_was_known(world: World, subject: str) -> None:
    world.scan(cert(tls("bad")) | ports(23))
    before = known(world)
    # The sweep is not even mentioned: planning got no further.
    stopped = world.scan(cert(STOPPED, subject))
    after = world.scan(cert(tls("bad")) | ports(23))

    assert known(world, stopped.run) == known(world) == before
    assert before["t.cert", HTTPS] is Outcome.FAIL
    assert (said(stopped), said(after)) == ([], [])


def test_many_that_were_stopped_do_not_make_the_run_suspect(world: World) -> None:
    sites = [site(number).key for number in range(20)]
    world.scan({(key, "tls", HTTPS): tls("good") for key in sites})
    half = {(key, "tls", HTTPS): STOPPED if n % 2 else tls("good") for n, key in enumerate(sites)}
    stopped = world.scan(half)
    silent = {question: silence() if answer is STOPPED else answer for question, answer in half.items()}
    world.scan({question: tls("good") for question in half})

    assert not stopped.suspect
    assert world.scan(silent).suspect  # their own silence does


def test_a_change_of_what_was_not_stopped_is_seen(world: World) -> None:
    other = site(1).key
    world.scan(cert(tls("good")) | cert(tls("good"), asset=other))
    closed = world.scan(cert(STOPPED) | cert(tls("bad"), asset=other))

    assert [(event.kind, event.finding.asset) for event in closed.events if event.kind != "persisting"] == [
        ("new", other)
    ]
