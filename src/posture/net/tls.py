"""TLS over a Stream, by OpenSSL on memory buffers: readable from any server a ministry may still run.

Nothing is verified during the handshake, because a certificate that does not verify is what we came to see; whether
the chain verifies for the name is told apart (:func:`verifies`).
"""

from __future__ import annotations

import ipaddress
import re
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Protocol, TypeVar

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL, crypto

from posture.model import NotSeen, Reason

T = TypeVar("T")

CHUNK = 16_384
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
MAX_CERTIFICATES = 20
MAX_CHAIN_BYTES = 100_000
# What reading a certificate that OpenSSL took may end with.
_UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_OP_LEGACY_SERVER_CONNECT = 0x4  # servers without RFC 5746 secure renegotiation


def client_context(alpn: bytes | None = b"http/1.1") -> SSL.Context:
    """A context that reads from TLS 1.0 servers with weak keys and signatures too (security level 0)."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_VERSION)
    context.set_cipher_list(b"ALL:COMPLEMENTOFDEFAULT:!aNULL:!eNULL:@SECLEVEL=0")
    context.set_options(_OP_LEGACY_SERVER_CONNECT)
    context.set_verify(SSL.VERIFY_NONE)
    if alpn:
        context.set_alpn_protos([alpn])
    return context


class Transport(Protocol):
    """What TLS runs over: a Stream, or whatever stands before one."""

    async def read(self, limit: int) -> bytes: ...

    async def write(self, data: bytes) -> None: ...


class TlsStream:
    """The client's end of a TLS connection over ``stream``. Raises NotSeen as the stream does.

    Args:
        server_name: sent as SNI unless it is an address (RFC 6066 section 3).
    """

    def __init__(self, stream: Transport, context: SSL.Context, server_name: str) -> None:
        self._stream = stream
        self._tls = SSL.Connection(context, None)
        if not is_address(server_name):
            self._tls.set_tlsext_host_name(server_name.encode("ascii"))
        self._tls.set_connect_state()

    async def handshake(self) -> None:
        """Raises NotSeen: REFUSED_BY_TARGET (an alert), RESET (closed meanwhile), MALFORMED (not TLS)."""
        await self._drive(self._tls.do_handshake, at_end=NotSeen(Reason.RESET, "closed during the TLS handshake"))

    def version(self) -> str:
        """The protocol agreed, "TLS 1.0" to "TLS 1.3"."""
        name = self._tls.get_protocol_version_name()
        return {"TLSv1": "TLS 1.0"}.get(name, name.replace("TLSv", "TLS "))

    def chain(self) -> tuple[bytes, ...]:
        """The DER certificates that the server sent, leaf first, at most 20 and 100 kB."""
        sent: list[bytes] = []
        for certificate in (self._tls.get_peer_cert_chain() or ())[:MAX_CERTIFICATES]:
            sent.append(crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate))
            if sum(map(len, sent)) > MAX_CHAIN_BYTES:
                raise NotSeen(Reason.MALFORMED, f"a certificate chain of more than {MAX_CHAIN_BYTES} bytes")
        return tuple(sent)

    async def read(self, limit: int = CHUNK) -> bytes:
        """b"" at the end, whether or not the peer said close_notify: the protocol inside knows its own lengths."""
        try:
            return await self._drive(lambda: self._tls.recv(min(limit, CHUNK)), at_end=SSL.ZeroReturnError())
        except SSL.ZeroReturnError:
            return b""

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), CHUNK):
            piece = data[start : start + CHUNK]
            await self._drive(partial(self._tls.send, piece), at_end=NotSeen(Reason.RESET, "closed"))

    async def _drive(self, step: Callable[[], T], *, at_end: Exception) -> T:
        """Repeats ``step`` while it wants more from the peer, carrying bytes both ways."""
        while True:
            try:
                result = step()
            except SSL.WantReadError:
                await self._flush()
                received = await self._stream.read(CHUNK)
                if not received:
                    raise at_end from None
                self._tls.bio_write(received)
            except SSL.ZeroReturnError:
                raise at_end from None
            except SSL.Error as fault:
                raise _meaning(fault) from fault
            else:
                await self._flush()
                return result

    async def _flush(self) -> None:
        while True:
            try:
                pending = self._tls.bio_read(65_536)
            except SSL.WantReadError:
                return
            await self._stream.write(pending)


def _meaning(fault: SSL.Error) -> NotSeen:
    reasons = [entry[-1] for entry in (fault.args[0] if fault.args and isinstance(fault.args[0], list) else [])]
    text = "; ".join(reasons) or type(fault).__name__
    return NotSeen(Reason.REFUSED_BY_TARGET if "alert" in text else Reason.MALFORMED, f"TLS: {text[:200]}")


def trust_store(roots: bytes) -> crypto.X509Store:
    """A store of PEM roots; of none when ``roots`` is empty.

    Raises:
        ValueError: no certificate, or one that cannot be read.
    """
    store = crypto.X509Store()
    blocks = _PEM.findall(roots)
    if roots and not blocks:
        raise ValueError("no PEM certificate among the roots")
    try:
        for block in blocks:
            store.add_cert(crypto.load_certificate(crypto.FILETYPE_PEM, block))
    except crypto.Error as fault:
        raise ValueError(f"a root that cannot be read: {fault}") from fault
    return store


def verifies(chain: Sequence[bytes], name: str, store: crypto.X509Store, at: datetime) -> bool:
    """Whether a chain (DER, leaf first) leads to a root of ``store`` at a time (UTC) and names ``name`` (RFC 9525)."""
    if not chain:
        return False
    try:
        leaf, *others = [crypto.load_certificate(crypto.FILETYPE_ASN1, der) for der in chain]
        store.set_time(at)
        crypto.X509StoreContext(store, leaf, others).verify_certificate()
        with warnings.catch_warnings():
            # Odd serial numbers and the like are for the rules to judge, not for the operator's terminal.
            warnings.simplefilter("ignore")
            certificate = leaf.to_cryptography()
            return _serves(certificate) and _names(certificate, name)
    except (crypto.X509StoreContextError, crypto.Error, *_UNREADABLE):
        return False


def _serves(certificate: x509.Certificate) -> bool:
    """Whether the extended key usage allows a TLS server (RFC 5280 section 4.2.1.12)."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.SERVER_AUTH in usage or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usage


def _names(certificate: x509.Certificate, name: str) -> bool:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    if is_address(name):
        return ipaddress.ip_address(name) in names.get_values_for_type(x509.IPAddress)
    wanted = name.lower().rstrip(".")
    beyond = wanted.partition(".")[2]
    # RFC 9525 section 6.3: a wildcard stands for the whole left-most label, and for nothing else.
    return any(
        offered in (wanted, f"*.{beyond}" if beyond else wanted)
        for offered in (given.lower().rstrip(".") for given in names.get_values_for_type(x509.DNSName))
    )


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
