from __future__ import annotations

import asyncio
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest

from posture.door import Reply
from posture.model import AbsentCause, NotSeen, NotThere, Reason
from posture.net.resolver import RunResolver, ask_server, parse_name, system_resolver
from tests.lab import free_port, need, serve
from tests.net import desk, servers
from tests.net.dnsd import NameServer, Script, answer, name_server, nodata, nxdomain
from tests.net.warp import now, warped

WWW = "www.gov.example"


def _ask(script: Script, name: str = WWW, rdtype: str = "A") -> tuple[Reply, NameServer]:
    async def scenario() -> tuple[Reply, NameServer]:
        async with name_server(script) as server:
            return await RunResolver("127.0.0.1", server.port).ask(name, rdtype), server

    return warped(scenario())


def _failure(script: Script, name: str = WWW, rdtype: str = "A") -> tuple[NotSeen, NameServer]:
    async def scenario() -> tuple[NotSeen, NameServer]:
        async with name_server(script) as server:
            with pytest.raises(NotSeen) as caught:
                await RunResolver("127.0.0.1", server.port).ask(name, rdtype)
            return caught.value, server

    return warped(scenario())


def test_records_come_sorted_whatever_their_order_on_the_wire() -> None:
    first, second = f"{WWW}. 60 IN A 192.0.2.9", f"{WWW}. 60 IN A 192.0.2.1"

    def script(query: dns.message.Message, _: bool) -> dns.message.Message:
        reply = answer(query, first)
        reply.answer[0].add(answer(query, second).answer[0][0])
        return reply

    reply, _ = _ask(script)
    assert [record.address for record in reply.records] == ["192.0.2.1", "192.0.2.9"]
    assert (reply.status, reply.name, reply.chain, reply.signed) == ("noerror", WWW, (), False)


def test_questions_carry_edns_1232_do_and_cd() -> None:
    _, server = _ask(lambda query, _: nodata(query))
    (query,) = server.queries
    assert (query.edns, query.payload) == (0, 1232)
    assert query.ednsflags & dns.flags.DO
    assert query.flags & dns.flags.CD
    assert query.flags & dns.flags.RD


def test_nxdomain_and_nodata_are_told_apart() -> None:
    assert _ask(lambda query, _: nxdomain(query))[0].status == "nxdomain"
    assert _ask(lambda query, _: nodata(query))[0].status == "nodata"


@pytest.mark.parametrize(
    ("rcode", "reason", "questions"),
    [
        (dns.rcode.SERVFAIL, Reason.TEMPORARY, 3),
        (dns.rcode.REFUSED, Reason.REFUSED_BY_TARGET, 1),
        (dns.rcode.FORMERR, Reason.MALFORMED, 1),
        (dns.rcode.NOTIMP, Reason.MALFORMED, 1),
    ],
)
def test_an_error_of_the_server_is_no_answer_about_the_name(rcode: int, reason: Reason, questions: int) -> None:
    fault, server = _failure(lambda query, _: answer(query, rcode=rcode))
    assert fault.reason is reason
    assert WWW in fault.detail
    assert len(server.queries) == questions


def test_silence_times_out_after_three_tries() -> None:
    fault, server = _failure(lambda *_: None)
    assert fault.reason is Reason.TIMEOUT
    assert len(server.queries) == 3


def test_a_lost_packet_is_asked_again() -> None:
    seen: list[int] = []

    def script(query: dns.message.Message, _: bool) -> dns.message.Message | None:
        seen.append(query.id)
        return answer(query, f"{WWW}. 60 IN A 192.0.2.1") if len(seen) > 1 else None

    assert _ask(script)[0].status == "noerror"
    assert len(set(seen)) == 2  # a new id each time


def test_no_resolver_at_all_is_a_time_out() -> None:
    async def scenario() -> None:
        with pytest.raises(NotSeen) as caught:
            await RunResolver("127.0.0.1", free_port()).ask(WWW, "A")
        assert caught.value.reason is Reason.TIMEOUT
        assert "is not there" in caught.value.detail

    warped(scenario())


def test_a_truncated_answer_is_fetched_over_tcp() -> None:
    def script(query: dns.message.Message, tcp: bool) -> dns.message.Message:
        return answer(query, f"{WWW}. 60 IN A 192.0.2.1") if tcp else answer(query, flags=dns.flags.TC)

    reply, server = _ask(script)
    assert reply.status == "noerror"
    assert server.over_tcp == 1


