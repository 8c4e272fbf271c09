"""A long list of suites is listed whole last: nothing that was known before is lost over it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from posture.facts import TlsFacts, TlsLegacyFacts
from posture.facts.tls import ACCEPTED, VersionAnswer
from posture.probes.tls.suites import broken, name_of, number_of
from tests.doors import LoopbackDoor, Place, scripted
from tests.probes.tls.asking import ADDRESS, OldServer, ask, names, observe, openssl_server
from tests.probes.tls.between import Ban

Files = tuple[Path, Path]
LONG = ("-cipher", "ALL:!aNULL:!PSK:!SRP:@SECLEVEL=0")


def banned_after(behind: Place, after: int, way: str, **params: Any) -> tuple[TlsFacts, int]:
    async def run() -> tuple[TlsFacts, int]:
        ban = Ban(behind, after, way)
        async with scripted(ban) as place:
            patience = 0.1 if way == "silence" else 3.0
            facts = await observe("tls", LoopbackDoor({(ADDRESS, 443): place}, patience=patience), **params)
        return facts, ban.connections

    return asyncio.run(run())


async def old_ones_banned_after(after: int, way: str, **params: Any) -> tuple[TlsLegacyFacts, int]:
    """A server of many broken suites, as no present one has them."""
    many = [name_of(number) for number in broken()]
    assert len(many) > 20
    async with scripted(OldServer({"TLS 1.0": many, "TLS 1.1": many, "TLS 1.2": many})) as behind:
        ban = Ban(behind, after, way)
        async with scripted(ban) as place:
            patience = 0.1 if way == "silence" else 3.0
            facts = await observe("tls_legacy", LoopbackDoor({(ADDRESS, 443): place}, patience=patience), **params)
    return facts, ban.connections


def shortened(answer: VersionAnswer) -> VersionAnswer:
    return replace(answer, suites=(), complete=False)


def held_to(facts: TlsFacts | TlsLegacyFacts, brief: TlsFacts | TlsLegacyFacts) -> None:
    """What the short list told is all there, whatever was listed after it."""
    assert replace(facts, versions=()) == replace(brief, versions=())
    for short in brief.versions:
        answer = facts.version(short.version)
        assert answer is not None
        assert shortened(answer) == shortened(short)
        assert set(answer.suites) >= set(short.suites)


@pytest.mark.parametrize("way", ["reset", "silence", "close"])
def test_who_is_banned_while_listing_has_all_that_a_short_list_tells(rsa_files: Files, way: str) -> None:
    with openssl_server(*rsa_files, *LONG) as behind:
        brief, connections = banned_after(behind, 1_000_000, way)
        _, all_of_them = banned_after(behind, 1_000_000, way, all_suites=True)
        banned = [banned_after(behind, connections + more, way, all_suites=True)[0] for more in (0, 1, 7)]

    assert all_of_them > connections + 8
    for facts in banned:
        held_to(facts, brief)
        assert not all(answer.complete for answer in facts.versions if answer.answer == ACCEPTED)


@pytest.mark.parametrize("way", ["reset", "silence", "close"])
def test_the_same_holds_of_broken_suites(way: str) -> None:
    brief, connections = asyncio.run(old_ones_banned_after(1_000_000, way))
    whole, all_of_them = asyncio.run(old_ones_banned_after(1_000_000, way, all_suites=True))
    spoken = [answer for answer in whole.versions if answer.version in ("TLS 1.0", "TLS 1.1", "TLS 1.2")]

    assert all_of_them > connections + 20
    assert len(spoken) == 3
    assert all(answer.complete and len(answer.suites) == len(broken()) for answer in spoken)
    for more in (0, 1, 9, all_of_them - connections - 3):
        held_to(asyncio.run(old_ones_banned_after(connections + more, way, all_suites=True))[0], brief)


def test_what_is_listed_whole_is_complete_and_begins_with_the_short_list(rsa_files: Files) -> None:
    with openssl_server(*rsa_files, *LONG, "-serverpref") as place:
        brief, brief_legacy, few = ask(place)
        whole, _, many = ask(place, all_suites=True)

    short, long = brief.version("TLS 1.2"), whole.version("TLS 1.2")
    assert short is not None
    assert long is not None
    assert (short.complete, long.complete) == (False, True)
    assert long.suites[: len(short.suites)] == short.suites
    assert many - few >= len(long.suites) - len(short.suites)
    assert all(answer.complete for answer in whole.versions if answer.answer == ACCEPTED)
    assert not any(answer.complete for answer in brief_legacy.versions if len(answer.suites) >= 8)


def test_a_mail_server_is_asked_no_more_for_a_whole_list(rsa_files: Files) -> None:
    with openssl_server(*rsa_files, *LONG) as place:
        doors = [LoopbackDoor({(ADDRESS, 465): place}) for _ in range(2)]
        brief = asyncio.run(observe("tls", doors[0], 465))
        whole = asyncio.run(observe("tls", doors[1], 465, all_suites=True))

    assert len(doors[0].connections) == len(doors[1].connections) <= 3
    assert names(brief, "TLS 1.2") == names(whole, "TLS 1.2")


@pytest.mark.parametrize("number", [0x1301, 0xC02F, 0x00FF, 0xFEFF])
def test_a_suite_without_a_name_goes_by_its_number(number: int) -> None:
    assert number_of(name_of(number)) == number


def test_what_is_no_suite_has_no_number() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        number_of("TLS_WITH_NOTHING")
