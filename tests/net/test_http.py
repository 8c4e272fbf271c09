from __future__ import annotations

import asyncio
import gzip
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from posture.door import Response
from posture.model import NotSeen, NotThere, Reason
from posture.net import http
from tests.lab import free_port, need, serve
from tests.net import desk, servers
from tests.net.warp import now, warped

HOST = desk.TASK.name
OK = b"HTTP/1.1 200 OK\r\n"


def _get(handler: servers.Handler, *, body_limit: int = 0) -> Response:
    async def scenario() -> Response:
        async with servers.tcp_server(handler) as server:
            broker = desk.broker()
            door = broker.door(desk.task())
            try:
                return await door.get(f"http://{HOST}:{server.port}/", body_limit=body_limit)
            finally:
                assert broker.governor.open == 0
                assert now() <= 20.1

    return warped(scenario())


def _reason(handler: servers.Handler, *, body_limit: int = 0) -> Reason:
    with pytest.raises(NotSeen) as caught:
        _get(handler, body_limit=body_limit)
    return caught.value.reason


def test_an_answer_keeps_its_fields_in_order_and_apart() -> None:
    page = (
        OK
        + b"Strict-Transport-Security: max-age=0\r\nX-A: 1\r\nStrict-Transport-Security: max-age=63072000\r\n\r\nhello"
    )
    response = _get(servers.saying(page), body_limit=100)
    assert response.status == 200
    assert response.header("strict-transport-security") == ["max-age=0", "max-age=63072000"]
    assert [name for name, _ in response.headers] == ["strict-transport-security", "x-a", "strict-transport-security"]
    assert response.body == b"hello"
    assert (response.chain, response.verified) == ((), False)


def test_we_say_who_we_are_and_ask_for_plain_bytes() -> None:
    async def scenario() -> bytes:
        said: list[bytes] = []

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            said.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(OK + b"\r\n")

        async with servers.tcp_server(listen) as server:
            await desk.broker().door(desk.task()).get(f"http://{HOST}:{server.port}/a?b")
        return said[0].lower()

    request = warped(scenario())
    assert request.startswith(b"get /a?b http/1.1\r\n")
    assert b"user-agent: posture-test (soc@cert.example)\r\n" in request
    assert b"accept-encoding: identity\r\n" in request
    assert b"host: www.finance.gov.example:" in request


def test_a_redirect_is_told_and_not_followed() -> None:
    response = _get(servers.saying(b"HTTP/1.1 301 Moved\r\nLocation: http://169.254.169.254/\r\n\r\n"))
    assert (response.status, response.header("location")) == (301, ["http://169.254.169.254/"])


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    assert _get(servers.saying(OK + b"\r\n")).status == 200


