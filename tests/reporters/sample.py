"""A made-up State with two ministries, for every test of a reporter. Real control ids and texts, example names."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from posture.inventory.records import Asset, Authorisation, Inventory, Ministry, Operator, State
from posture.model import Kind, ProbeClass, Severity
from posture.policy import DEFAULT, load_policy
from posture.report import ControlText, Report, assemble
from posture.scanned import scanned

AT = datetime(2026, 11, 23, 21, 10, tzinfo=UTC)
FINANCE, HEALTH = "finance", "health"
WWW, MAIL, LEGACY = "www.finance.gov.example", "finance.gov.example", "tax.finance.gov.example"
CLINIC, HEALTH_ZONE = "www.health.gov.example", "health.gov.example"
SCANNED = ("subject", "args", "message", "provider")
FAMILIES = {"tls": "tls", "dns": "dns", "mail": "email", "svc": "services", "web": "web"}


@cache
def controls() -> Mapping[str, ControlText]:
    """The shipped texts, straight from controls.toml: no rule is needed to write about one."""
    return {
        entry["id"]: ControlText(
            id=entry["id"],
            title=entry["title"],
            family=family,
            severity=Severity(entry["severity"]),
            kind=Kind(entry["kind"]),
            probe_class=ProbeClass(entry["class"]),
            meaning=entry["meaning"],
            remedy=entry["remedy"],
            observed=entry["observed"],
            passes=entry["pass"],
            warns=entry.get("warn", ""),
            fails=entry.get("fail", ""),
            sources=entry["sources"],
            false_positives=entry["false_positives"],
            mapping=entry["mapping"],
        )
        for family in ("tls", "dns", "email", "services", "web")
        for entry in tomllib.loads(
            resources.files(f"posture.checks.{family}").joinpath("controls.toml").read_text("utf-8")
        )["control"]
    }


def row(asset: str, control: str, outcome: str, message: str = "", **changes: Any) -> dict[str, Any]:
    """A row of posture-findings/1, all fields in their order."""
    kind = "zone" if asset.count(".") == 2 else "host"
    fields: dict[str, Any] = {
        "state": "ZZ",
        "ministry": HEALTH if "health" in asset else FINANCE,
        "asset": asset,
        "kind": kind,
        "subject": "",
        "control": control,
        "outcome": outcome,
        "severity": str(controls()[control].severity),
        "confidence": "confirmed",
        "tag": None if outcome == "unknown" else "SAMPLE",
        "args": {},
        "message": message or {"pass": "As it should be.", "not_applicable": "Nothing to judge."}.get(outcome, "Seen."),
        "reason": "timeout" if outcome == "unknown" else None,
        "code": None,
        "authorisation": "zz-2026-001",
        "vantage": "local",
        "mends": "ministry",
        "provider": None,
        "mend_by": None,
        "observed_at": "2026-11-23T21:01:12Z",
        "first_seen": "2026-09-02T20:00:00Z",
        "last_seen": "2026-11-23T21:01:12Z",
        "stale": False,
        "facts": "sha256:" + "9f2b" * 16,
        "exemption": None,
        "unseen": None,
        "dispute": None,
        "unstable": None,
    }
    return as_read(fields | changes)


def as_read(fields: dict[str, Any]) -> dict[str, Any]:
    """A row as the history gives it: whatever a scanned system may have written is of that type."""
    return {key: scanned(value) if key in SCANNED else value for key, value in fields.items()}


def rows() -> list[dict[str, Any]]:
    """The whole current state: mostly good, with the weaknesses that real ministries have."""
    web, old = {"subject": "198.51.100.7:443/tcp"}, {"subject": "198.51.100.9:443/tcp"}
    today = {"first_seen": "2026-11-23T21:01:12Z"}
    cloud = {"subject": "mx:mx1.cloudmail.example:25", "mends": "provider", "provider": "CloudMail"}
    legacy = {"args": {"protocols": ["TLS 1.0", "TLS 1.1"]}, **web}
    ended = {"args": {"not_after": "2026-11-21T23:59:59Z"}, **old, **today}
    outside = "Not looked at: the address is outside the authorisation."
    refused = f"{CLINIC} resolves to 192.0.2.77, outside the networks of zz-2026-001. Add the address to networks."
    hosted = {
        "reason": "out_of_scope",
        "code": "E-SCOPE-020",
        "args": {"detail": refused},
        "provider": "the host of 192.0.2.77",
        "mends": "provider",
    }
    said = [
        row(WWW, "tls.protocol.legacy", "fail", "The server accepts TLS 1.0 and TLS 1.1.", **legacy),
        row(WWW, "tls.hsts.policy", "warn", "HSTS lasts 15768000 seconds; a year is 31536000.", **web),
        row(WWW, "web.securitytxt", "fail", "There is no /.well-known/security.txt.", **web),
        row(LEGACY, "svc.mgmt.rdp", "fail", "Remote Desktop answers.", subject="198.51.100.9:3389/tcp", **today),
        row(LEGACY, "tls.cert.expiry", "fail", "The certificate ended on 2026-11-21.", **ended),
        row(LEGACY, "svc.baseline", "unknown", "Could not see: no answer in the time allowed.", subject="198.51.100.9"),
        row(MAIL, "mail.dmarc.policy", "fail", "DMARC is p=none: forged mail is delivered.", args={"policy": "none"}),
        row(MAIL, "dns.dnssec.signed", "fail", "The zone is not signed."),
        row(MAIL, "mail.starttls", "fail", "mx1.cloudmail.example offers no STARTTLS.", **cloud),
        row(CLINIC, "tls.https.available", "unknown", outside, **hosted),
        row(CLINIC, "web.header.basic", "warn", "X-Content-Type-Options is missing.", subject="192.0.2.77:443/tcp"),
        row(HEALTH_ZONE, "dns.caa.present", "fail", "No CAA record."),
        row(HEALTH_ZONE, "dns.ns.count", "pass", "2 name servers."),
    ]
    taken = {(one["asset"], one["control"]) for one in said}
    rest = [
        row(asset, name, "not_applicable" if name == "mail.parked" else "pass")
        for asset in (WWW, LEGACY, CLINIC, MAIL, HEALTH_ZONE)
        for name in controls()
        if name.startswith(("dns.", "mail.")) == (asset in (MAIL, HEALTH_ZONE)) and (asset, name) not in taken
    ]
    return said + rest


RUN = {
    "id": "R-20261123T210000Z-4f2a",
    "started_at": "2026-11-23T21:00:00Z",
    "ended_at": "2026-11-23T21:04:31Z",
    "state": "complete",
    "policy": DEFAULT,
    "vantage": "local",
    "tool": "posture 0.1.0",
}
BEFORE = RUN | {
    "id": "R-20261122T210000Z-91bc",
    "started_at": "2026-11-22T21:00:00Z",
    "ended_at": "2026-11-22T21:04:10Z",
}


def event(kind: str, asset: str, control: str, before: str, after: str, **changes: Any) -> dict[str, Any]:
    fields = {
        "kind": kind,
        "ministry": HEALTH if "health" in asset else FINANCE,
        "asset": asset,
        "control": control,
        "subject": "",
        "severity": str(controls()[control].severity),
        "before": before,
        "after": after,
        "between": ["2026-11-22T21:04:10Z", "2026-11-23T21:01:12Z"],
        "message": "It changed.",
    }
    return as_read(fields | changes)


def drift() -> dict[str, Any]:
    events = [
        event("new", LEGACY, "svc.mgmt.rdp", "pass", "fail", subject="198.51.100.9:3389/tcp"),
        event("regressed", LEGACY, "tls.cert.expiry", "pass", "fail", subject="198.51.100.9:443/tcp"),
        event("fixed", MAIL, "mail.spf.present", "fail", "pass"),
        event("fixed", HEALTH_ZONE, "dns.ns.lame", "fail", "pass", subject="ns:ns2.health.gov.example"),
        event("unknown", CLINIC, "tls.https.available", "pass", "unknown"),
    ]
    return {"schema": "posture-drift/1", "from": BEFORE, "to": RUN, "suspect": False, "events": events}


def findings(changed: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {
        "schema": "posture-findings/1",
        "complete": True,
        "run": RUN,
        "findings": rows() if changed is None else changed,
    }


def inventory() -> Inventory:
    authorisation = Authorisation(
        "zz-2026-001", "Ministry of Finance", "Permanent Secretary", "consent", "Letter 41", date(2026, 1, 1),
        date(2026, 12, 31), frozenset({ProbeClass.PASSIVE, ProbeClass.CLIENT}),
    )  # fmt: skip
    return Inventory(
        path=Path("inventory.toml"),
        state=State("ZZ", "Example Islands", "America/St_Lucia"),
        operator=Operator("CERT-ZZ", "soc@cert.example"),
        authorisations={authorisation.id: authorisation},
        ministries=(
            Ministry(FINANCE, "Ministry of Finance", (authorisation.id,)),
            Ministry(HEALTH, "Ministry of Health and Wellness", (authorisation.id,)),
        ),
        assets=(
            Asset(WWW, "host", FINANCE, roles=("web",), criticality=3),
            Asset(LEGACY, "host", FINANCE, roles=("web",)),
            Asset(MAIL, "zone", FINANCE),
            Asset(CLINIC, "host", HEALTH, roles=("web",)),
            Asset(HEALTH_ZONE, "zone", HEALTH),
        ),
    )


def report(changed: list[dict[str, Any]] | None = None, **options: Any) -> Report:
    """The sample as a report; ``changed`` replaces the findings."""
    earlier = [one | ({"outcome": "pass"} if one["asset"] == LEGACY else {}) for one in rows()]
    defaults: dict[str, Any] = {"drift_document": drift(), "previous": earlier}
    return assemble(inventory(), findings(changed), load_policy(), controls(), AT, **(defaults | options))
