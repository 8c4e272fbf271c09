from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from posture.errors import StoreError
from posture.inventory.records import Asset, Authorisation, Inventory, LabPort, Limits, Ministry, Operator, State
from posture.model import AbsentCause, NotSeen, NotThere, ProbeClass, Reason
from posture.net.asset import AssetContext
from posture.net.broker import BrokerDoor
from posture.net.decisions import Decision
from posture.net.governor import Traffic
from posture.scope import Scope
from tests.lab import free_port
from tests.net import desk, servers
from tests.net.warp import now, warped

PAGE = servers.saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def _refused(attempt: Any) -> NotSeen:
    with pytest.raises(NotSeen) as caught:
        await attempt
    return caught.value


def test_a_connection_goes_to_the_very_address_and_its_end_frees_the_slot() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.saying(b"hello", ask=False)) as server:
            broker = desk.broker()
            door = broker.door(desk.task())
            async with await door.connect("127.0.0.1", server.port) as stream:
                assert await stream.read() == b"hello"
                assert broker.governor.open == 1
            assert broker.governor.open == 0

    warped(scenario())


def test_the_scope_is_asked_for_each_connection_with_all_that_matters() -> None:
    async def scenario() -> None:
        scope = desk.Loopback()
        task = desk.task(params={"mx_of": "gov.example"})
        async with servers.tcp_server(servers.hang_up) as server:
            await desk.broker(scope).door(task).sweep("127.0.0.1", server.port)
        assert scope.asked == [
            {
                "ministry": "finance",
                "name": "www.finance.gov.example",
                "address": "127.0.0.1",
                "port": server.port,
                "protocol": "tcp",
                "probe_class": task.probe_class,
                "at": desk.AT,
                "nameserver_of": None,
                "mx_of": "gov.example",
            }
        ]

    warped(scenario())


def test_a_name_server_is_decided_by_its_own_name() -> None:
    async def scenario() -> None:
        scope = desk.Loopback()
        params = {"nameserver_of": "www.finance.gov.example", "server": "ns.finance.gov.example"}
        async with servers.tcp_server(servers.hang_up) as server:
            await desk.broker(scope).door(desk.task(params=params)).sweep("127.0.0.1", server.port)
        assert [each["name"] for each in scope.asked] == ["ns.finance.gov.example"]

    warped(scenario())


def test_a_refusal_sends_nothing_and_keeps_its_code() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.silent) as server:
            door = desk.broker(desk.Loopback(closed=True)).door(desk.task())
            for attempt in (
                door.connect("127.0.0.1", server.port),
                door.sweep("127.0.0.1", server.port),
                door.ask_udp("127.0.0.1", server.port, b"x"),
                door.get(f"http://www.finance.gov.example:{server.port}/"),
            ):
                fault = await _refused(attempt)
                assert (fault.reason, fault.code) == (Reason.BLACKOUT, "E-SCOPE-011")
            assert server.connections == 0

    warped(scenario())


def test_an_address_that_was_not_planned_is_refused() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.silent, "127.0.0.2") as server:
            door = desk.broker().door(desk.task())
            for attempt in (
                door.connect("127.0.0.2", server.port),
                door.sweep("127.0.0.2", server.port),
                door.ask_udp("127.0.0.2", server.port, b"x"),
                door.get(f"http://www.finance.gov.example:{server.port}/", address="127.0.0.2"),
            ):
                fault = await _refused(attempt)
                assert (fault.reason, fault.code) == (Reason.OUT_OF_SCOPE, "E-SCOPE-023")
            assert server.connections == 0

    warped(scenario())


