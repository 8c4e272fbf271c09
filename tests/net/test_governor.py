from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from posture.errors import StoreError
from posture.inventory.records import Limits
from posture.model import NotSeen, Reason
from posture.net.governor import Governor, Traffic, effective, prefix
from tests.net.remembering import Ledger
from tests.net.warp import now, warped

A, B = "198.51.100.7", "198.51.100.8"
DEFAULTS = Limits()


async def _brief(
    governor: Governor,
    address: str = A,
    port: int = 443,
    *,
    traffic: Traffic = Traffic.CONNECTION,
    limits: Limits = DEFAULTS,
    lab: bool = False,
    patience: float = 10_000.0,
    hold: float = 0.0,
) -> float:
    """Takes a lease, holds it, gives it back; when it was given."""
    lease = await governor.admit(traffic, address, port, limits, lab=lab, patience=patience)
    at = now()
    await asyncio.sleep(hold)
    lease.release()
    return at


def test_an_address_gets_a_burst_of_twenty_and_then_ten_a_second() -> None:
    async def scenario() -> list[float]:
        governor = Governor()
        return [await _brief(governor) for _ in range(40)]

    times = warped(scenario())
    assert times[:20] == [0.0] * 20
    assert times[20:] == pytest.approx([0.1 * step for step in range(1, 21)])


def test_an_address_has_at_most_two_connections_at_once_and_the_third_waits() -> None:
    async def scenario() -> list[float]:
        governor = Governor()
        return await asyncio.gather(*(_brief(governor, hold=5.0) for _ in range(5)))

    assert warped(scenario()) == pytest.approx([0.0, 0.0, 5.0, 5.0, 10.0])


def test_a_sweep_has_twenty_pending_and_fifty_a_second_of_its_own() -> None:
    async def scenario() -> list[float]:
        governor = Governor()
        sweeps = [_brief(governor, port=port, traffic=Traffic.SWEEP, hold=1.0) for port in range(1000, 1040)]
        times = await asyncio.gather(*sweeps)
        assert await _brief(governor) == now()  # connections have tokens of their own
        return times

    times = warped(scenario())
    assert times[19] == 0.0
    assert times[20] == pytest.approx(1.0)


def test_a_prefix_shares_two_hundred_and_then_a_hundred_a_second() -> None:
    async def scenario() -> tuple[list[float], float]:
        governor = Governor()
        times = await asyncio.gather(*(_brief(governor, f"198.51.100.{last}") for last in range(1, 251)))
        return sorted(times), await _brief(governor, "203.0.113.1") - now()

    times, elsewhere = warped(scenario())
    assert times[199] == 0.0
    assert times[249] == pytest.approx(0.5)
    assert elsewhere == 0.0


def test_a_slow_address_does_not_hold_up_its_prefix() -> None:
    async def scenario() -> float:
        governor = Governor()
        busy = [asyncio.create_task(_brief(governor, A)) for _ in range(60)]
        await asyncio.sleep(1.0)
        before = now()
        waited = await _brief(governor, B) - before
        await asyncio.gather(*busy)
        return waited

    assert warped(scenario()) == pytest.approx(0.0, abs=0.02)


def test_datagrams_go_twenty_a_second_after_a_burst_of_forty() -> None:
    async def scenario() -> list[float]:
        governor = Governor()
        return await asyncio.gather(*(_brief(governor, port=53, traffic=Traffic.DATAGRAM) for _ in range(60)))

    times = warped(scenario())
    assert times[39] == 0.0
    assert times[59] == pytest.approx(1.0)


def test_the_first_to_come_is_the_first_to_be_served() -> None:
    async def scenario() -> list[int]:
        governor = Governor()
        served: list[int] = []

        async def one(number: int) -> None:
            await _brief(governor, hold=1.0)
            served.append(number)

        await asyncio.gather(*(one(number) for number in range(30)))
        return served

    assert warped(scenario()) == list(range(30))


def test_all_connections_together_are_limited() -> None:
    async def scenario() -> list[float]:
        governor = Governor()
        few = Limits(connections=3)
        return await asyncio.gather(*(_brief(governor, f"198.51.{part}.1", limits=few, hold=2.0) for part in range(7)))

    assert sorted(warped(scenario())) == pytest.approx([0.0] * 3 + [2.0] * 3 + [4.0])