def test_an_answer_truncated_even_over_tcp_is_no_evidence_of_absence() -> None:
    fault, _ = _failure(lambda query, _: answer(query, flags=dns.flags.TC))
    assert fault.reason is Reason.TRUNCATED


@pytest.mark.parametrize("garbage", [b"\xff" * 40, b"\x00" * 12, b"short"])
def test_garbage_is_malformed_or_passed_over(garbage: bytes) -> None:
    fault, _ = _failure(lambda query, _: query.id.to_bytes(2, "big") + b"\x80" + garbage)
    assert fault.reason in (Reason.MALFORMED, Reason.TIMEOUT)


def test_an_answer_to_another_question_is_malformed() -> None:
    def script(query: dns.message.Message, _: bool) -> dns.message.Message:
        other = dns.message.make_query("evil.example", "A", id=query.id)
        return answer(other, "evil.example. 60 IN A 192.0.2.66")

    assert _failure(script)[0].reason is Reason.MALFORMED


def test_a_wrong_id_is_passed_over_and_the_right_one_believed() -> None:
    async def scenario() -> Reply:
        def both(wire: bytes) -> list[bytes]:
            query = dns.message.from_wire(wire)
            true = answer(query, f"{WWW}. 60 IN A 192.0.2.1").to_wire()
            forged = answer(query, f"{WWW}. 60 IN A 192.0.2.66").to_wire()
            return [(query.id ^ 1).to_bytes(2, "big") + forged[2:], true]

        async with servers.udp_server(both) as port:
            return await RunResolver("127.0.0.1", port).ask(WWW, "A")

    assert [record.address for record in warped(scenario()).records] == ["192.0.2.1"]


def test_a_cname_is_followed_inside_an_answer_and_beyond_it() -> None:
    def script(query: dns.message.Message, _: bool) -> dns.message.Message:
        match query.question[0].name.to_text():
            case "www.gov.example.":
                return answer(query, f"{WWW}. 60 IN CNAME a.gov.example.", "a.gov.example. 60 IN CNAME b.cdn.example.")
            case _:
                return answer(query, "b.cdn.example. 60 IN A 192.0.2.5")

    reply, server = _ask(script)
    assert reply.chain == ("a.gov.example", "b.cdn.example")
    assert reply.name == "b.cdn.example"
    assert [record.address for record in reply.records] == ["192.0.2.5"]
    assert len(server.queries) == 2


def test_a_cname_to_nowhere_is_nxdomain_at_its_end() -> None:
    def script(query: dns.message.Message, _: bool) -> dns.message.Message:
        reply = nxdomain(query)
        reply.answer.extend(answer(query, f"{WWW}. 60 IN CNAME gone.gov.example.").answer)
        return reply

    reply, _ = _ask(script)
    assert (reply.status, reply.name) == ("nxdomain", "gone.gov.example")


def test_a_cname_loop_ends() -> None:
    def script(query: dns.message.Message, _: bool) -> dns.message.Message:
        return answer(query, f"{WWW}. 60 IN CNAME a.gov.example.", f"a.gov.example. 60 IN CNAME {WWW}.")

    assert _failure(script)[0].reason is Reason.MALFORMED


def test_an_endless_chain_over_many_answers_ends() -> None:
    def script(query: dns.message.Message, _: bool) -> dns.message.Message:
        name = query.question[0].name.to_text()
        return answer(query, f"{name} 60 IN CNAME x{name}")

    fault, server = _failure(script)
    assert fault.reason is Reason.MALFORMED
    assert len(server.queries) <= 9


def test_a_referral_is_no_denial() -> None:
    fault, _ = _failure(lambda query, _: answer(query, authority=("example. 60 IN NS ns.example.",)))
    assert fault.reason is Reason.MALFORMED


def test_signatures_are_noticed() -> None:
    signature = "A 13 3 60 20261201000000 20261101000000 1 gov.example. " + "A" * 86 + "=="
    reply, _ = _ask(lambda query, _: answer(query, f"{WWW}. 60 IN A 192.0.2.1", f"{WWW}. 60 IN RRSIG {signature}"))
    assert reply.signed


