from __future__ import annotations

import asyncio

import pytest

from posture.model import NotSeen, Reason
from posture.net.asset import AssetContext, Liveness, Stopwatch
from tests.net.warp import warped

SILENCE = NotSeen(Reason.TIMEOUT, "nothing came back")


def test_a_stopwatch_counts_overlapping_use_once_and_pauses_between() -> None:
    async def scenario() -> None:
        watch = Stopwatch(60.0)

        async def use(start: float, seconds: float) -> None:
            await asyncio.sleep(start)
            with watch.measured():
                await asyncio.sleep(seconds)

        await asyncio.gather(use(0.0, 10.0), use(5.0, 10.0), use(100.0, 1.0))
        assert watch.elapsed == pytest.approx(16.0)
        assert watch.remaining == pytest.approx(44.0)
        assert not watch.running

    warped(scenario())


def test_a_probe_has_its_share_of_the_clock_of_its_asset() -> None:
    async def scenario() -> None:
        asset = AssetContext(60.0)
        first, second = Stopwatch(30.0, asset.clock), Stopwatch(50.0, asset.clock)
        with first.measured():
            await asyncio.sleep(20.0)
        assert first.remaining == pytest.approx(10.0)
        assert second.remaining == pytest.approx(40.0)

    warped(scenario())


def test_a_deadline_says_whether_the_question_or_the_clock_ended_it() -> None:
    async def scenario() -> None:
        watch = Stopwatch(60.0)
        assert watch.deadline(5.0) == (5.0, Reason.TIMEOUT)
        assert watch.deadline(90.0) == (60.0, Reason.DEADLINE)

    warped(scenario())


def test_an_address_is_dead_after_two_silent_ports_and_alive_after_any_answer() -> None:
    address = Liveness()
    assert not address.dead_for_connect(443)
    address.refused(443, SILENCE)
    assert address.dead_for_connect(443)
    assert not address.dead_for_connect(80)
    address.refused(80, SILENCE)
    assert address.dead_for_connect(25)
    address.answered = True
    assert not address.dead_for_connect(25)


def test_a_port_that_lets_us_in_and_says_nothing_costs_one_time_out_unless_it_ever_spoke() -> None:
    address = Liveness(answered=True)
    address.ended(443, received=0, timed_out=True)
    assert address.dead_for_connect(443)
    assert not address.dead_for_connect(80)
    address.ended(443, received=7, timed_out=True)
    assert not address.dead_for_connect(443)
    address.ended(25, received=0, timed_out=False)
    assert not address.dead_for_connect(25)


def test_a_port_that_drips_costs_one_time_out_unless_it_ever_came_to_an_end() -> None:
    address = Liveness(answered=True)
    address.ended(25, received=7, timed_out=True)
    assert not address.dead_for_connect(25)
    address.ended(443, received=7, timed_out=True, brisk=True)
    assert address.dead_for_connect(443)
    assert not address.dead_for_connect(80)
    address.ended(443, received=700, timed_out=False)
    assert not address.dead_for_connect(443)


def test_a_port_that_lets_nobody_in_costs_two_time_outs_on_an_address_that_answers() -> None:
    address = Liveness(answered=True)
    address.refused(443, SILENCE)
    assert not address.dead_for_connect(443)
    address.refused(443, SILENCE)
    assert address.dead_for_connect(443)
    assert not address.dead_for_connect(80)
    # One that ever let somebody in is busy, not closed off.
    address.admitted(443)
    assert not address.dead_for_connect(443)


def test_where_nobody_has_been_yet_one_goes_first() -> None:
    async def scenario() -> None:
        address, going = Liveness(), 0

        async def goes(port: int) -> int:
            nonlocal going
            async with address.first_contact(port):
                going += 1
                most = going
                await asyncio.sleep(1)
                going -= 1
            return most

        assert tuple(await asyncio.gather(goes(443), goes(443), goes(80))) == (1, 1, 2)
        assert tuple(await asyncio.gather(goes(443), goes(443), goes(443))) == (1, 2, 3)
        # The others do not queue up behind each other.
        assert tuple(await asyncio.gather(goes(25), goes(25), goes(25), goes(25))) == (1, 1, 2, 3)

    warped(scenario())
