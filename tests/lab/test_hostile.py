"""The hostile servers stand, do what their name says, and stop."""

from __future__ import annotations

import asyncio
import ssl

import dns.exception
import dns.message
import dns.rdatatype
import pytest

from tests.lab.hostile import ADDRESS, DNS, HOSTILE, INJECTION

TCP = sorted(name for name in HOSTILE if not name.startswith("dns.") and name != "tls.never_accepts")
# Replies that any client would take for an answer; what they say is the trouble.
ANSWERS = frozenset(
    {
        "alias_of_another_for_ever",
        "alias_of_itself",
        "injecting_text",
        "nothing_without_soa",
        "policy_that_includes_itself",
        "records_of_another",
        "referral_to_nowhere",
        "text_of_60_kilobytes",
        "text_of_empty_strings",
        "thousands_of_addresses",
    }
)
FOR_EVER = sorted(name for name in TCP if name.endswith("_for_ever"))


async def hear(name: str, limit: int, *said: bytes) -> bytes:
    """The first ``limit`` bytes that a hostile server says to a client that talks; fewer when it ends before."""
    async with HOSTILE[name]() as (address, port):
        reader, writer = await asyncio.open_connection(address, port)
        try:
            heard = b""
            for line in said or (b"hello\r\n",):
                writer.write(line)
                await asyncio.sleep(0.05 if len(said) > 1 else 0)  # a line at a time, as in a conversation
            while len(heard) < limit and (data := await reader.read(limit - len(heard))):
                heard += data
            return heard
        finally:
            writer.transport.abort()


def test_there_are_enough_of_every_kind() -> None:
    kinds = [name.partition(".")[0] for name in HOSTILE]

    assert {kind: kinds.count(kind) >= 8 for kind in set(kinds)} == dict.fromkeys(
        ("tls", "cert", "chain", "http", "smtp", "dns", "dnstcp", "banner"), True
    )


@pytest.mark.parametrize("name", TCP)
def test_each_stops_when_its_block_ends_whatever_its_client_does(name: str) -> None:
    async def visit() -> None:
        async with HOSTILE[name]() as (address, port):
            _, silent_client = await asyncio.open_connection(address, port)
            _, client = await asyncio.open_connection(address, port)
            client.write(b"EHLO posture.test\r\n")
            await asyncio.sleep(0)
        for writer in (silent_client, client):
            writer.transport.abort()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(address, port)

    asyncio.run(visit())


@pytest.mark.parametrize("name", FOR_EVER)
def test_what_goes_on_for_ever_goes_on(name: str) -> None:
    said = (b"EHLO posture.test\r\n", b"STARTTLS\r\n") if name.startswith("smtp.") else (b"x",)
    if name == "dnstcp.transfer_for_ever":
        query = dns.message.make_query("www.gov.example", "AXFR").to_wire()
        said = (len(query).to_bytes(2) + query,)

    assert len(asyncio.run(hear(name, 20_000, *said))) == 20_000


@pytest.mark.parametrize("name", ["tls.reset", "tls.reset_after_hello", "http.reset", "banner.reset_at_once"])
def test_a_reset_is_a_reset(name: str) -> None:
    with pytest.raises(ConnectionResetError):
        asyncio.run(hear(name, 10_000))


def test_the_flaky_one_gives_two_answers() -> None:
    async def twice() -> set[str]:
        seen = set()
        async with HOSTILE["tls.flaky"]() as (address, port):
            for _ in range(2):
                reader, writer = await asyncio.open_connection(address, port)
                writer.write(b"hello")
                try:
                    seen.add("alert" if await reader.read() else "end")
                except ConnectionResetError:
                    seen.add("reset")
                writer.transport.abort()
        return seen

    assert asyncio.run(twice()) == {"alert", "reset"}


@pytest.mark.parametrize(
    "name", ["tls.truncated_hello", "tls.suite_never_offered", "tls.plain_http", "tls.lying_extensions", "tls.echo"]
)
def test_a_tls_client_never_gets_a_handshake(name: str) -> None:
    async def shake() -> None:
        context = ssl.create_default_context()
        async with HOSTILE[name]() as (address, port):
            await asyncio.open_connection(address, port, ssl=context, server_hostname="www.test")

    with pytest.raises((ssl.SSLError, ConnectionError)):
        asyncio.run(shake())


@pytest.mark.parametrize("name", sorted(DNS))
def test_dns_replies_are_what_they_say(name: str) -> None:
    """Nothing but a whole answer of the right id and question would be believed; here none is one."""
    query = dns.message.make_query("www.gov.example", "A")
    reply = DNS[name](query.to_wire())

    if reply is None:
        assert name == "silent"
        return
    try:
        message = dns.message.from_wire(reply, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError):
        return
    usable = query.is_response(message) and message.rcode() == 0 and not message.flags & 0x0200
    led = any(rrset.rdtype == dns.rdatatype.A and rrset.name == query.question[0].name for rrset in message.answer)
    assert led == (name == "thousands_of_addresses")
    assert usable == (name in ANSWERS)


def test_the_injecting_banner_arrives_whole() -> None:
    assert INJECTION in asyncio.run(hear("banner.injecting", 1000))


def test_a_hostile_udp_server_answers() -> None:
    async def ask() -> bytes:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        class Client(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, address: object) -> None:
                answer.set_result(data)

        async with HOSTILE["dns.servfail"]() as where:
            assert where[0] == ADDRESS
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Client, remote_addr=where)
            transport.sendto(dns.message.make_query("www.gov.example", "A").to_wire())
            try:
                return await asyncio.wait_for(answer, 10)
            finally:
                transport.close()

    assert asyncio.run(ask())[3] & 15 == 2


def test_one_whose_backlog_is_full_lets_nobody_in() -> None:
    async def knock() -> None:
        async with HOSTILE["tls.never_accepts"]() as (address, port):
            async with asyncio.timeout(0.3):
                await asyncio.open_connection(address, port)

    with pytest.raises(TimeoutError):
        asyncio.run(knock())