def test_equal_questions_are_asked_once_in_a_run() -> None:
    async def scenario() -> int:
        async with name_server(lambda query, _: answer(query, f"{WWW}. 60 IN A 192.0.2.1")) as server:
            resolver = RunResolver("127.0.0.1", server.port)
            await asyncio.gather(
                *(resolver.ask(name, "A") for name in (WWW, f"{WWW}.", WWW.upper()) for _ in range(20))
            )
            await resolver.ask(WWW, "A")
            return len(server.queries)

    assert warped(scenario()) == 1


def test_one_who_stops_waiting_does_not_take_the_answer_away_from_others() -> None:
    async def scenario() -> Reply:
        slow = [True]

        def script(query: dns.message.Message, _: bool) -> dns.message.Message | None:
            return None if slow.pop() else answer(query, f"{WWW}. 60 IN A 192.0.2.1")

        slow.insert(0, False)
        async with name_server(script) as server:
            resolver = RunResolver("127.0.0.1", server.port)
            first = asyncio.create_task(resolver.ask(WWW, "A"))
            second = asyncio.create_task(resolver.ask(WWW, "A"))
            await asyncio.sleep(1.0)
            first.cancel()
            return await second

    assert warped(scenario()).status == "noerror"


def test_a_failure_is_not_remembered() -> None:
    async def scenario() -> str:
        broken = [True]

        def script(query: dns.message.Message, _: bool) -> dns.message.Message:
            return answer(query, rcode=dns.rcode.REFUSED) if broken else answer(query, f"{WWW}. 60 IN A 192.0.2.1")

        async with name_server(script) as server:
            resolver = RunResolver("127.0.0.1", server.port)
            with pytest.raises(NotSeen):
                await resolver.ask(WWW, "A")
            broken.clear()
            return (await resolver.ask(WWW, "A")).status

    assert warped(scenario()) == "noerror"


def test_addresses_need_both_questions_answered() -> None:
    def script(query: dns.message.Message, _: bool) -> dns.message.Message:
        name = query.question[0].name.to_text()
        ipv6 = query.question[0].rdtype == 28
        match name, ipv6:
            case ("both.gov.example.", True):
                return answer(query, "both.gov.example. 60 IN AAAA 2001:db8::1")
            case ("both.gov.example.", False) | ("half.gov.example.", False):
                return answer(query, f"{name} 60 IN A 192.0.2.1")
            case ("half.gov.example.", True):
                return answer(query, rcode=dns.rcode.SERVFAIL)
            case _:
                return nxdomain(query)

    async def scenario() -> None:
        async with name_server(script) as server:
            resolver = RunResolver("127.0.0.1", server.port)
            assert await resolver.addresses("both.gov.example") == ("192.0.2.1", "2001:db8::1")
            assert await resolver.addresses("gone.gov.example") == ()
            with pytest.raises(NotSeen) as caught:
                await resolver.addresses("half.gov.example")
            assert caught.value.reason is Reason.TEMPORARY

    warped(scenario())


def test_no_more_than_fifty_questions_are_under_way() -> None:
    async def scenario() -> int:
        async with name_server(lambda *_: None) as server:
            resolver = RunResolver("127.0.0.1", server.port, tries=(2.0,))
            asking = [asyncio.create_task(resolver.ask(f"h{n}.gov.example", "A")) for n in range(120)]
            await asyncio.sleep(1.0)
            count = len(server.queries)
            await resolver.aclose()
            await asyncio.gather(*asking, return_exceptions=True)
            return count

    assert warped(scenario()) == 50


@pytest.mark.parametrize(
    "name", ["", "a b.example", "ü.example", "a\n.example", "x" * 64 + ".example", "a..example", "a." * 130]
)
def test_what_is_no_name_is_not_asked(name: str) -> None:
    with pytest.raises(NotSeen) as caught:
        parse_name(name)
    assert caught.value.reason is Reason.MALFORMED


def test_a_server_is_asked_through_the_door_and_its_answer_returned_as_it_is() -> None:
    async def scenario() -> None:
        async with name_server(
            lambda query, tcp: answer(query, rcode=dns.rcode.REFUSED, flags=dns.flags.AA if tcp else 0)
        ) as server:
            door = desk.broker(lab_ports=desk.dns_ports(server.port)).door(desk.task())
            message = await ask_server(door, "127.0.0.1", "gov.example", "SOA")
            assert message.rcode() == dns.rcode.REFUSED
            assert not server.queries[0].flags & dns.flags.RD
            message = await ask_server(door, "127.0.0.1", "gov.example", "SOA", tcp=True)
            assert message.flags & dns.flags.AA
            assert server.over_tcp == 1

    warped(scenario())


