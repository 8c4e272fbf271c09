"""TLS server contexts: as one should configure them, and as one finds them."""

from __future__ import annotations

import ssl
from pathlib import Path
from tempfile import TemporaryDirectory

from posture.range.certificates import Credentials

_INTERMEDIATE = "ECDHE+AESGCM:ECDHE+CHACHA20"
# Everything of 2011 that today's OpenSSL can still be talked into: CBC, static RSA, and anonymous suites.
_LEGACY = "ECDHE+AESGCM:ECDHE+AES:kRSA+AES:AECDH+AES:@SECLEVEL=0"


def modern(credentials: Credentials) -> ssl.SSLContext:
    """TLS 1.2 and 1.3 with forward-secret AEAD suites only (RFC 9325)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_INTERMEDIATE)
    return _with(context, credentials)


def legacy(credentials: Credentials) -> ssl.SSLContext:
    """TLS 1.0 to 1.2 with static RSA and anonymous suites; never SSL 3.0.

    What OpenSSL was built without stays away: the local library decides (Debian 12 has all of the above).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(_LEGACY)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED  # asking for TLSv1 by name warns
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_SSLv3
    return _with(context, credentials)


def _with(context: ssl.SSLContext, credentials: Credentials) -> ssl.SSLContext:
    """Loads a chain and its key. OpenSSL's Python binding reads files only, so they exist for a moment."""
    with TemporaryDirectory(prefix="posture-range-") as directory:
        file = Path(directory) / "server.pem"
        file.write_bytes(credentials.key + credentials.chain)
        context.load_cert_chain(file)
    return context
