"""The traits of real servers, each configured to show one; what no current server does comes from scripted records."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from posture.facts import TlsFacts, TlsLegacyFacts
from posture.facts.groups import WITHDRAWN
from posture.facts.tls import (
    APPLICATION_PROTOCOL,
    COMPRESSION,
    EXTENDED_MASTER_SECRET,
    FALLBACK_SIGNAL,
    HYBRID_GROUPS,
    OLD_HASHES,
    POLITENESS,
    RENEGOTIATION_INFO,
    SERVER_PREFERENCE,
    SIGNED_TIMESTAMPS,
    STAPLE,
    WITHDRAWN_CURVES,
)
from posture.model import Reason
from posture.probes.tls.records import Reader
from tests.doors import LoopbackDoor, Place, scripted
from tests.oracles.tls.pki import DH_1024
from tests.probes.tls.asking import (
    ADDRESS,
    NAME,
    OldServer,
    ask,
    gnutls_server,
    nginx,
    observe,
    openssl35_server,
    openssl_server,
    told,
)
from tests.probes.tls.test_servers import INTERMEDIATE

Files = tuple[Path, Path]

RSA_AES, ECDHE = "TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
# The 1024-bit group of RFC 2409 section 6.2, on which Logjam's authors spent their thoughts.
OAKLEY_2 = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B"
    "302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE6"
    "49286651ECE65381FFFFFFFFFFFFFFFF",
    16,
)


def scripted_facts(server: Any, kind: str = "tls", port: int = 443) -> Any:
    async def run() -> Any:
        async with scripted(server) as place:
            return await observe(kind, LoopbackDoor({(ADDRESS, port): place}), port)

    return asyncio.run(run())


# ---- groups


@pytest.mark.parametrize(
    ("groups", "name"),
    [
        ("X25519MLKEM768:X25519", "X25519MLKEM768"),
        ("SecP256r1MLKEM768:X25519", "SecP256r1MLKEM768"),
        ("X25519:SecP384r1MLKEM1024", "SecP384r1MLKEM1024"),
    ],
)
def test_every_hybrid_is_found_on_a_server_that_has_it(groups: str, name: str, ecdsa_files: Files) -> None:
    with openssl35_server(*ecdsa_files, groups) as place:
        facts, _, _ = ask(place)

    assert told(facts, HYBRID_GROUPS) == ("accepted", (name,))
    assert name in facts.groups


def test_a_server_of_hybrids_only_is_a_server_of_tls13(ecdsa_files: Files) -> None:
    with openssl35_server(*ecdsa_files, "X25519MLKEM768") as place:
        facts, _, _ = ask(place)

    assert "TLS 1.3" in facts.accepted
    assert facts.chain


def test_without_hybrids_they_are_refused(ecdsa_files: Files) -> None:
    with openssl_server(*ecdsa_files) as place:
        facts, _, _ = ask(place)

    assert told(facts, HYBRID_GROUPS) == ("refused", ())


def test_of_a_server_without_tls13_no_hybrid_is_asked(rsa_files: Files) -> None:
    with openssl_server(*rsa_files, "-tls1_2") as place:
        facts, _, _ = ask(place)

    assert told(facts, HYBRID_GROUPS) == ("not_asked", ())


@pytest.mark.parametrize("curve", ["secp224r1", "secp256k1"])
@pytest.mark.parametrize("kind", ["rsa_files", "ecdsa_files"])
def test_withdrawn_curves_are_found_beside_current_ones(curve: str, kind: str, request: pytest.FixtureRequest) -> None:
    files = request.getfixturevalue(kind)
    with openssl_server(*files, "-groups", f"X25519:{curve}:P-256", "-serverpref") as place:
        facts, _, _ = ask(place)

    assert told(facts, WITHDRAWN_CURVES) == ("accepted", (curve,))


def test_a_curve_that_serves_nobody_is_refused(ecdsa_files: Files) -> None:
    """Whoever gets as far as this server's certificate has offered P-256, which it prefers."""
    with openssl_server(*ecdsa_files, "-groups", "X25519:P-256:secp224r1", "-serverpref") as place:
        facts, _, _ = ask(place)

    trait = facts.trait(WITHDRAWN_CURVES)
    assert trait is not None
    assert (trait.answer, trait.why) == ("refused", "secp256r1")


def test_a_long_list_without_elliptic_curves_settles_that_there_are_none(rsa_files: Files) -> None:
    with gnutls_server(*rsa_files, "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+DHE-RSA:+RSA") as place:
        facts, _, _ = ask(place)

    answer = facts.version("TLS 1.2")
    assert answer is not None
    assert (answer.complete, answer.exchange_complete) == (False, True)
    assert told(facts, WITHDRAWN_CURVES) == ("not_asked", ())


