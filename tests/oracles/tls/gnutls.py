"""``gnutls-cli-debug`` in the common form: yes or no to what GnuTLS can offer one at a time."""

from __future__ import annotations

import subprocess
from typing import Any

from tests.lab import need
from tests.oracles.tls.lab import Standing
from tests.oracles.tls.opinions import Opinion

_SECONDS = 60
_QUESTIONS = {
    "for TLS 1.0 (RFC2246) support": "speaks TLS 1.0",
    "for TLS 1.1 (RFC4346) support": "speaks TLS 1.1",
    "for TLS 1.2 (RFC5246) support": "speaks TLS 1.2",
    "for TLS 1.3 (RFC8446) support": "speaks TLS 1.3",
    "for safe renegotiation (RFC5746) support": "renegotiation",
    "for ext master secret (RFC7627) support": "ems",
    "for anonymous authentication support": "anonymous",
    "for RSA key exchange support": "static RSA",
    "for 3DES-CBC cipher (RFC2246) support": "3DES",
    "for ARCFOUR 128 cipher (RFC2246) support": "RC4",
}


def opinion(standing: Standing) -> Opinion:
    """Its answers that are a plain yes or no."""
    address, port = standing.place
    argv = [need("gnutls-cli-debug", "gnutls-bin"), "-p", str(port)]
    if standing.server.starttls:
        argv.append(f"--starttls-proto={standing.server.starttls}")
    done = subprocess.run(
        [*argv, address], stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
    )
    told: dict[str, Any] = {}
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        asked, _, said = line.partition("... ")
        if asked.strip() in _QUESTIONS and said in ("yes", "no"):
            told[_QUESTIONS[asked.strip()]] = said == "yes"
    return told
