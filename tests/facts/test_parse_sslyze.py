"""sslyze's report is taken for hostile: its own shape is read, and of anything else there is one clear error."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posture.facts.deep import FORM, NO_PATH, NO_RSA, OTHER_NAME, SAFE, STRONG, UNCLEAR, VULNERABLE, WEAK
from posture.facts.parse_sslyze import REPORT_BYTES, Renegotiation, Report, SslyzeReportError, parse_sslyze

DIGEST = bytes(range(32))
NOT_ASKED: dict[str, Any] = {"status": "NOT_SCHEDULED", "error_reason": None, "error_trace": None, "result": None}


def done(**result: Any) -> dict[str, Any]:
    return {**NOT_ASKED, "status": "COMPLETED", "result": result}


def failed(reason: Any) -> dict[str, Any]:
    return {**NOT_ASKED, "status": "ERROR", "error_reason": reason, "error_trace": "Traceback ..."}


def store(name: str, error: str | None, version: Any = "2026-03-01") -> dict[str, Any]:
    return {
        "trust_store": {"path": "/x", "name": name, "version": version, "ev_oids": None},
        "verified_certificate_chain": None if error else [],
        "validation_error": error,
        "was_validation_successful": error is None,
    }


def deployment(*stores: dict[str, Any], digest: bytes = DIGEST) -> dict[str, Any]:
    leaf = {"fingerprint_sha256": base64.b64encode(digest).decode()}
    return {"received_certificate_chain": [leaf], "path_validation_results": list(stores)}


def report(**commands: Any) -> dict[str, Any]:
    names = ("certificate_info", "robot", "heartbleed", "openssl_ccs_injection", "session_renegotiation")
    scan = dict.fromkeys((*names, "tls_1_3_early_data"), NOT_ASKED)
    server = {
        "connectivity_status": "COMPLETED",
        "connectivity_result": {"highest_tls_version_supported": "TLS_1_2"},
        "scan_status": "COMPLETED",
        "scan_result": {**scan, **commands},
    }
    return {"sslyze_version": "6.3.1", "server_scan_results": [server], "invalid_server_strings": []}


def parsed(document: Any) -> Report:
    return parse_sslyze(json.dumps(document).encode())


WHOLE = report(
    certificate_info=done(certificate_deployments=[deployment(store("Mozilla", None), store("Apple", "x"))]),
    robot=done(robot_result="NOT_VULNERABLE_NO_ORACLE"),
    heartbleed=done(is_vulnerable_to_heartbleed=False),
    openssl_ccs_injection=done(is_vulnerable_to_ccs_injection=True),
    session_renegotiation=done(
        supports_secure_renegotiation=True,
        is_vulnerable_to_client_renegotiation_dos=False,
        client_renegotiations_success_count=3,
    ),
    tls_1_3_early_data=failed("CONNECTIVITY_ISSUE"),
)


def test_a_whole_report() -> None:
    found = parsed(WHOLE)

    assert (found.tool, found.newest) == ("sslyze 6.3.1", "TLS 1.2")
    assert {name: found.results[name] for name in found.results if name != "certinfo"} == {
        "robot": SAFE,
        "heartbleed": SAFE,
        "openssl_ccs": VULNERABLE,
        "reneg": Renegotiation(secure=True, agreed=3),
    }
    assert found.faults == {"early_data": "CONNECTIVITY_ISSUE"}
    (shown,) = found.results["certinfo"]
    assert shown.leaf == DIGEST.hex()
    assert [(one.store, one.version, one.why) for one in shown.stores] == [
        ("Apple", "2026-03-01", FORM),
        ("Mozilla", "2026-03-01", ""),
    ]


def test_a_server_that_could_not_be_reached_has_no_version() -> None:
    document = report()
    document["server_scan_results"][0] |= {
        "connectivity_status": "ERROR",
        "connectivity_result": None,
        "scan_result": None,
    }

    assert parsed(document) == Report("sslyze 6.3.1", "", {}, {})


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("VULNERABLE_STRONG_ORACLE", STRONG),
        ("VULNERABLE_WEAK_ORACLE", WEAK),
        ("NOT_VULNERABLE_NO_ORACLE", SAFE),
        ("NOT_VULNERABLE_RSA_NOT_SUPPORTED", NO_RSA),
        ("UNKNOWN_INCONSISTENT_RESULTS", UNCLEAR),
    ],
)
def test_what_it_says_of_robot(word: str, said: str) -> None:
    assert parsed(report(robot=done(robot_result=word))).results == {"robot": said}


@pytest.mark.parametrize(
    ("error", "why"),
    [
        ("validation failed: leaf certificate has no matching subjectAltName (encountered ...)", OTHER_NAME),
        ("validation failed: candidates exhausted: all candidates exhausted with no interior errors", NO_PATH),
        ("validation failed: EE subjectAltName MUST NOT be critical when subject is nonempty", FORM),
        ("", FORM),
    ],
)
def test_why_a_store_does_not_vouch(error: str, why: str) -> None:
    document = report(certificate_info=done(certificate_deployments=[deployment(store("Apple", error or "x"))]))

    assert parsed(document).results["certinfo"][0].stores[0].why == why


@pytest.mark.parametrize("reason", ["nonsense", None, 7, ["BUG_IN_SSLYZE"]])
def test_an_error_of_an_unknown_kind_is_an_error(reason: Any) -> None:
    assert parsed(report(robot=failed(reason))).faults == {"robot": "BUG_IN_SSLYZE"}


def test_versions_are_kept_only_when_they_are_plain() -> None:
    for version in ("\x1b[31m", "x" * 200, "<script>", "=cmd|x"):
        document = report(certificate_info=done(certificate_deployments=[deployment(store("Apple", None, version))]))
        assert parsed(document).results["certinfo"][0].stores[0].version == ""
        assert parsed({**report(), "sslyze_version": version}).tool == "sslyze "


HOSTILE: list[bytes] = [
    b"",
    b"\xff\xfe\xfd",
    b"null",
    b"[]",
    b"{",
    b"[" * 200_000,
    b'{"a":' * 100_000,
    b"9" * 100_000,
    b" " * (REPORT_BYTES + 1),
    b'{"server_scan_results": [], "sslyze_version": "6"}',
    b'{"server_scan_results": [1, 2], "sslyze_version": "6"}',
    b'{"server_scan_results": [1], "sslyze_version": "6"}',
]


@pytest.mark.parametrize("data", HOSTILE, ids=lambda data: repr(data[:12]))
def test_what_is_no_report_is_one_error(data: bytes) -> None:
    with pytest.raises(SslyzeReportError):
        parse_sslyze(data)


@pytest.mark.parametrize(
    "commands",
    [
        {"heartbleed": done(is_vulnerable_to_heartbleed="false")},
        {"heartbleed": done(is_vulnerable_to_heartbleed=0)},
        {"heartbleed": done()},
        {"heartbleed": {**NOT_ASKED, "status": "COMPLETED"}},
        {"heartbleed": {**NOT_ASKED, "status": ["COMPLETED"]}},
        {"robot": done(robot_result="SAFE")},
        {"robot": done(robot_result={})},
        {"session_renegotiation": done(supports_secure_renegotiation=True, client_renegotiations_success_count=11)},
        {"session_renegotiation": done(supports_secure_renegotiation=True, client_renegotiations_success_count=True)},
        {"session_renegotiation": done(supports_secure_renegotiation=1, client_renegotiations_success_count=0)},
        {"certificate_info": done(certificate_deployments=[deployment(digest=b"short")])},
        {"certificate_info": done(certificate_deployments=[{**deployment(), "received_certificate_chain": []}])},
        {"certificate_info": done(certificate_deployments=[deployment(store("\x1b", None))])},
        {"certificate_info": done(certificate_deployments=7)},
    ],
    ids=str,
)
def test_an_answer_of_another_shape_is_one_error(commands: dict[str, Any]) -> None:
    with pytest.raises(SslyzeReportError):
        parsed(report(**commands))


def test_a_server_with_a_thousand_certificates_costs_no_more_than_a_few() -> None:
    shown = [deployment(*[store(f"S{n}", None) for n in range(100)], digest=bytes([n]) * 32) for n in range(200)]
    found = parsed(report(certificate_info=done(certificate_deployments=shown))).results["certinfo"]

    assert len(found) <= 8
    assert all(len(one.stores) <= 10 for one in found)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(places(WHOLE)[1:]), JSON)
def test_any_value_in_any_place_is_read_or_one_error(place: tuple[Any, ...], value: Any) -> None:
    document = copy.deepcopy(WHOLE)
    inner: Any = document
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    try:
        found = parsed(document)
    except SslyzeReportError:
        return
    assert isinstance(found, Report)
    hash(found.results.get("certinfo")), hash(found.tool), hash(tuple(found.faults.values()))


@given(st.binary(max_size=500))
def test_any_bytes_are_read_or_one_error(data: bytes) -> None:
    with pytest.raises(SslyzeReportError):
        parse_sslyze(data)