@pytest.mark.parametrize(("alert", "answer"), [(10, "refused"), (49, "unclear")])
def test_what_java_says_without_a_group_in_common_is_a_refusal_of_the_groups(alert: int, answer: str) -> None:
    old = OldServer({"TLS 1.2": [ECDHE]}, signs=0x0401)

    async def java(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(5)
        body = await reader.readexactly(int.from_bytes(head[3:]))
        if b"\x00\x0a\x00\x2e\x00\x2c\x00\x0f" in body:
            writer.write(b"\x15\x03\x03\x00\x02\x02" + bytes((alert,)))
            await writer.drain()
            return
        again = asyncio.StreamReader()
        again.feed_data(head + body)
        await old(again, writer)

    assert told(scripted_facts(java), WITHDRAWN_CURVES)[0] == answer


# ---- finite fields


def test_the_parameters_that_a_server_was_given_are_read(tmp_path: Path, rsa_files: Files) -> None:
    given = tmp_path / "dh.pem"
    given.write_text(DH_1024)
    ciphers = "ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0"
    with openssl_server(*rsa_files, "-tls1_2", "-cipher", ciphers, "-dhparam", given) as place:
        facts, _, _ = ask(place)

    assert [int.from_bytes(one.prime) for one in facts.finite_fields] == [OAKLEY_2]
    assert [(one.version, one.generator) for one in facts.finite_fields] == [("TLS 1.2", b"\2")]


def test_gnutls_shows_its_own_field(rsa_files: Files) -> None:
    with gnutls_server(*rsa_files, "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+DHE-RSA") as place:
        facts, _, _ = ask(place)

    assert all(one.prime.startswith(b"\xff" * 8) for one in facts.finite_fields), "a group of RFC 7919"
    assert facts.finite_fields


# ---- extensions


def test_a_current_nginx_by_the_way(tmp_path: Path, rsa_files: Files) -> None:
    with nginx(tmp_path, *rsa_files, INTERMEDIATE) as place:
        facts, legacy, _ = ask(place)

    assert told(facts, EXTENDED_MASTER_SECRET)[0] == "accepted"
    assert told(facts, RENEGOTIATION_INFO)[0] == "accepted"
    assert told(facts, APPLICATION_PROTOCOL) == ("accepted", ("http/1.1",))
    assert told(facts, STAPLE)[0] == told(facts, SIGNED_TIMESTAMPS)[0] == "refused"
    assert told(facts, WITHDRAWN_CURVES)[0] == "refused"
    assert told(legacy, COMPRESSION)[0] == "refused"
    assert told(legacy, FALLBACK_SIGNAL)[0] == "not_asked"
    assert [trait.name for trait in facts.traits] == sorted(trait.name for trait in facts.traits)
    assert [trait.name for trait in legacy.traits] == sorted(trait.name for trait in legacy.traits)


def test_a_server_of_tls13_only_has_nothing_of_the_old_traits(tmp_path: Path, rsa_files: Files) -> None:
    with nginx(tmp_path, *rsa_files, "ssl_protocols TLSv1.3;") as place:
        facts, legacy, connections = ask(place)

    for name in (EXTENDED_MASTER_SECRET, RENEGOTIATION_INFO, WITHDRAWN_CURVES, SERVER_PREFERENCE):
        assert told(facts, name)[0] == "not_asked"
    for name in (COMPRESSION, FALLBACK_SIGNAL, OLD_HASHES):
        assert told(legacy, name)[0] == "not_asked"
    assert connections <= 20


def test_a_server_told_to_leave_out_the_extended_master_secret(tmp_path: Path, rsa_files: Files) -> None:
    settings = f"{INTERMEDIATE} ssl_conf_command Options -ExtendedMasterSecret;"
    with nginx(tmp_path, *rsa_files, settings) as place:
        facts, _, _ = ask(place)

    assert told(facts, EXTENDED_MASTER_SECRET)[0] == "refused"


def test_a_gnutls_server_without_safe_renegotiation_and_session_hash(rsa_files: Files) -> None:
    with gnutls_server(*rsa_files, "NORMAL:%DISABLE_SAFE_RENEGOTIATION:%NO_SESSION_HASH") as place:
        facts, _, _ = ask(place)

    assert told(facts, RENEGOTIATION_INFO)[0] == "refused"
    assert told(facts, EXTENDED_MASTER_SECRET)[0] == "refused"


def test_a_current_gnutls_server(rsa_files: Files) -> None:
    with gnutls_server(*rsa_files, "NORMAL") as place:
        facts, legacy, _ = ask(place)

    assert {"TLS 1.2", "TLS 1.3"} <= set(facts.accepted)
    assert told(facts, EXTENDED_MASTER_SECRET)[0] == told(facts, RENEGOTIATION_INFO)[0] == "accepted"
    assert told(facts, HYBRID_GROUPS)[0] == "refused"
    assert told(legacy, COMPRESSION)[0] == "refused"
    assert facts.chain


# ---- preference


@pytest.mark.parametrize(("setting", "answer"), [("on", "accepted"), ("off", "refused")])
@pytest.mark.parametrize(
    "ciphers",
    [
        "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256",
    ],
)
def test_whose_order_counts(setting: str, answer: str, ciphers: str, tmp_path: Path, rsa_files: Files) -> None:
    settings = f"ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers {ciphers}; ssl_prefer_server_ciphers {setting};"
    with nginx(tmp_path, *rsa_files, settings) as place:
        facts, _, connections = ask(place)

    assert told(facts, SERVER_PREFERENCE)[0] == answer
    found = facts.version("TLS 1.2")
    assert found is not None
    assert (len(found.suites), found.complete) == (ciphers.count(":") + 1, True)
    assert connections <= 21


def test_of_one_suite_there_is_no_order(rsa_files: Files) -> None:
    with openssl_server(*rsa_files, "-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305") as place:
        facts, _, _ = ask(place)

    assert told(facts, SERVER_PREFERENCE)[0] == "not_asked"


# ---- old hashes


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("-cipher", "ECDHE:@SECLEVEL=0", "-sigalgs", "RSA+SHA256:RSA+SHA1"), ("accepted", ("SHA-1",))),
        (("-sigalgs", "RSA+SHA256:RSA+SHA224"), ("accepted", ("SHA-224",))),
        (("-sigalgs", "RSA+SHA256:RSA-PSS+SHA256"), ("refused", ())),
    ],
)
def test_old_hashes_of_a_real_server(options: tuple[str, ...], expected: Any, rsa_files: Files) -> None:
    with openssl_server(*rsa_files, "-tls1_2", *options) as place:
        _, legacy, _ = ask(place)

    assert told(legacy, OLD_HASHES) == expected


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [(0x0101, ("accepted", ("MD5",))), (0x0201, ("accepted", ("SHA-1",))), (0x0401, ("refused", ()))],
)
def test_a_server_that_signs_as_it_likes(scheme: int, expected: Any) -> None:
    legacy = scripted_facts(OldServer({"TLS 1.2": [ECDHE]}, signs=scheme), "tls_legacy")

    assert told(legacy, OLD_HASHES) == expected


