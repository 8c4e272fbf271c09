"""Servers that are old, hostile, broken, or not TLS at all: what is not clear must never look like a refusal."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from posture.facts import TlsFacts, TlsLegacyFacts
from posture.model import AbsentCause, NotSeen, NotThere, Reason
from posture.probes.tls.records import ALERT, HANDSHAKE, message, record
from tests.doors import LoopbackDoor, scripted
from tests.probes.tls.asking import ADDRESS, NAME, OldServer, answers, names, observe, openssl_server

Server = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

RSA_AES = "TLS_RSA_WITH_AES_128_CBC_SHA"
RC4, RC4_MD5 = "TLS_RSA_WITH_RC4_128_SHA", "TLS_RSA_WITH_RC4_128_MD5"
TRIPLE = "TLS_RSA_WITH_3DES_EDE_CBC_SHA"
EXPORT = "TLS_RSA_EXPORT_WITH_RC4_40_MD5"


async def _observed(kind: str, server: Server, patience: float) -> Any:
    async with scripted(server) as place:
        return await observe(kind, LoopbackDoor({(ADDRESS, 443): place}, patience=patience))


def seen(server: Server, patience: float = 3.0) -> TlsFacts:
    facts = asyncio.run(_observed("tls", server, patience))
    assert isinstance(facts, TlsFacts)
    return facts


def legacy_seen(server: Server, patience: float = 3.0) -> TlsLegacyFacts:
    facts = asyncio.run(_observed("tls_legacy", server, patience))
    assert isinstance(facts, TlsLegacyFacts)
    return facts


def reason_of(kind: str, server: Server, patience: float = 3.0) -> tuple[Reason, str, int]:
    """Why nothing was seen, and the connections that took."""

    async def run() -> tuple[Reason, str, int]:
        async with scripted(server) as place:
            door = LoopbackDoor({(ADDRESS, 443): place}, patience=patience)
            with pytest.raises(NotSeen) as unseen:
                await observe(kind, door)
            return unseen.value.reason, unseen.value.detail, len(door.connections)

    return asyncio.run(run())


# ---- old servers


def test_ssl2_is_found_with_its_ciphers() -> None:
    kinds = ("SSL_CK_RC4_128_WITH_MD5", "SSL_CK_DES_192_EDE3_CBC_WITH_MD5")

    facts = legacy_seen(OldServer({"TLS 1.0": [RSA_AES]}, ssl2=kinds))

    assert answers(facts)["SSL 2.0"] == "accepted"
    assert names(facts, "SSL 2.0") == set(kinds)


def test_ssl2_without_a_word_is_refused_by_a_server_that_speaks_tls() -> None:
    facts = legacy_seen(OldServer({"TLS 1.2": [RSA_AES]}))

    assert answers(facts)["SSL 2.0"] == "refused"


def test_an_ssl3_server_is_found_and_its_broken_suites_listed() -> None:
    server = OldServer({"SSL 3.0": [RC4, RSA_AES, TRIPLE]})

    facts = legacy_seen(server)

    assert answers(facts)["SSL 3.0"] == "accepted"
    assert names(facts, "SSL 3.0") == {RC4, RSA_AES, TRIPLE}


@pytest.mark.parametrize("version", ["TLS 1.0", "TLS 1.1", "TLS 1.2"])
@pytest.mark.parametrize(
    "suite", [RC4, RC4_MD5, TRIPLE, EXPORT, "TLS_RSA_WITH_IDEA_CBC_SHA", "TLS_RSA_WITH_DES_CBC_SHA"]
)
def test_broken_suites_are_found_at_every_version(version: str, suite: str) -> None:
    facts = legacy_seen(OldServer({version: [RSA_AES, suite]}))

    assert names(facts, version) == {suite}
    assert facts.preferred == RSA_AES


def test_broken_suites_of_an_old_version_beside_a_clean_new_one_are_found() -> None:
    server = OldServer({"TLS 1.2": [RSA_AES], "TLS 1.0": [RC4]})

    facts = legacy_seen(server)

    assert answers(facts) == {
        "SSL 2.0": "refused",
        "SSL 3.0": "refused",
        "TLS 1.0": "accepted",
        "TLS 1.1": "refused",
        "TLS 1.2": "refused",
    }


def test_a_server_of_rc4_alone_has_no_tls_facts_rather_than_wrong_ones() -> None:
    reason, _, _ = reason_of("tls", OldServer({"TLS 1.2": [RC4]}))

    assert reason is Reason.REFUSED_BY_TARGET


def test_the_choice_of_an_older_version_is_a_refusal_of_the_newer() -> None:
    facts = seen(OldServer({"TLS 1.0": [RSA_AES]}))

    assert facts.accepted == ("TLS 1.0",)
    assert {answer.why for answer in facts.versions[1:]} == {"TLS 1.0"}
    assert facts.chain == (b"not DER, and not the codec's to judge",)


# ---- servers that say nothing usable


async def tarpit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html>")
    await writer.drain()


async def ssh(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    await writer.drain()
    await reader.read(100)


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(5000)


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    await reset_now(writer)


async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(5000)
    writer.write(b"\x16\x03\x03\x01\x00\x02")
    await writer.drain()


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(5000)
    writer.write(b"\x16\x03\x03\x00\x08\x02\x00\x00\x04abcd")
    await writer.drain()


async def unknown_name(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(5000)
    writer.write(record(ALERT, 0x0303, b"\x02\x70"))
    await writer.drain()


@pytest.mark.parametrize("kind", ["tls", "tls_legacy"])
@pytest.mark.parametrize(
    ("server", "reason", "detail"),
    [
        (http, Reason.MALFORMED, "not TLS"),
        (ssh, Reason.MALFORMED, "not TLS"),
        (garbage, Reason.MALFORMED, ""),
        (half, Reason.TRUNCATED, ""),
        (hang_up, Reason.REFUSED_BY_TARGET, ""),
        (unknown_name, Reason.REFUSED_BY_TARGET, "unrecognized_name"),
    ],
)
def test_a_server_that_gives_no_clear_answer_is_not_seen(
    kind: str, server: Server, reason: Reason, detail: str
) -> None:
    found, said, connections = reason_of(kind, server)

    assert found is reason
    assert detail in said
    assert connections == 1 if detail == "not TLS" else connections <= 12


@pytest.mark.parametrize("kind", ["tls", "tls_legacy"])
def test_a_reset_is_a_reset(kind: str) -> None:
    assert reason_of(kind, reset)[0] is Reason.RESET


@pytest.mark.parametrize("kind", ["tls", "tls_legacy"])
def test_a_tarpit_costs_two_timeouts(kind: str) -> None:
    reason, _, connections = reason_of(kind, tarpit, patience=0.05)

    assert reason is Reason.TIMEOUT
    assert connections == 2


@pytest.mark.parametrize("kind", ["tls", "tls_legacy"])
def test_a_closed_port_is_an_answer(kind: str) -> None:
    with pytest.raises(NotThere) as absent:
        asyncio.run(observe(kind, LoopbackDoor({})))

    assert absent.value.cause is AbsentCause.CLOSED


def test_our_own_refusal_ends_the_probe() -> None:
    class Fenced(LoopbackDoor):
        async def connect(self, address: str, port: int, *, timeout: float = 5.0, brisk: bool = False) -> object:  # type: ignore[override]
            if len(self.connections) == 3:
                raise NotSeen(Reason.STOPPED, "the scan was stopped")
            return await super().connect(address, port, timeout=timeout)

    async def run() -> None:
        async with scripted(OldServer({"TLS 1.2": [RSA_AES]})) as place:
            await observe("tls", Fenced({(ADDRESS, 443): place}))

    with pytest.raises(NotSeen) as unseen:
        asyncio.run(run())
    assert unseen.value.reason is Reason.STOPPED


# ---- servers that stop midway


async def reset_now(writer: asyncio.StreamWriter) -> None:
    """Closing with this option set sends RST instead of FIN."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def every(turn: int, bad: Server) -> Server:
    """A server of TLS 1.0 to 1.2 that treats every second (third, ...) connection as ``bad`` does."""
    old = OldServer(
        {version: [RSA_AES, "TLS_RSA_WITH_AES_256_CBC_SHA", RC4] for version in ("TLS 1.2", "TLS 1.1", "TLS 1.0")}
    )
    number = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal number
        number += 1
        await (old if number % turn else bad)(reader, writer)

    return serve


