"""Lists of revoked certificates over real HTTP: what comes back stands in the facts, whatever it is."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Any

import pytest

from posture.facts import CrlFacts, KeyUseFacts
from posture.facts.certificate import FETCHED, FROM_FILE, KeyUse, RevocationList, WildcardUse
from posture.model import ProbeClass
from posture.probes import crl, key_use
from posture.task import Task
from tests.checks.tls.pki import AT, MIDDLE, issue
from tests.checks.tls.revoking import LIST_URL, coded, points, revocation_list
from tests.doors import LoopbackDoor, scripted

LEAF = issue("www.gov.example", MIDDLE, names=("www.gov.example",), extensions=(points(LIST_URL),))
HOST = "crl.gov.example"


def task(*urls: str, lists: tuple[dict[str, Any], ...] = (), others: tuple[bytes, ...] = (MIDDLE.der,)) -> Task:
    params = {
        "leaf": base64.b64encode(LEAF.der).decode(),
        "others": [base64.b64encode(one).decode() for one in others],
        "at": AT.isoformat(),
        "urls": list(urls),
        "lists": list(lists),
    }
    name = "www.gov.example"
    return Task("finance", name, "host", "crl", "tls", ProbeClass.CLIENT, "192.0.2.7:443/tcp", name, "a", params=params)


def fetched(body: bytes, status: str = "200 OK", **how: Any) -> RevocationList:
    """What the facts say of the one list, served with this body."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()

    async def scenario() -> CrlFacts:
        async with scripted(talk) as place:
            return await crl.observe(task(LIST_URL, **how), LoopbackDoor({("192.0.2.9", 80): place}))

    facts = asyncio.run(scenario())
    assert facts.leaf == hashlib.sha256(LEAF.der).hexdigest()
    (one,) = facts.lists
    assert (one.url, one.source) == (LIST_URL, FETCHED)
    return one


def test_a_list_is_fetched_and_read() -> None:
    assert fetched(coded(revocation_list())).word == "not_listed"
    one = fetched(coded(revocation_list(LEAF)))
    assert (one.word, one.revoked_at, one.reason) == ("listed", "2026-05-30T12:00:00Z", "keyCompromise")


@pytest.mark.parametrize(
    ("body", "status", "word", "number"),
    [
        (b"<html>", "200 OK", "malformed", 0),
        (b"", "200 OK", "malformed", 0),
        (coded(revocation_list(LEAF))[:-1], "200 OK", "malformed", 0),
        (b"\x30" * crl.MOST_BYTES, "200 OK", "truncated", 0),
        (coded(revocation_list(LEAF)), "404 Not Found", "refused_by_target", 404),
        (b"", "302 Found", "refused_by_target", 302),
    ],
    ids=["a page", "nothing", "cut", "endless", "gone", "a redirect"],
)
def test_what_is_no_list_says_nothing(body: bytes, status: str, word: str, number: int) -> None:
    one = fetched(body, status)
    assert (one.word, one.status, one.revoked_at) == (word, number, "")


def test_without_the_issuer_a_list_is_not_believed_and_others_do_no_harm() -> None:
    assert fetched(coded(revocation_list(LEAF)), others=()).word == "no_issuer"
    assert fetched(coded(revocation_list(LEAF)), others=(b"\x30\x00", MIDDLE.der)).word == "listed"


def test_what_was_not_fetched_has_its_reason() -> None:
    closed = asyncio.run(crl.observe(task(LIST_URL), LoopbackDoor()))
    assert [(one.word, one.reason) for one in closed.lists] == [("refused_by_target", "closed")]
    silent = LoopbackDoor({("192.0.2.9", 80): ("127.0.0.1", 9)}, silent=frozenset({("192.0.2.9", 80)}))
    assert [one.word for one in asyncio.run(crl.observe(task(LIST_URL), silent)).lists] == ["timeout"]
    beyond = asyncio.run(crl.observe(task(LIST_URL), LoopbackDoor(beyond=frozenset({HOST}))))
    assert [(one.word, one.code) for one in beyond.lists] == [("out_of_scope", "E-SCOPE-010")]


def test_at_most_a_few_places_are_asked_and_files_count_beside_them() -> None:
    urls = [f"{LIST_URL}?{number}" for number in range(20)]
    on_file = {"url": "", "source": FROM_FILE, "word": "stale"}
    door = LoopbackDoor()
    facts = asyncio.run(crl.observe(task(*urls, lists=(on_file,)), door))
    assert len(door.connections) == crl.MOST_URLS
    assert [one.source for one in facts.lists] == [FROM_FILE] + [FETCHED] * crl.MOST_URLS
    assert list(facts.lists) == sorted(facts.lists, key=lambda one: one.url)


def test_who_uses_a_key_is_told_by_the_run_and_sends_nothing() -> None:
    door = LoopbackDoor()
    key = {"key": "ab", "endpoints": ["192.0.2.7:443/tcp"], "own": [], "foreign": 1}
    params = {"keys": [key], "wildcards": [{"pattern": "*.gov.example", "foreign": 2}], "unreadable": 1}
    told = Task("f", "w", "host", "key_use", "tls", ProbeClass.CLIENT, "", "w", "a", params=params)

    facts = asyncio.run(key_use.observe(told, door))

    uses, wildcards = (KeyUse("ab", ("192.0.2.7:443/tcp",), (), 1),), (WildcardUse("*.gov.example", 2),)
    assert facts == KeyUseFacts(uses, wildcards, 1)
    assert door.connections == []
