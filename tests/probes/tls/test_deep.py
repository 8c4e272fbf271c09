"""The real sslyze in its box, through the real broker, against servers with and without the holes it looks for."""

from __future__ import annotations

import asyncio
import importlib.util
import ssl
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from posture.facts import FACTS, TlsEarlyDataFacts, TlsStoresFacts, TlsVulnerabilityFacts, decode, encode
from posture.facts.deep import FORM, NO_PATH, OTHER_NAME
from posture.model import NotSeen, NotThere, ProbeClass, Reason
from posture.net.sslyze import CONNECTIONS, run_sslyze
from posture.probes.tls import PROBES, deep
from posture.task import Task
from tests.checks.tls.pki import DAY, ROOT, Pair, issue
from tests.doors import LoopbackDoor, Place
from tests.lab import free_port
from tests.net import desk, servers
from tests.probes.tls.asking import NAME, nginx, openssl_server
from tests.probes.tls.fronts import (
    ANY_WRONG,
    Front,
    decrypt_early,
    front,
    hang_up,
    leak,
    reset,
    say_nothing,
)

Files = tuple[Path, Path]
_PROBES = {probe.name: probe for probe in PROBES}
_ALLOW_CLIENT_RENEGOTIATION = 1 << 8  # of OpenSSL 3, which Python has no name for
# An old server: TLS 1.2, key exchange by RSA.
OLD = "ssl_protocols TLSv1.2; ssl_ciphers AES128-GCM-SHA256:AES128-SHA;"
MODERN = "ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers ECDHE+AESGCM;"


def task(probe: str, port: int, name: str = NAME, **params: Any) -> Task:
    return replace(desk.task(name=name, port=port, params=params), probe=probe, probe_class=_PROBES[probe].probe_class)


async def observe(probe: str, place: Place, name: str = NAME, scope: Any = None, **params: Any) -> Any:
    asked = task(probe, place[1], name, **params)
    door = desk.broker(scope).door(asked, seconds=_PROBES[probe].deadline)
    try:
        return await _PROBES[probe].observe(asked, door)
    finally:
        door.close()


async def behind_front(script: Front, behind: Sequence[Place], probe: str = "tls_vulnerability", **params: Any) -> Any:
    async with front(behind, script) as place:
        return await observe(probe, place, **params)


def said(facts: TlsVulnerabilityFacts) -> dict[str, list[str]]:
    """By question what each attempt said, an unclear one by its reason."""
    return {answer.name: [str(one.why or one.said) for one in answer.attempts] for answer in facts.answers}


def test_a_modern_server_has_no_holes(tmp_path: Path, rsa_files: Files) -> None:
    with nginx(tmp_path, *rsa_files, MODERN) as place:
        facts = asyncio.run(observe("tls_vulnerability", place))

    assert isinstance(facts, TlsVulnerabilityFacts)
    assert (facts.name, facts.starttls, facts.newest, facts.tool.split()[0]) == (NAME, "", "TLS 1.3", "sslyze")
    assert said(facts) == {
        "early_ccs": ["presumed"],
        "heartbleed": ["presumed"],
        "renegotiations": ["0"],
        "robot": ["no_rsa"],
        "secure_renegotiation": ["safe"],
    }
    assert decode(encode(facts), FACTS) == facts


def test_an_old_server_that_is_mended_is_asked_and_found_safe(tmp_path: Path, rsa_files: Files) -> None:
    script = Front()
    with nginx(tmp_path, *rsa_files, OLD) as place:
        facts = asyncio.run(behind_front(script, [place] * 8))

    assert facts.newest == "TLS 1.2"
    assert said(facts) == {
        "early_ccs": ["safe"],
        "heartbleed": ["safe"],
        "renegotiations": ["0"],
        "robot": ["safe"],
        "secure_renegotiation": ["safe"],
    }
    assert script.connections <= CONNECTIONS / 2


def test_holes_are_seen_three_times_of_three(tmp_path: Path, rsa_files: Files) -> None:
    script = Front(heartbeat=leak, early=decrypt_early, oracle=frozenset({"type"}), key=rsa_files[1])
    with nginx(tmp_path, *rsa_files, OLD) as place:
        facts = asyncio.run(behind_front(script, [place] * 8))

    assert said(facts) == {
        "early_ccs": ["vulnerable"] * 3,
        "heartbleed": ["vulnerable"] * 3,
        "renegotiations": ["0"],
        "robot": ["strong"] * 3,
        "secure_renegotiation": ["safe"],
    }
    assert b"\x01\x01\x01" not in encode(facts), "nothing of what the server leaked is kept"


