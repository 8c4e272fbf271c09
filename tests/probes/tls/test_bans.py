"""Whoever bans us after some connections, or minds our hellos: every control tells the truth, or that it is not known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posture.checks import Missing
from posture.facts import Facts, TlsFacts, TlsLegacyFacts
from posture.facts.tls import UNCLEAR
from posture.model import AbsentCause, NotSeen, NotThere, Outcome, Reason, Unobserved
from tests.checks.tls.pki import AT
from tests.checks.tls.seen import RULES, case_of
from tests.doors import LoopbackDoor, Place, scripted
from tests.probes.tls.asking import ADDRESS, NAME, answers, nginx, observe, openssl_server
from tests.probes.tls.between import Ban, Choosy, extensions_of
from tests.probes.tls.test_servers import INTERMEDIATE

Files = tuple[Path, Path]
Said = dict[str, Any]

OLD = "ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3; ssl_ciphers DEFAULT:NULL-SHA256:@SECLEVEL=0; ssl_prefer_server_ciphers on;"
SETTINGS = {"modern": INTERMEDIATE, "old": OLD}
WAYS = ("reset", "silence", "close", "closed port")
JUDGED = [rule for rule in RULES.values() if rule.needs[0] in (TlsFacts, TlsLegacyFacts)]

# What is left open until a deep scan asks.
ONLY_DEEP = {"tls.reneg", "tls.vuln.robot"}


class Shut(LoopbackDoor):
    """A door behind which the port is closed after so many connections."""

    after: int = 1_000_000

    async def connect(self, address: str, port: int, *, timeout: float = 5.0, brisk: bool = False) -> Any:
        if len(self.connections) >= self.after:
            raise NotThere(AbsentCause.CLOSED)
        return await super().connect(address, port, timeout=timeout, brisk=brisk)


async def _one(probe: str, door: LoopbackDoor, port: int, how: dict[str, Any]) -> Facts | Unobserved:
    try:
        found: Facts = await observe(probe, door, port, NAME, **how)
    except NotSeen as unseen:
        return Unobserved(unseen.reason, AT, unseen.detail)
    except NotThere:
        return Unobserved(Reason.RESET, AT)  # only when the very first connection finds the port closed
    return found


async def both(door: LoopbackDoor, port: int = 443, **how: Any) -> dict[str, Facts | Unobserved]:
    return {probe: await _one(probe, door, port, how) for probe in ("tls", "tls_legacy")}


def judged(facts: dict[str, Any], subject: str = f"{ADDRESS}:443/tcp") -> Said:
    """Of each control its tag, None when it is not judged, "unknown" when it is not known."""
    case = case_of(facts, {"subject": subject})
    told: Said = {}
    for rule in JUDGED:
        try:
            verdict = rule.judge(case)
            told[rule.control] = (verdict.tag, verdict.args.get("protocols")) if verdict else None
        except Missing:
            told[rule.control] = str(Outcome.UNKNOWN)
    return told


def through(behind: Place, after: int, way: str) -> Said:
    async def run() -> Said:
        async with scripted(Ban(behind, after, way)) as place:
            door = Shut({(ADDRESS, 443): place}, patience=0.05 if way == "silence" else 3.0)
            door.after = after if way == "closed port" else door.after
            return judged(await both(door))

    return asyncio.run(run())


def contradictions(behind: Place, way: str, last: int) -> list[tuple[int, str, Any, Any]]:
    truth = through(behind, 1_000_000, "close")
    assert {control for control, told in truth.items() if told == "unknown"} <= ONLY_DEEP
    return [
        (after, control, told, truth[control])
        for after in range(last + 1)
        for control, told in through(behind, after, way).items()
        if told not in ("unknown", truth[control])
    ]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", SETTINGS)
def test_after_however_many_connections_we_are_banned_nothing_wrong_is_said(
    tmp_path: Path, rsa_files: Files, kind: str, way: str
) -> None:
    with nginx(tmp_path, *rsa_files, SETTINGS[kind]) as behind:
        assert contradictions(behind, way, 25 if kind == "modern" else 40) == []


# ---- boxes that mind a hello


KNOWN = {0, 10, 11, 13, 43, 45, 51}  # the extensions without which there is no TLS to speak of
MIND: dict[str, Callable[[bytes], bool]] = {
    "256 to 511 octets": lambda hello: 256 <= len(hello) < 512,
    "more than 511 octets": lambda hello: len(hello) > 511,
    "more than 255 octets": lambda hello: len(hello) > 255,
    "an extension that is not known": lambda hello: not extensions_of(hello) <= KNOWN,
    "padding": lambda hello: 21 in extensions_of(hello),
    "an application protocol": lambda hello: 16 in extensions_of(hello),
}


def past(behind: Place, minds: Callable[[bytes], bool], way: str) -> tuple[dict[str, Any], Choosy]:
    async def run() -> tuple[dict[str, Any], Choosy]:
        box = Choosy(behind, minds, way)
        async with scripted(box) as place:
            return await both(LoopbackDoor({(ADDRESS, 443): place}, patience=0.1 if way == "silence" else 3.0)), box

    return asyncio.run(run())


@pytest.mark.parametrize("way", ["reset", "silence", "close"])
@pytest.mark.parametrize("mind", MIND)
def test_a_box_that_minds_a_hello_makes_nobody_say_what_is_wrong(
    tmp_path: Path, rsa_files: Files, mind: str, way: str
) -> None:
    with nginx(tmp_path, *rsa_files, INTERMEDIATE) as behind:
        truth = through(behind, 1_000_000, "close")
        facts, box = past(behind, MIND[mind], way)
    told = judged(facts)

    assert {control: said for control, said in told.items() if said not in ("unknown", truth[control])} == {}
    assert isinstance(facts["tls"], TlsFacts)
    assert facts["tls"].accepted == ("TLS 1.2", "TLS 1.3")
    assert answers(facts["tls"])["TLS 1.0"] != UNCLEAR or box.minded


def test_a_balancer_that_hangs_on_hellos_of_a_certain_length_never_gets_one(tmp_path: Path, rsa_files: Files) -> None:
    with nginx(tmp_path, *rsa_files, INTERMEDIATE) as behind:
        _, box = past(behind, MIND["256 to 511 octets"], "silence")

    assert box.minded == 0
    assert {length > 511 or length < 256 for length in box.lengths} == {True}


def test_an_old_server_behind_a_box_that_minds_long_hellos_is_still_seen_to_be_old(rsa_files: Files) -> None:
    with openssl_server(*rsa_files, "-cipher", "ALL:@SECLEVEL=0") as behind:
        facts, _ = past(behind, MIND["more than 255 octets"], "silence")
    assert isinstance(facts["tls"], TlsFacts)

    assert facts["tls"].accepted == ("TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3")