# ---- compression and fallback


@pytest.mark.parametrize("version", ["TLS 1.0", "TLS 1.1", "TLS 1.2"])
def test_compression_is_found(version: str) -> None:
    legacy = scripted_facts(OldServer({version: [RSA_AES]}, compression=True), "tls_legacy")

    assert told(legacy, COMPRESSION)[0] == "accepted"


def compressions(hello: bytes) -> bytes:
    """What a ClientHello message offers."""
    body = Reader(hello)
    body.take(4 + 34)
    body.vector(1)
    body.vector(2)
    return body.vector(1).take_all()


def test_a_server_that_bears_no_offer_of_compression_is_unclear_about_it_and_about_nothing_else() -> None:
    old = OldServer({"TLS 1.2": [RSA_AES]})

    async def choosy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(5)
        body = await reader.readexactly(int.from_bytes(head[3:])) if head[0] == 22 else b""
        if head[0] == 22 and compressions(body) == b"\1\0":
            writer.write(b"\x15\x03\x01\x00\x02\x02\x28")
            await writer.drain()
            return
        again = asyncio.StreamReader()
        again.feed_data(head + body)
        await old(again, writer)

    legacy = scripted_facts(choosy, "tls_legacy")

    assert told(legacy, COMPRESSION)[0] == "unclear"
    assert {answer.answer for answer in legacy.versions if answer.version != "SSL 2.0"} == {"refused"}


def test_a_real_server_heeds_the_signal_of_a_fallback(rsa_files: Files) -> None:
    with openssl_server(*rsa_files, "-cipher", "ALL:@SECLEVEL=0") as place:
        facts, legacy, _ = ask(place)

    assert {"TLS 1.1", "TLS 1.2"} <= set(facts.accepted)
    assert told(legacy, FALLBACK_SIGNAL)[0] == "accepted"


@pytest.mark.parametrize(("heeds", "answer"), [(True, "accepted"), (False, "refused")])
@pytest.mark.parametrize("versions", [("TLS 1.0", "TLS 1.2"), ("TLS 1.0", "TLS 1.1")])
def test_the_signal_is_sent_one_version_below_the_best(heeds: bool, answer: str, versions: tuple[str, ...]) -> None:
    server = OldServer({version: [RSA_AES] for version in versions}, heeds_signal=heeds)

    assert told(scripted_facts(server, "tls_legacy"), FALLBACK_SIGNAL)[0] == answer