def banning(after: int, then: Server) -> Server:
    """A server of TLS 1.0 to 1.2 that treats every connection after the first few as ``then`` does."""
    old = OldServer(
        {version: [RSA_AES, "TLS_RSA_WITH_AES_256_CBC_SHA"] for version in ("TLS 1.2", "TLS 1.1", "TLS 1.0")}
    )

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (old if old.connections < after else then)(reader, writer)

    return serve


@pytest.mark.parametrize(
    ("kind", "after"), [*(("tls", after) for after in range(1, 9)), *(("tls_legacy", after) for after in range(1, 7))]
)
@pytest.mark.parametrize("then", [tarpit, reset, hang_up])
def test_of_a_server_that_bans_us_midway_nothing_is_used(kind: str, after: int, then: Server) -> None:
    reason, _, connections = reason_of(kind, banning(after, then), patience=0.05)

    assert reason is Reason.RATE_LIMITED
    assert connections <= after + 5, "it is left alone soon"


@pytest.mark.parametrize("kind", ["tls", "tls_legacy"])
@pytest.mark.parametrize("turn", [2, 3, 4])
@pytest.mark.parametrize("bad", [reset, tarpit])
def test_of_a_server_that_turns_away_every_second_or_third_connection_nothing_is_used(
    kind: str, turn: int, bad: Server
) -> None:
    assert reason_of(kind, every(turn, bad), patience=0.05)[0] is Reason.RATE_LIMITED


