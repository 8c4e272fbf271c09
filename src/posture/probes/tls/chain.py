"""One real handshake, for the certificates that TLS 1.3 hides: pyOpenSSL on memory buffers, bytes carried by a Stream.

Nothing is verified here and nothing is said over the session; judging the chain is the rules' work.
"""

from __future__ import annotations

from dataclasses import replace

from OpenSSL import SSL, crypto

from posture.model import NotSeen, Reason
from posture.probes.base import Stream
from posture.probes.tls.flight import MAX_STAPLE_BYTES
from posture.probes.tls.hello import Chain, capped

_MAX_HANDSHAKE_BYTES = 262_144
_SAID = ("tlsv1 ", "tlsv13 ", "sslv3 ")
_OP_LEGACY_SERVER_CONNECT = 0x4  # servers without RFC 5746 secure renegotiation


async def handshake_chain(stream: Stream, server_name: str) -> Chain:
    """The chain that the server shows in a whole handshake of any version, and its staple.

    Raises:
        NotSeen: MALFORMED or REFUSED_BY_TARGET (the handshake failed), TRUNCATED, or what the stream raises.
    """
    staple: list[bytes] = []
    connection = _client(server_name, staple)
    received = 0
    while True:
        done = _step(connection)
        await _flush(connection, stream)
        if done:
            return replace(_certificates(connection), staple=b"".join(staple[:1]))
        data = await stream.read()
        received += len(data)
        if not data or received > _MAX_HANDSHAKE_BYTES:
            raise NotSeen(Reason.TRUNCATED, "the handshake did not end")
        connection.bio_write(data)


def _keep(_connection: SSL.Connection, response: bytes, staple: list[bytes] | None) -> bool:
    """Told the OCSP response once it has come; b"" when the server sent none."""
    if staple is not None and response and len(response) <= MAX_STAPLE_BYTES:
        staple.append(response)
    return True


def _client(server_name: str, staple: list[bytes]) -> SSL.Connection:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_verify(SSL.VERIFY_NONE, lambda *_: True)
    # We look at weak servers too; what is weak is for the rules to say.
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    context.set_options(_OP_LEGACY_SERVER_CONNECT)
    context.set_ocsp_client_callback(_keep, staple)
    connection = SSL.Connection(context, None)
    connection.request_ocsp()
    if server_name:
        connection.set_tlsext_host_name(server_name.encode("ascii"))
    connection.set_connect_state()
    return connection


def _step(connection: SSL.Connection) -> bool:
    try:
        connection.do_handshake()
    except SSL.WantReadError:
        return False
    except SSL.Error as fault:
        if connection.get_peer_cert_chain():
            return True  # a server that also wants a certificate of ours has shown its own already
        raise NotSeen(_why(fault), "the handshake failed") from fault
    return True


def _why(fault: SSL.Error) -> Reason:
    """An alert is the server's own word; everything else is what OpenSSL cannot read, or will not."""
    said = fault.args[0] if fault.args and isinstance(fault.args[0], list) else []
    # OpenSSL's words for an alert that it was sent: "tlsv1 unrecognized name", "sslv3 alert handshake failure".
    by_alert = isinstance(fault, SSL.ZeroReturnError) or any(entry[-1].startswith(_SAID) for entry in said)
    return Reason.REFUSED_BY_TARGET if by_alert else Reason.MALFORMED


async def _flush(connection: SSL.Connection, stream: Stream) -> None:
    while True:
        try:
            pending = connection.bio_read(65536)
        except SSL.WantReadError:
            return
        await stream.write(pending)


def _certificates(connection: SSL.Connection) -> Chain:
    listed = connection.get_peer_cert_chain() or []
    return capped([crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate) for certificate in listed])
