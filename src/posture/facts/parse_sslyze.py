"""What sslyze reported of one server (its JSON, as of release 6). Pure and total: any bytes in, a Report or one error out.

sslyze runs old code over hostile bytes, so that its report is taken for hostile too: nothing of it is believed to have a
shape before it was looked at, and nothing of it is kept but words of ours, digests and versions.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from posture.facts.deep import (
    FORM,
    MOST_RENEGOTIATIONS,
    NO_PATH,
    NO_RSA,
    OTHER_NAME,
    SAFE,
    STRONG,
    UNCLEAR,
    VULNERABLE,
    WEAK,
    Deployment,
    StoreAnswer,
)

T = TypeVar("T")

REPORT_BYTES = 4 * 1024 * 1024
_DEPLOYMENTS, _STORES = 8, 10
_VERSIONS = {
    "SSL_2_0": "SSL 2.0",
    "SSL_3_0": "SSL 3.0",
    "TLS_1_0": "TLS 1.0",
    "TLS_1_1": "TLS 1.1",
    "TLS_1_2": "TLS 1.2",
    "TLS_1_3": "TLS 1.3",
}
_ORACLES = {
    "VULNERABLE_STRONG_ORACLE": STRONG,
    "VULNERABLE_WEAK_ORACLE": WEAK,
    "NOT_VULNERABLE_NO_ORACLE": SAFE,
    "NOT_VULNERABLE_RSA_NOT_SUPPORTED": NO_RSA,
    "UNKNOWN_INCONSISTENT_RESULTS": UNCLEAR,
}
_FAULTS = frozenset({"BUG_IN_SSLYZE", "CLIENT_CERTIFICATE_NEEDED", "CONNECTIVITY_ISSUE", "WRONG_USAGE"})
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .,:+_-]{0,99}")


class SslyzeReportError(ValueError):
    """Not a report of sslyze on one server."""


@dataclass(frozen=True, slots=True)
class Report:
    """``newest``: the newest version agreed on, "" when sslyze could not connect. By command of sslyze's command line,
    ``results``: what it says of those that it completed, and ``faults``: the kind of error of those that it did not."""

    tool: str
    newest: str
    results: Mapping[str, Any]
    faults: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Renegotiation:
    secure: bool
    agreed: int


def parse_sslyze(data: bytes) -> Report:
    """The report on the one server that was asked for.

    Raises:
        SslyzeReportError: whatever else the bytes are.
    """
    if len(data) > REPORT_BYTES:
        raise SslyzeReportError("too long")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as fault:
        raise SslyzeReportError("no JSON") from fault
    servers = _at(document, "server_scan_results", list)
    if len(servers) != 1:
        raise SslyzeReportError(f"{len(servers)} servers")
    tool = f"sslyze {_word(_at(document, 'sslyze_version', str))}"
    (server,) = servers
    if _at(server, "connectivity_status", str) != "COMPLETED":
        return Report(tool, "", {}, {})
    newest = _known(_VERSIONS, _at(server, "connectivity_result", dict).get("highest_tls_version_supported"))
    attempts = _at(server, "scan_result", dict)
    results: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for command, (name, read) in _COMMANDS.items():
        attempt = _at(attempts, name, dict)
        status = _at(attempt, "status", str)
        if status == "COMPLETED":
            results[command] = read(_at(attempt, "result", dict))
        elif status == "ERROR":
            reason = attempt.get("error_reason")
            faults[command] = reason if isinstance(reason, str) and reason in _FAULTS else "BUG_IN_SSLYZE"
    return Report(tool, newest, results, faults)


def _at(where: Any, name: str, kind: type[T]) -> T:
    value = where.get(name) if isinstance(where, dict) else None
    # A bool is an int to Python, and none to us.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise SslyzeReportError(f"no {kind.__name__} {name}")
    return value


def _known(words: Mapping[str, str], word: Any) -> str:
    if not isinstance(word, str) or word not in words:
        raise SslyzeReportError("a word that sslyze does not use")
    return words[word]


def _word(text: str) -> str:
    """A version as we keep it."""
    return text if _WORD.fullmatch(text) else ""


def _yes_or_no(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda result: VULNERABLE if _at(result, name, bool) else SAFE


def _oracle(result: Mapping[str, Any]) -> str:
    return _known(_ORACLES, result.get("robot_result"))


def _renegotiation(result: Mapping[str, Any]) -> Renegotiation:
    agreed = _at(result, "client_renegotiations_success_count", int)
    if not 0 <= agreed <= MOST_RENEGOTIATIONS:
        raise SslyzeReportError(f"{agreed} renegotiations")
    return Renegotiation(_at(result, "supports_secure_renegotiation", bool), agreed)


def _deployments(result: Mapping[str, Any]) -> tuple[Deployment, ...]:
    shown = _at(result, "certificate_deployments", list)[:_DEPLOYMENTS]
    found = {one.leaf: one for one in map(_deployment, shown)}
    return tuple(found[leaf] for leaf in sorted(found))


def _deployment(shown: Any) -> Deployment:
    chain = _at(shown, "received_certificate_chain", list)
    if not chain:
        raise SslyzeReportError("a chain without certificates")
    try:
        leaf = base64.b64decode(_at(chain[0], "fingerprint_sha256", str), validate=True)
    except (binascii.Error, ValueError) as fault:
        raise SslyzeReportError("no fingerprint") from fault
    if len(leaf) != 32:
        raise SslyzeReportError("no fingerprint")
    stores = {one.store: one for one in _stores(_at(shown, "path_validation_results", list))}
    return Deployment(leaf.hex(), tuple(stores[name] for name in sorted(stores)))


def _stores(results: list[Any]) -> Iterator[StoreAnswer]:
    for result in results[:_STORES]:
        store = _at(result, "trust_store", dict)
        name = _word(_at(store, "name", str))
        if not name:
            raise SslyzeReportError("a store without a name")
        trusted = _at(result, "was_validation_successful", bool)
        yield StoreAnswer(name, _word(_at(store, "version", str)), "" if trusted else _why(result))


def _why(result: Mapping[str, Any]) -> str:
    """cryptography tells these apart in its words alone."""
    said = result.get("validation_error")
    text = said if isinstance(said, str) else ""
    if "no matching subjectAltName" in text:
        return OTHER_NAME
    return NO_PATH if "candidates exhausted" in text else FORM


_COMMANDS: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], Any]]] = {
    "certinfo": ("certificate_info", _deployments),
    "robot": ("robot", _oracle),
    "heartbleed": ("heartbleed", _yes_or_no("is_vulnerable_to_heartbleed")),
    "openssl_ccs": ("openssl_ccs_injection", _yes_or_no("is_vulnerable_to_ccs_injection")),
    "reneg": ("session_renegotiation", _renegotiation),
    "early_data": ("tls_1_3_early_data", _yes_or_no("supports_early_data")),
}