HOSTILE: list[tuple[str, servers.Handler, Reason]] = [
    ("silent", servers.silent, Reason.TIMEOUT),
    ("hangs up", servers.saying(), Reason.TRUNCATED),
    ("resets", servers.reset, Reason.RESET),
    ("drips its head", servers.saying(*[b"H"] * 100, every=1.0), Reason.TIMEOUT),
    ("drips fields", servers.forever(OK, b"A: b\r\n", 1.0), Reason.TIMEOUT),
    ("endless fields", servers.forever(OK, b"A: b\r\n" * 1000), Reason.MALFORMED),
    ("huge field", servers.forever(OK + b"A: ", b"b" * 10_000), Reason.MALFORMED),
    ("endless 1xx", servers.forever(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100), Reason.MALFORMED),
    ("slow 1xx", servers.forever(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", 1.0), Reason.TIMEOUT),
    ("101 fields", servers.saying(OK + b"A: b\r\n" * 101 + b"\r\n"), Reason.MALFORMED),
    ("not HTTP", servers.saying(b"SSH-2.0-OpenSSH_9.2\r\n" * 20), Reason.MALFORMED),
    ("alert on a plain port", servers.saying(b"\x15\x03\x01\x00\x02\x02\x46"), Reason.MALFORMED),
    ("negative length", servers.saying(OK + b"Content-Length: -1\r\n\r\n"), Reason.MALFORMED),
    ("two lengths", servers.saying(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), Reason.MALFORMED),
]


@pytest.mark.parametrize(("handler", "reason"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_a_hostile_head_is_bounded(handler: servers.Handler, reason: Reason) -> None:
    assert _reason(handler) is reason


BODIES: list[tuple[str, servers.Handler, Reason]] = [
    ("shorter than it says", servers.saying(OK + b"Content-Length: 100\r\n\r\nabc"), Reason.TRUNCATED),
    ("drips", servers.forever(OK + b"\r\n", b"x", 1.0), Reason.TIMEOUT),
    ("bad chunks", servers.saying(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), Reason.MALFORMED),
    ("cut chunks", servers.saying(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"), Reason.TRUNCATED),
    ("bad gzip", servers.saying(OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"), Reason.MALFORMED),
]


@pytest.mark.parametrize(("handler", "reason"), [case[1:] for case in BODIES], ids=[case[0] for case in BODIES])
def test_a_body_that_is_not_whole_is_unseen(handler: servers.Handler, reason: Reason) -> None:
    assert _reason(handler, body_limit=1000) is reason


def test_an_endless_body_is_cut_at_the_limit() -> None:
    response = _get(servers.forever(OK + b"\r\n", b"x" * 65536), body_limit=10**9)
    assert len(response.body) == http.BODY_BYTES


def test_a_body_nobody_wants_is_not_read() -> None:
    assert _get(servers.forever(OK + b"\r\n", b"x" * 65536)).body == b""


def test_a_compression_bomb_is_cut_at_the_limit() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    assert _get(servers.saying(head + bomb), body_limit=1000).body == bytes(1000)


def test_a_compressed_body_is_read_although_we_asked_for_plain() -> None:
    body = gzip.compress(b"Contact: mailto:soc@cert.example")
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert _get(servers.saying(head + body), body_limit=1000).body.startswith(b"Contact:")


def test_a_long_value_is_capped() -> None:
    response = _get(servers.saying(OK + b"A: " + b"x" * 20_000 + b"\r\n\r\n"))
    assert len(response.header("a")[0]) == http.FIELD_BYTES


def test_a_closed_port_is_clearly_absent() -> None:
    async def scenario() -> None:
        with pytest.raises(NotThere):
            await desk.broker().door(desk.task()).get(f"http://{HOST}:{free_port()}/")

    warped(scenario())


# ---- https


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def _https(
    authority: trustme.CA, *names: str, roots: bytes | None = None, at: datetime | None = None, **issue: datetime
) -> Response:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **issue).configure_cert(context)  # type: ignore[arg-type]  # not_before, not_after
    pem = authority.cert_pem.bytes() if roots is None else roots

    async def scenario() -> Response:
        async with servers.tcp_server(servers.saying(OK + b"\r\n"), tls=context) as server:
            broker = desk.broker(roots=pem, clock=lambda: at or datetime.now(UTC))
            return await broker.door(desk.task()).get(f"https://{HOST}:{server.port}/")

    return warped(scenario())


def test_https_shows_the_chain_and_that_it_verifies(authority: trustme.CA) -> None:
    response = _https(authority, HOST)
    assert response.status == 200
    assert len(response.chain) == 1
    assert response.verified


@pytest.mark.parametrize(
    ("name", "matches"), [("*.finance.gov.example", True), ("*.gov.example", False), ("other.gov.example", False)]
)
def test_the_certificate_must_name_the_host(authority: trustme.CA, name: str, matches: bool) -> None:
    assert _https(authority, name).verified is matches


def test_a_chain_to_another_root_does_not_verify_and_is_read_all_the_same(authority: trustme.CA) -> None:
    for roots in (b"", trustme.CA().cert_pem.bytes()):
        response = _https(authority, HOST, roots=roots)
        assert (response.status, response.verified) == (200, False)


def test_a_chain_is_verified_at_the_time_of_the_scan(authority: trustme.CA) -> None:
    assert not _https(authority, HOST, not_after=datetime(2020, 1, 1, tzinfo=UTC)).verified
    assert not _https(authority, HOST, at=datetime(1999, 1, 1, tzinfo=UTC)).verified


def test_plain_http_on_a_tls_port_is_malformed() -> None:
    async def scenario() -> NotSeen:
        async with servers.tcp_server(servers.saying(b"HTTP/1.0 400 Bad Request\r\n\r\n", ask=False)) as server:
            with pytest.raises(NotSeen) as caught:
                await desk.broker().door(desk.task()).get(f"https://{HOST}:{server.port}/")
            return caught.value

    assert warped(scenario()).reason is Reason.MALFORMED


def test_an_alert_is_a_refusal_of_the_target() -> None:
    async def scenario() -> NotSeen:
        alert = servers.saying(b"\x15\x03\x01\x00\x02\x02\x28", ask=False, then=servers.silent)
        async with servers.tcp_server(alert) as server:
            with pytest.raises(NotSeen) as caught:
                await desk.broker().door(desk.task()).get(f"https://{HOST}:{server.port}/")
            return caught.value

    assert warped(scenario()).reason is Reason.REFUSED_BY_TARGET


def test_a_tls_tarpit_is_a_time_out() -> None:
    async def scenario() -> NotSeen:
        async with servers.tcp_server(servers.silent) as server:
            with pytest.raises(NotSeen) as caught:
                await desk.broker().door(desk.task()).get(f"https://{HOST}:{server.port}/")
            return caught.value

    assert warped(scenario()).reason is Reason.TIMEOUT


def _files(authority: trustme.CA, folder: Path) -> tuple[Path, Path]:
    certificate = authority.issue_cert(HOST)
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(b"".join(part.bytes() for part in certificate.cert_chain_pems) + authority.cert_pem.bytes())
    key.write_bytes(certificate.private_key_pem.bytes())
    return chain, key


async def _fetch(port: int, roots: bytes, path: str = "/", body_limit: int = 0) -> Response:
    broker = desk.broker(roots=roots, clock=lambda: datetime.now(UTC))
    return await broker.door(desk.task()).get(f"https://{HOST}:{port}{path}", body_limit=body_limit)


def test_nginx_is_read(authority: trustme.CA, tmp_path: Path) -> None:
    chain, key = _files(authority, tmp_path)
    port = free_port()
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"""daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; worker_processes 1; events {{}}
        http {{ access_log off; server {{ listen 127.0.0.1:{port} ssl; server_name {HOST};
          client_body_temp_path {tmp_path}/b; proxy_temp_path {tmp_path}/p; fastcgi_temp_path {tmp_path}/f;
          uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;
          ssl_certificate {chain}; ssl_certificate_key {key};
          add_header Strict-Transport-Security "max-age=31536000" always;
          location / {{ return 200 "hello $ssl_server_name"; }} }} }}"""
    )
    with serve([need("nginx", "nginx-light"), "-c", config, "-p", tmp_path], ready=("127.0.0.1", port)):
        response = asyncio.run(_fetch(port, authority.cert_pem.bytes(), body_limit=100))
    assert response.body == f"hello {HOST}".encode()
    assert response.header("strict-transport-security") == ["max-age=31536000"]
    assert len(response.chain) == 2
    assert response.verified


def test_a_legacy_server_is_still_readable(authority: trustme.CA, tmp_path: Path) -> None:
    chain, key = _files(authority, tmp_path)
    port = free_port()
    argv: list[str | Path] = [
        need("openssl", "openssl"), "s_server", "-accept", f"127.0.0.1:{port}", "-cert", chain, "-key", key,
        "-tls1", "-cipher", "ALL:@SECLEVEL=0", "-www", "-quiet",
    ]  # fmt: skip
    with serve(argv, ready=("127.0.0.1", port)):
        response = asyncio.run(_fetch(port, b""))
    assert response.status == 200
    assert not response.verified
