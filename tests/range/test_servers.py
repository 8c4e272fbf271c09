"""The range's plain servers, asked by ordinary clients."""

from __future__ import annotations

import http.client
import smtplib
import socket
import ssl

import pytest

from posture.range.layout import HOSTS
from tests.range.standing import Standing

PORTAL = "portal.finance.gov.example"


def talk(standing: Standing, name: str, port: int, *said: bytes) -> bytes:
    """Everything a server says to a client that speaks at once and closes its half."""
    with socket.create_connection(standing.dialled(name, port), timeout=10) as client:
        client.sendall(b"".join(said))
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(4096), b""))


def get(standing: Standing, name: str, path: str, *, port: int) -> http.client.HTTPResponse:
    address, number = standing.dialled(name, port)
    connection = http.client.HTTPConnection(address, number, timeout=10)
    connection.connect()
    if port == 443:
        context = ssl.create_default_context(cadata=standing.practice.root_pem.decode())
        connection.sock = context.wrap_socket(connection.sock, server_hostname=name)
    connection.request("GET", path, headers={"Host": name})
    return connection.getresponse()


def test_the_portal_redirects_to_itself_over_https(standing: Standing) -> None:
    with get(standing, PORTAL, "/", port=80) as response:
        assert (response.status, response.headers["Location"]) == (301, f"https://{PORTAL}/")


def test_the_portal_sends_every_header_and_a_security_txt(standing: Standing) -> None:
    with get(standing, PORTAL, "/", port=443) as response:
        assert response.status == 200
        assert response.headers["Strict-Transport-Security"].startswith("max-age=31536000")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert b"Ministry of Finance" in response.read()
    with get(standing, PORTAL, "/.well-known/security.txt", port=443) as response:
        assert response.headers.get_content_type() == "text/plain"
        assert b"Contact: mailto:" in response.read()
    with get(standing, PORTAL, "/nothing", port=443) as response:
        assert response.status == 404


def test_the_tax_site_serves_its_pages_in_clear_text(standing: Standing) -> None:
    with get(standing, "tax.finance.gov.example", "/", port=80) as response:
        assert response.status == 200
        assert b"Tax returns" in response.read()


def test_records_remembers_https_for_half_a_year_only(standing: Standing) -> None:
    with get(standing, "records.health.gov.example", "/", port=443) as response:
        assert response.headers["Strict-Transport-Security"] == "max-age=15768000"


@pytest.mark.parametrize(
    ("request_line", "status"),
    [(b"HEAD / HTTP/1.1", b"200"), (b"BREW / HTTP/1.1", b"501"), (b"nonsense", b"400"), (b"\xff\xfe\x00", b"400")],
)
def test_odd_requests_get_an_answer(standing: Standing, request_line: bytes, status: bytes) -> None:
    assert talk(standing, "pharmacy.health.gov.example", 80, request_line, b"\r\n\r\n").split()[1] == status


def test_an_endless_header_line_only_ends_its_own_connection(standing: Standing) -> None:
    where = standing.dialled("pharmacy.health.gov.example", 80)
    with socket.create_connection(where, timeout=10) as client, pytest.raises((ConnectionResetError, BrokenPipeError)):
        client.sendall(b"x" * 65_536_000)
    with get(standing, "pharmacy.health.gov.example", "/", port=80) as response:
        assert response.status == 200


def test_only_finance_has_mail_with_encryption(standing: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.create_default_context(cadata=standing.practice.root_pem.decode())
    with smtplib.SMTP(*standing.dialled("mail.health.gov.example", 25), timeout=10) as client:
        assert client.ehlo("posture.test")[0] == 250
        assert not client.has_extn("starttls")
        assert client.docmd("STARTTLS")[0] == 502
    with smtplib.SMTP(*standing.dialled("mail.finance.gov.example", 25), timeout=10) as client:
        # smtplib verifies the name it connected to, and that is an address here
        monkeypatch.setattr(client, "_host", "mail.finance.gov.example")
        assert client.starttls(context=context)[0] == 220
        assert client.ehlo("posture.test")[0] == 250
        assert not client.has_extn("starttls")
        assert client.mail("somebody@elsewhere.test")[0] == 554


@pytest.mark.parametrize(
    "ping", [b"PING\r\n", b"*1\r\n$4\r\nPING\r\n", b"\r\nping\r\n"], ids=["inline", "array", "lower case"]
)
def test_the_data_store_answers_anybody(standing: Standing, ping: bytes) -> None:
    name, port = "records.health.gov.example", 6379

    assert talk(standing, name, port, ping) == b"+PONG\r\n"
    assert b"redis_version:" in talk(standing, name, port, b"INFO\r\n")
    assert talk(standing, name, port, b"KEYS *\r\n").startswith(b"-ERR")


@pytest.mark.parametrize(
    "noise", [b"*zz\r\n", b"*2\r\nx\r\n", b"*1\r\n$99999999999\r\n", b"*1\r\n$-9\r\n", b"\x16\x03\x01"]
)
def test_the_data_store_survives_noise(standing: Standing, noise: bytes) -> None:
    talk(standing, "records.health.gov.example", 6379, noise)

    assert talk(standing, "records.health.gov.example", 6379, b"PING\r\n") == b"+PONG\r\n"


def test_telnet_negotiates_and_asks_who_is_there(standing: Standing) -> None:
    said = talk(standing, "pharmacy.health.gov.example", 23, b"admin\r\nadmin\r\n")

    assert said.startswith(b"\xff\xfd")
    assert b"login: " in said
    assert b"Login incorrect" in said


def test_ftp_wants_a_password_and_knows_no_encryption(standing: Standing) -> None:
    said = talk(standing, "mail.health.gov.example", 21, b"FEAT\r\nAUTH TLS\r\nUSER anonymous\r\nQUIT\r\n")

    assert [line[:4] for line in said.splitlines() if line[:1] == b"2" or line[:1] in b"35"] == [
        b"220 ",
        b"211-",
        b"211 ",
        b"530 ",
        b"331 ",
        b"221 ",
    ]
    assert b"AUTH" not in said


@pytest.mark.parametrize("port", [80, 443])
def test_the_hospital_takes_the_call_and_says_nothing(standing: Standing, port: int) -> None:
    assert talk(standing, "hospital.health.gov.example", port, b"GET / HTTP/1.0\r\n\r\n") == b""


def test_what_a_host_does_not_serve_is_closed(standing: Standing) -> None:
    """Every port that a scan may ask is mapped, and refuses when nothing is planted behind it."""
    for host in HOSTS:
        mapped = {p.port: p.to for p in standing.practice.lab_ports if p.address == host.address}
        for port in (22, 445, 3389):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((host.address, mapped[port]), timeout=10)


def test_the_archive_refuses_web_connections(standing: Standing) -> None:
    mapped = {p.port: p.to for p in standing.practice.lab_ports if p.address == "127.0.20.16"}
    for port in (80, 443):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.20.16", mapped[port]), timeout=10)
