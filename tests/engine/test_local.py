from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, ClassVar

import pytest

from posture.engine.local import arrange, run
from posture.errors import StoreError
from posture.facts import Facts
from posture.inventory.records import Limits
from posture.model import Absent, AbsentCause, Answer, NotSeen, NotThere, Observed, ProbeClass, Reason, Unobserved
from posture.net.broker import Broker
from posture.probes.base import Door, Parts, Probe
from posture.stop import Orders
from posture.task import Task
from tests.lab import free_port
from tests.net import desk, servers
from tests.net.warp import now, warped


@dataclass(frozen=True, slots=True)
class Banner(Facts):
    TYPE: ClassVar[str] = "test"

    text: str


Observe = Callable[[Task, Door], Awaitable[Facts]]


async def read_banner(task: Task, door: Door) -> Facts:
    assert task.port is not None
    async with await door.connect(task.addresses[0], task.port) as stream:
        return Banner((await stream.read()).decode("latin-1"))


def probe(observe: Observe = read_banner, deadline: float = 30.0) -> dict[str, Probe]:
    return {"test": Probe("test", Banner, ProbeClass.CLIENT, observe, deadline)}


async def collect(
    tasks: Sequence[Task], probes: dict[str, Probe] | None = None, broker: Broker | None = None, **options: Any
) -> list[tuple[Task, Answer]]:
    return [pair async for pair in run(tasks, probes or probe(), broker or desk.broker(), **options)]


def answers(pairs: list[tuple[Task, Answer]]) -> dict[str, Answer]:
    return {task.asset: answer for task, answer in pairs}


def reasons(pairs: list[tuple[Task, Answer]]) -> Counter[str]:
    return Counter(answer.reason if isinstance(answer, Unobserved) else type(answer).__name__ for _, answer in pairs)


def test_what_the_wire_says_becomes_the_answer() -> None:
    async def scenario(silent: int) -> None:
        async with (
            servers.tcp_server(servers.saying(b"220 ready", ask=False)) as good,
            servers.tcp_server(servers.silent) as tarpit,
            servers.tcp_server(servers.saying(b"", ask=False, then=servers.reset)) as resetting,
        ):
            ports = {
                "good": good.port,
                "closed": free_port(),
                "tarpit": tarpit.port,
                "dead": silent,
                "reset": resetting.port,
            }

            async def speak_first(task: Task, door: Door) -> Facts:
                assert task.port is not None
                async with await door.connect("127.0.0.1", task.port) as stream:
                    await stream.write(b"x")
                    return Banner((await stream.read()).decode())

            tasks = [desk.task(asset=name, port=port) for name, port in ports.items()]
            found = answers(await collect(tasks, probe(speak_first)))
        assert found["good"] == Observed(Banner("220 ready"), desk.AT)
        assert isinstance(found["closed"], Absent)
        assert found["closed"].cause is AbsentCause.CLOSED
        assert {name: a.reason for name, a in found.items() if isinstance(a, Unobserved)} == {
            "tarpit": Reason.TIMEOUT,
            "dead": Reason.TIMEOUT,
            "reset": Reason.RESET,
        }

    with servers.blackhole() as silent:
        warped(scenario(silent))


def test_a_refusal_keeps_its_code() -> None:
    async def scenario() -> None:
        ((_, answer),) = await collect([desk.task()], broker=desk.broker(desk.Loopback(closed=True)))
        assert isinstance(answer, Unobserved)
        assert (answer.reason, answer.code) == (Reason.BLACKOUT, "E-SCOPE-011")

    warped(scenario())


def test_a_bug_of_one_probe_is_logged_and_hurts_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    async def buggy(task: Task, _: Door) -> Facts:
        if task.asset == "bad":
            raise ZeroDivisionError("oops")
        return Banner("fine")

    with caplog.at_level(logging.ERROR):
        pairs = warped(collect([desk.task(asset="bad", name="bad"), desk.task(asset="ok", name="ok")], probe(buggy)))
    assert reasons(pairs) == {Reason.BUG: 1, "Observed": 1}
    assert "ZeroDivisionError: oops" in caplog.text


def test_a_bug_where_answers_are_joined_costs_that_answer_and_does_not_keep_the_run_waiting() -> None:
    async def fine(_: Task, __: Door) -> Facts:
        return Banner("fine")

    def joined(task: Task, _: Sequence[Any]) -> Facts:
        if task.asset == "bad":
            raise KeyError("oops")
        return Banner("joined")

    parts = Parts(lambda _: "the same", lambda _task, _known: None, joined)
    probes = {"test": replace(probe(fine)["test"], parts=parts)}
    tasks = [desk.task(asset=name, name=f"{name}.gov.example") for name in ("first", "bad", "ok")]
    pairs = warped(collect(tasks, probes))
    assert [answer.reason for answer in [answers(pairs)["bad"]] if isinstance(answer, Unobserved)] == [Reason.BUG]
    assert reasons(pairs) == {Reason.BUG: 1, "Observed": 2}