def test_every_decision_is_recorded_before_the_packet() -> None:
    async def scenario() -> None:
        records: list[tuple[Decision, int]] = []
        async with servers.tcp_server(servers.hang_up) as server:
            broker = desk.broker(on_decision=lambda decision: records.append((decision, server.connections)))
            await broker.door(desk.task()).sweep("127.0.0.1", server.port)
            await asyncio.sleep(1)
            broker.scope.closed = True  # type: ignore[attr-defined]  # desk.Loopback has it
            await _refused(broker.door(desk.task()).connect("127.0.0.1", server.port))
        (first, before), (second, _) = records
        assert before == 0
        assert first.allowed
        assert (first.traffic, first.address, first.port) == (Traffic.SWEEP, "127.0.0.1", server.port)
        assert not second.allowed

    warped(scenario())


def test_nothing_is_sent_when_the_record_cannot_be_written() -> None:
    def full(_: Decision) -> None:
        raise StoreError("the audit log cannot be written. Free some space.")

    async def scenario() -> None:
        async with servers.tcp_server(servers.silent) as server:
            broker = desk.broker(on_decision=full)
            with pytest.raises(StoreError):
                await broker.door(desk.task()).connect("127.0.0.1", server.port)
            await asyncio.sleep(1)
            assert server.connections == 0
            assert broker.governor.open == 0

    warped(scenario())


@pytest.mark.parametrize(("lab", "reached"), [(True, 1), (False, 0)])
def test_a_lab_port_leads_elsewhere_only_under_a_lab_grant(lab: bool, reached: int) -> None:
    async def scenario() -> None:
        records: list[Decision] = []
        async with servers.tcp_server(servers.hang_up) as server:
            spoken = free_port()
            ports = (LabPort("127.0.0.1", spoken, server.port, "tcp"),)
            broker = desk.broker(desk.Loopback(lab=lab, limits=Limits()), lab_ports=ports, on_decision=records.append)
            await broker.door(desk.task()).sweep("127.0.0.1", spoken)
            await asyncio.sleep(1)
            assert server.connections == reached
            assert records[0].port == spoken

    warped(scenario())


def test_a_decision_is_taken_again_after_a_long_wait() -> None:
    async def scenario() -> None:
        scope = desk.Loopback(limits=Limits(connections_per_address=1))
        async with servers.tcp_server(servers.silent) as server:
            broker = desk.broker(scope)
            holder = await broker.door(desk.task()).connect("127.0.0.1", server.port)
            waiting = asyncio.create_task(_refused(broker.door(desk.task()).connect("127.0.0.1", server.port)))
            await asyncio.sleep(5.0)
            scope.closed = True
            async with holder:
                pass
            assert (await waiting).code == "E-SCOPE-011"
            assert server.connections == 1
            assert broker.governor.open == 0

    warped(scenario())


def test_waiting_for_a_turn_does_not_run_on_the_clock() -> None:
    async def scenario() -> None:
        limits = Limits(connections_per_address=1)
        async with servers.tcp_server(servers.silent) as server:
            broker = desk.broker(desk.Loopback(limits=limits))
            asset = AssetContext(60.0)
            holder = await broker.door(desk.task()).connect("127.0.0.1", server.port, timeout=100)
            door = broker.door(desk.task(), asset=asset)
            waiting = asyncio.create_task(door.connect("127.0.0.1", server.port))
            await asyncio.sleep(90.0)
            async with holder:
                pass
            async with await waiting:
                await asyncio.sleep(7.0)
            assert door.waited.elapsed == pytest.approx(90.0)
            assert asset.clock.elapsed == pytest.approx(7.0)

    warped(scenario())


def test_a_busy_address_gives_rate_limited_when_patience_ends() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.silent) as server:
            broker = desk.broker(desk.Loopback(limits=Limits(connections_per_address=1)), patience=30.0)
            async with await broker.door(desk.task()).connect("127.0.0.1", server.port):
                fault = await _refused(broker.door(desk.task()).connect("127.0.0.1", server.port))
            assert fault.reason is Reason.RATE_LIMITED

    warped(scenario())


