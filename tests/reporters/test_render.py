from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import pytest

from posture.errors import UsageError
from posture.reporters import FORMATS, render
from posture.reporters.documents import FINDING_FIELDS
from tests.reporters import sample
from tests.reporters.hostile import PAYLOADS


def text(document: dict[str, Any], format: str, **options: Any) -> str:  # noqa: A002 - as in render
    stream = io.StringIO(newline="")
    render(document, format, stream, **options)
    return stream.getvalue()


def hostile() -> dict[str, Any]:
    """Every payload in every field that a scanned host can influence."""
    rows = [
        sample.row(
            sample.WWW, "tls.hsts.policy", "fail", payload, subject=payload, provider=payload, args={"seen": [payload]}
        )
        for payload in PAYLOADS
    ]
    return sample.findings(rows)


def test_table_lists_open_and_unknown_and_counts_the_rest() -> None:
    shown = text(sample.findings(), "table", width=200)
    assert "svc.mgmt.rdp" in shown
    assert "E-SCOPE-020" in shown
    assert "for CloudMail to mend" in shown
    assert "As it should be." not in shown
    passed = sum(row["outcome"] == "pass" for row in sample.rows())
    assert shown.endswith(f"and {passed} passed, 2 not applicable: --outcome all\n")


def test_table_of_everything_hides_nothing() -> None:
    shown = text(sample.findings(), "table", width=120, everything=True)
    assert "As it should be." in shown
    assert "--outcome all" not in shown


def test_table_without_rows_says_what_to_make_of_it() -> None:
    assert text(sample.findings([]), "table") == "No finding matches.\n"
    assert "posture scan" in text({"schema": "posture-runs/1", "runs": []}, "table")


def test_table_of_passes_only_does_not_say_that_there_is_nothing() -> None:
    shown = text(sample.findings([sample.row(sample.WWW, "tls.hsts.policy", "pass")]), "table")
    assert shown == "and 1 passed: --outcome all\n"


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140, 200])
def test_table_fits_its_width(width: int) -> None:
    for document in (sample.findings(), sample.drift(), {"schema": "posture-runs/1", "runs": [sample.RUN]}):
        lines = text(document, "table", width=width).splitlines()
        # a column that cannot shrink (an id) is never cut: below 80 columns it may stick out
        assert width < 80 or max(map(len, lines)) <= width


def test_table_names_the_two_runs_and_doubts_a_suspect_one() -> None:
    shown = text(sample.drift() | {"suspect": True}, "table")
    assert shown.startswith(f"From {sample.BEFORE['id']} to {sample.RUN['id']}; too much changed")


def test_plan_shows_its_refusals() -> None:
    refusal = {"asset": "a.test", "class": "active", "address": "192.0.2.1", "code": "E-SCOPE-004", "text": "Add it."}
    shown = text({"schema": "posture-plan/1", "tasks": [], "refusals": [refusal]}, "table")
    assert "Nothing would be asked." in shown
    assert "E-SCOPE-004" in shown


def test_colour_is_used_only_when_asked_for() -> None:
    assert "\x1b[" not in text(sample.findings(), "table", colour=False)
    coloured = text(sample.findings(), "table", colour=True)
    assert "\x1b[1;31m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured).split() == text(sample.findings(), "table").split()


def test_hostile_text_is_inert_on_a_terminal() -> None:
    shown = text(hostile(), "table", colour=False)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202e\u2066\ufeff\ud800]", shown)
    assert "\\u{1b}[31mred" in shown.replace("\n", "").replace(" ", "") or "\\u{1b}" in shown


def test_json_is_ascii_and_reads_back_the_same() -> None:
    shown = text(hostile(), "json")
    assert shown.isascii()
    assert json.loads(shown) == hostile()


def test_jsonl_has_one_row_a_line() -> None:
    lines = text(hostile(), "jsonl").splitlines()
    assert [json.loads(line) for line in lines] == hostile()["findings"]


def test_csv_has_the_fields_of_the_contract_in_order() -> None:
    shown = text(sample.findings(), "csv")
    assert shown.split("\r\n")[0] == ",".join(FINDING_FIELDS)
    assert tuple(sample.rows()[0]) == FINDING_FIELDS
    first = next(csv.DictReader(io.StringIO(shown, newline="")))
    assert first["args"] == "protocols=TLS 1.0;TLS 1.1"
    assert first["stale"] == "false"
    assert first["reason"] == ""


def test_hostile_text_stays_one_inert_cell_in_csv() -> None:
    rows = list(csv.DictReader(io.StringIO(text(hostile(), "csv"), newline="")))
    assert len(rows) == len(PAYLOADS)
    assert all(None not in row for row in rows)
    assert not [row["message"] for row in rows if row["message"][:1] in tuple("=+-@\t\r\n\0\uff1d")]


def test_markdown_table_has_as_many_cells_in_every_line() -> None:
    lines = text(hostile(), "md").splitlines()
    counts = {len(re.findall(r"(?<!\\)\|", line.replace("\\\\", ""))) for line in lines}
    assert len(counts) == 1
    assert len(lines) == len(PAYLOADS) + 2


def test_unknown_format_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="table, json, jsonl, csv, md"):
        text(sample.findings(), "xml")
    with pytest.raises(UsageError, match="Choose from: json"):
        text({"schema": "posture-scorecard/1"}, "csv")


@pytest.mark.parametrize("format", FORMATS)
def test_every_document_with_rows_has_every_format(format: str) -> None:  # noqa: A002 - as in render
    error = {"code": "E-INV-001", "file": "i.toml", "line": 3, "field": "name", "message": "Bad.", "next": "Mend it."}
    control = {"id": "tls.x", "title": "T", "check": "tls", "class": "client", "severity": "high", "kind": "practice"}
    point = {"run": "R", "at": "2026-11-23T21:00:00Z", "ministry": "m", "score": 80.0, "grade": "B", "coverage": 90.0}
    for document, word in (
        ({"schema": "posture-errors/1", "errors": [error]}, "Bad."),
        ({"schema": "posture-controls/1", "controls": [control]}, "tls.x"),
        ({"schema": "posture-trend/1", "points": [point]}, "80.0"),
        ({"schema": "posture-runs/1", "runs": [sample.RUN]}, "R-20261123"),
    ):
        assert word in text(document, format)


def test_table_of_drift_begins_with_what_changed() -> None:
    same = [
        sample.event("persisting", sample.CLINIC, "web.header.basic", "warn", "warn"),
        sample.event("persisting", sample.MAIL, "dns.dnssec.signed", "fail", "fail"),
    ]
    document = sample.drift()
    document["events"] = [same[0], *document["events"], same[1]]
    rows = text(document, "table", width=200).splitlines()[2:]
    kinds = [line.split()[0] for line in rows if line[:1].strip()]

    assert kinds == ["new", "regressed", "fixed", "fixed", "unknown", "persisting", "persisting"]
    assert json.loads(text(document, "json"))["events"][0]["kind"] == "persisting"  # by asset, as ever
