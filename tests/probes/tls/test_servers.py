"""The probes against real servers, compared with what those were told to accept."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from posture.facts import FACTS, TlsFacts, decode, encode
from posture.facts.suites import suites
from posture.model import NotSeen, Reason
from tests.doors import LoopbackDoor, scripted
from tests.lab import need
from tests.probes.tls.asking import (
    ADDRESS,
    OldServer,
    answers,
    ask,
    gnutls_server,
    names,
    nginx,
    observe,
    openssl_server,
)

Files = tuple[Path, Path]

TLS13_SUITES = {"TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"}
MODERN = {
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
}
INTERMEDIATE = (
    "ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305;"
)


def listed_by_openssl(ciphers: str, *options: str) -> set[str]:
    """IANA names of a cipher string, of TLS 1.2 and older."""
    argv = [need("openssl", "openssl"), "ciphers", "-stdname", *options, ciphers]
    lines = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()
    return {line.split()[0] for line in lines} - TLS13_SUITES


def sent_chain(facts: TlsFacts, files: Files) -> bool:
    return len(facts.chain) == 2 == files[0].read_text().count("BEGIN CERTIFICATE") and not facts.chain_cut


@pytest.mark.parametrize("order", ["on", "off"])
def test_a_modern_site_takes_few_connections(tmp_path: Path, rsa_files: Files, order: str) -> None:
    with nginx(tmp_path, *rsa_files, f"{INTERMEDIATE} ssl_prefer_server_ciphers {order};") as place:
        facts, legacy, connections = ask(place)

    assert connections <= 18
    assert facts.accepted == ("TLS 1.2", "TLS 1.3")
    assert names(facts, "TLS 1.2") == MODERN
    assert names(facts, "TLS 1.3") == TLS13_SUITES
    assert all(answer.complete for answer in (*facts.versions, *legacy.versions))
    assert set(answers(legacy).values()) == {"refused"}
    assert sent_chain(facts, rsa_files)
    assert [decode(encode(one), FACTS) for one in (facts, legacy)] == [facts, legacy]


def test_an_ecdsa_site_of_tls13_only_shows_its_chain(tmp_path: Path, ecdsa_files: Files) -> None:
    with nginx(tmp_path, *ecdsa_files, "ssl_protocols TLSv1.3;") as place:
        facts, legacy, _ = ask(place)

    assert answers(facts) == {"TLS 1.0": "refused", "TLS 1.1": "refused", "TLS 1.2": "refused", "TLS 1.3": "accepted"}
    assert set(answers(legacy).values()) == {"refused"}
    assert sent_chain(facts, ecdsa_files)


def test_tls12_only(tmp_path: Path, ecdsa_files: Files) -> None:
    with nginx(tmp_path, *ecdsa_files, "ssl_protocols TLSv1.2; ssl_ciphers ECDHE+AESGCM;") as place:
        facts, _, _ = ask(place)

    assert facts.accepted == ("TLS 1.2",)
    assert names(facts, "TLS 1.2") == {
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    }
    assert sent_chain(facts, ecdsa_files)


def test_old_versions_are_found(tmp_path: Path, rsa_files: Files) -> None:
    settings = "ssl_protocols TLSv1 TLSv1.1 TLSv1.2; ssl_ciphers AES128-SHA:ECDHE-RSA-AES128-SHA:@SECLEVEL=0;"
    with nginx(tmp_path, *rsa_files, settings) as place:
        facts, legacy, _ = ask(place)

    assert facts.accepted == ("TLS 1.0", "TLS 1.1", "TLS 1.2")
    for version in facts.accepted:
        assert names(facts, version) == {"TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"}
    assert set(answers(legacy).values()) == {"refused"}


@pytest.mark.parametrize(("option", "version"), [("-tls1", "TLS 1.0"), ("-tls1_1", "TLS 1.1")])
def test_a_server_of_one_old_version(option: str, version: str, rsa_files: Files) -> None:
    with openssl_server(*rsa_files, option, "-cipher", "AES128-SHA:@SECLEVEL=0") as place:
        facts, legacy, _ = ask(place)

    assert facts.accepted == (version,)
    assert "unclear" not in {*answers(facts).values(), *answers(legacy).values()}
    assert facts.chain


@pytest.mark.parametrize("newest", ["TLS1.3", "TLS1.2"])
def test_an_old_version_below_one_that_is_switched_off_is_found(newest: str, rsa_files: Files) -> None:
    """GnuTLS says protocol_version to a plain hello of TLS 1.1 and would have agreed to TLS 1.0."""
    priority = "NORMAL:+VERS-TLS1.0:-VERS-TLS1.1:%COMPAT" + (":-VERS-TLS1.3" if newest == "TLS1.2" else "")
    with gnutls_server(*rsa_files, priority) as place:
        facts, legacy, _ = ask(place)

    assert answers(facts)["TLS 1.0"] == "accepted"
    assert answers(facts)["TLS 1.1"] == "refused"
    assert "unclear" not in {*answers(facts).values(), *answers(legacy).values()}


def test_old_versions_that_the_security_level_forbids_are_refused(rsa_files: Files) -> None:
    with openssl_server(*rsa_files) as place:
        facts, _, _ = ask(place)

    assert answers(facts)["TLS 1.0"] == answers(facts)["TLS 1.1"] == "refused"


def test_static_rsa_only(rsa_files: Files) -> None:
    with openssl_server(*rsa_files, "-tls1_2", "-cipher", "kRSA") as place:
        facts, _, _ = ask(place, all_suites=True)

    expected = {name for name in listed_by_openssl("kRSA", "-s", "-tls1_2") if "PSK" not in name and "NULL" not in name}
    assert names(facts, "TLS 1.2") == expected
    assert facts.version("TLS 1.2").complete  # type: ignore[union-attr]  # names() has shown that it is there


def test_every_ordinary_suite_of_openssl_is_found(rsa_files: Files) -> None:
    with openssl_server(*rsa_files, "-tls1_2", "-cipher", "ALL:@SECLEVEL=0") as place:
        facts, _, _ = ask(place, all_suites=True)

    possible = listed_by_openssl("ALL:!aNULL:!eNULL:!aECDSA:!aDSS:!PSK:!SRP:@SECLEVEL=0", "-s", "-tls1_2")
    assert names(facts, "TLS 1.2") == possible


def test_a_long_list_of_suites_costs_few_connections_and_still_decides_on_forward_secrecy(rsa_files: Files) -> None:
    with openssl_server(
        *rsa_files, "-cipher", "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+ARIA:ECDHE+CAMELLIA:ECDHE+AES"
    ) as place:
        facts, _, connections = ask(place)

    answer = facts.version("TLS 1.2")
    assert answer is not None
    assert (answer.complete, answer.exchange_complete) == (False, True)
    assert len(answer.suites) <= 5
    assert any("CBC" in name for name in answer.suites), "one suite that is not AEAD is looked for"
    assert connections <= 25


def test_of_a_long_list_the_suites_without_ecdhe_are_found(rsa_files: Files) -> None:
    with openssl_server(*rsa_files, "-cipher", "HIGH:!aNULL:!MD5") as place:
        facts, _, connections = ask(place)

    assert any(name.startswith("TLS_RSA_WITH_") for name in names(facts, "TLS 1.2"))
    assert connections <= 25


def test_of_a_long_list_with_the_worst_first_every_kind_is_found(rsa_files: Files) -> None:
    static = "AES128-SHA:AES256-SHA:AES128-SHA256:AES256-SHA256:AES128-GCM-SHA256"
    better = "DHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"
    with openssl_server(*rsa_files, "-tls1_2", "-serverpref", "-cipher", f"{static}:{better}") as place:
        facts, _, _ = ask(place)

    answer = facts.version("TLS 1.2")
    assert answer is not None
    assert (answer.complete, answer.exchange_complete) == (False, True)
    assert {"TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"} < set(answer.suites)
    assert facts.finite_fields


def test_null_and_anonymous_suites_of_a_real_server_are_found(rsa_files: Files) -> None:
    ciphers = "AES128-SHA:NULL-SHA256:NULL-MD5:AECDH-AES128-SHA:@SECLEVEL=0"
    with openssl_server(*rsa_files, "-tls1_2", "-cipher", ciphers, "-serverpref") as place:
        facts, legacy, _ = ask(place)

    assert names(facts, "TLS 1.2") == {"TLS_RSA_WITH_AES_128_CBC_SHA"}
    broken = {"TLS_RSA_WITH_NULL_SHA256", "TLS_RSA_WITH_NULL_MD5", "TLS_ECDH_anon_WITH_AES_128_CBC_SHA"}
    assert names(legacy, "TLS 1.2") == broken
    assert legacy.preferred == "TLS_RSA_WITH_AES_128_CBC_SHA"


def test_a_server_of_broken_suites_only_is_known_to_the_active_probe_alone(rsa_files: Files) -> None:
    with openssl_server(*rsa_files, "-tls1_2", "-cipher", "NULL-SHA256:@SECLEVEL=0") as place:
        door = LoopbackDoor({(ADDRESS, 443): place})
        legacy = asyncio.run(observe("tls_legacy", door))
        with pytest.raises(NotSeen) as unseen:
            asyncio.run(observe("tls", door))

    assert names(legacy, "TLS 1.2") == {"TLS_RSA_WITH_NULL_SHA256"}
    assert unseen.value.reason is Reason.REFUSED_BY_TARGET


def test_a_tls12_ecdsa_server_that_wants_one_curve(ecdsa_files: Files) -> None:
    with openssl_server(*ecdsa_files, "-tls1_2", "-groups", "X25519:P-256") as place:
        facts, _, _ = ask(place)

    assert facts.accepted == ("TLS 1.2",)


def test_tls13_with_a_group_that_needs_a_retry(rsa_files: Files) -> None:
    with openssl_server(*rsa_files, "-tls1_3", "-groups", "P-521") as place:
        facts, _, _ = ask(place)

    assert facts.accepted == ("TLS 1.3",)
    assert len(facts.chain) == 1


def test_a_server_that_asks_for_our_certificate_still_shows_its_own(rsa_files: Files) -> None:
    with openssl_server(*rsa_files, "-tls1_3", "-Verify", "1") as place:
        facts, _, _ = ask(place)

    assert len(facts.chain) == 1


def test_versions_and_suites_are_those_that_sslyze_finds(tmp_path: Path, rsa_files: Files) -> None:
    settings = "ssl_protocols TLSv1.1 TLSv1.2 TLSv1.3; ssl_ciphers HIGH:3DES:!aNULL:@SECLEVEL=0;"
    report = tmp_path / "sslyze.json"
    with nginx(tmp_path, *rsa_files, settings) as place:
        facts, legacy, _ = ask(place, all_suites=True)
        argv = [sys.executable, "-W", "ignore", "-m", "sslyze", f"{place[0]}:{place[1]}", "--sni", "www.gov.example"]
        commands = ("--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3", "--sslv3", "--mozilla_config=disable")
        subprocess.run([*argv, *commands, f"--json_out={report}"], check=True, capture_output=True, timeout=60)

    found = json.loads(report.read_text())["server_scan_results"][0]["scan_result"]
    keys = {
        "TLS 1.0": "tls_1_0",
        "TLS 1.1": "tls_1_1",
        "TLS 1.2": "tls_1_2",
        "TLS 1.3": "tls_1_3",
        "SSL 3.0": "ssl_3_0",
    }
    theirs = {
        version: {
            one["cipher_suite"]["name"] for one in found[f"{key}_cipher_suites"]["result"]["accepted_cipher_suites"]
        }
        for version, key in keys.items()
    }
    broken = {answer.version: set(answer.suites) for answer in legacy.versions}
    ours = {answer.version: set(answer.suites) | broken.get(answer.version, set()) for answer in facts.versions}
    assert {**ours, "SSL 3.0": broken["SSL 3.0"]} == theirs
    assert len(theirs["TLS 1.2"]) > 20


def test_a_server_that_hangs_up_over_a_suite_it_cannot_serve_is_asked_for_the_others() -> None:
    """Dovecot without Diffie-Hellman parameters chooses DHE where it is offered, and hangs up."""
    ecdhe, cbc = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"
    trap, static = "TLS_DHE_RSA_WITH_AES_128_CBC_SHA", "TLS_RSA_WITH_AES_128_CBC_SHA"
    old = OldServer({"TLS 1.2": [ecdhe, trap, cbc, static]})

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = asyncio.StreamReader()
        await old(reader, _Into(answer))  # type: ignore[arg-type]  # all that is written to
        chosen = suites()[trap].number.to_bytes(2)
        flight = await answer.read(65536)
        writer.write(b"" if flight[44:46] == chosen else flight)
        await writer.drain()

    async def run() -> TlsFacts:
        async with scripted(server) as place:
            facts = await observe("tls", LoopbackDoor({(ADDRESS, 443): place}), all_suites=True)
            assert isinstance(facts, TlsFacts)
            return facts

    facts = asyncio.run(run())

    assert names(facts, "TLS 1.2") == {ecdhe, cbc, static}
    assert facts.version("TLS 1.2").complete  # type: ignore[union-attr]  # names() has shown that it is there


class _Into:
    """A writer that writes into a reader."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    def write(self, data: bytes) -> None:
        self._reader.feed_data(data)

    async def drain(self) -> None:
        self._reader.feed_eof()
