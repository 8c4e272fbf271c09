"""Canaries against real servers on loopback: each in its own protocol, on record first, and what their silence means."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field

import dns.message
import dns.rcode
import pytest
import trustme

from posture.config import Canary, parse_canary
from posture.errors import AuditError
from posture.net.resolver import RunResolver
from posture.scan.canaries import Lookout, Trial, Trials
from posture.stop import Order, Orders
from tests.doors import Conversation, scripted
from tests.lab import free_port
from tests.net.dnsd import answer, name_server

AGENT = "posture-test (soc@cert.example)"
PATIENCE = 20.0  # guards against a hang; nothing waits so long


@dataclass
class Trail:
    """Keeps what it is told; refuses once ``broken``."""

    told: list[tuple[str, str, str, int, str]] = field(default_factory=list)
    broken: bool = False

    def endpoint(self, purpose: str, name: str, address: str, port: int, protocol: str) -> None:
        if self.broken:
            raise AuditError("the trail cannot be written. Free some space.")
        self.told.append((purpose, name, address, port, protocol))


def nobody() -> RunResolver:
    """A resolver that nobody may need."""
    return RunResolver("127.0.0.1", 9, tries=(0.05,))


async def tried(*texts: str, stop: asyncio.Event | None = None, **options: object) -> Trials:
    lookout = Lookout(options.pop("resolver", None) or nobody(), AGENT, **options)  # type: ignore[arg-type]
    async with asyncio.timeout(PATIENCE):
        return await lookout.try_all([parse_canary(text) for text in texts], stop or asyncio.Event())


async def swallow(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Takes everything and says nothing."""
    while await reader.read(4096):
        pass


