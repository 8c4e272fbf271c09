"""What somebody says of a server, in one form for all: question -> answer, so that any two can be held side by side.

Questions: "speaks TLS 1.2" and "suites TLS 1.2", so for each version; "chain" (digests of the certificates sent, leaf
first; of several oracles' chains ours has to be one); "curves" (withdrawn ones) and "groups" (all that were seen; ours have to
be among theirs); "hash" (the weakest that signs a handshake); "compression", "ems", "renegotiation", "fallback",
"preference", "alpn"; "early data" (of web servers with TLS 1.3); "3DES", "RC4", "anonymous", "static RSA" (whether any such
suite is accepted at TLS 1.0 to 1.2).
A question that somebody cannot answer, or not clearly, is missing.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from posture.facts import TlsEarlyDataFacts, TlsFacts, TlsLegacyFacts
from posture.facts.deep import SAFE, VULNERABLE
from posture.facts.groups import WITHDRAWN
from posture.facts.tls import (
    ACCEPTED,
    APPLICATION_PROTOCOL,
    COMPRESSION,
    EXTENDED_MASTER_SECRET,
    FALLBACK_SIGNAL,
    NOT_ASKED,
    OLD_HASHES,
    RENEGOTIATION_INFO,
    SERVER_PREFERENCE,
    UNCLEAR,
    WITHDRAWN_CURVES,
    Trait,
)
from posture.model import NotSeen
from posture.probes.tls import PROBES
from posture.task import Task
from tests.doors import LoopbackDoor, Place
from tests.net import desk
from tests.oracles.tls.lab import Standing

ADDRESS = "192.0.2.7"
SUBJECT = f"{ADDRESS}:443/tcp"
VERSIONS = ("SSL 2.0", "SSL 3.0", "TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3")
_ORDINARY = ("TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3")
_BROKEN = ("SSL 2.0", "SSL 3.0", "TLS 1.0", "TLS 1.1", "TLS 1.2")
OLD_CURVES = frozenset(name for name, _ in WITHDRAWN.values())
_PROBES = {probe.name: probe for probe in PROBES}

Opinion = Mapping[str, Any]


@dataclass(frozen=True)
class Ours:
    """What our probes recorded (None: not seen, or not asked), and the connections that the first two took."""

    facts: TlsFacts | None
    legacy: TlsLegacyFacts | None
    connections: int
    early: TlsEarlyDataFacts | None = None


def ask(standing: Standing) -> Ours:
    """Both probes at the server, every suite listed; of a web server what deep scans ask of early data, too."""
    found = asyncio.run(observed(standing, standing.place))
    web = standing.server.port == 443 and not standing.server.starttls
    return replace(found, early=asyncio.run(_early_data(standing))) if web else found


async def _early_data(standing: Standing) -> TlsEarlyDataFacts | None:
    """By the real broker: sslyze in its box, and its answer held against what went over the wire."""
    probe, (address, port) = _PROBES["tls_early_data"], standing.place
    asked = desk.task((address,), name=standing.server.host, port=port)
    task = replace(asked, probe=probe.name, probe_class=probe.probe_class)
    door = desk.broker().door(task, seconds=probe.deadline)
    try:
        found = await probe.observe(task, door)
    except NotSeen:
        return None
    finally:
        door.close()
    return found if isinstance(found, TlsEarlyDataFacts) else None


async def observed(standing: Standing, place: Place, patience: float = 3.0) -> Ours:
    """The same, of the server or what stands before it at ``place``."""
    door = LoopbackDoor({(ADDRESS, 443): place}, patience=patience)
    facts = await _observed(standing, "tls", door)
    return Ours(facts, await _observed(standing, "tls_legacy", door), len(door.connections))


async def _observed(standing: Standing, probe: str, door: LoopbackDoor) -> Any:
    host, granted = standing.server.host, _PROBES[probe].probe_class
    params = {"all_suites": True, "starttls": standing.server.starttls, "ehlo": "cert.gov.example"}
    task = Task("lab", host, "host", probe, "tls", granted, SUBJECT, host, "a-1", (ADDRESS,), 443, params)
    try:
        return await _PROBES[probe].observe(task, door)
    except NotSeen:
        return None


def ours(asked: Ours) -> Opinion:
    """Our facts in the common form."""
    opinion: dict[str, Any] = dict(_suites(asked))
    opinion |= families(opinion)
    if asked.facts and asked.facts.chain:
        opinion["chain"] = [digests(asked.facts.chain)]
    if asked.facts and asked.facts.groups:
        opinion["groups"] = sorted(name.lower() for name in asked.facts.groups)
    if asked.early and asked.early.newest == "TLS 1.3" and asked.early.attempt.said in (SAFE, VULNERABLE):
        opinion["early data"] = asked.early.attempt.said == VULNERABLE
    for trait in [*(asked.facts.traits if asked.facts else ()), *(asked.legacy.traits if asked.legacy else ())]:
        opinion |= _trait(trait)
    return opinion


def _suites(asked: Ours) -> Iterator[tuple[str, Any]]:
    """Of TLS 1.0 to 1.2 one probe asks ordinary suites and the other broken ones: only both together can say no."""
    for version in VERSIONS:
        who = [facts for facts, asks in ((asked.facts, _ORDINARY), (asked.legacy, _BROKEN)) if version in asks]
        answers = [answer for facts in who if facts and (answer := facts.version(version))]
        spoken = any(answer.answer == ACCEPTED for answer in answers)
        clear = None not in who and bool(answers) and all(answer.answer != UNCLEAR for answer in answers)
        if spoken or clear:
            yield f"speaks {version}", spoken
        if clear and all(answer.complete for answer in answers):
            yield f"suites {version}", sorted({name for answer in answers for name in answer.suites})


def families(opinion: Opinion) -> Opinion:
    """What the suites of TLS 1.0 to 1.2 say of 3DES and its like, where all are known."""
    questions = [f"suites TLS 1.{minor}" for minor in range(3)]
    if not all(question in opinion for question in questions):
        return {}
    names = {name for question in questions for name in opinion[question]}
    return {
        "3DES": any("3DES" in name for name in names),
        "RC4": any("RC4" in name for name in names),
        "anonymous": any("_anon_" in name for name in names),
        "static RSA": any(name.startswith("TLS_RSA_WITH") for name in names),
    }


_YES_OR_NO = {
    COMPRESSION: "compression",
    EXTENDED_MASTER_SECRET: "ems",
    RENEGOTIATION_INFO: "renegotiation",
    FALLBACK_SIGNAL: "fallback",
    SERVER_PREFERENCE: "preference",
}
_LISTS = {WITHDRAWN_CURVES: "curves", APPLICATION_PROTOCOL: "alpn"}


def _trait(trait: Trait) -> Opinion:
    if trait.answer in (UNCLEAR, NOT_ASKED):
        return {}
    if trait.name in _YES_OR_NO:
        return {_YES_OR_NO[trait.name]: trait.answer == ACCEPTED}
    if trait.name in _LISTS:
        return {_LISTS[trait.name]: sorted(trait.seen)}
    if trait.name == OLD_HASHES:
        return {"hash": trait.seen[-1] if trait.seen else "none"}
    return {}


def digests(chain: Iterable[bytes]) -> list[str]:
    return [hashlib.sha256(certificate).hexdigest()[:16] for certificate in chain]