def test_an_address_never_sees_more_than_two_of_us_at_once() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.saying(b"x", every=1.0, ask=False)) as server:
            broker = desk.broker(desk.Loopback(limits=Limits(), lab=False))

            async def visit(name: str) -> None:
                async with await broker.door(desk.task(name=name)).connect("127.0.0.1", server.port) as stream:
                    while await stream.read():
                        pass

            await asyncio.gather(*(visit(f"v{n}.gov.example") for n in range(30)))
            assert server.connections == 30
            assert server.most_open <= 2

    warped(scenario())


def test_a_dead_address_costs_one_time_out_in_total() -> None:
    async def scenario(silent: tuple[int, ...]) -> None:
        records: list[Decision] = []
        broker, asset = desk.broker(on_decision=records.append), AssetContext()
        doors = [broker.door(desk.task(), asset=asset) for _ in range(6)]
        faults = await asyncio.gather(
            *(_refused(door.connect("127.0.0.1", port)) for door, port in zip(doors, silent * 3, strict=True))
        )
        faults += [await _refused(doors[0].connect("127.0.0.1", port)) for port in (*silent, 443)]
        assert {fault.reason for fault in faults} == {Reason.TIMEOUT}
        assert now() == pytest.approx(5.0)

    with servers.blackhole() as one, servers.blackhole() as two:
        warped(scenario((one, two)))


def test_a_dead_address_still_gets_one_window_of_the_sweep() -> None:
    async def scenario(silent: int) -> None:
        asset = AssetContext()
        door = desk.broker().door(desk.task(), asset=asset)
        await _refused(door.connect("127.0.0.1", silent))
        swept = [await door.sweep("127.0.0.1", silent) for _ in range(20)]
        assert set(swept) == {"filtered"}
        assert (await _refused(door.sweep("127.0.0.1", silent))).reason is Reason.TIMEOUT
        # Somebody answers after all: then the address is not dead.
        asset.liveness("127.0.0.1").answered = True
        assert await door.sweep("127.0.0.1", silent) == "filtered"

    with servers.blackhole() as silent:
        warped(scenario(silent))


def test_a_closed_port_is_a_sign_of_life() -> None:
    async def scenario(silent: int) -> None:
        door = desk.broker().door(desk.task())
        with pytest.raises(NotThere):
            await door.connect("127.0.0.1", free_port())
        async with servers.tcp_server(servers.silent) as server:
            await _refused(door.connect("127.0.0.1", silent))
            async with await door.connect("127.0.0.1", server.port):
                pass

    with servers.blackhole() as silent:
        warped(scenario(silent))


def test_a_sweep_tells_open_closed_and_filtered_apart() -> None:
    async def scenario(silent: int) -> None:
        async with servers.tcp_server(servers.hang_up) as server:
            door = desk.broker().door(desk.task())
            found = [await door.sweep("127.0.0.1", port) for port in (server.port, free_port(), silent)]
            assert found == ["open", "closed", "filtered"]

    with servers.blackhole() as silent:
        warped(scenario(silent))


def test_the_asset_clock_ends_a_held_connection_with_deadline() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.silent) as server:
            door = desk.broker().door(desk.task(), asset=AssetContext(4.0))
            async with await door.connect("127.0.0.1", server.port) as stream:
                assert (await _refused(stream.read())).reason is Reason.DEADLINE
            assert (await _refused(door.connect("127.0.0.1", server.port))).reason is Reason.DEADLINE
            assert server.connections == 1

    warped(scenario())


def test_closing_the_door_closes_what_a_probe_left_open() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(servers.silent) as server:
            broker = desk.broker()
            door = broker.door(desk.task())
            await door.connect("127.0.0.1", server.port)
            await asyncio.sleep(1)
            door.close()
            await asyncio.sleep(1)
            assert server.open == 0
            assert broker.governor.open == 0
            assert door.clock.elapsed == pytest.approx(1.0)

    warped(scenario())