def test_a_fault_that_belongs_to_no_answer_ends_the_run() -> None:
    looks = count()

    def orders() -> Orders:
        if next(looks) == 1:  # the first is the watch's
            raise OSError(5, "Input/output error")
        return Orders()

    async def scenario() -> None:
        with pytest.raises(OSError, match="Input/output"):
            async with asyncio.timeout(100.0):
                await collect([desk.task()], orders=orders)

    warped(scenario())


def test_a_probe_that_waits_for_something_else_is_ended_at_its_deadline() -> None:
    async def lost(_: Task, __: Door) -> Facts:
        await asyncio.Event().wait()
        raise AssertionError

    async def scenario() -> None:
        assert reasons(await collect([desk.task()], probe(lost, 10.0))) == {Reason.DEADLINE: 1}
        assert now() == pytest.approx(12.0)

    warped(scenario())


def test_a_probe_that_does_not_exist_is_not_run() -> None:
    assert reasons(warped(collect([desk.task(probe="unknown")]))) == {Reason.NOT_RUN: 1}


def test_what_the_operator_must_mend_ends_the_run() -> None:
    def full(_: object) -> None:
        raise StoreError("the audit log cannot be written. Free some space.")

    async def scenario() -> None:
        with pytest.raises(StoreError):
            await collect([desk.task()], broker=desk.broker(on_decision=full))

    warped(scenario())


def test_answers_stream_as_they_arrive() -> None:
    async def scenario() -> list[tuple[str, float]]:
        async def slow(task: Task, door: Door) -> Facts:
            async with await door.connect("127.0.0.1", task.port or 0):
                await asyncio.sleep(task.params["seconds"])
            return Banner("")

        async with servers.tcp_server(servers.silent) as server:
            tasks = [desk.task(asset=str(n), port=server.port, params={"seconds": n}) for n in (3, 1, 2)]
            return [(task.asset, round(now())) async for task, _ in run(tasks, probe(slow), desk.broker())]

    assert warped(scenario()) == [("1", 1), ("2", 2), ("3", 3)]


def test_a_mail_exchanger_shared_by_ministries_is_asked_once_and_reported_to_each() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.saying(b"220 mx", ask=False)) as server:
            mx = desk.task(name="mx.gov.example", port=server.port, params={"mx_of": "gov.example"})
            shared = [
                replace(mx, ministry=code, asset=f"{code}.gov.example") for code in ("health", "finance", "works")
            ]
            other = replace(mx, name="mx2.gov.example")
            pairs = await collect([*shared, other])
            assert server.connections == 2
            assert sorted(task.asset for task, _ in pairs) == sorted(task.asset for task in (*shared, other))
            assert reasons(pairs) == {"Observed": 4}

    warped(scenario())


def test_a_refusal_under_one_authority_is_not_reported_to_another() -> None:
    class PerMinistry(desk.Loopback):
        def decide(self, **request: Any) -> Any:
            self.closed = request["ministry"] == "finance"
            return super().decide(**request)

    async def scenario() -> None:
        async with servers.tcp_server(servers.saying(b"220 mx", ask=False)) as server:
            tasks = [desk.task(ministry=code, port=server.port) for code in ("finance", "health", "works")]
            pairs = await collect(tasks, broker=desk.broker(PerMinistry()))
            assert server.connections == 1
            assert reasons(pairs) == {Reason.BLACKOUT: 1, "Observed": 2}

    warped(scenario())


def test_a_dead_host_costs_one_time_out_in_total() -> None:
    async def scenario(ports: tuple[int, int]) -> None:
        tasks = [desk.task(port=port, params={"n": n}, subject=str(n)) for n in range(10) for port in ports]
        broker = desk.broker(desk.Loopback(limits=Limits()))
        assert reasons(await collect(tasks, broker=broker)) == {Reason.TIMEOUT: 20}
        assert now() == pytest.approx(5.0)

    with servers.blackhole() as one, servers.blackhole() as two:
        warped(scenario((one, two)))


