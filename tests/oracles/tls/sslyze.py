"""sslyze's whole scan in the common form. It is executed in a process of its own and never imported: its licence is not ours."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.oracles.tls.lab import Standing
from tests.oracles.tls.opinions import OLD_CURVES, Opinion, digests, families

_SECONDS = 120
_VERSIONS = {
    "SSL 2.0": "ssl_2_0",
    "SSL 3.0": "ssl_3_0",
    "TLS 1.0": "tls_1_0",
    "TLS 1.1": "tls_1_1",
    "TLS 1.2": "tls_1_2",
    "TLS 1.3": "tls_1_3",
}
# Its whole scan, but for what comes after the handshake of a web server.
_COMMANDS = (
    *("certinfo", "sslv2", "sslv3", "tlsv1", "tlsv1_1", "tlsv1_2", "tlsv1_3", "elliptic_curves", "compression", "ems"),
    *("reneg", "fallback", "early_data", "heartbleed", "openssl_ccs", "robot", "resum"),
)
# What it calls them by OpenSSL's names.
_CURVES = {"X25519": "x25519", "X448": "x448", "prime192v1": "secp192r1", "prime256v1": "secp256r1"}


def run(standing: Standing, report: Path) -> Mapping[str, Any]:
    """All of its commands; the scan result by command, {} when it could not connect."""
    address, port = standing.place
    argv = [sys.executable, "-W", "ignore", "-m", "sslyze", f"{address}:{port}", "--sni", standing.server.host]
    options = [*(f"--{command}" for command in _COMMANDS), "--mozilla_config=disable", f"--json_out={report}"]
    if standing.server.starttls:
        options.append(f"--starttls={standing.server.starttls}")
    subprocess.run([*argv, *options], check=True, capture_output=True, timeout=_SECONDS)
    found = json.loads(report.read_text())["server_scan_results"][0]
    return found["scan_result"] or {}


def opinion(found: Mapping[str, Any]) -> Opinion:
    """What it answers, command by command; one that failed answers nothing, and a scan that never began says there is none."""
    results = {name: one["result"] for name, one in found.items() if one["status"] == "COMPLETED"}
    told: dict[str, Any] = {}
    for version, key in _VERSIONS.items():
        if f"{key}_cipher_suites" in results:
            accepted = results[f"{key}_cipher_suites"]["accepted_cipher_suites"]
            told[f"suites {version}"] = sorted(one["cipher_suite"]["name"] for one in accepted)
            told[f"speaks {version}"] = bool(accepted)
        elif not found:
            told[f"speaks {version}"] = False
    for command, read in _READERS.items():
        if command in results:
            told |= read(results[command])
    return {**told, **families(told)}


def _chains(result: Mapping[str, Any]) -> Opinion:
    """One for each kind of key."""
    return {
        "chain": [
            digests(ssl.PEM_cert_to_DER_cert(one["as_pem"]) for one in deployment["received_certificate_chain"])
            for deployment in result["certificate_deployments"]
        ]
    }


def _curves(result: Mapping[str, Any]) -> Opinion:
    if not result["supports_ecdh_key_exchange"]:
        return {"curves": []}
    names = {_CURVES.get(one["name"], one["name"]) for one in result["supported_curves"] or ()}
    return {"curves": sorted(names & OLD_CURVES), "groups": sorted(name.lower() for name in names)}


_READERS: Mapping[str, Any] = {
    "certificate_info": _chains,
    "elliptic_curves": _curves,
    "tls_compression": lambda result: {"compression": result["supports_compression"]},
    "tls_extended_master_secret": lambda result: {"ems": result["supports_ems_extension"]},
    "session_renegotiation": lambda result: {"renegotiation": result["supports_secure_renegotiation"]},
    "tls_1_3_early_data": lambda result: {"early data": result["supports_early_data"]},
    "tls_fallback_scsv": lambda result: {"fallback": result["supports_fallback_scsv"]},
}