def saying(text: bytes, heard: asyncio.Queue[bytes] | None = None, *, first: bool = False) -> Conversation:
    """Says a text before it is spoken to (``first``) or after, and hands on what it heard first."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = b"" if first else await reader.read(4096)
        writer.write(text)
        await writer.drain()
        said = said or await reader.read(4096)
        if heard is not None:
            heard.put_nowait(said)
        await reader.read()

    return talk


GREETING = b"220 mx.cert.test ESMTP\r\n"
PAGE = b"HTTP/1.1 503 Busy\r\n\r\n"


@asynccontextmanager
async def tls_server() -> AsyncIterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("www.cert.test").configure_cert(context)
    async with scripted(swallow, context) as (_, port):
        yield port


@contextmanager
def full_backlog() -> Iterator[int]:
    """A port that answers no further SYN: its queue is full and nobody accepts."""
    with closing(socket.socket()) as server, closing(socket.socket()) as first:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        first.connect(server.getsockname())
        yield server.getsockname()[1]


def refused(query: dns.message.Message, _tcp: bool) -> dns.message.Message:
    return answer(query, rcode=dns.rcode.REFUSED)


# ---- reached


def test_each_protocol_is_tried_in_its_own_words_and_is_on_record() -> None:
    trail = Trail()

    async def scenario() -> tuple[Trials, bytes, bytes]:
        request: asyncio.Queue[bytes] = asyncio.Queue()
        farewell: asyncio.Queue[bytes] = asyncio.Queue()
        async with (
            tls_server() as https,
            scripted(saying(PAGE, request)) as (_, http),
            scripted(saying(GREETING, farewell, first=True)) as (_, smtp),
            scripted(swallow) as (_, tcp),
            name_server(refused) as dns_server,
        ):
            trials = await tried(
                f"https://127.0.0.1:{https}/",
                f"http://127.0.0.1:{http}/up",
                f"smtp://127.0.0.1:{smtp}",
                f"tcp://127.0.0.1:{tcp}",
                f"dns://127.0.0.1:{dns_server.port}",
                trail=trail,
            )
            assert {(each[2], each[4]) for each in trail.told} == {("127.0.0.1", "tcp"), ("127.0.0.1", "udp")}
            assert {each[3] for each in trail.told} == {https, http, smtp, tcp, dns_server.port}
            async with asyncio.timeout(PATIENCE):
                return trials, await request.get(), await farewell.get()

    trials, request, farewell = asyncio.run(scenario())

    assert [(trial.reached, trial.why) for trial in trials.trials] == [(True, "")] * 5
    assert trials.quarantine == ""
    assert {each[0] for each in trail.told} == {"canary"}
    assert request.startswith(b"GET /up HTTP/1.1\r\nHost: 127.0.0.1:")
    assert f"User-Agent: {AGENT}\r\n".encode() in request
    assert farewell == b"QUIT\r\n"


def test_an_https_canary_that_answers_in_plain_http_is_reached() -> None:
    async def scenario() -> Trials:
        async with scripted(saying(PAGE)) as (_, port):
            return await tried(f"https://127.0.0.1:{port}/")

    assert asyncio.run(scenario()).trials[0].reached


def test_a_name_is_resolved_by_our_own_resolver_and_every_address_tried() -> None:
    trail = Trail()

    async def scenario() -> Trials:
        async with scripted(swallow) as (_, port):

            def script(query: dns.message.Message, _tcp: bool) -> dns.message.Message:
                kind = str(query.question[0]).rpartition(" ")[2]
                records = (
                    ("www.cert.test. 60 IN A 127.0.0.1", "www.cert.test. 60 IN A 127.0.0.0") if kind == "A" else ()
                )
                return answer(query, *records)

            async with name_server(script) as server:
                resolver = RunResolver("127.0.0.1", server.port)
                return await tried(f"tcp://www.cert.test:{port}", resolver=resolver, trail=trail, seconds=0.5)

    [trial] = asyncio.run(scenario()).trials

    assert trial.reached
    assert [each[1:3] for each in trail.told] == [("www.cert.test", "127.0.0.0"), ("www.cert.test", "127.0.0.1")]


# ---- not reached


@pytest.mark.parametrize(
    ("protocol", "conversation", "why"),
    [
        ("http", saying(b"SSH-2.0-x\r\n"), "malformed"),
        ("https", saying(b"\x15\x03\x01\x00\x02\x02\x28"), "malformed"),
        ("smtp", saying(b"554 no service\r\n", first=True), "malformed"),
        ("smtp", saying(b"421 too many connections\r\n", first=True), "malformed"),
        ("http", swallow, "timeout"),
        ("https", swallow, "timeout"),
        ("smtp", swallow, "timeout"),
    ],
)
def test_the_wrong_answer_and_silence_are_not_reached(protocol: str, conversation: Conversation, why: str) -> None:
    async def scenario() -> Trials:
        async with scripted(conversation) as (_, port):
            patience = 0.2 if why == "timeout" else PATIENCE
            return await tried(f"{protocol}://127.0.0.1:{port}", seconds=patience, smtp_seconds=patience)

    trials = asyncio.run(scenario())

    assert not trials.trials[0].reached
    assert trials.trials[0].why == f"127.0.0.1: {why}"
    assert f"{protocol}://127.0.0.1:" in trials.quarantine
    assert trials.quarantine.endswith("correct canaries in posture.toml, then scan again")


def test_a_closed_port_a_silent_one_and_a_name_unknown() -> None:
    shut, mute = free_port(), free_port(kind=socket.SOCK_DGRAM)

    async def scenario() -> Trials:
        with full_backlog() as silent, closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as deaf:
            deaf.bind(("127.0.0.1", mute))
            return await tried(
                f"tcp://127.0.0.1:{shut}",
                f"tcp://127.0.0.1:{silent}",
                f"dns://127.0.0.1:{mute}",
                "https://www.cert.test/",
                seconds=0.2,
            )

    told = [trial.why for trial in asyncio.run(scenario()).trials]

    assert told == [
        "127.0.0.1 says closed",
        "127.0.0.1: timeout",
        "127.0.0.1: timeout",
        "its name was not resolved (timeout)",
    ]


# ---- discipline


def test_nothing_is_sent_to_what_is_stopped_or_not_on_record() -> None:
    trail = Trail()

    async def scenario() -> Trials:
        met: list[str] = []

        async def meet(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            met.append("a connection")

        async with scripted(meet) as (_, port):
            text = f"smtp://127.0.0.1:{port}"
            orders = Orders((Order("complaint", address="127.0.0.1"),))
            trials = await tried(text, trail=trail, orders=lambda: orders)
            with pytest.raises(AuditError):
                await tried(text, trail=Trail(broken=True))
            assert met == []
            return trials

    trials = asyncio.run(scenario())

    assert trial_words(trials) == [("127.0.0.1 is stopped", True)]
    # What we were told not to ask says nothing about our line.
    assert (trials.quarantine, trial_words(trials)[0][1], trail.told) == ("", True, [])


def trial_words(trials: Trials) -> list[tuple[str, bool]]:
    return [(trial.why, trial.stopped) for trial in trials.trials]


def test_in_the_name_of_a_placeholder_only_special_addresses_are_asked() -> None:
    trail = Trail()

    async def scenario() -> Trials:
        async with scripted(swallow) as (_, port):
            return await tried(f"tcp://127.0.0.1:{port}", "tcp://9.9.9.9:443", only_special=True, trail=trail)

    lab, public = asyncio.run(scenario()).trials

    assert (lab.reached, public.reached) == (True, False)
    assert "placeholder" in public.why
    assert [each[2] for each in trail.told] == ["127.0.0.1"]


def test_an_interruption_ends_the_trying_at_once() -> None:
    async def scenario() -> Trials:
        stop = asyncio.Event()

        async def meet(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            stop.set()
            await reader.read()

        async with scripted(meet) as (_, port):
            return await tried(f"smtp://127.0.0.1:{port}", stop=stop, smtp_seconds=PATIENCE * 10)

    trials = asyncio.run(scenario())

    assert trial_words(trials) == [("interrupted", True)]
    assert trials.quarantine == ""


# ---- what it means


def trial(text: str, *, reached: bool, stopped: bool = False) -> Trial:
    return Trial(parse_canary(text), reached, "" if reached else "timeout", stopped)


MAIL, MAIL_2, WEB, NAMES = "smtp://mx.cert.test", "smtp://mx2.cert.test", "https://www.cert.test/", "dns://192.0.2.53"


def test_a_protocol_whose_canaries_are_all_silent_cannot_be_seen_from_here() -> None:
    trials = Trials((trial(MAIL, reached=False), trial(MAIL_2, reached=False), trial(WEB, reached=True)))

    assert trials.quarantine == ""
    assert "smtp://mx.cert.test" in trials.limited(25)
    assert [trials.limited(port) for port in (443, 80, 53, None)] == [""] * 4


@pytest.mark.parametrize(
    "trials",
    [
        (),
        (trial(MAIL, reached=False), trial(MAIL_2, reached=True)),
        (trial(MAIL, reached=False, stopped=True), trial(WEB, reached=True)),
        (trial(NAMES, reached=False), trial("tcp://192.0.2.7:25", reached=False), trial(WEB, reached=True)),
    ],
)
def test_one_that_answers_or_was_not_asked_limits_nothing(trials: tuple[Trial, ...]) -> None:
    assert Trials(trials).quarantine == ""
    assert {Trials(trials).limited(port) for port in (25, 53, 80, 443, None)} == {""}


def test_when_none_answers_the_run_is_quarantined_and_every_canary_named() -> None:
    trials = Trials((trial(MAIL, reached=False), trial(WEB, reached=False)))

    assert "smtp://mx.cert.test: timeout; https://www.cert.test/: timeout" in trials.quarantine
    assert trials.limited(25) == ""


def test_the_canary_of_a_name_is_what_was_written() -> None:
    assert parse_canary(WEB) == Canary(WEB, "https", "www.cert.test", 443)
