"""What follows from handshakes is planned with them, under their authority, and where none may be made it is settled alike."""

from __future__ import annotations

from pathlib import Path

from posture.model import Reason, Unobserved
from posture.plan import FOLLOWS, Selection
from tests.plan.test_plan import OWN, WWW, host, planned, text_of

OTHER = "198.51.100.8"
TLS = Selection(checks=("tls",))


def test_every_endpoint_has_its_lists_and_the_asset_one_question_about_keys(tmp_path: Path) -> None:
    plan = planned(tmp_path, text_of(host(ports=[443, 8443])), {WWW: (OWN, OTHER)}, TLS)
    waiting = {(task.probe, task.subject) for task in plan.tasks if FOLLOWS in task.params}
    shown = {task.subject for task in plan.tasks if task.probe == "tls"}

    assert waiting == {("key_use", "")} | {("crl", subject) for subject in shown}
    assert len(shown) == 4
    assert {
        (task.authorisation, str(task.probe_class), task.addresses) for task in plan.tasks if FOLLOWS in task.params
    } == {("lc-2026-001", "client", ())}


def test_they_are_no_rows_of_what_is_sent(tmp_path: Path) -> None:
    plan = planned(tmp_path, text_of(host(ports=[443])), {WWW: (OWN,)}, TLS)
    rows = plan.document()["tasks"]
    assert isinstance(rows, list)
    assert {row["address"] for row in rows} == {OWN}


def test_a_run_of_some_assets_compares_nothing(tmp_path: Path) -> None:
    for selection in (Selection(assets=(WWW,)), Selection(ministries=("finance",))):
        plan = planned(tmp_path, text_of(host(ports=[443])), {WWW: (OWN,)}, selection)
        asked = {task.probe for task in plan.tasks} | {each.probe for each in plan.settled}
        assert "crl" in asked
        assert "key_use" not in asked


def test_without_a_handshake_nothing_follows_and_the_reason_is_the_same(tmp_path: Path) -> None:
    plan = planned(tmp_path, text_of(host(ports=[443])), {WWW: (OWN,)}, Selection(checks=("tls",), profile="passive"))
    answers = {each.probe: each.answer for each in plan.settled}
    assert [task for task in plan.tasks if FOLLOWS in task.params] == []
    for probe in ("tls", "crl", "key_use"):
        answer = answers[probe]
        assert isinstance(answer, Unobserved)
        assert (answer.reason, answer.detail) == (Reason.NOT_RUN, "not in this profile")


def test_a_control_that_is_not_asked_for_brings_none(tmp_path: Path) -> None:
    plan = planned(tmp_path, text_of(host(ports=[443])), {WWW: (OWN,)}, Selection(controls=("tls.cert.chain",)))
    assert {task.probe for task in plan.tasks} == {"tls"}
