"""Redirects are followed inside the grant only; what is kept is what rules need."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

import pytest
import trustme

from posture.facts import FACTS, HttpFacts, decode, encode
from posture.model import NotSeen, NotThere, ProbeClass, Reason, endpoint
from posture.probes.http import observe
from posture.task import Task
from tests.doors import LoopbackDoor, scripted

ADDRESS = "198.51.100.7"
NAME = "www.finance.gov.example"
ROOT = f"https://{NAME}/"


@dataclass
class Site:
    """Two ports of one address: ``pages`` maps an URL to its raw head after the status line's version."""

    pages: dict[str, str]
    folder: Path
    names: tuple[str, ...] = (NAME,)
    authority: trustme.CA = field(default_factory=trustme.CA)
    beyond: frozenset[str] = frozenset()

    def conversation(self, scheme: str):  # type: ignore[no-untyped-def]  # a closure given to scripted()
        async def converse(reader: StreamReader, writer: StreamWriter) -> None:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            target = head.split(" ", 2)[1]
            host = next(line[6:] for line in head.split("\r\n") if line.startswith("Host: "))
            answer = self.pages.get(f"{scheme}://{host}{target}", "404 None")
            if answer != "hang up":
                writer.write(f"HTTP/1.1 {answer}\r\n\r\n".encode())
                await writer.drain()

        return converse

    def ask(self, scheme: str, ports: tuple[int, ...] = (80, 443)) -> HttpFacts:
        return asyncio.run(self._ask(scheme, ports))

    async def _ask(self, scheme: str, ports: tuple[int, ...]) -> HttpFacts:
        context = SSLContext(PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*self.names).configure_cert(context)
        roots = self.folder / "roots.pem"
        self.authority.cert_pem.write_to_path(str(roots))
        async with AsyncExitStack() as stack:
            plain = await stack.enter_async_context(scripted(self.conversation("http")))
            secure = await stack.enter_async_context(scripted(self.conversation("https"), context))
            places = {(ADDRESS, port): place for port, place in ((80, plain), (443, secure)) if port in ports}
            door = LoopbackDoor(places, beyond=self.beyond, roots=roots, patience=2.0)
            return await observe(task(scheme), door)


def task(scheme: str) -> Task:
    port = 80 if scheme == "http" else 443
    return Task(
        "finance", NAME, "host", "http", "web", ProbeClass.CLIENT, endpoint(ADDRESS, port), NAME, "a-1", (ADDRESS,), port,
        {"scheme": scheme},
    )  # fmt: skip


def moved(to: str, status: int = 301) -> str:
    return f"{status} Moved\r\nLocation: {to}"


def test_a_redirect_to_https_is_followed_to_the_same_address(tmp_path: Path) -> None:
    pages = {f"http://{NAME}/": moved(ROOT), ROOT: "200 OK\r\nStrict-Transport-Security: max-age=1\r\nDate: today"}

    facts = Site(pages, tmp_path).ask("http")

    assert [(hop.url, hop.status) for hop in facts.hops] == [(f"http://{NAME}/", 301), (ROOT, 200)]
    assert facts.final.headers == (("strict-transport-security", "max-age=1"),), "dates are not kept"
    assert (facts.ended, facts.certificate) == ("final", "trusted")
    assert decode(encode(facts), FACTS) == facts


def test_two_hsts_headers_stay_two_in_the_order_received(tmp_path: Path) -> None:
    line = "\r\nStrict-Transport-Security: max-age="

    facts = Site({ROOT: f"200 OK{line}0{line}63072000"}, tmp_path).ask("https")

    assert facts.final.header("strict-transport-security") == ("max-age=0", "max-age=63072000")


def test_a_certificate_that_does_not_verify_is_untrusted(tmp_path: Path) -> None:
    facts = Site({ROOT: "200 OK"}, tmp_path, names=("other.example",)).ask("https")

    assert facts.certificate == "untrusted"


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/",
        "//evil.example/",
        f"https://{NAME}@evil.example/",
        "http://169.254.169.254/latest",
        "\thttps://evil.example/",
    ],
)
def test_another_host_that_is_not_granted_is_not_asked(tmp_path: Path, location: str) -> None:
    beyond = frozenset({"evil.example", "169.254.169.254"})

    facts = Site({ROOT: moved(location)}, tmp_path, beyond=beyond).ask("https")

    assert (len(facts.hops), facts.ended, facts.why) == (1, "out_of_scope", "out_of_scope")
    assert facts.code == "E-SCOPE-010"


@pytest.mark.parametrize(
    "location", ["javascript:alert(1)", "https://[", "https://", "ftp://x/", "https://a:99999/", ""]
)
def test_a_redirect_that_leads_nowhere_is_the_end(tmp_path: Path, location: str) -> None:
    facts = Site({ROOT: moved(location)}, tmp_path).ask("https")

    assert len(facts.hops) <= 2
    assert facts.ended in ("final", "loop")


@pytest.mark.parametrize(
    ("pages", "ended", "why"),
    [
        ({ROOT: moved("/a"), f"{ROOT}a": moved("/")}, "loop", ""),
        ({ROOT: moved("/0"), **{f"{ROOT}{n}": moved(f"/{n + 1}") for n in range(20)}}, "too_many", ""),
        ({ROOT: moved("/a"), f"{ROOT}a": "hang up"}, "unseen", "malformed"),
        ({ROOT: moved("http://www.finance.gov.example/")}, "unseen", "closed"),
    ],
)
def test_a_chain_that_does_not_arrive_says_why(tmp_path: Path, pages: dict[str, str], ended: str, why: str) -> None:
    facts = Site(pages, tmp_path).ask("https", ports=(443,))

    assert (facts.ended, facts.why) == (ended, why)
    assert len(facts.hops) <= 10


def test_what_differs_in_every_response_is_not_kept(tmp_path: Path) -> None:
    policy = "Content-Security-Policy: script-src 'nonce-{}'"
    pages = {ROOT: moved("/login?state={}", 302), f"{ROOT}login?state={{}}": f"200 OK\r\n{policy}"}

    one, two = (
        Site({url.format(salt): page.format(salt) for url, page in pages.items()}, tmp_path).ask("https")
        for salt in ("a1", "b2")
    )

    assert one == two
    assert one.final.url == f"{ROOT}login"


def test_a_closed_port_is_an_answer_and_a_broken_one_is_not(tmp_path: Path) -> None:
    with pytest.raises(NotThere):
        Site({}, tmp_path).ask("https", ports=(80,))
    with pytest.raises(NotSeen) as unseen:
        Site({f"http://{NAME}/": "hang up"}, tmp_path).ask("http")
    assert unseen.value.reason is Reason.MALFORMED