def test_a_silent_port_does_not_silence_the_port_beside_it() -> None:
    async def scenario(silent: int) -> None:
        async with servers.tcp_server(servers.saying(b"hello", ask=False)) as server:
            tasks = [desk.task(port=port, params={"n": n}) for n in range(3) for port in (silent, server.port)]
            pairs = await collect(tasks, broker=desk.broker(desk.Loopback(limits=Limits())))
            assert reasons(pairs) == {Reason.TIMEOUT: 3, "Observed": 3}

    with servers.blackhole() as silent:
        warped(scenario(silent))


def test_dead_and_dripping_hosts_do_not_hold_up_the_others() -> None:
    async def scenario(silent: int) -> None:
        drip = servers.saying(*[b"x"] * 1000, every=1.0, ask=False)

        async def whole(task: Task, door: Door) -> Facts:
            async with await door.connect("127.0.0.1", task.port or 0) as stream:
                return Banner((await stream.read_exactly(100)).decode())

        async with servers.tcp_server(drip) as slow, servers.tcp_server(servers.saying(b"y" * 100, ask=False)) as good:
            bad = [desk.task(asset=f"b{n}", name=f"b{n}", port=(silent, slow.port)[n % 2]) for n in range(10)]
            fine = [desk.task(asset=f"g{n}", name=f"g{n}", port=good.port) for n in range(40)]
            scope = desk.Loopback(limits=replace(desk.FAST, connections_per_address=50))
            scope.decide = lambda **request: desk.Loopback.decide(scope, **{**request, "name": "a.gov.example"})  # type: ignore[method-assign]  # any name
            done = [(task.asset, now()) async for task, _ in run(bad + fine, probe(whole), desk.broker(scope))]
        assert all(at < 1.0 for asset, at in done if asset.startswith("g"))
        assert now() == pytest.approx(20.0)

    with servers.blackhole() as silent:
        warped(scenario(silent))


def test_a_silent_address_with_many_names_does_not_hold_up_the_others() -> None:
    async def scenario() -> None:
        reply = servers.saying(b"x", ask=False)
        async with servers.tcp_server(servers.silent) as bad, servers.tcp_server(reply, "127.0.0.2") as good:
            tasks = [desk.task(asset=f"h{n}", name=f"h{n}.gov.example", port=bad.port) for n in range(300)]
            tasks += [
                desk.task(asset=f"g{n}", addresses=("127.0.0.2",), port=good.port, params={"n": n}) for n in range(9)
            ]
            seen: list[tuple[str, float]] = []
            async for task, _ in run(tasks, probe(), desk.broker(desk.Loopback(limits=Limits()))):
                seen.append((task.asset, now()))
        assert len(seen) == len(tasks)
        assert all(at < 5.0 for asset, at in seen if asset.startswith("g"))

    warped(scenario())


def test_the_clock_of_an_asset_ends_its_probes_and_no_other_asset() -> None:
    async def scenario() -> None:
        async def linger(task: Task, door: Door) -> Facts:
            for _ in range(task.params["times"]):
                async with await door.connect("127.0.0.1", task.port or 0) as stream:
                    assert await stream.read() == b"x"
                    with pytest.raises(NotSeen):
                        await stream.read()
            return Banner("")

        async with servers.tcp_server(servers.greeting_then_silent) as server:
            slow = [desk.task(asset="slow", port=server.port, params={"times": 2, "n": n}) for n in range(5)]
            quick = desk.task(asset="quick", port=server.port, params={"times": 1})
            pairs = await collect([*slow, quick], probe(linger, 100.0), workers=1)
        found = Counter((task.asset, answer.reason if isinstance(answer, Unobserved) else "") for task, answer in pairs)
        assert found == {("slow", ""): 3, ("slow", Reason.DEADLINE): 2, ("quick", ""): 1}

    warped(scenario())


def test_waiting_for_limits_does_not_use_up_the_clock() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.saying(b"x", every=9.0, ask=False)) as server:
            tasks = [desk.task(asset=f"v{n}", port=server.port, params={"n": n}) for n in range(40)]

            async def hold(task: Task, door: Door) -> Facts:
                async with await door.connect("127.0.0.1", task.port or 0) as stream:
                    while await stream.read():
                        pass
                return Banner("")

            broker = desk.broker(desk.Loopback(limits=Limits()))
            assert reasons(await collect(tasks, probe(hold), broker)) == {"Observed": 40}
            assert now() == pytest.approx(180.0)
            assert server.most_open == 2

    warped(scenario())


