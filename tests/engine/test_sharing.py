"""What several assets share is asked once in a run, and told only to those whose own authority would permit it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from posture.engine.local import run
from posture.facts import PortsFacts, SmtpFacts
from posture.facts.service import UNASKED
from posture.inventory.records import LabPort
from posture.model import Answer, Observed, Reason, Unobserved
from posture.net.decisions import Decision
from posture.net.governor import Traffic
from posture.scope import Grant, Refusal
from posture.task import Task
from tests.lab import free_port
from tests.net import desk, servers
from tests.net.asking import ALL_PROBES, HERE, answers, http, saying_now, task
from tests.net.warp import warped

PAGE = servers.saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


@dataclass
class PerMinistry(desk.Loopback):
    """Refuses a ministry what ``barred`` says: (ministry, name or None, port or None)."""

    barred: tuple[tuple[str, str | None, int | None], ...] = ()

    def decide(self, **request: Any) -> Grant | Refusal:
        for ministry, name, port in self.barred:
            if request["ministry"] == ministry and name in (None, request["name"]) and port in (None, request["port"]):
                return Refusal("E-SCOPE-020", Reason.OUT_OF_SCOPE, "not yours", "lc-2026-002")
        return super().decide(**request)


@dataclass
class Records:
    """What a trail would hold."""

    decisions: list[Decision] = field(default_factory=list)

    def leaning(self) -> list[tuple[str, int, int]]:
        return [(one.task.ministry, one.port, one.connections) for one in self.decisions if not one.connections]


MX: dict[str, Any] = {"name": "mx.gov.example", "params": {"mx_of": "finance.gov.example", "ehlo": "x"}}
GREETS = saying_now(b"220 mx\r\n", b"250 mx\r\n")


def test_a_mail_exchanger_of_several_zones_is_asked_once_and_the_trail_says_who_leaned_on_it() -> None:
    async def scenario() -> None:
        records = Records()
        async with servers.tcp_server(GREETS) as server:
            first = task("smtp", 25, **MX)
            zones = [
                replace(first, asset=zone, ministry=ministry, params={"mx_of": zone, "ehlo": "x"})
                for ministry, zone in (
                    ("finance", "a.gov.example"),
                    ("finance", "b.gov.example"),
                    ("health", "c.example"),
                )
            ]
            found = await answers([first, *zones], {25: server.port}, on_decision=records.decisions.append)
            assert server.connections == 1
            assert all(isinstance(answer, Observed) for answer in found)
            assert len({repr(answer.facts) for answer in found if isinstance(answer, Observed)}) == 1
            assert records.leaning() == [("finance", 25, 0), ("finance", 25, 0), ("health", 25, 0)]
            assert {one.task.params["mx_of"] for one in records.decisions} == {
                "finance.gov.example", "a.gov.example", "b.gov.example", "c.example"
            }  # fmt: skip

    warped(scenario())


@pytest.mark.parametrize("first", ["finance", "health"])
def test_what_one_authority_was_granted_is_not_told_to_one_that_would_be_refused(first: str) -> None:
    async def scenario() -> None:
        records = Records()
        second = {"finance": "health", "health": "finance"}[first]
        async with servers.tcp_server(GREETS) as server:
            tasks = [task("smtp", 25, ministry=ministry, asset=ministry, **MX) for ministry in (first, second)]
            scope = PerMinistry(barred=(("health", None, None),))
            found = await answers(tasks, {25: server.port}, scope, on_decision=records.decisions.append)
            refused = found[[one.ministry for one in tasks].index("health")]
            assert isinstance(refused, Unobserved)
            assert (refused.reason, refused.code) == (Reason.OUT_OF_SCOPE, "E-SCOPE-020")
            assert isinstance(found[[one.ministry for one in tasks].index("finance")], Observed)
            assert server.connections == 1
            assert not records.leaning()

    warped(scenario())


def test_each_address_of_an_exchanger_is_asked_once_though_not_all_may_ask_all() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(GREETS) as one, servers.tcp_server(GREETS, "127.0.0.2") as two:
            both = task("smtp", 25, addresses=(HERE, "127.0.0.2"), **MX)
            refused = {"mx_of": "c.gov.example", "ehlo": "x", "refused": {HERE: "out_of_scope"}}
            fewer = replace(both, ministry="health", asset="c", addresses=("127.0.0.2",), params=refused)
            ports = (LabPort(HERE, 25, one.port, "tcp"), LabPort("127.0.0.2", 25, two.port, "tcp"))
            for tasks in ([both, fewer], [fewer, both]):
                before = one.connections, two.connections
                pairs = [pair async for pair in run(tasks, ALL_PROBES, desk.broker(lab_ports=ports))]
                said = {asked.asset: answer for asked, answer in pairs}
                assert (one.connections, two.connections) == (before[0] + 1, before[1] + 1)
                assert _states(said[both.asset]) == [(HERE, "greeted"), ("127.0.0.2", "greeted")]
                assert _states(said["c"]) == [("127.0.0.2", "greeted"), (HERE, "out_of_scope")]

    warped(scenario())


def _states(answer: Answer) -> list[tuple[str, str]]:
    assert isinstance(answer, Observed)
    assert isinstance(answer.facts, SmtpFacts)
    return [(one.address, one.state) for one in answer.facts.answers]


def test_a_redirect_that_only_one_authority_may_follow_is_not_reported_to_the_other() -> None:
    async def scenario() -> None:
        portal = "portal.gov.example"
        async with (
            servers.tcp_server(http(f"301 Moved\r\nLocation: http://{portal}/")) as server,
            servers.tcp_server(PAGE, "127.0.0.2") as beyond,
        ):
            tasks = [task("http", 80, ministry=each, params={"scheme": "http"}) for each in ("finance", "health")]
            scope = PerMinistry(barred=(("health", portal, None),))
            ports = (LabPort(HERE, 80, server.port, "tcp"), LabPort("127.0.0.2", 80, beyond.port, "tcp"))
            names = desk.Names({portal: ("127.0.0.2",)})
            for order in (tasks, tasks[::-1]):
                broker = desk.broker(scope, lab_ports=ports, resolver=names)
                said = {asked.ministry: answer async for asked, answer in run(order, ALL_PROBES, broker)}
                assert [_ended(said[each]) for each in ("finance", "health")] == ["final", "out_of_scope"]

    warped(scenario())


def _ended(answer: Answer) -> str:
    assert isinstance(answer, Observed)
    return str(answer.facts.ended)


def test_one_address_with_two_names_is_two_questions_of_the_web_and_of_tls() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(PAGE) as server:
            names = ("www.finance.gov.example", "www.health.gov.example")
            tasks = [task("http", 80, name=name, asset=name, params={"scheme": "http"}) for name in names]
            assert all(isinstance(answer, Observed) for answer in await answers(tasks, {80: server.port}))
            assert server.connections == 2

    warped(scenario())


def _sweep(name: str, ministry: str, ports: list[int]) -> Task:
    return task("ports", None, name=name, asset=name, ministry=ministry, params={"ports": ports, "again_after": 0.0})


def test_an_address_of_several_hosts_is_swept_once_and_each_learns_of_its_own_ports_only() -> None:
    async def scenario() -> None:
        records = Records()
        async with servers.tcp_server(saying_now(b"SSH-2.0-x\r\n")) as server:
            places = {22: server.port, 2222: server.port, 80: free_port(), 81: free_port()}
            tasks = [
                _sweep("a.gov.example", "finance", [22, 80, 502]),
                _sweep("b.gov.example", "finance", [22, 80]),
                _sweep("c.gov.example", "health", [22, 81, 2222]),
            ]
            found = await answers(tasks, places, on_decision=records.decisions.append)
        assert [_ports(answer) for answer in found] == [
            {22: "open", 80: "closed", 502: UNASKED},
            {22: "open", 80: "closed"},
            {22: "open", 81: "closed", 2222: "open"},
        ]
        sent = [one for one in records.decisions if one.connections and one.traffic is Traffic.CONNECTION]
        assert sorted(one.port for one in sent) == [22, 2222], "each open port is asked once what it is"
        leaning = {(one.task.name[0], one.port) for one in records.decisions if not one.connections}
        assert leaning == {("b", 22), ("b", 80), ("c", 22)}, "each on what it asks for, and no more"

    warped(scenario())


@pytest.mark.parametrize("backwards", [False, True])
def test_a_port_is_never_reported_under_an_authority_that_does_not_grant_it(backwards: bool) -> None:
    async def scenario() -> None:
        async with servers.tcp_server(saying_now(b"SSH-2.0-x\r\n")) as server:
            tasks = [_sweep("a.gov.example", "finance", [22, 80]), _sweep("b.gov.example", "health", [22, 80])]
            tasks = tasks[::-1] if backwards else tasks
            scope = PerMinistry(barred=(("health", None, 22),))
            found = await answers(tasks, {22: server.port, 80: free_port()}, scope)
            said = {asked.ministry: _ports(answer) for asked, answer in zip(tasks, found, strict=True)}
            assert said == {"finance": {22: "open", 80: "closed"}, "health": {22: UNASKED, 80: "closed"}}

    warped(scenario())


def _ports(answer: Answer) -> dict[int, str]:
    assert isinstance(answer, Observed)
    assert isinstance(answer.facts, PortsFacts)
    return {one.port: one.state for one in answer.facts.ports}


def test_a_closed_port_is_told_to_all_who_share_it() -> None:
    async def scenario() -> None:
        tasks = [task("tls", ministry=each) for each in ("finance", "health")]
        records = Records()
        found = await answers(tasks, {443: free_port()}, on_decision=records.decisions.append)
        assert [type(answer).__name__ for answer in found] == ["Absent", "Absent"]
        assert [one.connections for one in records.decisions] == [1, 0]

    warped(scenario())


# ---- what one asset has used up is no answer to another


def _one_exchanger_of_two_zones() -> tuple[Task, Task]:
    hostile = task("smtp", 25, asset="hostile.gov.example", **MX)
    return hostile, replace(hostile, asset="good.gov.example")


@pytest.mark.parametrize("spent", ["time", "bytes"])
def test_an_exchanger_is_asked_again_when_the_zone_that_asked_first_had_used_itself_up(spent: str) -> None:
    async def scenario() -> None:
        slow = servers.saying(b"220 mx\r\n", b"250 mx\r\n", every=1.0, ask=False)
        async with servers.tcp_server(slow) as mail, servers.tcp_server(servers.silent, "127.0.0.2") as web:
            ports = (LabPort(HERE, 25, mail.port, "tcp"), LabPort("127.0.0.2", 80, web.port, "tcp"))
            broker = desk.broker(lab_ports=ports)
            hostile, good = _one_exchanger_of_two_zones()
            first = task("http", 80, asset=hostile.asset, addresses=("127.0.0.2",), params={"scheme": "http"})
            if spent == "bytes":
                broker.budget(hostile).left = 0
            seconds = 5.0 if spent == "time" else 60.0
            found = run([first, hostile, good], ALL_PROBES, broker, workers=1, asset_deadline=seconds)
            said = {(asked.asset, asked.probe): answer async for asked, answer in found}
        reasons = {"time": Reason.DEADLINE, "bytes": Reason.RATE_LIMITED}
        assert _reason(said[hostile.asset, "smtp"]) == reasons[spent]
        assert _states(said[good.asset, "smtp"]) == [(HERE, "greeted")]

    warped(scenario())


def test_an_exchanger_that_uses_up_its_own_share_of_time_is_not_asked_for_every_zone() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.greeting_then_silent) as mail:
            probe = replace(ALL_PROBES["smtp"], deadline=10.0)
            broker = desk.broker(lab_ports=(LabPort(HERE, 25, mail.port, "tcp"),))
            found = [answer async for _, answer in run(_one_exchanger_of_two_zones(), {"smtp": probe}, broker)]
            assert [_reason(answer) for answer in found] == [Reason.DEADLINE] * 2
            assert mail.connections == 1

    warped(scenario())


def test_a_port_of_which_the_first_host_had_nothing_left_to_ask_is_asked_again_for_the_next() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(saying_now(b"SSH-2.0-x\r\n")) as server:
            broker = desk.broker(lab_ports=(LabPort(HERE, 22, server.port, "tcp"),))
            tasks = [_sweep("a.gov.example", "finance", [22]), _sweep("b.gov.example", "finance", [22])]
            broker.budget(tasks[0]).left = 0
            said = {asked.asset[0]: answer async for asked, answer in run(tasks, ALL_PROBES, broker)}
        assert [_services(said[host]) for host in "ab"] == [{22: ""}, {22: "ssh"}]

    warped(scenario())


def _services(answer: Answer) -> dict[int, str]:
    assert isinstance(answer, Observed)
    assert isinstance(answer.facts, PortsFacts)
    return {one.port: one.service for one in answer.facts.ports}


def _reason(answer: Answer) -> Reason:
    assert isinstance(answer, Unobserved)
    return answer.reason