def test_a_datagram_goes_to_the_address_and_its_answer_comes_back() -> None:
    async def scenario() -> None:
        async with servers.udp_server(lambda data: [data[::-1]]) as port:
            assert await desk.broker().door(desk.task()).ask_udp("127.0.0.1", port, b"abc") == b"cba"
            with pytest.raises(NotThere) as caught:
                await desk.broker().door(desk.task()).ask_udp("127.0.0.1", free_port(), b"abc")
            assert caught.value.cause is AbsentCause.CLOSED

    warped(scenario())


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("http://169.254.169.254/latest/meta-data/", "E-SCOPE-021"),
        ("http://[::ffff:169.254.169.254]/", "E-SCOPE-021"),
        ("http://2852039166/", "E-SCOPE-022"),
        ("http://2130706433:{port}/", "E-SCOPE-022"),
        ("http://0x7f000001:{port}/", "E-SCOPE-022"),
        ("http://0177.0.0.1:{port}/", "E-SCOPE-022"),
        ("http://127.1:{port}/", "E-SCOPE-022"),
        ("http://www.finance.gov.example@127.0.0.1:{port}/", "E-SCOPE-022"),
        ("http://localhost:{port}/", "E-SCOPE-012"),
        ("http://elsewhere.example:{port}/", "E-SCOPE-012"),
        ("http://rebound.gov.example:{port}/", "E-SCOPE-021"),
    ],
)
def test_a_redirect_to_where_we_may_not_go_reaches_nobody(target: str, code: str) -> None:
    async def scenario() -> None:
        names = desk.Names(
            {
                "localhost": ("127.0.0.1",),
                "elsewhere.example": ("127.0.0.1",),
                "rebound.gov.example": ("169.254.169.254",),
            }
        )
        async with servers.tcp_server(PAGE) as canary:
            door = desk.broker(resolver=names).door(desk.task())
            fault = await _refused(door.get(target.format(port=canary.port)))
            assert fault.code == code
            assert canary.connections == 0

    warped(scenario())


def test_a_redirect_within_the_zones_is_resolved_once_and_decided_by_its_own_name() -> None:
    async def scenario() -> None:
        names, scope = desk.Names({"portal.gov.example": ("127.0.0.1",)}), desk.Loopback()
        async with servers.tcp_server(PAGE) as server:
            door = desk.broker(scope, resolver=names).door(desk.task(params={"mx_of": "gov.example"}))
            response = await door.get(f"http://portal.gov.example:{server.port}/")
            assert response.status == 200
            assert names.asked == ["portal.gov.example"]
            # First whether the name may be asked about at all, then the address that it leads to.
            assert [(ask["name"], ask["address"], ask.get("mx_of")) for ask in scope.asked] == [
                ("portal.gov.example", None, None),
                ("portal.gov.example", "127.0.0.1", None),
            ]

    warped(scenario())


def test_the_name_of_the_task_is_never_resolved_again() -> None:
    async def scenario() -> None:
        names = desk.Names({desk.TASK.name: ("127.0.0.66",)})
        async with servers.tcp_server(PAGE) as server:
            door = desk.broker(resolver=names).door(desk.task())
            assert (await door.get(f"http://{desk.TASK.name}:{server.port}/")).status == 200
            assert names.asked == []

    warped(scenario())


def test_of_several_addresses_the_first_that_answers_is_used() -> None:
    async def scenario() -> None:
        async with servers.tcp_server(PAGE, "127.0.0.3") as server:
            task = desk.task(("192.0.2.1", "127.0.0.2", "127.0.0.3"))
            url = f"http://{task.name}:{server.port}/"
            assert (await desk.broker().door(task).get(url)).status == 200
            with pytest.raises(NotThere):  # what the wire said, rather than our own refusal
                await desk.broker().door(replace(task, addresses=("192.0.2.1", "127.0.0.2"))).get(url)

    warped(scenario())