def test_stop_ends_everything_within_two_seconds_and_closes_the_connections() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.silent) as server:
            tasks = [desk.task(asset=f"v{n}", port=server.port, params={"n": n}) for n in range(200)]
            stop, broker = asyncio.Event(), desk.broker()
            asyncio.get_running_loop().call_later(3.0, stop.set)
            pairs = await collect(tasks, broker=broker, stop=stop)
            assert reasons(pairs) == {Reason.STOPPED: 200}
            assert now() < 5.0
            assert broker.governor.open == 0
            connections = server.connections
            await asyncio.sleep(1.0)
            assert server.open == 0
            assert server.connections == connections

    warped(scenario())


def test_a_probe_that_ignores_the_stop_can_send_nothing_more() -> None:
    async def stubborn(task: Task, door: Door) -> Facts:
        try:
            async with await door.connect("127.0.0.1", task.port or 0) as stream:
                await stream.read()
        except asyncio.CancelledError:
            await door.connect("127.0.0.1", task.port or 0)
        return Banner("")

    async def scenario() -> None:
        async with servers.tcp_server(servers.silent) as server:
            stop = asyncio.Event()
            asyncio.get_running_loop().call_later(3.0, stop.set)
            assert reasons(await collect([desk.task(port=server.port)], probe(stubborn), stop=stop)) == {
                Reason.STOPPED: 1
            }
            await asyncio.sleep(1.0)
            assert (server.connections, server.open) == (1, 0)

    warped(scenario())


def test_answers_found_before_the_stop_are_kept() -> None:
    async def scenario() -> None:
        async with (
            servers.tcp_server(servers.saying(b"hi", ask=False)) as good,
            servers.tcp_server(servers.silent) as tarpit,
        ):
            tasks = [desk.task(asset="good", port=good.port), desk.task(asset="slow", port=tarpit.port)]
            stop = asyncio.Event()
            asyncio.get_running_loop().call_later(3.0, stop.set)
            assert reasons(await collect(tasks, stop=stop)) == {"Observed": 1, Reason.STOPPED: 1}

    warped(scenario())


def test_the_end_of_the_budget_tells_waiting_from_asking() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.silent) as server:
            tasks = [desk.task(asset=f"v{n}", port=server.port, params={"n": n}) for n in range(6)]
            broker = desk.broker(desk.Loopback(limits=Limits()))
            pairs = await collect(tasks, broker=broker, budget=5.0, workers=5)
            assert reasons(pairs) == {Reason.DEADLINE: 3, Reason.RATE_LIMITED: 3}
            assert now() == pytest.approx(5.0)

    warped(scenario())


def test_leaving_early_closes_everything() -> None:
    async def scenario() -> None:
        async with (
            servers.tcp_server(servers.silent) as tarpit,
            servers.tcp_server(servers.saying(b"x", ask=False)) as good,
        ):
            tasks = [
                desk.task(asset="good", port=good.port),
                *(desk.task(asset=f"v{n}", port=tarpit.port) for n in range(5)),
            ]
            broker = desk.broker()
            stream = run(tasks, probe(), broker)
            await anext(stream)
            await stream.aclose()
            assert broker.governor.open == 0

    warped(scenario())


def test_nothing_to_do_is_done() -> None:
    assert warped(collect([])) == []


def test_assets_take_turns_and_signs_of_life_come_first() -> None:
    def named(asset: str, kind: str, port: int | None) -> Task:
        return desk.task(asset=asset, name=asset, probe=kind, port=port)

    sheet = [("tls", 443), ("tls_legacy", 443), ("ports", None), ("http", 80)]
    tasks = [named(asset, kind, port) for asset in ("a", "b") for kind, port in sheet]
    order = [(group[0].asset, group[0].probe) for group in arrange(tasks)]
    kinds = ("tls", "http", "tls_legacy", "ports")
    assert order == [(asset, kind) for kind in kinds for asset in ("a", "b")]


def test_no_task_is_lost_or_answered_twice() -> None:
    async def odd(task: Task, _: Door) -> Facts:
        await asyncio.sleep(task.params["n"] % 7)
        match task.params["n"] % 4:
            case 0:
                raise NotSeen(Reason.TEMPORARY)
            case 1:
                raise NotThere(AbsentCause.NODATA)
            case 2:
                raise asyncio.CancelledError
            case _:
                return Banner("")

    tasks = [desk.task(asset=f"a{n % 50}", name=f"a{n % 50}", subject=str(n), params={"n": n}) for n in range(500)]
    pairs = warped(collect(tasks, probe(odd), workers=20))
    assert Counter(task.subject for task, _ in pairs) == Counter(task.subject for task in tasks)
    assert reasons(pairs) == {Reason.TEMPORARY: 125, "Absent": 125, Reason.BUG: 125, "Observed": 125}