def test_of_one_old_version_no_fallback_is_asked() -> None:
    legacy = scripted_facts(OldServer({"TLS 1.0": [RSA_AES]}), "tls_legacy")

    assert told(legacy, FALLBACK_SIGNAL)[0] == "not_asked"


# ---- politeness


def test_a_mail_exchanger_is_asked_no_more_than_before() -> None:
    server = OldServer({"TLS 1.2": [ECDHE]}, echoes=b"\xff\x01\x00\x01\x00\x00\x17\x00\x00")

    async def run() -> tuple[TlsFacts, TlsLegacyFacts, int]:
        async with scripted(server) as place:
            door = LoopbackDoor({(ADDRESS, 25): place})
            return await observe("tls", door, 25), await observe("tls_legacy", door, 25), len(door.connections)

    facts, legacy, connections = asyncio.run(run())

    assert connections <= 8
    assert told(facts, EXTENDED_MASTER_SECRET)[0] == told(facts, RENEGOTIATION_INFO)[0] == "accepted"
    assert {trait.why for trait in legacy.traits} == {POLITENESS}
    assert told(facts, WITHDRAWN_CURVES)[0] == told(facts, SERVER_PREFERENCE)[0] == "not_asked"


# ---- silence is no answer


def test_a_server_that_falls_silent_at_groups_is_unclear_about_them(rsa_files: Files) -> None:
    old = OldServer({"TLS 1.2": [ECDHE, RSA_AES]}, signs=0x0401)

    async def choosy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(5)
        body = await reader.readexactly(int.from_bytes(head[3:]))
        if Reader(body).take(4) and b"\x00\x0a\x00\x2e\x00\x2c\x00\x0f" in body:
            await asyncio.Event().wait()
        again = asyncio.StreamReader()
        again.feed_data(head + body)
        await old(again, writer)

    async def run() -> TlsFacts:
        async with scripted(choosy) as place:
            facts = await observe("tls", LoopbackDoor({(ADDRESS, 443): place}, patience=0.2))
            assert isinstance(facts, TlsFacts)
            return facts

    trait = asyncio.run(run()).trait(WITHDRAWN_CURVES)

    assert trait is not None
    assert (trait.answer, trait.why) == ("unclear", str(Reason.TIMEOUT))


# ---- the same as others find


def sslyze(place: Place, report: Path, *commands: str) -> dict[str, Any]:
    """What sslyze's command line found, by command."""
    argv = [sys.executable, "-W", "ignore", "-m", "sslyze", f"{place[0]}:{place[1]}", "--sni", NAME]
    options = ("--mozilla_config=disable", f"--json_out={report}")
    subprocess.run([*argv, *commands, *options], check=True, capture_output=True, timeout=60)
    found: dict[str, Any] = json.loads(report.read_text())["server_scan_results"][0]["scan_result"]
    return found


@pytest.mark.parametrize("secure", [True, False])
def test_traits_are_those_that_sslyze_finds(secure: bool, tmp_path: Path, rsa_files: Files) -> None:
    old = "ssl_protocols TLSv1.1 TLSv1.2; ssl_ciphers ALL:@SECLEVEL=0; ssl_conf_command Options -ExtendedMasterSecret; "
    settings = INTERMEDIATE if secure else f"{old} ssl_ecdh_curve X25519:secp224r1:prime256v1:secp256k1;"
    with nginx(tmp_path, *rsa_files, settings) as place:
        facts, legacy, _ = ask(place)
        commands = ("--ems", "--fallback", "--compression", "--elliptic_curves", "--reneg")
        theirs = sslyze(place, tmp_path / "sslyze.json", *commands)

    def result(command: str) -> dict[str, Any]:
        found: dict[str, Any] = theirs[command]["result"]
        return found

    assert (told(facts, EXTENDED_MASTER_SECRET)[0] == "accepted") is result("tls_extended_master_secret")[
        "supports_ems_extension"
    ]
    assert (told(legacy, COMPRESSION)[0] == "accepted") is result("tls_compression")["supports_compression"]
    assert (told(facts, RENEGOTIATION_INFO)[0] == "accepted") is result("session_renegotiation")[
        "supports_secure_renegotiation"
    ]
    if not secure:  # with one version below TLS 1.3 there is nothing to fall back to
        fallback = result("tls_fallback_scsv")["supports_fallback_scsv"]
        assert (told(legacy, FALLBACK_SIGNAL)[0] == "accepted") is fallback
    curves = {one["name"] for one in result("elliptic_curves")["supported_curves"]}
    assert set(told(facts, WITHDRAWN_CURVES)[1]) == curves & {name for name, _ in WITHDRAWN.values()}
