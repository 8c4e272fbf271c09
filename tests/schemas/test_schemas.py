from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from posture.errors import UsageError
from posture.explained import explained
from posture.model import Outcome, Reason, Severity
from posture.report import narrow, scorecard_document
from posture.reporters.cells import json_default
from posture.schemas import NAMES, schema
from tests.reporters import sample

INVENTORY: dict[str, Any] = {
    "format": "posture-inventory/1",
    "state": {"code": "LC", "name": "Saint Lucia", "timezone": "America/St_Lucia"},
    "operator": {"name": "CERT-LC", "contact": "soc@cert.example", "url": ""},
    "authorisation": [
        {
            "id": "lc-2026-001", "owner": "Ministry of Finance", "officer": "Permanent Secretary", "basis": "consent",
            "reference": "Letter MF/ICT/2026/41", "document": "", "emergency": "", "not_before": "2026-01-01",
            "not_after": "2026-12-31", "classes": ["passive", "client"], "zones": ["finance.gov.example"],
            "exclude": [], "networks": ["198.51.100.0/24"], "hosted_classes": ["client"], "ports": ["25", "1-1024"],
            "lab": False, "limits": {"connections_per_address": 2},
            "third_party": [{"party": "C", "networks": ["192.0.2.0/28"], "classes": ["client"], "reference": "t"}],
            "blackout": [{"when": "Mon-Fri 08:00-17:00", "classes": ["active"]}],
        }
    ],
    "ministry": [
        {
            "code": "finance", "name": "Ministry of Finance", "authorisation": "lc-2026-001",
            "asset": [{"name": "www.finance.gov.example", "ports": [80, "8443/https"], "mail": []}],
        }
    ],
    "lab_port": [{"address": "127.0.20.1", "port": 443, "to": 20443, "proto": "tcp"}],
}  # fmt: skip
TASK = {
    "ministry": "finance", "asset": "www.finance.gov.example", "check": "tls", "class": "client",
    "address": "198.51.100.7", "port": 443, "authorisation": "lc-2026-001",
}  # fmt: skip
REFUSAL = {"asset": "a.test", "class": "active", "address": "192.0.2.1", "code": "E-SCOPE-004", "text": "Add it."}
MOVE = {
    "change": "worse", "ministry": "finance", "asset": "www.finance.gov.example", "kind": "host", "subject": "",
    "control": "tls.cert.key", "severity": "high", "before": "pass", "after": "fail", "reason": None, "message": "M.",
}  # fmt: skip
SIDE = {"name": "recorded", "policy": None, "policy_sha256": None, "rules_sha256": None}
DOCUMENTS: dict[str, dict[str, Any]] = {
    "inventory": INVENTORY,
    "plan": {"schema": "posture-plan/1", "tasks": [TASK, TASK | {"address": None, "port": None}], "refusals": [REFUSAL]},
    "runs": {"schema": "posture-runs/1", "runs": [sample.RUN, sample.RUN | {"ended_at": None, "state": "running"}]},
    "findings": sample.findings(),
    "drift": sample.drift(),
    "trend": {
        "schema": "posture-trend/1",
        "points": [
            {
                "run": "R-20261123T210000Z-4f2a", "at": "2026-11-23T21:04:31Z", "ministry": "finance", "score": 59.0,
                "grade": "D", "coverage": 98.7, "fixed": 1, "newly_failed": 2, "newly_known": 0, "newly_unknown": 0,
                "inventory": 0, "catalogue": 0,
            }
        ],
    },
    "scorecard": scorecard_document(sample.report()),
    "ages": {
        "schema": "posture-ages/1", "complete": True, "run": sample.RUN, "at": "2026-11-23T21:10:00Z",
        "ages": [{"ministry": "finance", "severity": "high", "open": 2, "median_days": 40.5, "oldest_days": 80,
                  "reopened": 1}],
        "findings": [
            {"ministry": "finance", "asset": "www.finance.gov.example", "kind": "host", "subject": "",
             "control": "tls.cert.expiry", "outcome": "fail", "severity": "high", "first_seen": "2026-09-02T20:00:00Z",
             "last_seen": "2026-11-23T21:01:12Z", "days_open": 80, "reopened": 1}
        ],
    },
    "explain": explained(sample.report(), "finance"),
    "controls": {
        "schema": "posture-controls/1",
        "controls": [
            {"id": one.id, "title": one.title, "check": one.family, "class": str(one.probe_class),
             "severity": str(one.severity), "kind": str(one.kind)}
            for one in sample.controls().values()
        ],
    },
    "errors": {
        "schema": "posture-errors/1",
        "errors": [{"code": "E-INV-001", "file": "i.toml", "line": 3, "field": "name", "message": "M.", "next": "N."}],
    },
    "stop": {
        "schema": "posture-stop/1",
        "orders": [
            {"reason": "R", "by": "root", "at": "2026-11-23T21:04:31Z", "authorisation": None, "address": None},
            {"reason": "R", "by": "", "at": None, "authorisation": None, "address": "198.51.100.7"},
        ],
    },
    "audit": {
        "schema": "posture-audit/1",
        "answer": "Yes: 1 connection.",
        "asked": {"asset": None, "address": "198.51.100.7", "from": None, "to": None, "timezone": "America/St_Lucia"},
        "trail": {"path": "posture.db.audit.jsonl", "records": 1, "first_at": "2026-11-24T06:46:26.123Z",
                  "last_at": "2026-11-24T06:46:26.123Z", "broken": None},
        "contacts": [
            {"run": "R-20261123T210000Z-4f2a", "allowed": True, "code": None, "authorisation": "lc-2026-001",
             "owner": "Ministry of Finance", "via": "networks", "ministry": "finance",
             "asset": "www.finance.gov.example", "probe": "tls", "class": "client", "traffic": "connection",
             "purpose": None, "name": "www.finance.gov.example", "address": "198.51.100.7", "protocol": "tcp",
             "ports": [443], "connections": 1, "first_at": "2026-11-24T06:46:26.123Z",
             "last_at": "2026-11-24T06:46:26.123Z", "local": "2026-11-24 02:46:26", "sent": 517, "received": 3021,
             "ends": {"closed": 1}}
        ],
    },
    "export": {
        "run": "R-20261123T210000Z-4f2a", "ministry": "finance", "kind": "closed", "what": "finding",
        "asset": "www.finance.gov.example", "asset_kind": "host", "control": "tls.hsts.policy", "subject": "",
        "cause": "target",
    },
    "rejudge": {
        "schema": "posture-rejudge/1", "policy": "strict/1", "policy_sha256": "a" * 64, "rules_sha256": "b" * 64,
        "judged": 2, "added": 340, "not_recorded": {"answers": 0, "controls": ["tls.pq.hybrid"]},
        "runs": [
            {"run": sample.RUN, "same": False, "differ": 1, "changes": {"worse": 1}, "scores": [
                {"ministry": "finance", "before": {"score": 71.2, "grade": "C", "coverage": 99.0},
                 "after": {"score": 64.0, "grade": "C", "coverage": 99.0}},
                {"ministry": "", "before": None, "after": {"score": None, "grade": None, "coverage": 0.0}},
            ]},
            {"run": sample.RUN, "same": True, "differ": 0, "changes": None, "scores": None},
        ],
        "findings": [{"run": "R-20261123T210000Z-4f2a", **MOVE}],
    },
    "compare": {
        "schema": "posture-compare/1", "old": SIDE, "new": SIDE | {"name": "strict.toml", "policy": "strict/1"},
        "over": {"kind": "run", "name": "R-20261123T210000Z-4f2a", "assets": 18}, "counts": {"worse": 1},
        "findings": [MOVE, MOVE | {"runs": 3}],
    },
    "exempted": {
        "schema": "posture-exempted/1", "at": "2026-11-23T21:04:31Z", "run": None, "file": "exemptions.toml",
        "exemptions": [
            {"id": "EX-1", "state": "ending", "days_left": 9, "control": "tls.*", "asset": "www.finance.gov.example",
             "subject": "", "rationale": "R", "approver": "A", "approved": "2026-06-01", "expires": "2026-12-01",
             "reference": "T", "findings": 1}
        ],
    },
    "verify": {
        "schema": "posture-verify/1", "what": "history", "path": "posture.db", "holds": False, "signer": None,
        "signed_by": ["SHA256:" + "A" * 43], "runs": 2, "records": 30, "checkpoints": 2,
        "ledger": {"origin": "posture.example/lc", "size": 2, "root": "AAAA"}, "faults": ["entry 1 was changed"],
        "details": [{"subject": "runs", "text": "2, every one in the ledger"}],
    },
    "disputes": {
        "schema": "posture-disputes/1",
        "disputes": [
            {"id": "D-1", "state": "rejected", "opened_at": "2026-11-23T21:04:31Z", "run": "R-20261123T210000Z-4f2a",
             "ministry": "finance", "asset": "www.finance.gov.example", "kind": "host", "control": "tls.cert.key",
             "subject": "", "vantage": "local", "outcome": "fail", "now": None, "by": "B", "reason": "R",
             "steps": [{"at": "2026-11-24T21:04:31Z", "decision": "rejected", "by": "C", "reason": "W"}]}
        ],
    },
}  # fmt: skip


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema(name)))


