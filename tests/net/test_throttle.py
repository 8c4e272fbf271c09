"""Leaving alone who pushes us away, through the real broker; what one asset may send."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import StreamReader, StreamWriter
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest

from posture.engine.local import run
from posture.facts import HttpFacts, TlsFacts
from posture.inventory.records import LabPort
from posture.model import NotSeen, Observed, Reason, Unobserved
from posture.net.asset import BYTES_PER_ASSET, AssetContext
from posture.net.backoff import Backoff
from posture.net.broker import Broker
from posture.net.decisions import Request
from posture.net.governor import Traffic
from posture.scope import Grant
from posture.task import Task
from tests.lab import free_port
from tests.net import desk, servers
from tests.net.asking import ALL_PROBES, HERE, answers, http, in_turns, saying_now, task
from tests.net.warp import now, warped
from tests.probes.tls.asking import OldServer


async def _unseen(attempt: Any) -> NotSeen:
    with pytest.raises(NotSeen) as caught:
        await attempt
    return caught.value


# ---- the distance that is kept


def test_the_pause_doubles_up_to_eight_seconds_and_an_answer_ends_it() -> None:
    async def scenario() -> list[float]:
        backoff, pauses = Backoff(), []
        for _ in range(6):
            backoff.pushed(HERE)
            pauses.append(await backoff.wait(HERE, 300.0))
        backoff.answered(HERE)
        backoff.pushed(HERE)
        return [*pauses, await backoff.wait(HERE, 300.0), await backoff.wait("127.0.0.2", 300.0)]

    assert warped(scenario()) == pytest.approx([1, 2, 4, 8, 8, 8, 1, 0])


def test_connections_that_are_pushed_away_together_are_one_push() -> None:
    async def scenario() -> float:
        backoff = Backoff()
        for _ in range(5):
            backoff.pushed(HERE)
        backoff.answered(HERE)  # one that was under way meanwhile
        return await backoff.wait(HERE, 300.0)

    assert warped(scenario()) == pytest.approx(1.0)


async def _talk(broker: Broker, port: int, asset: AssetContext | None = None) -> float:
    """Says something and hears the end; when the connection was made."""
    async with await broker.door(desk.task(), asset=asset).connect(HERE, port) as stream:
        at = now()
        await stream.write(b"\r\n\r\n")
        with contextlib.suppress(NotSeen):
            while await stream.read():
                pass
    return at


def test_after_a_reset_all_tasks_leave_the_address_alone_and_no_clock_runs() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.reset) as bad, servers.tcp_server(servers.saying(b"x")) as good:
            broker, asset = desk.broker(), AssetContext()
            times = [await _talk(broker, port, asset) for port in (bad.port, bad.port, bad.port, good.port, bad.port)]
            assert times == pytest.approx([0.0, 1.0, 3.0, 7.0, 7.0], abs=0.1)
            assert await _talk(broker, good.port) == pytest.approx(8.0, abs=0.1)
            assert asset.clock.elapsed < 0.5

    warped(scenario())


def test_who_stands_in_line_while_another_is_pushed_away_waits_too() -> None:
    async def scenario() -> None:
        async def reset_late(reader: StreamReader, writer: StreamWriter) -> None:
            await asyncio.sleep(2.0)
            await servers.reset(reader, writer)

        one_by_one = desk.Loopback(limits=replace(desk.FAST, connections_per_address=1))
        async with servers.tcp_server(reset_late) as bad, servers.tcp_server(servers.saying(b"x")) as good:
            broker = desk.broker(one_by_one)
            times = await asyncio.gather(_talk(broker, bad.port), *(_talk(broker, good.port) for _ in range(2)))
            assert times == pytest.approx([0.0, 3.0, 3.0], abs=0.1)

    warped(scenario())


@pytest.mark.parametrize(
    ("traffic", "port"),
    [
        (Traffic.CONNECTION, 443),
        (Traffic.CHILD, 443),
        (Traffic.SWEEP, 443),
        (Traffic.DATAGRAM, 53),
        (Traffic.CONNECTION, 25),
    ],
)
def test_a_push_while_a_limit_is_waited_for_is_heeded_too(traffic: Traffic, port: int) -> None:
    async def scenario() -> None:
        once_a_second = replace(
            desk.FAST,
            new_connections_per_second=1,
            new_connections_burst=1,
            sweep_per_second=1,
            dns_per_second=1,
            dns_burst=1,
        )
        broker = desk.broker(desk.Loopback(limits=replace(once_a_second, smtp_per_minute=1)))
        request = Request(traffic, desk.TASK.name, HERE, port, "tcp")

        async def turn() -> float:
            with ExitStack() as held:
                await broker.door(desk.task()).turn(request, held, lambda: False)
                return now()

        await turn()
        second = asyncio.ensure_future(turn())
        pause = 60.0 if port == 25 else 1.0
        await asyncio.sleep(pause - 0.5)
        broker.backoff.pushed(HERE)
        assert await second == pytest.approx(pause + 0.5)

    warped(scenario())


def test_a_port_that_resets_everything_is_given_up_after_four_times() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.reset) as bad:
            broker, asset = desk.broker(), AssetContext()
            for _ in range(4):
                await _talk(broker, bad.port, asset)
            door = broker.door(desk.task(), asset=asset)
            assert (await _unseen(door.connect(HERE, bad.port))).reason is Reason.RESET
            assert bad.connections == 4

    warped(scenario())


def test_patience_bounds_the_pause() -> None:
    async def scenario() -> None:
        broker = desk.broker(patience=1.0)
        for _ in range(3):
            broker.backoff.pushed(HERE)
            await asyncio.sleep(2.0)
        broker.backoff.pushed(HERE)
        before = now()
        assert (await _unseen(broker.door(desk.task()).connect(HERE, 443))).reason is Reason.RATE_LIMITED
        assert now() == before

    warped(scenario())


# ---- what is made of it


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_a_web_server_that_wants_to_be_left_alone_twice_is_unknown(status: str) -> None:
    async def scenario() -> None:
        async with servers.tcp_server(http(status)) as server:
            (answer,) = await answers([task("http", 80, params={"scheme": "http"})], {80: server.port})
            assert isinstance(answer, Unobserved)
            assert (answer.reason, answer.code) == (Reason.RATE_LIMITED, None)
            assert server.connections == 2
            assert now() == pytest.approx(1.0, abs=0.1)

    warped(scenario())


@pytest.mark.parametrize("first", [http("429 Too Many"), servers.reset], ids=["429", "reset"])
def test_a_web_server_that_is_busy_once_is_seen(first: servers.Handler) -> None:
    async def scenario() -> None:
        async with servers.tcp_server(in_turns(first, http("200 OK"))) as server:
            (answer,) = await answers([task("http", 80, params={"scheme": "http"})], {80: server.port})
            assert isinstance(answer, Observed)
            assert isinstance(answer.facts, HttpFacts)
            assert [hop.status for hop in answer.facts.hops] == [200]

    warped(scenario())


def test_a_web_server_that_always_resets_is_a_reset() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.reset) as server:
            (answer,) = await answers([task("http", 80, params={"scheme": "http"})], {80: server.port})
            assert isinstance(answer, Unobserved)
            assert answer.reason is Reason.RESET
            assert server.connections == 2

    warped(scenario())


def _moved(path: str) -> servers.Handler:
    return http(f"301 Moved\r\nLocation: http://{desk.TASK.name}/{path}")


@pytest.mark.parametrize("after", [servers.reset, http("429 Too Many")], ids=["reset", "429"])
def test_a_web_server_that_answered_and_then_turns_us_away_is_unknown_as_a_whole(after: servers.Handler) -> None:
    async def scenario() -> None:
        async with servers.tcp_server(in_turns(_moved("a"), after)) as server:
            (answer,) = await answers([task("http", 80, params={"scheme": "http"})], {80: server.port})
            assert isinstance(answer, Unobserved)
            assert answer.reason is Reason.RATE_LIMITED
            assert server.connections == 3

    warped(scenario())


def test_a_web_server_that_resets_every_second_connection_is_unknown() -> None:
    async def scenario() -> None:
        bad = servers.reset
        turns = in_turns(_moved("a"), bad, _moved("b"), bad, _moved("c"), bad, http("200 OK"))
        async with servers.tcp_server(turns) as server:
            (answer,) = await answers([task("http", 80, params={"scheme": "http"})], {80: server.port})
            assert isinstance(answer, Unobserved)
            assert answer.reason is Reason.RATE_LIMITED
            assert server.connections == 5

    warped(scenario())


def test_a_closed_port_behind_a_redirect_is_no_throttling() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(http(f"301 Moved\r\nLocation: https://{desk.TASK.name}/")) as server:
            places = {80: server.port, 443: free_port()}
            (answer,) = await answers([task("http", 80, params={"scheme": "http"})], places)
            assert isinstance(answer, Observed)
            assert (answer.facts.ended, answer.facts.why) == ("unseen", "closed")

    warped(scenario())


@dataclass
class Ips:
    """Lets so many connections through to a server, and then answers as ``then`` does."""

    behind: servers.Handler
    allowed: int
    then: servers.Handler
    seen: int = 0

    async def __call__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.seen += 1
        await (self.behind if self.seen <= self.allowed else self.then)(reader, writer)


SUITES = ["TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_RSA_WITH_AES_256_CBC_SHA", "TLS_RSA_WITH_AES_128_GCM_SHA256"]


@pytest.mark.parametrize("allowed", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("then", [servers.reset, servers.silent, servers.hang_up], ids=["reset", "silent", "hang_up"])
def test_an_ips_that_bans_us_never_makes_a_list_of_suites_look_short(allowed: int, then: servers.Handler) -> None:
    async def scenario() -> None:
        ips = Ips(OldServer({"TLS 1.2": SUITES, "TLS 1.1": SUITES[:2]}), allowed, then)
        async with servers.tcp_server(ips) as server:
            (answer,) = await answers([task("tls")], {443: server.port})
            assert isinstance(answer, Unobserved)
            assert answer.reason is Reason.RATE_LIMITED
            assert server.connections <= allowed + 4

    warped(scenario())


def test_without_a_ban_the_same_server_is_seen_whole() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(OldServer({"TLS 1.2": SUITES, "TLS 1.1": SUITES[:2]})) as server:
            (answer,) = await answers([task("tls")], {443: server.port})
            assert isinstance(answer, Observed)
            assert isinstance(answer.facts, TlsFacts)
            assert answer.facts.accepted == ("TLS 1.1", "TLS 1.2")

    warped(scenario())


@pytest.mark.parametrize("gone", ["closed", "silent"])
def test_a_sweep_that_is_banned_midway_does_not_say_filtered_or_closed(gone: str) -> None:
    """The IPS bans us after some connects: what is left looks filtered, or closed."""

    async def scenario(silent: int) -> None:
        async with servers.tcp_server(saying_now(b"SSH-2.0-x\r\n")) as server:
            order: list[int] = []
            away = silent if gone == "silent" else free_port()

            class Banning(Broker):
                def real_port(self, grant: Grant, address: str, port: int, protocol: str) -> int:
                    order.append(port)
                    return server.port if len(order) <= 3 else away

            broker = desk.broker()
            broker.__class__ = Banning
            sweep = task("ports", None, params={"ports": [21, 22, 23, 25, 80, 443], "again_after": 0.0})
            async for _, answer in run([sweep], ALL_PROBES, broker):
                assert isinstance(answer, Unobserved)
                assert answer.reason is Reason.RATE_LIMITED

    with servers.blackhole() as silent:
        warped(scenario(silent))


def test_a_refusal_by_our_own_limit_has_its_code_and_is_shared() -> None:
    async def scenario() -> None:
        greeting = saying_now(b"220 mx\r\n", b"250 mx\r\n")
        async with servers.tcp_server(greeting) as server:
            slow = replace(desk.FAST, smtp_per_minute=1, smtp_per_hour=1)
            mx = task("smtp", 25, name="mx.gov.example", params={"mx_of": "a.gov.example", "ehlo": "x"})
            other = replace(mx, asset="b", name="mx2.gov.example", params={"mx_of": "b.gov.example", "ehlo": "x"})
            both = await answers([mx, other], {25: server.port}, desk.Loopback(limits=slow))
            assert sorted(type(answer).__name__ for answer in both) == ["Observed", "Unobserved"]
            unseen = next(answer for answer in both if isinstance(answer, Unobserved))
            assert (unseen.reason, unseen.code) == (Reason.RATE_LIMITED, "E-SCOPE-030")
            assert server.connections == 1

    warped(scenario())


# ---- what one asset may send


async def _drain(broker: Broker, port: int, about: Task) -> tuple[int, NotSeen | None]:
    received, unseen = 0, None
    door = broker.door(about)
    try:
        async with await door.connect(HERE, port) as stream:
            await stream.write(b"\r\n\r\n")
            while data := await stream.read():
                received += len(data)
    except NotSeen as fault:
        unseen = fault
    return received, unseen


def test_an_asset_may_send_five_megabytes_over_all_its_connections_and_not_a_byte_more() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.forever(b"", b"x" * 65_536)) as flood:
            broker = desk.broker()
            took = await asyncio.gather(*(_drain(broker, flood.port, desk.task()) for _ in range(5)))
            assert sum(received for received, _ in took) == BYTES_PER_ASSET
            reasons = [(unseen.reason, unseen.code) for _, unseen in took if unseen]
            assert (Reason.RATE_LIMITED, None) in reasons
            # Another asset at the same address has bytes of its own; this one has none, in no task and no datagram.
            assert (await _drain(broker, flood.port, desk.task(asset="other")))[0] > 0
            received, unseen = await _drain(broker, flood.port, desk.task(probe="other"))
            assert (received, str(unseen)) == (0, "rate_limited: this asset's 5 MB are used up")
            async with servers.udp_server(lambda data: [data]) as port:
                fault = await _unseen(broker.door(desk.task()).ask_udp(HERE, port, b"x"))
            assert (fault.reason, fault.code) == (Reason.RATE_LIMITED, None)

    warped(scenario())


def test_an_honest_server_uses_a_small_part_of_it() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(OldServer({"TLS 1.2": SUITES, "TLS 1.1": SUITES[:2]})) as server:
            broker = desk.broker(lab_ports=(LabPort(HERE, 443, server.port, "tcp"),))
            asked = [task("tls"), task("tls_legacy")]
            assert [answer async for _, answer in run(asked, ALL_PROBES, broker)]
            assert 0 < BYTES_PER_ASSET - broker.budget(asked[0]).left < BYTES_PER_ASSET / 20

    warped(scenario())
