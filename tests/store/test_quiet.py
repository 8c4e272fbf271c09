"""A control that nobody answers any more is an alarm about the control, once, and no news of a ministry."""

from __future__ import annotations

from pathlib import Path

import pytest

from posture.history import runs
from posture.model import Answer, Reason
from posture.store import Question
from posture.store.quiet import silent_controls
from tests.store import ADDRESS, HTTPS, SITE, World, policy, silence, site, tls

OTHER = site(1).key
PORTS = (SITE, "ports", ADDRESS)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "posture.db", policy=policy(controls=("t.cert",)))


def both(first: Answer, second: Answer) -> dict[Question, Answer]:
    return {(SITE, "tls", HTTPS): first, (OTHER, "tls", HTTPS): second}


def alarms(world: World, least: int = 3) -> list[tuple[str, int, int]]:
    with world.open(write=False) as store:
        found = silent_controls(store.reader, store.reader.runs()[0], least, store.shipped)
    return [(one.control, one.runs, one.assets) for one in found]


def test_three_runs_of_silence_everywhere_are_an_alarm(world: World) -> None:
    first = world.scan(both(tls("good"), tls("good")))
    for _ in range(2):
        world.scan(both(silence(), silence()))
    assert alarms(world) == []
    world.scan(both(silence(), silence()))
    assert alarms(world) == [("t.cert", 3, 2)]
    with world.open(write=False) as store:
        (alarm,) = runs(store)["silent_controls"]
        since = store.reader.runs()[2]
    assert (alarm["control"], alarm["runs"], alarm["since"]) == ("t.cert", 3, since.id)
    assert "Look at the probe and our line, not at the ministries." in alarm["message"]
    assert since.number == first.run.number + 1


def test_one_answer_anywhere_ends_it(world: World) -> None:
    world.scan(both(tls("good"), tls("good")))
    for _ in range(3):
        world.scan(both(silence(), silence()))
    world.scan(both(silence(), tls("bad")))
    assert alarms(world) == []


def test_what_was_never_answered_has_not_gone_silent(world: World) -> None:
    for _ in range(4):
        world.scan(both(silence(), silence()))
    assert alarms(world) == []


def test_how_many_runs_is_the_operators_to_say(world: World) -> None:
    world.scan(both(tls("good"), tls("good")))
    for _ in range(2):
        world.scan(both(silence(), silence()))
    assert alarms(world, 2) == [("t.cert", 2, 2)]
    assert alarms(world, 4) == []


def test_a_look_at_one_asset_does_not_count(world: World) -> None:
    world.scan(both(tls("good"), tls("good")))
    for _ in range(3):
        world.scan({(SITE, "tls", HTTPS): silence()}, (site(), site(1)), selectors={"assets": [SITE.name]})
    assert alarms(world) == []


def test_what_the_profile_leaves_out_has_not_gone_silent(world: World) -> None:
    world.scan(both(tls("good"), tls("good")))
    for _ in range(3):
        world.scan(both(silence(Reason.NOT_RUN), silence(Reason.NOT_RUN)))
    assert alarms(world) == []
    world.scan(both(silence(Reason.NOT_RUN), silence()))
    assert alarms(world) == [("t.cert", 4, 2)]
