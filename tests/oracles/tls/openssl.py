"""``openssl s_client`` in the common form, one question per connection."""

from __future__ import annotations

import re
import ssl
import subprocess
from collections.abc import Mapping
from functools import cache
from typing import Any

from tests.lab import need
from tests.oracles.tls.lab import Standing
from tests.oracles.tls.opinions import Opinion, digests

_SECONDS = 20
_VERSIONS = {"TLS 1.0": "-tls1", "TLS 1.1": "-tls1_1", "TLS 1.2": "-tls1_2", "TLS 1.3": "-tls1_3"}
# Everything that the library still has, whatever the security level of the system.
_EVERYTHING = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"
_CURVES = ("secp192r1", "secp224r1", "secp256k1")
_OF_CERTIFICATES = "P-256:P-384"
_HASHES = {"SHA-1": "RSA+SHA1:ECDSA+SHA1:DSA+SHA1", "SHA-224": "RSA+SHA224:ECDSA+SHA224:DSA+SHA224"}
_LESSER = {"TLS 1.2": "TLS 1.1", "TLS 1.1": "TLS 1.0"}


def opinion(standing: Standing, about: Opinion) -> Opinion:
    """What s_client finds.

    Args:
        about: an opinion whose suites say which two to ask for when the order of preference is wanted.
    """
    said = {version: _connect(standing, option) for version, option in _VERSIONS.items()}
    told: dict[str, Any] = {f"speaks {version}": _chosen(text) is not None for version, text in said.items()}
    spoken = [text for text in said.values() if _chosen(text)]
    if _chosen(said["TLS 1.2"]):  # a server may have a certificate of each kind
        spoken.append(_connect(standing, "-tls1_2", cipher="aRSA:@SECLEVEL=0"))
    chains = [chain for text in spoken if (chain := _chain(text))]
    if chains:
        told["chain"] = chains
    old = [version for version in ("TLS 1.0", "TLS 1.1", "TLS 1.2") if _chosen(said[version])]
    if old:
        told |= _by_the_way(said[old[-1]], alpn=standing.server.port == 443 and not standing.server.starttls)
    if len(old) > 1 and old[-1] in _LESSER:
        told["fallback"] = "alert number 86" in _connect(standing, _VERSIONS[_LESSER[old[-1]]], "-fallback_scsv")
    if "TLS 1.2" in old:
        told |= _of_tls12(standing, about)
    return told


def _by_the_way(said: str, *, alpn: bool) -> Opinion:
    protocol = re.search(r"^ALPN protocol: (\S+)", said, re.MULTILINE)
    found: dict[str, Any] = {
        "ems": "Extended master secret: yes" in said,
        "renegotiation": "Secure Renegotiation IS supported" in said,
    }
    return {**found, "alpn": [protocol[1]] if protocol else []} if alpn else found


def _of_tls12(standing: Standing, about: Opinion) -> Opinion:
    signed = [
        name
        for name, schemes in _HASHES.items()
        if _chosen(_connect(standing, "-tls1_2", "-sigalgs", schemes, cipher="ECDHE:DHE:@SECLEVEL=0"))
    ]
    curves = [
        name
        for name in _CURVES
        if re.search(
            rf"^Server Temp Key: ECDH, {'P-192' if name == 'secp192r1' else name},",
            _connect(standing, "-tls1_2", "-groups", f"{name}:{_OF_CERTIFICATES}", cipher="ECDHE:@SECLEVEL=0"),
            re.MULTILINE,
        )
    ]
    found: dict[str, Any] = {"hash": signed[0] if signed else "none", "curves": curves}
    known = [_names()[name] for name in about.get("suites TLS 1.2", ()) if name in _names()]
    certified = [name for name in known if not name.startswith(("ADH", "AECDH"))]
    if len(certified) > 1:
        ways = [
            _chosen(_connect(standing, "-tls1_2", cipher=f"{':'.join(way)}:@SECLEVEL=0"))
            for way in (certified, certified[::-1])
        ]
        found["preference"] = ways[0] == ways[1]
    return found


@cache
def _names() -> Mapping[str, str]:
    """IANA name -> OpenSSL's."""
    argv = [need("openssl", "openssl"), "ciphers", "-stdname", _EVERYTHING]
    lines = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()
    return {line.split()[0]: line.split()[2] for line in lines}


def _connect(standing: Standing, *options: str, cipher: str = _EVERYTHING) -> str:
    address, port = standing.place
    argv = [
        need("openssl", "openssl"),
        "s_client",
        "-connect",
        f"{address}:{port}",
        "-servername",
        standing.server.host,
    ]
    if standing.server.starttls:
        argv += ["-starttls", standing.server.starttls]
    if standing.server.port == 443:
        argv += ["-alpn", "h2,http/1.1"]
    argv += ["-showcerts", "-legacy_server_connect", "-cipher", cipher, *options]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False)
    return (done.stdout + done.stderr).decode("utf-8", "replace")


def _chosen(said: str) -> str | None:
    """The suite that was agreed on."""
    found = re.search(r"^New, \S+, Cipher is (\S+)", said, re.MULTILINE)
    return found[1] if found and found[1] != "(NONE)" else None


def _chain(said: str) -> list[str]:
    return digests(
        ssl.PEM_cert_to_DER_cert(pem)
        for pem in re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", said, re.DOTALL)
    )
