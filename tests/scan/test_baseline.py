"""A new baseline asks more of the same servers: that is told as a change of the baseline, not of theirs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from posture.plan import Selection
from posture.policy import load_policy
from tests.scan.wiring import scanned, terms_of

TAX = "tax.finance.gov.example"


def test_controls_that_a_new_baseline_adds_are_no_change_of_the_server(inventory: Path) -> None:
    terms = terms_of(inventory, Selection(assets=(TAX,), checks=("tls",)))
    scanned(replace(terms, policy=load_policy("oecs-baseline/2026.1")))
    ended = scanned(terms)
    assert ended.drift is not None
    told = {(event["kind"], event["control"]) for event in ended.drift["events"]}

    assert {kind for kind, _ in told} <= {"persisting", "policy_changed"}
    assert ("persisting", "tls.protocol.legacy") in told
    assert {row["outcome"] for row in ended.rows if row["control"] == "tls.cipher.cbc"} == {"warn"}