def test_a_hole_that_comes_and_goes_is_told_as_such(tmp_path: Path, rsa_files: Files) -> None:
    oracle = ANY_WRONG - {"version"}
    script = Front(heartbeat=leak, times=2, oracle=oracle, key=rsa_files[1])
    with nginx(tmp_path, *rsa_files, OLD) as place:
        found = said(asyncio.run(behind_front(script, [place] * 8)))

    assert found["heartbleed"] == ["vulnerable", "vulnerable", "safe"]
    assert found["robot"] == ["weak"] * 3


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (Front(heartbeat=say_nothing, early=say_nothing), "timeout"),
        (Front(heartbeat=reset, early=reset), "reset"),
        (Front(needs_name=True), "refused_by_target"),
        (Front(heartbeat=hang_up, early=hang_up), "safe"),
    ],
    ids=["silence", "reset", "needs-name", "hang-up"],
)
def test_no_answer_is_no_no(script: Front, why: str, tmp_path: Path, rsa_files: Files) -> None:
    """sslyze calls all of them "not vulnerable"; a clean close alone is an answer."""
    with nginx(tmp_path, *rsa_files, OLD) as place:
        found = said(asyncio.run(behind_front(script, [place] * 8)))

    assert (found["heartbleed"], found["early_ccs"]) == ([why], [why])
    assert (found["robot"], found["renegotiations"]) == (["safe"], ["0"]), "other questions were answered"


def test_an_oracle_of_silence_is_unclear(tmp_path: Path, rsa_files: Files) -> None:
    script = Front(oracle=frozenset({"type"}), key=rsa_files[1], wrong=say_nothing)
    with nginx(tmp_path, *rsa_files, OLD) as place:
        found = said(asyncio.run(behind_front(script, [place] * 8)))

    assert found["robot"] == ["timeout"]
    assert found["heartbleed"] == ["safe"]


@pytest.mark.parametrize(("most", "count"), [(None, ["10"] * 3), (3, ["3"])])
def test_renegotiations_that_a_client_begins_are_counted(most: int | None, count: list[str], rsa_files: Files) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*rsa_files)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.options |= _ALLOW_CLIENT_RENEGOTIATION

    async def scenario() -> Any:
        async with servers.tcp_server(servers.silent, tls=context) as server:
            return await behind_front(Front(renegotiations=most), [("127.0.0.1", server.port)] * 8)

    found = said(asyncio.run(scenario()))

    assert found["renegotiations"] == count
    assert found["secure_renegotiation"] == ["safe"]


# ---- early data


@pytest.mark.parametrize(
    ("settings", "newest", "answer"),
    [
        (f"{MODERN} ssl_early_data on;", "TLS 1.3", "vulnerable"),
        (f"{MODERN} ssl_early_data off;", "TLS 1.3", "safe"),
        (OLD, "TLS 1.2", "safe"),
    ],
)
def test_early_data(settings: str, newest: str, answer: str, tmp_path: Path, rsa_files: Files) -> None:
    with nginx(tmp_path, *rsa_files, settings) as place:
        facts = asyncio.run(observe("tls_early_data", place))

    assert isinstance(facts, TlsEarlyDataFacts)
    assert (facts.newest, facts.attempt.said) == (newest, answer)
    assert decode(encode(facts), FACTS) == facts


def test_a_web_server_that_hangs_up_leaves_early_data_open(rsa_files: Files) -> None:
    """sslyze waits for a page before it resumes."""
    with openssl_server(*rsa_files, "-tls1_3", "-early_data") as place:
        facts = asyncio.run(observe("tls_early_data", place))

    assert (facts.attempt.said, facts.attempt.why) == ("unclear", "malformed")


# ---- trust stores


def stores(folder: Path, certificate: Pair, name: str = NAME) -> dict[str, str]:
    """Why each store does not vouch for a server's only certificate."""
    with nginx(folder, *certificate.write(folder, ROOT), MODERN) as place:
        facts = asyncio.run(observe("tls_stores", place, name=name))
    assert isinstance(facts, TlsStoresFacts)
    assert decode(encode(facts), FACTS) == facts
    shown = facts.of(sha256(certificate.der).hexdigest())
    assert shown is not None
    assert len(facts.deployments) == 1
    assert all(one.version for one in shown.stores)
    return {one.store: one.why for one in shown.stores}


