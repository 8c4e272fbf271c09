"""posture exemptions and posture dispute, on a practice range that really was scanned."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from posture.store import Store
from tests.cli.conftest import Scanned

PORTAL = "portal.finance.gov.example"
TODAY = datetime.now(UTC).date()


@pytest.fixture
def copy(scanned: Scanned, tmp_path: Path) -> Scanned:
    folder = tmp_path / "copy"
    shutil.copytree(scanned.folder, folder, ignore=shutil.ignore_patterns("*.db", "*.db-*", "*.lock"))
    with closing(sqlite3.connect(scanned.db)) as source, closing(sqlite3.connect(folder / "posture.db")) as target:
        source.backup(target)
    return replace(scanned, folder=folder)


def entry(name: str, control: str, days: int, asset: str = PORTAL) -> str:
    approved, expires = TODAY - timedelta(days=60), TODAY + timedelta(days=days)
    return (
        f'[[exemption]]\nid = "{name}"\ncontrol = "{control}"\nasset = "{asset}"\nrationale = "Replaced in May."\n'
        f'approver = "Permanent Secretary"\napproved = {approved:%Y-%m-%d}\nexpires = {expires:%Y-%m-%d}\n'
    )


def write(folder: Path, *entries: str) -> None:
    (folder / "exemptions.toml").write_text("\n".join(['format = "posture-exemptions/1"', *entries]))


def worst(copy: Scanned, *words: str) -> int:
    return copy.ask("findings", "--asset", PORTAL, "--check", "services", "--fail-on", "high", *words).code


def test_an_exempted_finding_stays_what_it_is_and_does_not_fail_a_job(copy: Scanned) -> None:
    before = copy.ask("findings", "--asset", PORTAL, "--check", "services", "--format", "json").document["findings"]
    failing = {row["control"] for row in before if row["outcome"] == "fail"}
    assert failing
    assert worst(copy) == 1
    write(copy.folder, *(entry(f"EX-{place}", name, 90) for place, name in enumerate(sorted(failing))))
    after = copy.ask("findings", "--asset", PORTAL, "--check", "services", "--format", "json").document["findings"]
    assert [{**row, "exemption": None} for row in after] == before, "outcome, severity, everything"
    assert all(bool(row["exemption"]) is (row["outcome"] in ("fail", "warn")) for row in after)
    assert worst(copy) == 0
    table = " ".join(copy.ask("findings", "--asset", PORTAL, "--check", "services").out.split())
    assert "exempted: EX-0 until" in table


def test_one_that_has_ended_has_no_effect_and_is_said(copy: Scanned) -> None:
    write(copy.folder, entry("EX-1", "svc.*", -1))
    said = copy.ask("findings", "--asset", PORTAL, "--check", "services", "--fail-on", "high")
    assert said.code == 1
    assert "exempted" not in said.out
    assert "exemption EX-1 (svc.* on portal.finance.gov.example) ended on" in said.err
    assert "has no effect" in copy.ask("exemptions").out


def test_the_list_says_what_ends_soon(copy: Scanned) -> None:
    write(copy.folder, entry("EX-1", "svc.*", 9), entry("EX-2", "tls.*", 200), entry("EX-3", "web.*", -3))
    rows = copy.ask("exemptions", "--format", "json").document["exemptions"]
    assert [(row["id"], row["state"], row["days_left"]) for row in rows] == [
        ("EX-1", "ending", 9), ("EX-2", "in_force", 200), ("EX-3", "expired", -3),
    ]  # fmt: skip
    assert rows[0]["findings"] > 0
    assert "ends on" in copy.ask("exemptions").out
    assert "exemption EX-1" in copy.ask("findings").err


def test_before_the_first_scan(copy: Scanned) -> None:
    copy.db.unlink()
    write(copy.folder, entry("EX-1", "svc.*", 9))
    assert [row["findings"] for row in copy.ask("exemptions", "--format", "json").document["exemptions"]] == [0]


def test_all_faults_of_the_file_at_once(copy: Scanned) -> None:
    write(copy.folder, entry("EX-1", "svcc.*", 600), entry("EX-1", "tls.*", 5))
    said = copy.ask("exemptions")
    assert said.code == 2
    assert "exemptions.toml:4: exemption[0].control: matches no control" in said.err
    assert "400 is the longest" in said.err
    assert "stands twice, first in line 3" in said.err
    errors = copy.ask("findings", "--format", "json")
    assert errors.code == 2
    assert {row["field"] for row in errors.document["errors"]} == {
        "exemption[0].control", "exemption[0].expires", "exemption[1].id",
    }  # fmt: skip


def test_a_scan_keeps_them_on_record(copy: Scanned) -> None:
    write(copy.folder, entry("EX-1", "svc.*", 9))
    said = copy.ask("scan", "--lab", "--asset", PORTAL, "--fail-on", "critical")
    assert said.code == 0, said.err
    assert "exempted)" in said.out
    assert "note: exemption EX-1" in said.out
    (copy.folder / "exemptions.toml").unlink()
    document = copy.ask("exemptions", "--run", "latest", "--format", "json").document
    assert [row["id"] for row in document["exemptions"]] == ["EX-1"]
    assert document["run"].startswith("R-")
    assert copy.ask("exemptions", "--run", "previous", "--format", "json").document["exemptions"] == []
    rows = copy.ask("findings", "--run", "latest", "--check", "services", "--format", "json").document["findings"]
    assert any(row["exemption"] for row in rows)


def test_the_scorecard_says_how_many_and_lists_them(copy: Scanned, tmp_path: Path) -> None:
    def card() -> dict[str, object]:
        import json

        assert copy.ask("scorecard", "--out", tmp_path / "site", "--format", "json").code == 0
        found: dict[str, object] = json.loads((tmp_path / "site" / "scorecard.json").read_text())
        return found

    def finance(document: dict[str, object]) -> dict[str, object]:
        (one,) = [row["score"] for row in document["ministries"] if row["ministry"] == "finance"]  # type: ignore[attr-defined]
        return dict(one)

    before = finance(card())
    write(copy.folder, entry("EX-1", "svc.*", 9))
    document = card()
    after = finance(document)
    assert after["exempted"]
    assert {**after, "exempted": 0} == before, "the score counts it all the same"
    assert [(row["id"], row["ministry"]) for row in document["exemptions"]] == [("EX-1", "finance")]  # type: ignore[attr-defined]
    assert copy.ask("scorecard", "--out", tmp_path / "site", "--ministry", "finance").code == 0
    page = (tmp_path / "site" / "index.html").read_text()
    assert "Accepted for a time" in page
    assert "ends on" in page
    assert copy.ask("scorecard", "--out", tmp_path / "site", "--ministry", "health").code == 0
    assert "EX-1" not in (tmp_path / "site" / "index.html").read_text()
    assert copy.ask("scorecard", "--out", tmp_path / "site", "--format", "md").code == 0
    assert "counted all the same" in (tmp_path / "site" / "scorecard.md").read_text()


# ---- disputes


def add(copy: Scanned, *words: str) -> tuple[int, str, str]:
    said = copy.ask(
        "dispute",
        "add",
        "--asset",
        PORTAL,
        "--control",
        "tls.hsts.policy",
        "--by",
        "J. Doe",
        "--reason",
        "A proxy sends it.",
        *words,
    )
    return said.code, said.out, said.err


def test_a_dispute_is_shown_beside_the_finding_and_changes_nothing(copy: Scanned) -> None:
    question = ("findings", "--asset", PORTAL, "--control", "tls.hsts.policy", "--outcome", "all", "--format", "json")
    (before,) = copy.ask(*question).document["findings"]
    code, out, _ = add(copy)
    assert (code, "D-1 open (J. Doe): A proxy sends it." in out) == (0, True)
    (after,) = copy.ask(*question).document["findings"]
    assert after == before | {"dispute": "D-1 open (J. Doe): A proxy sends it."}
    said = copy.ask("dispute", "resolve", "d-1", "--decision", "rejected", "--by", "CERT", "--reason", "Seen again.")
    assert said.code == 0
    assert copy.ask(*question).document["findings"][0]["dispute"] == "D-1 rejected (CERT): Seen again."
    (row,) = copy.ask("dispute", "list", "--format", "json").document["disputes"]
    assert (row["state"], row["outcome"], row["now"]) == ("rejected", before["outcome"], before["outcome"])
    assert [step["decision"] for step in row["steps"]] == ["rejected"]
    assert "Seen again." in copy.ask("dispute", "list").out


def test_a_dispute_stands_on_the_pages(copy: Scanned, tmp_path: Path) -> None:
    copy.ask("dispute", "add", "--asset", PORTAL, "--control", "svc.baseline", "--by", "J", "--reason", "<b>no</b>")
    (row,) = copy.ask("dispute", "list", "--format", "json").document["disputes"]
    assert row["outcome"] == "fail"
    copy.ask("scorecard", "--out", tmp_path / "site", "--ministry", "finance", "--single-file")
    page = (tmp_path / "site" / "scorecard.html").read_text()
    assert "<strong>Disputed:</strong> D-1 open (J): &lt;b&gt;no&lt;/b&gt;" in page
    first, _, rest = page.partition("Do first")
    assert "Disputed:" not in first
    assert "<strong>Disputed:</strong> D-1" in rest.partition("</ol>")[0]
    copy.ask("scorecard", "--out", tmp_path / "site", "--format", "md")
    text = (tmp_path / "site" / "scorecard.md").read_text().replace("\\", "")
    assert "(disputed: D-1 open (J)" in text.partition("## Do first")[2].partition("## ")[0]
    assert text.count("disputed: D-1 open") == 2
    copy.ask("scorecard", "--out", tmp_path / "site", "--format", "json")
    steps = json.loads((tmp_path / "site" / "scorecard.json").read_text())["first"]
    assert {step["control"]: step["dispute"] for step in steps if step["dispute"]} == {
        "svc.baseline": "D-1 open (J): <b>no</b>"
    }


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--subject", "x"), "has no finding about 'x' on"),
        (("--by", " "), "--by is empty"),
        (("--reason", ""), "--reason is empty"),
        (("--reason", "a\x1bb"), "no plain line of text"),
        (("--control", "tls.none"), "nothing is known of tls.none"),
        (("--asset", "none.gov.example"), "nothing is known of"),
    ],
)
def test_what_cannot_be_disputed(copy: Scanned, words: tuple[str, str], says: str) -> None:
    given = {"--asset": PORTAL, "--control": "tls.hsts.policy", "--by": "J", "--reason": "x"} | dict([words])
    said = copy.ask("dispute", "add", *(word for pair in given.items() for word in pair))
    assert said.code == 2
    assert says in said.err
    assert copy.ask("dispute", "list", "--format", "json").document["disputes"] == []


def test_twice_is_refused_and_decisions_follow_one_another(copy: Scanned) -> None:
    def decide(decision: str, name: str = "D-1") -> tuple[int, str]:
        said = copy.ask("dispute", "resolve", name, "--decision", decision, "--by", "CERT", "--reason", "x")
        return said.code, said.err

    add(copy)
    assert add(copy)[0] == 2
    assert decide("reopened")[0] == 2
    assert decide("accepted") == (0, "")
    assert "reopened" in decide("rejected")[1]
    assert decide("reopened") == decide("withdrawn") == (0, "")
    assert "no dispute 'D-9'" in decide("accepted", "D-9")[1]
    assert "no decision 'maybe'" in decide("maybe")[1]
    assert add(copy)[0] == 0, "another claim about the same finding"
    rows = copy.ask("dispute", "list", "--format", "json").document["disputes"]
    assert [(row["id"], row["state"]) for row in rows] == [("D-2", "open"), ("D-1", "withdrawn")]
    assert [
        row["id"] for row in copy.ask("dispute", "list", "--state", "open", "--format", "json").document["disputes"]
    ] == ["D-2"]
    assert copy.ask("dispute", "list", "--state", "closed").code == 2
    assert copy.ask("dispute", "list", "--ministry", "health", "--format", "json").document["disputes"] == []


def test_the_record_is_append_only(copy: Scanned) -> None:
    add(copy)
    copy.ask("dispute", "resolve", "D-1", "--decision", "rejected", "--by", "CERT", "--reason", "x")
    with Store.open(copy.db, write=True) as store:
        for change in (
            "DELETE FROM dispute", "UPDATE dispute SET reason = 'y'", "DELETE FROM dispute_step",
            "UPDATE dispute_step SET decision = 'accepted'",
        ):  # fmt: skip
            with pytest.raises(sqlite3.IntegrityError), store.writing() as connection:
                connection.execute(change)


def test_a_scan_that_holds_the_database_refuses(copy: Scanned) -> None:
    with Store.open(copy.db, write=True):
        assert add(copy)[0] == 4


def test_as_it_was_known_before_the_dispute(copy: Scanned) -> None:
    add(copy)
    rows = copy.ask("findings", "--run", "latest", "--format", "json").document["findings"]
    assert {row["dispute"] for row in rows} == {None}, "the run knew nothing of it"
