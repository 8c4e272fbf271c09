"""A site among many at one address: its name is always said, and what a client without a name is told stays a fact."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from posture.facts import FACTS, TlsFacts, decode, encode
from posture.facts.tls import Unnamed
from tests.doors import LoopbackDoor, Place
from tests.lab import free_port, need, serve
from tests.probes.tls.asking import ADDRESS, NAME, observe, openssl_server

Files = tuple[Path, Path]
FOREIGN = "www.somebody-else.example"


def der(files: Files) -> bytes:
    """The leaf of a PEM file."""
    return ssl.PEM_cert_to_DER_cert(
        files[0].read_text().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
    )


@pytest.fixture(scope="module")
def foreign_files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("foreign")
    leaf = trustme.CA().issue_cert(FOREIGN)
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(str(key))
    return chain, key


@contextmanager
def front(folder: Path, own: Files, foreign: Files | None, settings: str = "", name: str = NAME) -> Iterator[Place]:
    """nginx as a CDN's front: ``name`` has its certificate, whoever names nobody gets the first server's, or is rejected."""
    place = ("127.0.0.1", free_port())
    paths = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    first = (
        f"ssl_certificate {foreign[0]}; ssl_certificate_key {foreign[1]};" if foreign else "ssl_reject_handshake on;"
    )
    listening = f"listen {place[0]}:{place[1]} ssl"
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log stderr crit; worker_processes 1; events {{ }}\n"
        f"http {{ access_log off; {paths} {settings}\n"
        f"server {{ {listening} default_server; server_name _; {first} return 204; }}\n"
        f"server {{ {listening}; server_name {name}; ssl_certificate {own[0]}; ssl_certificate_key {own[1]}; return 204; }} }}\n"
    )
    argv: list[str | Path] = [need("nginx", "nginx"), "-e", "stderr", "-p", folder, "-c", configuration]
    with serve(argv, ready=place):
        yield place


def seen(place: Place, name: str = NAME, port: int = 443, **params: Any) -> TlsFacts:
    found = asyncio.run(observe("tls", LoopbackDoor({(ADDRESS, port): place}), port, name, **params))
    assert isinstance(found, TlsFacts)
    assert decode(encode(found), FACTS) == found
    return found


@pytest.mark.parametrize("versions", ["TLSv1.2 TLSv1.3", "TLSv1.3", "TLSv1.2"])
def test_the_name_gets_its_own_certificate_and_nobody_somebody_elses(
    tmp_path: Path, rsa_files: Files, foreign_files: Files, versions: str
) -> None:
    with front(tmp_path, rsa_files, foreign_files, f"ssl_protocols {versions};") as place:
        facts = seen(place)

    assert facts.chain[0] == der(rsa_files)
    assert facts.unnamed == Unnamed("accepted", "", der(foreign_files))


@pytest.mark.parametrize(("versions", "why"), [("TLSv1.2", "unrecognized_name"), ("TLSv1.3", "refused_by_target")])
def test_a_front_that_wants_a_name_says_so_and_is_seen_all_the_same(
    tmp_path: Path, rsa_files: Files, versions: str, why: str
) -> None:
    with front(tmp_path, rsa_files, None, f"ssl_protocols {versions};") as place:
        facts = seen(place)

    assert facts.chain[0] == der(rsa_files)
    assert facts.unnamed == Unnamed("refused", why)


def test_a_server_of_one_site_says_the_same_to_everybody(rsa_files: Files) -> None:
    with openssl_server(*rsa_files) as place:
        facts = seen(place)

    assert facts.chain[0] == der(rsa_files)
    assert facts.unnamed == Unnamed("accepted", "same_certificate")


def test_an_address_has_no_name_to_leave_out_and_a_mail_server_is_not_asked(rsa_files: Files) -> None:
    with openssl_server(*rsa_files) as place:
        assert seen(place, ADDRESS).unnamed == Unnamed("not_asked", "nothing_to_ask")
        assert seen(place, port=465).unnamed == Unnamed("not_asked", "politeness")
