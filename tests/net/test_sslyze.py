"""sslyze as a child: its arguments are ours alone, and all its connections go through the door."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from posture.model import NotSeen, Reason
from posture.net.decisions import Decision
from posture.net.sandbox import End as BoxEnd
from posture.net.sslyze import COMMANDS, STARTTLS, run_sslyze, sslyze_arguments
from tests.lab import free_port, need, serve
from tests.net import desk, servers
from tests.net.processes import below

NAME = desk.TASK.name


@pytest.mark.parametrize(
    "name",
    [
        "--update_trust_stores",
        "-h",
        "a b",
        "a\nb",
        "a{127.0.0.1}",
        "a:1",
        "[::1]",
        "",
        "a..b",
        "0x7f000001",
        "2130706433",
        "127.1",
        "@file",
        "ä.gov.example",
        "x" * 64,
        None,
    ],
)
def test_what_is_no_host_name_is_no_argument(name: Any) -> None:
    with pytest.raises(ValueError, match="no host name"):
        sslyze_arguments(name, 443, ["certinfo"], "http://127.0.0.1:1/")


@pytest.mark.parametrize(("port", "commands"), [(0, COMMANDS), (25, COMMANDS), ("443", COMMANDS), (True, COMMANDS)])
def test_what_is_no_port_of_a_tls_server_is_none(port: Any, commands: Collection[str]) -> None:
    with pytest.raises(ValueError, match="port"):
        sslyze_arguments(NAME, port, commands, "http://127.0.0.1:1/")


@pytest.mark.parametrize("commands", [[], ["http_headers"], ["certinfo", "update_trust_stores"], ["certinfo --x"]])
def test_commands_are_ours(commands: Collection[str]) -> None:
    with pytest.raises(ValueError, match="commands"):
        sslyze_arguments(NAME, 443, commands, "http://127.0.0.1:1/")


@pytest.mark.parametrize("starttls", ["smtp", "xmpp_server", "auto", "imap --x"])
def test_what_is_said_before_tls_is_ours(starttls: str) -> None:
    with pytest.raises(ValueError, match="never begins"):
        sslyze_arguments(NAME, 143, ["certinfo"], "http://127.0.0.1:1/", starttls)


def test_it_has_names_of_its_own_for_what_is_said_before_tls() -> None:
    asked_for = [
        sslyze_arguments(NAME, 5269, ["certinfo"], "http://127.0.0.1:1/", starttls) for starttls in sorted(STARTTLS)
    ]

    said = {word for words in asked_for for word in words if word.startswith("--starttls")}
    assert said == {f"--starttls={one}" for one in (STARTTLS - {"xmpp-server"}) | {"xmpp_server"}}


def test_an_address_without_a_name_is_asked_for_as_such() -> None:
    asked_for = [
        sslyze_arguments(name, 443, ["reneg"], "http://127.0.0.1:1/")[-1] for name in ("192.0.2.7", "2001:DB8::1")
    ]

    assert asked_for == ["192.0.2.7:443", "[2001:db8::1]:443"]


@given(st.text(), st.integers())
def test_no_text_becomes_an_option(name: str, port: int) -> None:
    try:
        arguments = sslyze_arguments(name, port, ["certinfo"], "http://p:s@127.0.0.1:1/")
    except ValueError:
        return
    assert re.fullmatch(r"([a-z0-9_][a-z0-9_.-]*|\[[0-9a-f:.]+\]):\d+", arguments[-1])
    assert arguments[:-1] == sslyze_arguments(NAME, 443, ["certinfo"], "http://p:s@127.0.0.1:1/")[:-1]


@asynccontextmanager
async def tls_target(tmp_path: Path) -> AsyncIterator[servers.Seen]:
    """openssl s_server, behind a forwarder that counts what reaches it."""
    openssl = need("openssl", "openssl")
    certificate = trustme.CA().issue_cert(NAME)
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    behind = free_port()
    argv: list[str | Path] = [
        openssl,
        "s_server",
        "-accept",
        f"127.0.0.1:{behind}",
        "-cert",
        tmp_path / "server.pem",
        "-quiet",
        "-www",
    ]

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward, back = await asyncio.open_connection("127.0.0.1", behind)
        try:
            async with asyncio.timeout(60):
                await asyncio.wait(
                    [asyncio.ensure_future(copied(reader, back)), asyncio.ensure_future(copied(onward, writer))],
                    return_when=asyncio.FIRST_COMPLETED,
                )
        finally:
            back.close()

    async def copied(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass

    with serve(argv, ready=("127.0.0.1", behind)):
        async with servers.tcp_server(forward) as server:
            yield server


def test_sslyze_completes_through_the_door_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        records: list[Decision] = []
        async with tls_target(tmp_path) as server:
            door = desk.broker(on_decision=records.append).door(desk.task(), seconds=120)
            done = await run_sslyze(door, "127.0.0.1", server.port, COMMANDS, seconds=120)

            assert done.ran.succeeded, done.ran
            assert len(records) == server.connections == done.connections > 10
            assert done.unseen == ()
            (result,) = json.loads(done.ran.stdout)["server_scan_results"]
            answers = {name: each["status"] for name, each in result["scan_result"].items()}
            assert result["server_location"]["hostname"] == NAME
            assert answers["certificate_info"] == answers["heartbleed"] == answers["robot"] == "COMPLETED"

    asyncio.run(scenario())


def test_a_budget_that_is_used_up_ends_its_connections_not_its_report(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with tls_target(tmp_path) as server:
            door = desk.broker().door(desk.task(), seconds=120)
            done = await run_sslyze(door, "127.0.0.1", server.port, COMMANDS, budget=3, seconds=120)
            assert server.connections == done.connections == 3
            assert done.unseen, "what it says of the rest is nothing"

    asyncio.run(scenario())


def test_a_dripping_server_does_not_outlast_the_deadline() -> None:
    async def scenario() -> None:
        before = below()
        drip = servers.saying(*[b"\x16"] * 600, every=0.2, ask=False)
        async with servers.tcp_server(drip) as server:
            door = desk.broker().door(desk.task(), seconds=120)
            done = await run_sslyze(door, "127.0.0.1", server.port, ["certinfo"], seconds=3)
            assert done.ran.end is BoxEnd.DEADLINE
            assert below() == before

    asyncio.run(scenario())


def test_the_kill_switch_ends_sslyze() -> None:
    async def scenario() -> None:
        before = below()
        async with servers.tcp_server(servers.silent) as server:
            door = desk.broker().door(desk.task(), seconds=120)
            task = asyncio.create_task(run_sslyze(door, "127.0.0.1", server.port, ["certinfo"], seconds=120))
            async with asyncio.timeout(60):
                while not server.connections:
                    await asyncio.sleep(0.01)
            secret_is_shown = [words for words in below() if any("posture:" in word for word in words)]
            door.close()
            with pytest.raises(NotSeen) as caught:
                await task
            assert caught.value.reason is Reason.STOPPED
            assert below() == before
            assert secret_is_shown == []

    asyncio.run(scenario())
