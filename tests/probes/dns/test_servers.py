"""Name servers asked directly: NSD with and without the zone, closed and silent ports, scripted oddities."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from posture.facts import AxfrFacts, NameserverFacts
from posture.facts.dns import ServerAnswer
from posture.model import NotSeen, ProbeClass, Reason
from posture.probes import nameserver
from posture.probes.base import Probe
from posture.task import Task
from tests.doors import LoopbackDoor
from tests.doors import scripted as conversing
from tests.net.dnsd import answer, name_server
from tests.probes.dns.conftest import HERE, DnsLab

NAMESERVER, AXFR = nameserver.PROBES
NS = "ns1.gov.test"
AT, AT2 = "198.51.100.53", "203.0.113.53"
SOA = "good.gov.test. 60 IN SOA ns1.gov.test. h.gov.test. 1 2 3 4 5"


def server(lab: DnsLab, zone: str, port: int) -> ServerAnswer:
    places = {(AT, 53): (HERE, port)}
    facts = lab.ask(NAMESERVER, zone, places=places, addresses=(AT,), server=NS, status="resolved")
    assert isinstance(facts, NameserverFacts)
    assert (facts.name, facts.status) == (NS, "resolved")
    return facts.answers[0]


def transfer(lab: DnsLab, zone: str, port: int) -> AxfrFacts:
    places = {(AT, 53): (HERE, port)}
    facts = lab.ask(AXFR, zone, places=places, addresses=(AT,), patience=3.0, server=NS, status="resolved")
    assert isinstance(facts, AxfrFacts)
    return facts


def test_a_server_with_the_zone_is_authoritative_over_both_transports(lab: DnsLab) -> None:
    assert server(lab, "good.gov.test", lab.full) == ServerAnswer(AT, "authoritative", "authoritative", 1)


def test_a_server_without_the_zone_refuses(lab: DnsLab) -> None:
    assert server(lab, "good.gov.test", lab.empty) == ServerAnswer(AT, "refused", "refused", 1)


def test_a_server_that_could_not_load_the_zone_is_asked_three_times(lab: DnsLab) -> None:
    assert server(lab, "unloaded.test", lab.empty) == ServerAnswer(AT, "servfail", "servfail", 3)


def test_a_resolver_is_not_authoritative(lab: DnsLab) -> None:
    assert server(lab, "good.gov.test", lab.resolver).udp in ("not_authoritative", "refused")


def test_a_name_that_is_no_zone_is_not_answered_with_its_soa(lab: DnsLab) -> None:
    assert server(lab, "text.gov.test", lab.full) == ServerAnswer(AT, "not_authoritative", "not_authoritative", 1)


def test_a_closed_port_is_an_answer(lab: DnsLab) -> None:
    facts = lab.ask(NAMESERVER, "good.gov.test", addresses=(AT,), server=NS, status="resolved")

    assert facts == NameserverFacts(NS, "resolved", (ServerAnswer(AT, "closed", "closed", 1),))


def test_a_silent_server_is_asked_three_times_and_does_not_hide_the_other_one(lab: DnsLab) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind((HERE, 0))
        places = {(AT, 53): silent.getsockname(), (AT2, 53): (HERE, lab.full)}
        facts = lab.ask(NAMESERVER, "good.gov.test", places=places, addresses=(AT2, AT), server=NS, status="resolved")

    assert facts == NameserverFacts(
        NS,
        "resolved",
        (ServerAnswer(AT, "timeout", "closed", 3), ServerAnswer(AT2, "authoritative", "authoritative", 1)),
    )


def test_a_server_name_that_leads_nowhere_is_recorded_without_asking(lab: DnsLab) -> None:
    facts = lab.ask(NAMESERVER, "good.gov.test", server="gone.gov.test", status="nxdomain")

    assert facts == NameserverFacts("gone.gov.test", "nxdomain", ())


def scripted(
    script: Callable[[dns.message.Message, bool], dns.message.Message | bytes | None], probe: Probe = NAMESERVER
) -> NameserverFacts | AxfrFacts:
    params = {"server": NS, "status": "resolved"}
    zone = "good.gov.test"
    task = Task("finance", zone, "zone", probe.name, "dns", ProbeClass.PASSIVE, "", zone, "a-1", (AT,), params=params)

    async def observe() -> NameserverFacts | AxfrFacts:
        async with name_server(script) as asked:
            door = LoopbackDoor({(AT, 53): (HERE, asked.port)}, patience=0.2)
            facts = await probe.observe(task, door)
            assert isinstance(facts, (NameserverFacts, AxfrFacts))
            return facts

    return asyncio.run(observe())


def word(facts: NameserverFacts | AxfrFacts) -> tuple[str, str, int]:
    assert isinstance(facts, NameserverFacts)
    (only,) = facts.answers
    return only.udp, only.tcp, only.tries


def test_a_lost_answer_costs_a_try() -> None:
    lost = [True]

    def script(query: dns.message.Message, tcp: bool) -> dns.message.Message | None:
        return None if lost and lost.pop() else answer(query, SOA, flags=dns.flags.AA)

    assert word(scripted(script)) == ("authoritative", "authoritative", 2)


def test_a_servfail_that_passes_is_no_evidence() -> None:
    replies = [None, None, dns.rcode.SERVFAIL]

    def script(query: dns.message.Message, tcp: bool) -> dns.message.Message | None:
        if tcp:
            return answer(query, SOA, flags=dns.flags.AA)
        rcode = replies.pop(0)
        return None if rcode is None else answer(query, rcode=rcode)

    assert word(scripted(script)) == ("timeout", "authoritative", 3)


def test_a_rate_limiters_empty_truncated_answer_is_no_evidence() -> None:
    def script(query: dns.message.Message, tcp: bool) -> dns.message.Message:
        return answer(query, SOA, flags=dns.flags.AA) if tcp else answer(query, flags=dns.flags.TC)

    assert word(scripted(script)) == ("malformed", "authoritative", 3)


def test_garbage_is_no_evidence() -> None:
    assert word(scripted(lambda _query, _tcp: b"\0" * 20)) == ("malformed", "malformed", 3)


@pytest.mark.parametrize("rcode", [dns.rcode.NXDOMAIN, dns.rcode.NOTAUTH])
def test_a_denial_is_lame(rcode: dns.rcode.Rcode) -> None:
    assert word(scripted(lambda query, _tcp: answer(query, rcode=rcode)))[:2] == ("not_authoritative",) * 2


def test_a_refusal_of_our_own_ends_the_probe() -> None:
    class Refusing(LoopbackDoor):
        async def ask_udp(self, address: str, port: int, payload: bytes, *, timeout: float = 2.0) -> bytes:
            raise NotSeen(Reason.OUT_OF_SCOPE, address, "E-SCOPE-020")

    params = {"server": NS, "status": "resolved"}
    task = Task("f", "x.test", "zone", "nameserver", "dns", ProbeClass.PASSIVE, "", "x.test", "a", (AT,), params=params)

    async def observe() -> None:
        await NAMESERVER.observe(task, Refusing())

    with pytest.raises(NotSeen) as unseen:
        asyncio.run(observe())

    assert unseen.value.code == "E-SCOPE-020"


@pytest.mark.parametrize("resets", [0, 1, 2, 3])
@pytest.mark.parametrize("probe", [NAMESERVER, AXFR])
def test_a_reset_is_looked_at_once_more_after_a_pause(probe: Probe, resets: int) -> None:
    left = resets

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        query = dns.message.from_wire(await reader.readexactly(length))
        if left:
            left -= 1
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
            return
        wire = answer(query, rcode=dns.rcode.REFUSED).to_wire()
        writer.write(struct.pack("!H", len(wire)) + wire)
        await writer.drain()

    async def observe() -> tuple[str, LoopbackDoor]:
        params = {"server": NS, "status": "resolved"}
        task = Task(
            "f", "x.test", "zone", probe.name, "dns", ProbeClass.ACTIVE, "", "x.test", "a", (AT,), params=params
        )
        async with conversing(serve) as place:
            door = LoopbackDoor({(AT, 53): place}, patience=0.2)
            facts = await probe.observe(task, door)
            assert isinstance(facts, NameserverFacts | AxfrFacts)
            only = facts.answers[0]
            return only.tcp if isinstance(only, ServerAnswer) else only.answer, door

    said, door = asyncio.run(observe())

    assert said == ("refused" if resets < 2 else "reset")
    assert len(door.connections) == (2 if resets else 1)
    assert door.pushes == ([AT] if resets else [])


# ---- zone transfers


def test_a_transferred_zone_leaves_a_count_and_a_digest(lab: DnsLab) -> None:
    first, again = (transfer(lab, "good.gov.test", lab.full) for _ in range(2))

    assert first == again
    assert first.answers[0].answer == "transferred"
    assert first.answers[0].records > 20
    assert first.answers[0].digest.startswith("sha256:")


def test_a_server_that_gives_no_transfers_refuses(lab: DnsLab) -> None:
    assert [one.answer for one in transfer(lab, "plain.gov.test", lab.full).answers] == ["refused"]


def test_a_closed_port_gives_no_transfer(lab: DnsLab) -> None:
    facts = lab.ask(AXFR, "good.gov.test", addresses=(AT,), server=NS, status="resolved")

    assert isinstance(facts, AxfrFacts)
    assert [one.answer for one in facts.answers] == ["closed"]


def axfr(script: Callable[[dns.message.Message, bool], dns.message.Message | bytes | None]) -> tuple[str, int, str]:
    facts = scripted(script, AXFR)
    assert isinstance(facts, AxfrFacts)
    (only,) = facts.answers
    return only.answer, only.records, only.digest


@pytest.mark.parametrize(
    ("rcode", "expected"),
    [
        (dns.rcode.REFUSED, "refused"),
        (dns.rcode.NOTAUTH, "refused"),
        (dns.rcode.NOTIMP, "refused"),
        (dns.rcode.SERVFAIL, "servfail"),
        (dns.rcode.FORMERR, "malformed"),
        (dns.rcode.NOERROR, "refused"),
    ],
)
def test_answers_without_records(rcode: dns.rcode.Rcode, expected: str) -> None:
    assert axfr(lambda query, _tcp: answer(query, rcode=rcode)) == (expected, 0, "")


def test_the_soa_alone_is_told_from_a_transfer() -> None:
    assert axfr(lambda query, _tcp: answer(query, SOA)) == ("soa_only", 1, "")


def test_a_zone_that_breaks_off_was_given_away_all_the_same() -> None:
    given = axfr(lambda query, _tcp: answer(query, SOA, "www.good.gov.test. 60 IN A 198.51.100.7"))

    assert given == ("transferred", 2, "")


def test_a_clean_close_is_a_refusal_and_garbage_is_not() -> None:
    assert axfr(lambda _query, _tcp: None)[0] == "refused"
    assert axfr(lambda _query, _tcp: b"nonsense")[0] == "malformed"


def test_an_endless_zone_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nameserver, "MAX_RECORDS", 50)

    def script(query: dns.message.Message, tcp: bool) -> dns.message.Message:
        return answer(query, SOA, *(f"h{n}.good.gov.test. 60 IN A 198.51.100.7" for n in range(100)))

    assert axfr(script) == ("transferred", 101, "")