def test_a_single_hiccup_costs_one_more_connection_and_no_answer() -> None:
    old, number = OldServer({"TLS 1.2": [RSA_AES]}), 0

    async def hiccup(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal number
        number += 1
        await (reset if number == 3 else old)(reader, writer)

    async def run() -> tuple[Any, LoopbackDoor]:
        async with scripted(hiccup) as place:
            door = LoopbackDoor({(ADDRESS, 443): place})
            return await observe("tls", door), door

    facts, door = asyncio.run(run())

    assert facts == seen(OldServer({"TLS 1.2": [RSA_AES]}))
    assert door.pushes == [ADDRESS], "the address is left alone for a while first"


@pytest.mark.parametrize("version", [b"\x03\x00", b"\x03\x01", b"\x03\x02"])
def test_a_server_that_resets_one_kind_of_hello_is_believed_in_the_others(version: bytes) -> None:
    """Old Windows and some load balancers reset what they do not know, rather than send an alert."""
    old = OldServer({"TLS 1.2": [RSA_AES]})

    async def allergic(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(5)
        body = await reader.readexactly(int.from_bytes(head[3:])) if head[0] == 22 else b""
        if head[0] != 22 or body[4:6] == version:
            await reset_now(writer)
            return
        again = asyncio.StreamReader()
        again.feed_data(head + body)
        await old(again, writer)

    facts, legacy = seen(allergic), legacy_seen(allergic)

    named = {b"\x03\x00": "SSL 3.0", b"\x03\x01": "TLS 1.0", b"\x03\x02": "TLS 1.1"}[version]
    said = answers(facts) | {name: answer for name, answer in answers(legacy).items() if name.startswith("SSL")}
    assert said[named] == said["SSL 2.0"] == "unclear"
    assert said["TLS 1.2"] == "accepted"
    assert {answer for name, answer in said.items() if name not in (named, "SSL 2.0", "TLS 1.2")} == {"refused"}


def test_hellos_that_a_middlebox_swallows_are_asked_in_another_shape() -> None:
    old, swallowed = OldServer({"TLS 1.2": [RSA_AES], "TLS 1.0": [RC4]}), 0

    async def choosy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal swallowed
        header = await reader.readexactly(5)
        body = await reader.readexactly(int.from_bytes(header[3:]))
        if len(body) >= 512:
            swallowed += 1
            await tarpit(reader, writer)
        again = asyncio.StreamReader()
        again.feed_data(header + body)
        await old(again, writer)

    facts = seen(choosy, patience=0.05)

    assert facts.accepted == ("TLS 1.2",)
    assert answers(facts)["TLS 1.0"] == "refused"
    assert swallowed == 3, "once for each doubtful answer: that shape is known to meet with silence"


def test_a_server_that_drips_is_unclear() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(5000)
        writer.write(b"\x16")
        await writer.drain()
        await asyncio.Event().wait()

    assert reason_of("tls", drip, patience=0.05)[0] is Reason.TIMEOUT


def test_an_address_is_asked_without_a_server_name(rsa_files: tuple[Path, Path]) -> None:
    second = ("-cert2", rsa_files[0], "-key2", rsa_files[1])
    with openssl_server(*rsa_files, *second, "-servername", "other.example", "-servername_fatal") as place:
        door = LoopbackDoor({(ADDRESS, 443): place})
        facts = asyncio.run(observe("tls", door, name=ADDRESS))

    assert facts.name == ADDRESS
    assert "TLS 1.3" in facts.accepted
    assert facts.name != NAME


async def liar(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers every hello with TLS 1.2 and a suite of SSL 3.0's days."""
    await reader.read(5000)
    hello = b"\x03\x03" + bytes(32) + b"\x00\x00\x04\x00"
    writer.write(record(HANDSHAKE, 0x0303, message(2, hello)))
    await writer.drain()


def test_a_choice_that_was_not_offered_counts_for_nothing() -> None:
    assert reason_of("tls", liar)[0] is Reason.MALFORMED
