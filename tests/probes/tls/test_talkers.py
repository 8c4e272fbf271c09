"""The probe in front of every real server in whose protocol TLS is asked for, and what those without it say."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from posture.facts import TlsFacts
from posture.model import AbsentCause, NotSeen, NotThere, Reason
from tests.doors import LoopbackDoor, Place
from tests.lab import talkers
from tests.probes.tls.asking import ADDRESS, NAME, answers, names, observe

pytestmark = pytest.mark.xdist_group("ports with TLS")
Files = tuple[Path, Path]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that servers which give up root may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def identity(rsa_files: Files) -> talkers.Identity:
    return talkers.Identity(*rsa_files)


async def _both(door: LoopbackDoor, port: int, name: str, starttls: str) -> tuple[TlsFacts, Any]:
    how = {"starttls": starttls} if starttls else {}
    return await observe("tls", door, port, name, **how), await observe("tls_legacy", door, port, name, **how)


def ask(place: Place, port: int, starttls: str = "", name: str = NAME) -> tuple[TlsFacts, Any]:
    return asyncio.run(_both(LoopbackDoor({(ADDRESS, port): place}), port, name, starttls))


def is_modern(place: Place, port: int, starttls: str = "") -> bool:
    """Whether TLS 1.2, TLS 1.3 and nothing older are seen, with the chain that the server was given."""
    facts, legacy = ask(place, port, starttls)
    assert (facts.starttls, legacy.starttls) == (starttls, starttls)
    assert facts.accepted == ("TLS 1.2", "TLS 1.3")
    assert set(answers(legacy).values()) == {"refused"}
    return len(facts.chain) == 2 and answers(facts)["TLS 1.1"] == answers(facts)["TLS 1.0"] == "refused"


def declined(place: Place, port: int, starttls: str, name: str = NAME) -> NotThere | NotSeen:
    with pytest.raises((NotThere, NotSeen)) as fault:
        ask(place, port, starttls, name)
    assert isinstance(fault.value, (NotThere, NotSeen))
    return fault.value


def test_dovecot(folder: Path, identity: talkers.Identity) -> None:
    with talkers.dovecot(folder, identity) as places:
        assert is_modern(places["imap"], 143, "imap")
        assert is_modern(places["pop3"], 110, "pop3")
        assert is_modern(places["imaps"], 993)
        assert is_modern(places["pop3s"], 995)


def test_a_server_that_stumbles_over_its_own_choice_hides_no_other_suite(
    folder: Path, identity: talkers.Identity
) -> None:
    """Dovecot was given no parameters for DHE; asked for a list with such a suite it chooses it, and hangs up."""
    with talkers.dovecot(folder, identity) as places:
        door = LoopbackDoor({(ADDRESS, 993): places["imaps"]})
        facts, legacy = asyncio.run(_both(door, 993, NAME, ""))

    assert any("CBC" in name for name in names(facts, "TLS 1.2"))
    assert not any("_DHE_" in name for name in names(facts, "TLS 1.2"))
    assert answers(legacy)["TLS 1.2"] == "refused"
    assert len(door.connections) <= 34, "who hangs up where others send an alert is asked more often, not for ever"


def test_vsftpd(folder: Path, identity: talkers.Identity) -> None:
    with talkers.vsftpd(folder, identity) as place:
        facts, _ = ask(place, 21, "ftp")

    assert "TLS 1.2" in facts.accepted
    assert len(facts.chain) >= 1


def test_vsftpd_without_tls_declines(folder: Path) -> None:
    with talkers.vsftpd(folder, None) as place:
        assert isinstance(declined(place, 21, "ftp"), (NotThere, NotSeen))


def test_openldap(folder: Path, identity: talkers.Identity) -> None:
    with talkers.slapd(folder, identity) as places:
        for name, port, starttls in (("ldap", 389, "ldap"), ("ldaps", 636, "")):
            facts, _ = ask(places[name], port, starttls)
            assert {"TLS 1.2", "TLS 1.3"} <= set(facts.accepted)
            assert facts.chain


def test_openldap_without_tls_offers_none(folder: Path) -> None:
    with talkers.slapd(folder, None) as places:
        absent = declined(places["ldap"], 389, "ldap")

    assert isinstance(absent, NotThere)
    assert absent.cause is AbsentCause.NOT_OFFERED


def test_postgresql(folder: Path, identity: talkers.Identity) -> None:
    with talkers.postgres(folder, identity) as place:
        assert is_modern(place, 5432, "postgres")


def test_postgresql_without_tls_offers_none(folder: Path) -> None:
    with talkers.postgres(folder, None) as place:
        absent = declined(place, 5432, "postgres")

    assert isinstance(absent, NotThere)
    assert absent.cause is AbsentCause.NOT_OFFERED


def test_prosody(folder: Path, identity: talkers.Identity) -> None:
    with talkers.prosody(folder, identity, NAME) as places:
        for starttls, port in (("xmpp", 5222), ("xmpp-server", 5269)):
            facts, _ = ask(places[starttls], port, starttls)
            assert {"TLS 1.2", "TLS 1.3"} <= set(facts.accepted)
            assert facts.chain
        other = declined(places["xmpp"], 5222, "xmpp", "other.gov.example")

    assert isinstance(other, NotSeen)
    assert (other.reason, other.detail) == (Reason.REFUSED_BY_TARGET, "the server does not serve that name")


def test_xrdp(folder: Path, identity: talkers.Identity) -> None:
    with talkers.xrdp(folder, identity) as place:
        facts, _ = ask(place, 3389, "rdp")

    assert facts.accepted == ("TLS 1.2", "TLS 1.3")
    assert facts.chain


def test_xrdp_without_tls_offers_none(folder: Path) -> None:
    with talkers.xrdp(folder, None) as place:
        absent = declined(place, 3389, "rdp")

    assert isinstance(absent, NotThere)
    assert absent.cause is AbsentCause.NOT_OFFERED