def test_a_name_without_addresses_is_clearly_absent() -> None:
    async def scenario() -> None:
        with pytest.raises(NotThere) as caught:
            await desk.broker().door(desk.task()).get("http://gone.gov.example/")
        assert caught.value.cause is AbsentCause.NXDOMAIN

    warped(scenario())


def test_our_resolver_runs_on_the_clock_and_ends_with_it() -> None:
    class Slow(desk.Names):
        async def addresses(self, name: str) -> tuple[str, ...]:
            await asyncio.sleep(50.0)
            return ("127.0.0.1",)

    async def scenario() -> None:
        asset = AssetContext(60.0)
        door: BrokerDoor = desk.broker(resolver=Slow()).door(desk.task(), asset=asset, seconds=100.0)
        assert await door.resolver.addresses("a.gov.example") == ("127.0.0.1",)
        assert asset.clock.elapsed == pytest.approx(50.0)
        assert (await _refused(door.resolver.addresses("b.gov.example"))).reason is Reason.DEADLINE
        assert now() == pytest.approx(60.0)

    warped(scenario())


def _inventory(port: int) -> Inventory:
    """One ministry whose authorisation covers 127.0.20.0/24 of a lab, on one port."""
    authorisation = Authorisation(
        id="lc-2026-001",
        owner="Ministry of Finance",
        officer="Permanent Secretary",
        basis="consent",
        reference="letter",
        not_before=date(2026, 1, 1),
        not_after=date(2026, 12, 31),
        classes=frozenset({ProbeClass.PASSIVE, ProbeClass.CLIENT}),
        zones=("finance.gov.example",),
        networks=(ip_network("127.0.20.0/24"),),
        ports=((port, port, ""),),
        lab=True,
    )
    return Inventory(
        path=Path("inventory.toml"),
        state=State("LC", "Saint Lucia", "America/St_Lucia"),
        operator=Operator("CERT-LC", "soc@cert.example"),
        authorisations={authorisation.id: authorisation},
        ministries=(Ministry("finance", "Ministry of Finance", (authorisation.id,)),),
        assets=(Asset("www.finance.gov.example", "host", "finance"),),
    )


@pytest.mark.parametrize(
    ("changes", "lab", "code"),
    [
        ({}, True, None),
        ({}, False, "E-SCOPE-021"),
        ({"addresses": ("127.0.21.1",)}, True, "E-SCOPE-020"),
        ({"probe_class": ProbeClass.ACTIVE}, True, "E-SCOPE-010"),
        ({"name": "www.health.gov.example"}, True, "E-SCOPE-022"),
        ({"ministry": "health"}, True, "E-SCOPE-001"),
    ],
    ids=["granted", "no --lab", "address", "class", "name", "ministry"],
)
def test_the_real_scope_opens_and_closes_the_door(changes: dict[str, Any], lab: bool, code: str | None) -> None:
    async def scenario() -> None:
        asked = replace(desk.TASK, **{"addresses": ("127.0.20.1",), **changes})
        async with servers.tcp_server(servers.hang_up, asked.addresses[0]) as server:
            door = desk.broker(Scope(_inventory(server.port), lab=lab)).door(asked)
            if code is None:
                assert await door.sweep(asked.addresses[0], server.port) == "open"
                assert (await _refused(door.sweep(asked.addresses[0], free_port()))).code == "E-SCOPE-024"
                return
            assert (await _refused(door.sweep(asked.addresses[0], server.port))).code == code
            await asyncio.sleep(1)
            assert server.connections == 0

    warped(scenario())


def test_a_name_that_is_not_ours_to_ask_about_is_not_even_resolved() -> None:
    async def scenario() -> None:
        names = desk.Names({"www.elsewhere.example": ("127.0.0.1",)})
        door = desk.broker(Scope(_inventory(443), lab=True), resolver=names).door(desk.task())
        refusal = await _refused(door.get("http://www.elsewhere.example/"))
        assert (refusal.reason, names.asked) == (Reason.OUT_OF_SCOPE, [])
        assert refusal.code is not None

    warped(scenario())
