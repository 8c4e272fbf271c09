"""Mail servers count connections: Postfix as it is set up in many ways, and what six connections tell of it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from posture.facts import SmtpFacts, TlsFacts, TlsLegacyFacts
from posture.model import NotSeen, NotThere, Reason, Unobserved
from posture.probes import smtp
from tests.checks.tls.pki import AT
from tests.checks.tls.seen import MX
from tests.doors import LoopbackDoor, Place, scripted
from tests.lab import talkers
from tests.probes.tls.asking import ADDRESS, NAME, answers, gnutls_server, names, observe, openssl_server, task
from tests.probes.tls.between import Ban
from tests.probes.tls.test_bans import judged
from tests.probes.tls.test_starttls import exchanger

pytestmark = pytest.mark.xdist_group("ports with TLS")
Files = tuple[Path, Path]
(SMTP,) = smtp.PROBES
PARAMS = {"starttls": "smtp", "mx_of": "gov.example", "ehlo": "cert.gov.example"}
WAYS = ("reset", "silence", "close")


@dataclass
class Asked:
    """What the three probes made of one exchanger; Unobserved where they saw nothing."""

    tls: Any
    tls_legacy: Any
    smtp: Any
    connections: int


async def _ask(door: LoopbackDoor) -> Asked:
    found: dict[str, Any] = {}
    visit = replace(task("tls", 25, NAME, **PARAMS), probe="smtp", subject=MX)
    for name, asked in (
        ("smtp", SMTP.observe(visit, door)),
        ("tls", observe("tls", door, 25, NAME, **PARAMS)),
        ("tls_legacy", observe("tls_legacy", door, 25, NAME, **PARAMS)),
    ):
        try:
            found[name] = await asked
        except NotSeen as unseen:
            found[name] = Unobserved(unseen.reason, AT, unseen.detail)
        except NotThere:
            found[name] = Unobserved(Reason.RESET, AT)
    return Asked(**found, connections=len(door.connections))


def ask(place: Place) -> Asked:
    return asyncio.run(_ask(LoopbackDoor({(ADDRESS, 25): place})))


def said(asked: Asked) -> dict[str, Any]:
    return judged({"tls": asked.tls, "tls_legacy": asked.tls_legacy, "smtp": asked.smtp}, MX)


@contextmanager
def postfix(files: Files, settings: str = "") -> Iterator[Place]:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        with talkers.postfix(Path(name), talkers.Identity(*files), settings) as place:
            yield place


# ---- Postfix

CURRENT = "LEGACY_PROTOCOL_REFUSED"
SETTINGS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "as it comes": ("", ("TLS 1.1", "TLS 1.2", "TLS 1.3"), "LEGACY_PROTOCOL_ON_MX"),
    "current": ("smtpd_tls_protocols = >=TLSv1.2\nsmtpd_tls_exclude_ciphers = aNULL", ("TLS 1.2", "TLS 1.3"), CURRENT),
    "TLS 1.3 alone": ("smtpd_tls_protocols = >=TLSv1.3", ("TLS 1.3",), CURRENT),
    "TLS 1.2 alone": ("smtpd_tls_protocols = TLSv1.2", ("TLS 1.2",), CURRENT),
    "old": ("smtpd_tls_protocols = TLSv1.1, TLSv1", ("TLS 1.1",), "LEGACY_PROTOCOL_ON_MX"),
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_six_connections_tell_what_a_verdict_on_an_exchanger_needs(kind: str, rsa_files: Files) -> None:
    settings, versions, legacy = SETTINGS[kind]
    with postfix(rsa_files, settings) as place:
        asked = ask(place)
    told = said(asked)

    assert asked.connections <= 6
    assert isinstance(asked.smtp, SmtpFacts)
    assert isinstance(asked.tls, TlsFacts)
    assert isinstance(asked.tls_legacy, TlsLegacyFacts)
    assert asked.tls.chain
    assert set(versions) <= set(asked.tls.accepted)
    assert told["tls.protocol.legacy"][0] == legacy
    assert told["tls.protocol.ssl"][0] == "SSL_REFUSED"
    newest = {"TLS 1.2 alone": "TLS12_ONLY", "TLS 1.3 alone": "TLS13_ONLY", "old": "NO_CURRENT_PROTOCOL"}
    assert told["tls.protocol.tls13"][0] == newest.get(kind, "TLS13_AND_TLS12")
    assert "unknown" not in told.values()


def test_of_what_postfix_accepts_by_default_the_worst_is_no_certificate(rsa_files: Files) -> None:
    with postfix(rsa_files) as place:
        asked = ask(place)

    assert said(asked)["tls.cipher.insecure"][0] == "ANONYMOUS_SUITES_ON_MX"
    assert all("_anon_" in name for name in names(asked.tls_legacy, "TLS 1.2"))


@pytest.mark.parametrize("way", WAYS)
def test_after_however_many_connections_an_exchanger_bans_us_nothing_wrong_is_said(way: str, rsa_files: Files) -> None:
    async def banned(behind: Place, after: int) -> Asked:
        async with scripted(Ban(behind, after, way, at_once=True)) as place:
            return await _ask(LoopbackDoor({(ADDRESS, 25): place}, patience=0.3 if way == "silence" else 3.0))

    with postfix(rsa_files, "smtpd_tls_protocols = >=TLSv1.2") as behind:
        truth = said(ask(behind))
        wrong = [
            (after, control, told, truth[control])
            for after in range(8)
            for control, told in said(asyncio.run(banned(behind, after))).items()
            if told not in ("unknown", truth[control]) and told is not None
        ]

    assert wrong == []


# ---- others


def test_an_exchanger_by_gnutls_hides_no_old_version(rsa_files: Files) -> None:
    async def run(behind: Place) -> Asked:
        async with scripted(exchanger(behind)) as place:  # type: ignore[arg-type]  # a conversation as scripted() wants it
            return await _ask(LoopbackDoor({(ADDRESS, 25): place}))

    with gnutls_server(*rsa_files, "NORMAL:+VERS-TLS1.0:-VERS-TLS1.1:%COMPAT") as behind:
        asked = asyncio.run(run(behind))

    assert asked.connections <= 6
    assert answers(asked.tls)["TLS 1.0"] == "accepted"
    assert said(asked)["tls.protocol.legacy"][0] == "LEGACY_PROTOCOL_ON_MX"


@pytest.mark.parametrize("options", [("-min_protocol", "TLSv1.2"), ("-tls1_2",), ("-tls1_3",), ()])
def test_submission_with_tls_at_once_is_asked_six_times_too(options: tuple[str, ...], rsa_files: Files) -> None:
    async def run(place: Place) -> tuple[Any, Any, int]:
        door = LoopbackDoor({(ADDRESS, 465): place})
        return await observe("tls", door, 465), await observe("tls_legacy", door, 465), len(door.connections)

    with openssl_server(*rsa_files, *options) as place:
        facts, legacy, connections = asyncio.run(run(place))

    assert connections <= 6
    assert facts.chain
    assert "unclear" not in {answers(facts)["TLS 1.2"], answers(facts)["TLS 1.3"], *answers(legacy).values()}