def test_zones_whose_servers_are_silent_do_not_use_up_the_time_of_another() -> None:
    async def scenario() -> None:
        def script(query: dns.message.Message, _: bool) -> dns.message.Message | None:
            return None if "hostile" in str(query.question[0]) else nodata(query)

        async with name_server(script) as server:
            broker = desk.broker(resolver=RunResolver("127.0.0.1", server.port, in_flight=2))
            hostile, good = (broker.door(desk.task(asset=name)) for name in ("hostile.example", "good.example"))
            asking = [asyncio.ensure_future(hostile.resolver.ask(f"h{n}.hostile.example", "A")) for n in range(20)]
            await asyncio.sleep(0.1)
            for n in range(5):
                assert (await good.resolver.ask(f"g{n}.good.example", "A")).status == "nodata"
            assert now() > 31.0
            assert good.clock.elapsed == pytest.approx(0.0)
            assert good.waited.elapsed == pytest.approx(now() - 0.1)
            assert not good.clock.running
            assert not good.waited.running
            ends = await asyncio.gather(*asking, return_exceptions=True)
        assert [end.reason for end in ends if isinstance(end, NotSeen)] == [Reason.DEADLINE] * 20

    warped(scenario())


def test_a_question_of_ones_own_that_is_not_answered_ends_with_the_clock() -> None:
    async def scenario() -> None:
        async with name_server(lambda _query, _tcp: None) as server:
            broker = desk.broker(resolver=RunResolver("127.0.0.1", server.port))
            door, patient = (broker.door(desk.task(), seconds=seconds) for seconds in (6.0, 60.0))
            asking = [asyncio.ensure_future(each.resolver.addresses(WWW)) for each in (door, patient)]
            ends = await asyncio.gather(*asking, return_exceptions=True)
            assert [end.reason for end in ends if isinstance(end, NotSeen)] == [Reason.DEADLINE, Reason.TIMEOUT]
            assert door.clock.elapsed == pytest.approx(6.0)
            assert patient.clock.elapsed == pytest.approx(10.0)

    warped(scenario())


def test_a_server_that_is_not_there_is_clearly_absent() -> None:
    async def scenario() -> None:
        door = desk.broker(lab_ports=desk.dns_ports(free_port())).door(desk.task())
        for tcp in (False, True):
            with pytest.raises(NotThere) as caught:
                await ask_server(door, "127.0.0.1", "gov.example", "SOA", tcp=tcp)
            assert caught.value.cause is AbsentCause.CLOSED

    warped(scenario())


def test_the_system_resolver_is_the_first_name_server(tmp_path: Path) -> None:
    config = tmp_path / "resolv.conf"
    assert system_resolver(config) is None
    config.write_text("# comment\nsearch gov.example\nnameserver 192.0.2.53\nnameserver 192.0.2.54\n")
    assert system_resolver(config) == ("192.0.2.53", 53)


def test_unbound_is_understood(tmp_path: Path) -> None:
    port = free_port()
    texts = "\n".join(f"local-data: 'long.gov.example. 60 IN TXT \"{n:03}{'x' * 200}\"'" for n in range(20))
    config = tmp_path / "unbound.conf"
    config.write_text(
        f"""server:
          interface: 127.0.0.1@{port}
          do-daemonize: no
          username: ""
          chroot: ""
          pidfile: ""
          use-syslog: no
          directory: "{tmp_path}"
          local-zone: "gov.example." static
          local-data: "www.gov.example. 60 IN A 192.0.2.1"
          {texts}
        """
    )

    async def scenario() -> None:
        resolver = RunResolver("127.0.0.1", port)
        assert await resolver.addresses(WWW) == ("192.0.2.1",)
        assert (await resolver.ask("nothing.gov.example", "A")).status == "nxdomain"
        assert (await resolver.ask(WWW, "MX")).status == "nodata"
        assert len((await resolver.ask("long.gov.example", "TXT")).records) == 20

    with serve([need("unbound", "unbound"), "-d", "-c", config], ready=("127.0.0.1", port)):
        asyncio.run(scenario())
