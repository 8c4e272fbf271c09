"""The kill switch in a running engine: what it names is cut off, nothing else, and never later than two seconds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from posture.door import Reply
from posture.facts import Facts
from posture.model import NotSeen, Observed, Reason, Unobserved
from posture.probes.base import Door
from posture.scope import Grant, Refusal, stopped
from posture.stop import Order, Orders
from posture.task import Task
from tests.engine.test_local import Banner, answers, collect, probe, read_banner, reasons
from tests.net import desk, servers
from tests.net.warp import now, warped

ALL = Order("complaint 12", "root")
OWN = Order("revoked", "root", authorisation="lc-2026-001")


class Switch:
    """The kill switch, thrown at a time of the loop; counts who looked."""

    def __init__(self) -> None:
        self.given: tuple[Order, ...] = ()
        self.looks = 0

    def orders(self) -> Orders:
        self.looks += 1
        return Orders(self.given)

    def throw(self, at: float, *orders: Order) -> None:
        asyncio.get_running_loop().call_later(at, setattr, self, "given", orders)


class Switched(desk.Loopback):
    """The scope of the desk behind a switch, as posture.scope.Scope has it."""

    def __init__(self, switch: Switch, **options: Any) -> None:
        super().__init__(**options)
        self.switch = switch

    def decide(self, **request: Any) -> Grant | Refusal:
        orders = self.switch.orders()
        order = orders.about_address(request["address"]) or orders.about_authorisation("lc-2026-001")
        return stopped(order) if order else super().decide(**request)


async def switched(tasks: list[Task], switch: Switch, observe: Any = read_banner, **options: Any) -> list[Any]:
    broker = options.pop("broker", None) or desk.broker(Switched(switch, **options.pop("scope", {})))
    pairs = await collect(tasks, probe(observe), broker, orders=switch.orders, **options)
    assert broker.governor.open == 0
    return pairs


def codes(pairs: list[Any]) -> set[tuple[str, str | None]]:
    return {(a.reason, a.code) for _, a in pairs if isinstance(a, Unobserved)}


@pytest.mark.parametrize(
    ("order", "code"),
    [(ALL, "E-SCOPE-041"), (OWN, "E-SCOPE-040"), (Order("r", address="::ffff:127.0.0.1"), "E-SCOPE-041")],
    ids=["everything", "authorisation", "address"],
)
def test_fifty_tarpits_are_cut_off_and_those_that_wait_for_a_turn_too(order: Order, code: str) -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.silent) as server:
            tasks = [desk.task(asset=f"v{n}", port=server.port, params={"n": n}) for n in range(200)]
            switch = Switch()
            switch.throw(3.0, order)
            pairs = await switched(tasks, switch, at_one_address=200)
            assert reasons(pairs) == {Reason.STOPPED: 200}
            assert codes(pairs) == {(Reason.STOPPED, code)}
            assert now() < 5.0
            await asyncio.sleep(1.0)
            assert (server.most_open, server.open, server.connections) == (50, 0, 50)

    warped(scenario())


def test_connections_under_way_and_datagrams_are_cut_off() -> None:
    async def ask(task: Task, door: Door) -> Facts:
        return Banner((await door.ask_udp("127.0.0.1", task.port or 0, b"?", timeout=20.0)).decode())

    async def scenario(silent: int) -> None:
        for observe in (ask, read_banner):
            switch, begun = Switch(), now()
            switch.throw(1.0, ALL)
            async with servers.udp_server(lambda _: []) as port:
                pairs = await switched([desk.task(port=port if observe is ask else silent)], switch, observe)
            assert codes(pairs) == {(Reason.STOPPED, "E-SCOPE-041")}
            assert now() - begun < 3.0

    with servers.blackhole() as silent:
        warped(scenario(silent))


def test_only_what_is_named_stops_and_the_rest_goes_on() -> None:
    async def scenario() -> None:
        slow = servers.saying(b"a", b"b", every=3.0, ask=False)

        async def whole(task: Task, door: Door) -> Facts:
            async with await door.connect(task.addresses[0], task.port or 0) as stream:
                return Banner((await stream.read_exactly(2)).decode())

        async with servers.tcp_server(slow) as one, servers.tcp_server(slow, "127.0.0.2") as other:
            tasks = [
                desk.task(asset="one", port=one.port),
                desk.task(["127.0.0.2"], asset="other", port=other.port),
                desk.task(["127.0.0.2"], asset="theirs", authorisation="lc-2", port=other.port, params={"n": 1}),
            ]
            switch = Switch()
            switch.throw(1.0, Order("r", address="127.0.0.1"), Order("r", authorisation="lc-2"))
            found = answers(await switched(tasks, switch, whole))
        assert {name: getattr(a, "code", "answered") for name, a in found.items()} == {
            "one": "E-SCOPE-041",
            "other": "answered",
            "theirs": "E-SCOPE-040",
        }

    warped(scenario())


def test_a_connection_under_another_authority_than_the_tasks_is_cut_off_with_that_one() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.silent) as server:
            switch = Switch()
            switch.throw(1.0, OWN)
            # The door's grants are lc-2026-001's; the task was planned under another one.
            pairs = await switched([desk.task(authorisation="lc-2", port=server.port)], switch)
            assert codes(pairs) == {(Reason.STOPPED, "E-SCOPE-040")}
            assert now() < 3.0

    warped(scenario())


def test_a_host_led_to_is_cut_off_by_its_own_address() -> None:
    async def follow(task: Task, door: Door) -> Facts:
        return Banner(str((await door.get(f"http://other.gov.example:{task.port}/")).status))

    async def scenario() -> None:
        async with servers.tcp_server(servers.silent, "127.0.0.2") as server:
            switch = Switch()
            switch.throw(1.0, Order("r", address="127.0.0.2"))
            broker = desk.broker(Switched(switch), resolver=desk.Names({"other.gov.example": ("127.0.0.2",)}))
            pairs = await switched([desk.task(port=server.port)], switch, follow, broker=broker)
            assert codes(pairs) == {(Reason.STOPPED, "E-SCOPE-041")}
            assert now() < 3.0

    warped(scenario())


def test_what_is_finished_is_kept() -> None:
    async def scenario() -> None:
        async with (
            servers.tcp_server(servers.saying(b"hi", ask=False)) as good,
            servers.tcp_server(servers.silent) as tarpit,
        ):
            switch = Switch()
            switch.throw(3.0, ALL)
            tasks = [desk.task(asset="good", port=good.port), desk.task(asset="slow", port=tarpit.port)]
            found = answers(await switched(tasks, switch))
        assert found["good"] == Observed(Banner("hi"), desk.AT)
        assert getattr(found["slow"], "reason", None) is Reason.STOPPED

    warped(scenario())


def test_half_an_answer_is_none_when_the_switch_took_the_other_half() -> None:
    async def both(task: Task, door: Door) -> Facts:
        heard = []
        for address in task.addresses:
            try:
                async with await door.connect(address, task.port or 0) as stream:
                    heard.append((await stream.read()).decode())
                switch.given = (Order("r", address="127.0.0.2"),)
            except NotSeen:
                heard.append("unseen")
        return Banner(" ".join(heard))

    switch = Switch()

    async def scenario() -> None:
        async with servers.tcp_server(servers.saying(b"hi", ask=False)) as server:
            pairs = await switched([desk.task(["127.0.0.1", "127.0.0.2"], port=server.port)], switch, both)
        assert codes(pairs) == {(Reason.STOPPED, "E-SCOPE-041")}

    warped(scenario())


def test_lifted_during_the_run_later_tasks_go_on() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.saying(b"x", every=2.0, ask=False)) as server:

            async def hold(task: Task, door: Door) -> Facts:
                async with await door.connect("127.0.0.1", task.port or 0) as stream:
                    while await stream.read():
                        pass
                return Banner("")

            tasks = [desk.task(asset=f"v{n}", port=server.port, params={"n": n}) for n in range(4)]
            switch = Switch()
            switch.throw(1.0, OWN)
            switch.throw(1.5)
            pairs = await switched(tasks, switch, hold, workers=1)
            # One was under way when the order came, those that were due before it was lifted were not begun.
            assert reasons(pairs)[Reason.STOPPED] >= 1
            assert server.connections == 1 + reasons(pairs)["Observed"]

    warped(scenario())


def test_lifted_while_nothing_was_due_the_rest_is_asked() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.saying(b"x", every=4.0, ask=False)) as server:

            async def hold(task: Task, door: Door) -> Facts:
                async with await door.connect(task.addresses[0], task.port or 0) as stream:
                    while await stream.read():
                        pass
                return Banner("")

            stubborn = desk.task(["127.0.0.1"], asset="busy", port=server.port)
            later = desk.task(["127.0.0.1"], asset="later", authorisation="lc-2", port=server.port, params={"n": 1})
            switch = Switch()
            switch.throw(1.0, Order("r", authorisation="lc-2"))
            switch.throw(2.0)
            found = answers(await switched([stubborn, later], switch, hold, workers=1))
        assert all(isinstance(answer, Observed) for answer in found.values())

    warped(scenario())


def test_an_order_about_everything_holds_to_the_end_of_the_run() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.silent) as server:

            async def clinging(task: Task, door: Door) -> Facts:
                try:
                    async with await door.connect("127.0.0.1", task.port or 0) as stream:
                        await stream.read()
                except asyncio.CancelledError:
                    await asyncio.sleep(0.5)  # still busy when the order is lifted
                return Banner("")

            tasks = [desk.task(asset=f"v{n}", port=server.port, params={"n": n}) for n in range(3)]
            switch = Switch()
            switch.throw(1.0, ALL)
            switch.throw(1.3)
            assert reasons(await switched(tasks, switch, clinging, workers=1)) == {Reason.STOPPED: 3}
            assert server.connections == 1

    warped(scenario())


def test_a_shared_answer_is_not_given_to_a_task_whose_authority_was_stopped() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.saying(b"hi", every=2.0, ask=False)) as server:
            tasks = [
                desk.task(asset=name, ministry=name, authorisation=name, port=server.port)
                for name in ("one", "two", "three")
            ]
            switch = Switch()
            switch.throw(1.0, Order("r", authorisation="two"))

            async def whole(task: Task, door: Door) -> Facts:
                async with await door.connect("127.0.0.1", task.port or 0) as stream:
                    while await stream.read():
                        pass
                return Banner("")

            found = answers(await switched(tasks, switch, whole))
            assert server.connections == 1
        assert [type(found[name]).__name__ for name in ("one", "two", "three")] == [
            "Observed",
            "Unobserved",
            "Observed",
        ]

    warped(scenario())


def test_shared_work_cut_off_under_one_authority_is_done_again_under_another() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.saying(b"hi", every=2.0, ask=False)) as server:
            tasks = [
                desk.task(asset=name, ministry=name, authorisation=name, port=server.port) for name in ("one", "two")
            ]
            switch = Switch()
            switch.throw(1.0, Order("r", authorisation="one"))

            async def whole(task: Task, door: Door) -> Facts:
                async with await door.connect("127.0.0.1", task.port or 0) as stream:
                    while await stream.read():
                        pass
                return Banner("")

            found = answers(await switched(tasks, switch, whole))
            assert server.connections == 2
        assert [type(found[name]).__name__ for name in ("one", "two")] == ["Unobserved", "Observed"]

    warped(scenario())


def test_a_question_that_only_our_own_resolver_would_hear_is_not_asked() -> None:
    class Counting(desk.Names):
        async def ask(self, name: str, rdtype: str) -> Reply:
            self.asked.append(name)
            return await super().ask(name, rdtype)

    async def look_up(task: Task, door: Door) -> Facts:
        await door.resolver.ask(task.name, "TXT")
        return Banner("")

    async def scenario() -> None:
        names, switch = Counting(), Switch()
        switch.given = (OWN,)
        broker = desk.broker(Switched(switch), resolver=names)
        pairs = await switched([desk.task((), port=None)], switch, look_up, broker=broker)
        assert codes(pairs) == {(Reason.STOPPED, "E-SCOPE-040")}
        assert names.asked == []

    warped(scenario())


def test_a_probe_that_will_not_end_does_not_hold_up_the_run() -> None:
    async def stubborn(task: Task, door: Door) -> Facts:
        for _ in range(100):
            try:
                await asyncio.sleep(100.0)
            except asyncio.CancelledError:
                continue
        return Banner("")

    async def scenario() -> None:
        switch = Switch()
        switch.throw(3.0, OWN)
        assert codes(await switched([desk.task()], switch, stubborn)) == {(Reason.STOPPED, "E-SCOPE-040")}
        assert now() < 5.0

    warped(scenario())


def test_a_switch_that_cannot_be_looked_at_ends_the_run() -> None:
    def broken() -> Orders:
        if now() > 1.0:
            raise ZeroDivisionError
        return Orders()

    async def scenario() -> None:
        async with servers.tcp_server(servers.silent) as server:
            with pytest.raises(ZeroDivisionError):
                await collect([desk.task(port=server.port)], orders=broken)
            await asyncio.sleep(1.0)
            assert (server.connections, server.open) == (1, 0)

    warped(scenario())


def test_an_order_from_before_the_run_lets_nothing_begin() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.silent) as server:
            for order in (ALL, OWN):
                switch = Switch()
                switch.given = (order,)
                assert reasons(await switched([desk.task(port=server.port)], switch)) == {Reason.STOPPED: 1}
            assert server.connections == 0

    warped(scenario())