def faults(name: str, document: Any) -> list[str]:
    return [
        fault.message for fault in validator(name).iter_errors(json.loads(json.dumps(document, default=json_default)))
    ]


@pytest.mark.parametrize("name", NAMES)
def test_schema_is_a_schema_and_accepts_what_the_contract_shows(name: str) -> None:
    Draft202012Validator.check_schema(json.loads(schema(name)))
    assert faults(name, DOCUMENTS[name]) == []


@pytest.mark.parametrize("name", NAMES)
def test_schema_refuses_a_document_that_lacks_any_required_field(name: str) -> None:
    for required in json.loads(schema(name))["required"]:
        broken = copy.deepcopy(DOCUMENTS[name])
        del broken[required]
        assert faults(name, broken), required


def test_schema_refuses_another_documents_name() -> None:
    for name in NAMES:
        key = {"inventory": "format", "export": "kind"}.get(name, "schema")
        assert faults(name, DOCUMENTS[name] | {key: "posture-other/1"})


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": "unknown", "reason": None},
        {"outcome": "pass", "reason": "timeout"},
        {"outcome": "maybe"},
        {"severity": "urgent"},
        {"kind": "server"},
        {"stale": None},
        {"code": "scope"},
    ],
)
def test_finding_that_breaks_the_contract_is_refused(changes: dict[str, Any]) -> None:
    broken = sample.row(sample.WWW, "tls.hsts.policy", "pass") | changes
    assert faults("findings", sample.findings([broken]))


def test_narrowed_and_empty_scorecards_are_valid() -> None:
    assert faults("scorecard", scorecard_document(narrow(sample.report(), ["health"]))) == []
    assert faults("scorecard", scorecard_document(sample.report([], drift_document=None, previous=None))) == []


def test_schema_lists_exactly_the_words_of_the_model() -> None:
    finding = json.loads(schema("findings"))["$defs"]["finding"]["properties"]
    assert finding["outcome"]["enum"] == [str(one) for one in Outcome]
    assert finding["severity"]["enum"] == [str(one) for one in Severity]
    assert finding["reason"]["anyOf"][0]["enum"] == [str(one) for one in Reason]


def test_unknown_schema_names_the_known_ones() -> None:
    with pytest.raises(
        UsageError, match="inventory, plan, runs, findings, drift, trend, scorecard, controls, errors, export"
    ):
        schema("../errors")
