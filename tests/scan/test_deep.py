"""A deep scan from plan to findings, with the real sslyze; and what an ordinary scan after it leaves standing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from posture.history import runs
from posture.plan import Selection
from posture.report import Row
from posture.store import Store
from tests.scan.test_scan import edited
from tests.scan.wiring import PORTAL, scanned, state_of, terms_of

pytestmark = pytest.mark.xdist_group("scans of the range")
TAX = "tax.finance.gov.example"  # TLS 1.2 and older, with key exchange by RSA
DEEP = ("tls.early_data", "tls.reneg", "tls.vuln.ccs", "tls.vuln.heartbleed", "tls.vuln.robot")


def told(rows: list[Row]) -> dict[tuple[str, str], tuple[Any, ...]]:
    return {
        (row["asset"], row["control"]): (row["outcome"], row["tag"], row["reason"])
        for row in rows
        if row["control"] in DEEP
    }


def test_a_deep_scan_knows_and_an_ordinary_one_after_it_leaves_that_standing(inventory: Path) -> None:
    edited(inventory, '"client", "active"]', '"client", "active", "intrusive"]')
    deep = Selection(assets=(TAX, PORTAL), checks=("tls",), profile="deep")
    terms = terms_of(inventory, deep)
    first = scanned(terms)

    found = told(list(first.rows))
    assert found == {
        (PORTAL, "tls.early_data"): ("pass", "EARLY_DATA_REFUSED", None),
        (PORTAL, "tls.reneg"): ("pass", "RENEGOTIATION_SECURE", None),
        (PORTAL, "tls.vuln.ccs"): ("pass", "CCS_PRESUMED_REFUSED", None),
        (PORTAL, "tls.vuln.heartbleed"): ("pass", "HEARTBLEED_PRESUMED_MENDED", None),
        (PORTAL, "tls.vuln.robot"): ("pass", "ROBOT_NO_RSA", None),
        (TAX, "tls.early_data"): ("pass", "EARLY_DATA_NOT_SPOKEN", None),
        (TAX, "tls.reneg"): ("pass", "RENEGOTIATION_SECURE", None),
        (TAX, "tls.vuln.ccs"): ("pass", "CCS_REFUSED_EARLY", None),
        (TAX, "tls.vuln.heartbleed"): ("pass", "HEARTBLEED_MENDED", None),
        (TAX, "tls.vuln.robot"): ("pass", "ROBOT_NO_ORACLE", None),
    }
    assert (first.run["state"], first.silent) == ("complete", ())

    ordinary = terms_of(inventory, Selection(assets=(TAX, PORTAL), checks=("tls",)))
    for _ in range(3):
        later = scanned(ordinary)
    assert told(list(state_of(ordinary))) == found, "the last answer stands until somebody asks again"
    alone = told(list(later.rows))
    assert alone[TAX, "tls.vuln.heartbleed"] == ("unknown", None, "not_run")
    assert alone[PORTAL, "tls.vuln.heartbleed"][0] == "pass"
    assert later.drift is not None
    assert {event["kind"] for event in later.drift["events"]} <= {"persisting"}
    with Store.open(ordinary.config.db, write=False) as store:
        assert runs(store)["silent_controls"] == []


def test_what_is_not_granted_is_unknown_and_said(inventory: Path) -> None:
    ended = scanned(terms_of(inventory, Selection(assets=(TAX,), controls=("tls.vuln.*",), profile="deep")))

    assert {(row["outcome"], row["reason"], row["code"]) for row in ended.rows} == {
        ("unknown", "not_granted", "E-SCOPE-010")
    }
