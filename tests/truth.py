"""What is planted in the practice range, compared with what was found."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from posture.range import Planted
from posture.report import Row
from posture.reporters.cells import terminal

# Open findings that no planted truth names, because they follow from one that does:
CONSEQUENCES = {
    # an incomplete chain leads to no root
    ("tenders.finance.gov.example", "tls.cert.trust", "fail"),
    # a zone that is not looked after at all
    ("fluseason.gov.example", "dns.dnssec.signed", "fail"),
    ("fluseason.gov.example", "dns.caa.present", "fail"),
    ("fluseason.gov.example", "mail.dmarc.present", "fail"),
    # of two name servers one is lame
    ("health.gov.example", "dns.ns.count", "fail"),
    # a site in clear text only
    ("pharmacy.health.gov.example", "tls.https.redirect", "fail"),
    ("pharmacy.health.gov.example", "web.header.basic", "fail"),
}

# What the TLS library of the machine decides, not the range: newer ones know ML-KEM and have given up SHA-224.
OF_THE_LIBRARY = {"tls.kex.pq_hybrid", "tls.kex.hash"}


def contradicted(truth: Iterable[Planted], rows: Collection[Row]) -> list[tuple[Planted, list[str]]]:
    """Planted truths that the findings do not tell, each with the outcomes that they tell instead."""
    told = [(planted, [row["outcome"] for row in rows if speaks(planted, row)]) for planted in truth]
    return [(planted, outcomes) for planted, outcomes in told if set(outcomes) != {planted.outcome}]


def unplanted(truth: Collection[Planted], rows: Iterable[Row]) -> set[tuple[str, str, str]]:
    """Open findings that nobody planted: (asset, control, outcome)."""
    return {
        (row["asset"], row["control"], row["outcome"])
        for row in rows
        if row["outcome"] in ("fail", "warn")
        and row["control"] not in OF_THE_LIBRARY
        and not any(speaks(planted, row) for planted in truth)
    }


def changes(drift: Row) -> set[tuple[str, str, str, str]]:
    """What changed: (kind, asset, control, subject)."""
    return {
        (event["kind"], event["asset"], event["control"], event["subject"])
        for event in drift["events"]
        if event["kind"] != "persisting"
    }


PLANTED_CHANGE = {
    ("new", "portal.finance.gov.example", "svc.mgmt.telnet", "127.0.20.11:23/tcp"),
    ("new", "portal.finance.gov.example", "svc.baseline", "127.0.20.11:23/tcp"),
    ("fixed", "records.health.gov.example", "svc.db.unauth", "127.0.20.24:6379/tcp"),
    ("fixed", "records.health.gov.example", "svc.baseline", "127.0.20.24:6379/tcp"),
}


def speaks(planted: Planted, row: Row) -> bool:
    return planted.speaks_of(row["asset"], row["control"], terminal(row["subject"]))
