from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import certifi
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

from posture.model import NotSeen, Reason
from posture.net import tls
from posture.net.asset import Deadline
from posture.net.tcp import TcpStream, dial
from tests.net import servers
from tests.net.warp import now, warped

AT = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def _chain(issued: trustme.LeafCert) -> list[bytes]:
    return [load_pem_x509_certificate(pem.bytes()).public_bytes(Encoding.DER) for pem in issued.cert_chain_pems]


@pytest.mark.parametrize(
    ("in_certificate", "asked", "expected"),
    [
        ("www.gov.example", "www.gov.example", True),
        ("WWW.gov.example", "www.GOV.example.", True),
        ("*.gov.example", "www.gov.example", True),
        ("*.gov.example", "gov.example", False),
        ("*.gov.example", "a.www.gov.example", False),
        ("gov.example", "www.gov.example", False),
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("2001:db8::7", "2001:db8:0::7", True),
    ],
)
def test_a_chain_verifies_for_the_names_of_rfc_9525(
    authority: trustme.CA, in_certificate: str, asked: str, expected: bool
) -> None:
    store = tls.trust_store(authority.cert_pem.bytes())
    assert tls.verifies(_chain(authority.issue_cert(in_certificate)), asked, store, AT) is expected


def test_an_intermediate_must_have_been_sent(authority: trustme.CA) -> None:
    store = tls.trust_store(authority.cert_pem.bytes())
    chain = _chain(authority.create_child_ca().issue_cert("www.gov.example"))
    assert tls.verifies(chain, "www.gov.example", store, AT)
    assert not tls.verifies(chain[:1], "www.gov.example", store, AT)


@pytest.mark.parametrize("chain", [[], [b""], [b"\x30\x03\x02\x01\x01"], [b"garbage"] * 3])
def test_what_is_no_certificate_does_not_verify(authority: trustme.CA, chain: list[bytes]) -> None:
    assert not tls.verifies(chain, "www.gov.example", tls.trust_store(authority.cert_pem.bytes()), AT)


@pytest.mark.parametrize(
    "roots",
    [b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"],
    ids=["none", "broken"],
)
def test_roots_that_cannot_be_read_are_an_error(roots: bytes) -> None:
    with pytest.raises(ValueError, match="root"):
        tls.trust_store(roots)


def test_the_public_roots_load_without_a_warning() -> None:
    assert tls.trust_store(Path(certifi.where()).read_bytes())


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (servers.saying(b"\x16\x03\x03\x00\x04\x02\x00\x00\x00", ask=False, then=servers.silent), Reason.MALFORMED),
        (servers.saying(b"220 mail ready\r\n", ask=False, then=servers.silent), Reason.MALFORMED),
        (servers.saying(b"\x15\x03\x03\x00\x02\x02\x50", ask=False, then=servers.silent), Reason.REFUSED_BY_TARGET),
        (servers.saying(b"\x16\x03\x03\x40\x00", *[b"\x02"] * 100, every=1.0, ask=False), Reason.TIMEOUT),
        (servers.reset, Reason.RESET),
    ],
    ids=["bad hello", "plain text", "alert", "drip", "reset"],
)
def test_a_handshake_with_a_hostile_server_ends_with_the_right_reason(handler: servers.Handler, reason: Reason) -> None:
    async def scenario() -> None:
        async with servers.tcp_server(handler) as server:
            deadline = Deadline(now() + 20.0, Reason.TIMEOUT)
            connection = await dial("127.0.0.1", server.port, deadline)
            async with TcpStream(connection, deadline, idle=10.0, on_close=lambda: None) as stream:
                with pytest.raises(NotSeen) as caught:
                    await tls.TlsStream(stream, tls.client_context(), "www.gov.example").handshake()
                assert caught.value.reason is reason
            await asyncio.sleep(0)

    warped(scenario())