def issued(**changes: Any) -> Pair:
    key = x509.AuthorityKeyIdentifier.from_issuer_public_key(ROOT.key.public_key())
    now = datetime.now(UTC)
    dates = {"start": now - 10 * DAY, "end": now + 50 * DAY, **changes}
    return issue(NAME, ROOT, names=(NAME,), usage=ExtendedKeyUsageOID.SERVER_AUTH, extensions=(key,), **dates)


def test_five_stores_are_asked_about_the_chain(tmp_path: Path) -> None:
    assert stores(tmp_path, issued()) == dict.fromkeys(("Android", "Apple", "Java", "Mozilla", "Windows"), NO_PATH)


def test_a_chain_for_another_name_is_no_word_about_its_root(tmp_path: Path) -> None:
    assert set(stores(tmp_path, issued(), "other.gov.example").values()) == {OTHER_NAME}


def test_nor_is_one_that_has_expired(tmp_path: Path) -> None:
    assert set(stores(tmp_path, issued(end=datetime.now(UTC) - DAY)).values()) == {FORM}


# ---- what cannot be seen


def unseen(probe: str, place: Place, **options: Any) -> NotSeen:
    with pytest.raises(NotSeen) as caught:
        asyncio.run(observe(probe, place, **options))
    return caught.value


def test_tls_after_starttls_is_asked_too(tmp_path: Path, rsa_files: Files) -> None:
    script = Front(imap=True, heartbeat=leak)
    with nginx(tmp_path, *rsa_files, OLD) as place:
        facts = asyncio.run(behind_front(script, [place] * 8, starttls="imap"))

    assert facts.starttls == "imap"
    assert said(facts)["heartbleed"] == ["vulnerable"] * 3


def test_a_closed_port_is_not_there() -> None:
    with pytest.raises(NotThere):
        asyncio.run(observe("tls_vulnerability", ("127.0.0.1", free_port())))


@pytest.mark.parametrize(
    ("handler", "why"),
    [(servers.silent, Reason.TIMEOUT), (servers.hang_up, Reason.REFUSED_BY_TARGET), (servers.reset, Reason.RESET)],
)
def test_a_server_without_tls_says_nothing(handler: servers.Handler, why: Reason) -> None:
    async def scenario() -> None:
        async with servers.tcp_server(handler) as server:
            with pytest.raises(NotSeen) as caught:
                await observe("tls_stores", ("127.0.0.1", server.port))
            assert caught.value.reason is why

    asyncio.run(scenario())


def test_a_server_that_drips_ends_with_the_time_of_sslyze(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deep, "run_sslyze", partial(run_sslyze, seconds=3))

    async def scenario() -> None:
        async with servers.tcp_server(servers.saying(*[b"\x16"] * 600, every=0.2, ask=False)) as server:
            with pytest.raises(NotSeen) as caught:
                await observe("tls_stores", ("127.0.0.1", server.port))
            assert caught.value.reason is Reason.DEADLINE

    asyncio.run(scenario())


class Closing(desk.Loopback):
    """Permits so many connections, then a blackout begins."""

    left = 3

    def decide(self, **request: Any) -> Any:
        self.left -= 1
        self.closed = self.left < 0
        return super().decide(**request)


def test_a_blackout_that_begins_meanwhile_is_our_refusal(tmp_path: Path, rsa_files: Files) -> None:
    with nginx(tmp_path, *rsa_files, OLD) as place:
        fault = unseen("tls_vulnerability", place, scope=Closing())

    assert (fault.reason, fault.code) == (Reason.BLACKOUT, "E-SCOPE-011")


def test_without_sslyze_the_answer_says_so(tmp_path: Path, rsa_files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_for = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sslyze" else looked_for(name))
    with nginx(tmp_path, *rsa_files, MODERN) as place:
        assert unseen("tls_stores", place).reason is Reason.TOOL_MISSING


def test_a_door_that_starts_no_programs_is_a_limit_of_ours() -> None:
    async def scenario() -> None:
        await _PROBES["tls_stores"].observe(task("tls_stores", 443), LoopbackDoor())

    with pytest.raises(NotSeen) as caught:
        asyncio.run(scenario())

    assert caught.value.reason is Reason.VANTAGE_LIMITED


def test_the_classes_are_those_of_the_catalogue() -> None:
    assert {probe.name: probe.probe_class for probe in PROBES if probe.deep} == {
        "tls_stores": ProbeClass.CLIENT,
        "tls_early_data": ProbeClass.CLIENT,
        "tls_vulnerability": ProbeClass.INTRUSIVE,
    }