def test_patience_ends_the_wait_and_leaves_nothing_held() -> None:
    async def scenario() -> None:
        governor = Governor()
        holders = [asyncio.create_task(_brief(governor, hold=100.0)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(NotSeen) as caught:
            await _brief(governor, patience=30.0)
        assert (caught.value.reason, caught.value.code) == (Reason.RATE_LIMITED, "E-SCOPE-030")
        assert "2 connections at once" in caught.value.detail
        assert now() == pytest.approx(30.0)
        await asyncio.gather(*holders)
        assert governor.open == 0
        assert await _brief(governor) == now()

    warped(scenario())


def test_who_gives_up_in_the_last_queue_gives_back_what_was_held_from_the_first() -> None:
    async def scenario() -> None:
        governor = Governor()
        one = replace(DEFAULTS, connections=1, connections_per_address=1)
        holder = asyncio.create_task(_brief(governor, A, limits=one, hold=50.0))
        await asyncio.sleep(0)
        with pytest.raises(NotSeen):
            await _brief(governor, B, limits=one, patience=10.0)
        await holder
        assert await _brief(governor, B, limits=one, patience=10.0) == pytest.approx(50.0)

    warped(scenario())


def test_who_gives_up_waiting_leaves_the_line() -> None:
    async def scenario() -> None:
        governor = Governor()
        first = [asyncio.create_task(_brief(governor, hold=5.0)) for _ in range(2)]
        quitter = asyncio.create_task(_brief(governor))
        last = asyncio.create_task(_brief(governor))
        await asyncio.sleep(1.0)
        quitter.cancel()
        await asyncio.gather(*first)
        assert await last == pytest.approx(5.0)
        assert governor.open == 0

    warped(scenario())


def test_only_a_lab_may_raise_a_limit_and_anybody_may_lower_it() -> None:
    asked = replace(DEFAULTS, connections_per_address=1, new_connections_per_second=500)
    assert effective(asked, lab=False) == replace(DEFAULTS, connections_per_address=1)
    assert effective(asked, lab=True) == asked

    async def scenario(*, lab: bool) -> float:
        governor = Governor()
        eager = replace(DEFAULTS, new_connections_per_second=500, new_connections_burst=500)
        return [await _brief(governor, limits=eager, lab=lab) for _ in range(40)][-1]

    assert warped(scenario(lab=False)) == pytest.approx(2.0)
    assert warped(scenario(lab=True)) == 0.0


def test_of_two_limits_at_one_address_the_lower_holds() -> None:
    async def scenario() -> list[float]:
        governor = Governor()
        modest = replace(DEFAULTS, connections_per_address=1)
        await _brief(governor, limits=modest)
        return await asyncio.gather(*(_brief(governor, hold=1.0) for _ in range(3)))

    assert warped(scenario()) == pytest.approx([0.0, 1.0, 2.0])


def test_a_mail_exchanger_gets_six_connections_a_minute_and_twenty_an_hour() -> None:
    async def scenario() -> list[float]:
        governor = Governor(wall=now)
        return [await _brief(governor, port=25) for _ in range(22)]

    times = warped(scenario())
    assert times[5] == 0.0
    assert times[6] == pytest.approx(60.0)
    assert times[19] == pytest.approx(180.0)
    assert times[20] == pytest.approx(3600.0)


def test_a_mail_exchanger_that_had_its_share_is_given_up_at_once() -> None:
    async def scenario() -> None:
        governor = Governor(wall=now)
        for _ in range(6):
            await _brief(governor, port=25)
        with pytest.raises(NotSeen) as caught:
            await _brief(governor, port=25, patience=59.0)
        assert (caught.value.reason, caught.value.code) == (Reason.RATE_LIMITED, "E-SCOPE-030")
        assert caught.value.detail.endswith("Scan again in 1 min.")
        assert now() == 0.0

    warped(scenario())


def test_smtp_connections_are_remembered_by_the_ledger() -> None:
    async def scenario() -> float:
        ledger = Ledger()
        for _ in range(6):
            await _brief(Governor(wall=now, ledger=ledger), port=25)
        return await _brief(Governor(wall=now, ledger=ledger), port=25)

    assert warped(scenario()) == pytest.approx(60.0)


def test_a_sweep_goes_on_at_the_pace_at_which_another_process_left_it() -> None:
    async def scenario() -> list[float]:
        ledger = Ledger()
        for _ in range(20):
            await _brief(Governor(wall=now, ledger=ledger), port=80, traffic=Traffic.SWEEP)
        after = Governor(wall=now, ledger=ledger)
        return [await _brief(after, port=80, traffic=Traffic.SWEEP) for _ in range(40)]

    times = warped(scenario())
    assert times[0] == pytest.approx(0.4), "twenty at fifty a second"
    assert times[29] < 1.0 <= times[30], "fifty in the first second, those of the other process included"


def test_a_sweep_of_a_port_of_mail_counts_among_its_connections() -> None:
    async def scenario() -> float:
        governor = Governor(wall=now)
        for port in (25, 465, 587):
            await _brief(governor, port=port, traffic=Traffic.SWEEP)
        for _ in range(3):
            await _brief(governor, port=25)
        return await _brief(governor, port=25)

    assert warped(scenario()) == pytest.approx(60.0)


@pytest.mark.parametrize("jump", [-86_400.0, -30.0, 86_400.0])
def test_setting_the_clock_during_a_run_opens_no_gate(jump: float) -> None:
    async def scenario() -> float:
        set_by = 0.0
        governor = Governor(wall=lambda: 1e9 + now() + set_by, ledger=Ledger())
        for _ in range(6):
            await _brief(governor, port=25)
        set_by = jump
        return await _brief(governor, port=25)

    assert warped(scenario()) == pytest.approx(60.0)


@pytest.mark.parametrize("back", [0.0, 30.0, 86_400.0])
def test_a_clock_that_was_set_back_between_two_runs_opens_no_gate(back: float) -> None:
    async def scenario() -> float:
        ledger = Ledger()
        for _ in range(6):
            await _brief(Governor(wall=lambda: 1e9 + now(), ledger=ledger), port=25)
        return await _brief(Governor(wall=lambda: 1e9 + now() - back, ledger=ledger), port=25)

    assert warped(scenario()) == pytest.approx(60.0)


def test_a_clock_set_back_during_a_run_is_not_believed_by_the_ledger() -> None:
    async def scenario() -> list[float]:
        set_by, ledger = 0.0, Ledger()
        governor = Governor(wall=lambda: 1e9 + now() + set_by, ledger=ledger)
        set_by = -3000.0
        await _brief(governor, port=25)
        return [at - 1e9 for _, _, at in ledger.rows]

    assert warped(scenario()) == [pytest.approx(0.0)]


def test_nothing_is_admitted_that_cannot_be_remembered() -> None:
    class Full(Ledger):
        def record(self, kind: str, address: str, at: float) -> None:
            raise StoreError("the disk is full. Free some space.")

    async def scenario() -> None:
        governor = Governor(wall=now, ledger=Full())
        for traffic in (Traffic.CONNECTION, Traffic.SWEEP):
            with pytest.raises(StoreError):
                await _brief(governor, port=25, traffic=traffic)
        assert governor.open == 0

    warped(scenario())


def test_a_mail_connection_that_waits_for_a_slot_counts_when_it_is_made() -> None:
    async def scenario() -> list[float]:
        governor = Governor(wall=now)
        return sorted(await asyncio.gather(*(_brief(governor, port=25, hold=50.0) for _ in range(8))))

    times = warped(scenario())
    assert times == pytest.approx([0.0, 0.0, 50.0, 50.0, 100.0, 100.0, 150.0, 150.0])


def test_waiting_for_smtp_does_not_hold_up_the_web_server_beside_it() -> None:
    async def scenario() -> float:
        governor = Governor(wall=now)
        mail = [asyncio.create_task(_brief(governor, port=25)) for _ in range(12)]
        await asyncio.sleep(1.0)
        waited = await _brief(governor, port=443) - now()
        await asyncio.gather(*mail)
        return waited

    assert warped(scenario()) == 0.0


@pytest.mark.parametrize(
    ("address", "expected"),
    [("198.51.100.7", "198.51.100.0/24"), ("2001:db8:40:1ff::1", "2001:db8:40:100::/56")],
)
def test_prefixes_are_24_and_56_bits(address: str, expected: str) -> None:
    assert prefix(address) == expected
