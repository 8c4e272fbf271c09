"""Both web probes on a real nginx, judged."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from posture.checks import Declared
from posture.facts import SecurityTxtFacts
from posture.judge import Docket, judge
from posture.model import Answer, Observed, endpoint
from posture.policy import load_policy
from posture.probes import http, securitytxt
from tests.doors import LoopbackDoor
from tests.lab import free_port, need, serve
from tests.probes.web.test_http import ADDRESS, NAME, task

AT = datetime(2026, 11, 23, 21, tzinfo=UTC)
HOST = "127.0.0.1"
GOOD_HEADERS = """
    add_header Strict-Transport-Security "max-age=63072000" always;
    add_header X-Content-Type-Options nosniff always;
    add_header Content-Security-Policy "frame-ancestors 'none'" always;
    add_header Referrer-Policy no-referrer always;
"""
FILE = "Contact: mailto:soc@cert.example\nExpires: 2027-06-01T00:00:00Z\nCanonical: https://x.gov.example/s\n"


@contextmanager
def nginx(folder: Path, *, plain: str, secure: str) -> Iterator[LoopbackDoor]:
    """nginx with the given directives in its server blocks of port 80 and port 443."""
    authority = trustme.CA()
    issued = authority.issue_cert(NAME)
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    authority.cert_pem.write_to_path(str(folder / "roots.pem"))
    ports = {80: free_port(), 443: free_port()}
    temporary = "".join(
        f"{word}_temp_path {folder}/{word};" for word in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""  # its workers must read pytest's private folder
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"{user} daemon off; pid {folder}/pid; error_log stderr; worker_processes 1; events {{}}\n"
        f"http {{ access_log off; {temporary} types {{ text/plain txt; text/html html; }} root {folder}/www;\n"
        f"server {{ listen {HOST}:{ports[80]}; {plain} }}\n"
        f"server {{ listen {HOST}:{ports[443]} ssl; ssl_certificate {folder}/server.pem;"
        f" ssl_certificate_key {folder}/server.pem; {secure} }} }}\n"
    )
    with serve([need("nginx", "nginx-light"), "-c", configuration, "-p", folder], ready=(HOST, ports[443])):
        yield LoopbackDoor({(ADDRESS, port): (HOST, real) for port, real in ports.items()}, roots=folder / "roots.pem")


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    folder = tmp_path / "www"
    (folder / ".well-known").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>Ministry</h1>")
    return folder


def judged(door: LoopbackDoor) -> dict[tuple[str, str], str]:
    """(control, port) -> tag or reason of everything web at this site."""

    async def look() -> dict[tuple[str, str], Answer]:
        answers: dict[tuple[str, str], Answer] = {}
        for scheme, port in (("http", 80), ("https", 443)):
            answers["http", endpoint(ADDRESS, port)] = Observed(await http.observe(task(scheme), door), AT)
        wanted = replace(task("https"), probe="securitytxt", params={})
        answers["securitytxt", endpoint(ADDRESS, 443)] = Observed(await securitytxt.observe(wanted, door), AT)
        return answers

    docket = Docket("finance", Declared(NAME, "host"), asyncio.run(look()))
    controls = [
        "tls.https.available",
        "tls.https.redirect",
        "tls.hsts.policy",
        "web.header.basic",
        "web.securitytxt",
    ]
    findings = judge(docket, load_policy(), AT, controls=controls)
    return {(f.control, f.subject.rpartition(":")[2]): str(f.reason or f.tag) for f in findings}


def test_a_site_that_does_all_right_passes(tmp_path: Path, pages: Path) -> None:
    (pages / ".well-known" / "security.txt").write_text(FILE)

    with nginx(tmp_path, plain="return 301 https://$host$request_uri;", secure=GOOD_HEADERS) as door:
        assert judged(door) == {
            ("tls.https.available", ""): "HTTPS_ON_EVERY_ADDRESS",
            ("tls.https.redirect", "80/tcp"): "REDIRECTS_TO_HTTPS",
            ("tls.hsts.policy", "443/tcp"): "HSTS_LONG",
            ("web.header.basic", "443/tcp"): "BASIC_HEADERS_SET",
            ("web.securitytxt", "443/tcp"): "SECURITYTXT_VALID",
        }


def test_a_site_as_it_comes_out_of_the_box_fails(tmp_path: Path, pages: Path) -> None:
    with nginx(tmp_path, plain="", secure="") as door:
        assert judged(door) == {
            ("tls.https.available", ""): "HTTPS_ON_EVERY_ADDRESS",
            ("tls.https.redirect", "80/tcp"): "CONTENT_OVER_HTTP",
            ("tls.hsts.policy", "443/tcp"): "HSTS_ABSENT",
            ("web.header.basic", "443/tcp"): "BASIC_HEADERS_MISSING",
            ("web.securitytxt", "443/tcp"): "SECURITYTXT_ABSENT",
        }


@pytest.mark.parametrize(
    ("secure", "path", "status", "tag"),
    [
        ("location /.well-known/ { return 404; }", "/security.txt", 200, "SECURITYTXT_FORMER_PLACE"),
        ("location /.well-known/ { return 301 https://$host/security.txt; }",
         "/.well-known/security.txt", 200, "SECURITYTXT_VALID"),
        ("location /.well-known/ { return 403; }", "", 403, "refused_by_target"),
        ("location / { try_files /index.html =404; }", "/.well-known/security.txt", 200, "SECURITYTXT_ABSENT"),
        ("location / { default_type text/html; types {} try_files /security.txt =404; }",
         "/.well-known/security.txt", 200, "SECURITYTXT_NOT_TEXT"),
        ("location / { return 404; }", "", 404, "SECURITYTXT_ABSENT"),
    ],
)  # fmt: skip
def test_the_file_is_looked_for_where_it_belongs_and_where_it_once_did(
    tmp_path: Path, pages: Path, secure: str, path: str, status: int, tag: str
) -> None:
    (pages / "security.txt").write_text(FILE)

    with nginx(tmp_path, plain="", secure=secure) as door:
        facts = asyncio.run(securitytxt.observe(replace(task("https"), probe="securitytxt", params={}), door))
        verdicts = judged(door)

    assert isinstance(facts, SecurityTxtFacts)
    assert (facts.path, facts.status) == (path, status)
    assert verdicts["web.securitytxt", "443/tcp"] == tag
