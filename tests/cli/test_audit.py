"""audit show, verify --audit, keys: on the trail of a practice range that really was scanned."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.audit import ADDRESS, Desk, decision
from tests.cli.conftest import Scanned
from tests.cli.line import posture, process

PORTAL = "portal.finance.gov.example"
AT_PORTAL = "127.0.20.11"
NOBODY = "127.0.20.250"


@pytest.fixture
def kept(scanned: Scanned, tmp_path: Path) -> Scanned:
    """A copy of the folder that a test may spoil."""
    folder = tmp_path / "copy"
    shutil.copytree(scanned.folder, folder)
    return Scanned(folder, scanned.first, scanned.second, scanned.finance)


def trail_of(scanned: Scanned) -> Path:
    return scanned.folder / "posture.db.audit.jsonl"


def records(scanned: Scanned) -> list[dict[str, Any]]:
    return [json.loads(line) for line in trail_of(scanned).read_bytes().splitlines()]


def first_contact(scanned: Scanned, address: str) -> datetime:
    """In the State's local time."""
    at = next(each["at"] for each in records(scanned) if each.get("address") == address and each.get("allowed"))
    zone = json.loads(posture("audit", "show", "--config", scanned.config, "--format", "json").out)["asked"]["timezone"]
    return datetime.fromisoformat(at).astimezone(ZoneInfo(zone))


# ---- was it you


def test_yes_it_was(scanned: Scanned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    local = first_contact(scanned, AT_PORTAL)
    said = scanned.ask("audit", "show", "--address", AT_PORTAL, "--at", f"{local:%Y-%m-%dT%H:%M}")
    first = " ".join(said.out.partition("\n\n")[0].split())

    assert said.code == 0
    assert re.match(r"Yes: \d+ .*connections.* to 127\.0\.20\.11 by runs R-", first)
    assert "under zz-finance-01 of " in first
    assert f"{local:%Y-%m-%d %H:%M}" in first
    assert PORTAL in said.out
    assert len(said.out.splitlines()) < 40  # one screen, of three scans


def test_an_address_is_said_in_its_ordinary_spelling(scanned: Scanned) -> None:
    said = scanned.ask("audit", "show", "--address", f"[::ffff:{AT_PORTAL}]", "--format", "json").document

    assert said["asked"]["address"] == AT_PORTAL
    assert f"to {AT_PORTAL} by " in said["answer"]


def test_yes_as_json_counts_what_the_trail_says(scanned: Scanned) -> None:
    document = scanned.ask("audit", "show", "--address", AT_PORTAL, "--format", "json").document
    said = [each for each in records(scanned) if each["kind"] == "decision" and each["address"] == AT_PORTAL]

    assert sum(row["connections"] for row in document["contacts"] if row["allowed"]) == sum(
        each["connections"] for each in said if each["allowed"]
    )
    assert document["trail"]["broken"] is None
    assert document["trail"]["records"] == len(records(scanned))
    assert {row["asset"] for row in document["contacts"]} == {PORTAL}
    sweeps = [row for row in document["contacts"] if row["traffic"] == "sweep"]
    assert sweeps
    assert all(len(row["ports"]) > 5 for row in sweeps)


def test_jsonl_has_one_group_a_line(scanned: Scanned) -> None:
    said = scanned.ask("audit", "show", "--asset", PORTAL.upper() + ".", "--format", "jsonl")

    assert said.records == scanned.ask("audit", "show", "--asset", PORTAL, "--format", "json").document["contacts"]
    assert said.records


def test_no_it_was_not(scanned: Scanned) -> None:
    day = f"{first_contact(scanned, AT_PORTAL):%Y-%m-%d}"
    said = scanned.ask("audit", "show", "--address", NOBODY, "--at", day)

    assert said.code == 0
    assert " ".join(said.out.split()).startswith(f"No: nothing was sent to {NOBODY} on {day} (")


def test_a_time_before_the_trail_is_not_nothing(scanned: Scanned) -> None:
    said = scanned.ask("audit", "show", "--address", AT_PORTAL, "--at", "2020-01-01T12:00Z")

    assert said.code == 0
    assert said.out.startswith("This trail cannot tell: ")


def test_a_time_alone_is_the_last_one_that_the_clocks_showed(scanned: Scanned) -> None:
    local = first_contact(scanned, AT_PORTAL)
    said = scanned.ask("audit", "show", "--address", AT_PORTAL, "--at", f"{local:%H:%M}")

    assert said.out.startswith("Yes: ")
    yesterday = scanned.ask("audit", "show", "--address", AT_PORTAL, "--at", f"{local + timedelta(hours=2):%H:%M}")
    assert yesterday.out.startswith("This trail cannot tell: it begins at ")


def test_refusals_stand_apart(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "posture.db")
    with desk.scan() as trail:
        desk.ask(trail, 3)
        for _ in range(7):
            trail.decided(decision(desk.tick(), allowed=False))
    said = posture("audit", "show", "--address", ADDRESS, "--audit", desk.path)
    sent, _, refused = said.out.partition("\nRefused, and not sent:\n")

    assert "Yes: 3 connections to" in sent
    assert "7 attempts were refused by posture itself and not sent." in " ".join(sent.split())
    assert "E-SCOPE-020" not in sent
    assert "E-SCOPE-020" in refused
    assert "(UTC)" in sent  # no database, no State


def test_the_window_is_as_wide_as_said(scanned: Scanned) -> None:
    local = first_contact(scanned, AT_PORTAL) - timedelta(minutes=30)
    at = f"{local:%Y-%m-%dT%H:%M:%S}"
    narrow = scanned.ask("audit", "show", "--address", AT_PORTAL, "--at", at, "--format", "json").document
    wide = scanned.ask(
        "audit", "show", "--address", AT_PORTAL, "--at", at, "--window", "31", "--format", "json"
    ).document

    assert narrow["contacts"] == []
    assert narrow["answer"].startswith("This trail cannot tell")
    assert wide["contacts"]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--address", PORTAL], "is no address"),
        (["--address", "127.0.20.11:443"], "is no address"),
        (["--address", "0x7f000001"], "is no address"),
        (["--at", "yesterday"], "is no date and no time"),
        (["--at", "9999-12-31"], "is no date and no time"),
        (["--window", "5"], "--window is about a time"),
        (["--at", "2026-11-24", "--window", "5"], "--window is about a time"),
        (["--at", "2026-11-24T21:03", "--window", "-1"], "--window"),
        (["--format", "csv"], "no format 'csv'"),
        (["--audit", "nosuch.jsonl"], "no audit trail nosuch.jsonl"),
        (["--audit", "."], "cannot be read: Is a directory"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_usage_errors_of_show(scanned: Scanned, words: list[str], what: str) -> None:
    said = scanned.ask("audit", "show", *words)

    assert (said.code, said.out) == (2, "")
    assert what in said.err


def test_without_a_database_and_a_trail_there_is_nothing_to_show() -> None:
    said = posture("audit", "show", "--db", "nosuch.db")

    assert (said.code, said.out) == (2, "")
    assert "no audit trail" in said.err


def test_a_trail_that_was_changed_is_shown_with_a_warning(kept: Scanned) -> None:
    path = trail_of(kept)
    path.write_bytes(path.read_bytes().replace(b'"port":443', b'"port":444', 1))
    said = kept.ask("audit", "show", "--address", AT_PORTAL)

    assert said.code == 0
    assert said.out.startswith("This trail does not hold: record ")


def test_what_a_scanned_system_called_itself_does_not_reach_the_terminal(kept: Scanned) -> None:
    path = trail_of(kept)
    path.write_bytes(path.read_bytes().replace(PORTAL.encode(), b"\\u001b]0;owned\\u0007"))
    for output in ("table", "json", "jsonl"):
        said = kept.ask("audit", "show", "--address", AT_PORTAL, "--format", output)
        assert "owned" in said.out
        assert "\x1b" not in said.out


# ---- is it whole


def test_a_whole_trail_is_consistent_and_with_the_key_verified(scanned: Scanned) -> None:
    shown = scanned.ask("keys", "show").out
    fingerprint = re.search(r"SHA256:\S+", shown)
    public = re.search(r"ssh-ed25519 \S+", shown)
    assert fingerprint
    assert public
    plain = posture("verify", "--audit", trail_of(scanned))
    keyed = posture("verify", "--audit", trail_of(scanned), "--key", fingerprint[0])
    file = Path("operator.pub")
    file.write_text(public[0])

    assert plain.code == keyed.code == 0
    assert f"{trail_of(scanned)}: consistent; signer not checked.\n" in plain.out
    assert f"  signed by    {fingerprint[0]}\n" in plain.out
    assert "  runs         3: R-" in plain.out
    assert "remembers record" in plain.out
    assert "verified; every checkpoint is signed by that key" in keyed.out
    assert posture("verify", "--audit", trail_of(scanned), "--key", file) == keyed
    assert posture("verify", "--audit", trail_of(scanned), "--key", public[0]) == keyed


def test_another_key_is_1(scanned: Scanned) -> None:
    other = "SHA256:" + "A" * 43
    said = posture("verify", "--audit", trail_of(scanned), "--key", other)

    assert said.code == 1
    assert re.search(r"record \d+ \(line \d+\) is signed by SHA256:\S+, not by SHA256:AAAA", said.out)


def test_a_changed_record_is_named_and_1(kept: Scanned) -> None:
    path = trail_of(kept)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[41] = lines[41].replace(b'"seq":42', b'"seq":43')
    path.write_bytes(b"".join(lines))
    said = posture("verify", "--audit", path)

    assert said.code == 1
    assert "record 42 (line 42) does not follow from the one before it" in said.out


def test_a_damaged_database_beside_it_takes_nothing_from_a_trail(kept: Scanned) -> None:
    (kept.folder / "posture.db").write_bytes(b"no database any more")
    said = posture("verify", "--audit", trail_of(kept))

    assert said.code == 0
    assert "consistent" in said.out
    assert "cannot be asked whether the end is missing: " in said.out


def test_was_it_you_is_answered_beside_a_damaged_database_too(kept: Scanned) -> None:
    (kept.folder / "posture.db").write_bytes(b"no database any more")
    said = kept.ask("audit", "show", "--address", AT_PORTAL)

    assert said.code == 0
    assert said.out.startswith("Yes: ")
    assert said.err.startswith("warning: times are UTC: the database cannot be asked")


def test_a_change_of_the_key_is_in_the_trail_with_where_the_ledger_stands(kept: Scanned) -> None:
    before = kept.ask("keys", "show").out.split()[1]
    assert kept.ask("keys", "rotate").code == 0
    after = kept.ask("keys", "show").out.split()[1]

    for key in (before, after):
        assert posture("verify", "--audit", trail_of(kept), "--key", key).code == 0
        said = kept.ask("verify", "--db", "--key", key)
        assert said.code == 0
        assert re.search(r"^  trail +saw 4 entries, and they are here$", said.out, re.MULTILINE)


def test_a_cut_trail_beside_its_database_is_1(kept: Scanned) -> None:
    path = trail_of(kept)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    said = posture("verify", "--audit", path)
    moved = path.rename(kept.folder / "elsewhere.jsonl")

    assert said.code == 1
    assert "the end was cut off" in said.out
    assert posture("verify", "--audit", moved).code == 0  # by itself it cannot know


@pytest.mark.parametrize(
    "words",
    [
        ["verify"],
        ["verify", "posture.zip"],
        ["verify", "--key", "SHA256:x"],
        ["verify", "--audit", "nosuch"],
        ["verify", "--audit", "."],
        ["audit"],
        ["keys"],
        ["keys", "new", "surplus"],
    ],
    ids=" ".join,
)
def test_usage_errors(words: list[str], elsewhere: Path) -> None:
    said = posture(*words)

    assert (said.code, said.out) == (2, "")
    assert list(elsewhere.iterdir()) == []


# ---- the scan refuses


def test_a_scan_on_a_changed_trail_is_4_and_sends_nothing(kept: Scanned) -> None:
    path = trail_of(kept)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:10] + lines[11:]))
    before = path.read_bytes()
    said = process("scan", kept.inventory, "--lab", "--asset", PORTAL, cwd=kept.folder)

    assert (said.code, said.out) == (4, "")
    assert "posture: E-AUDIT-001 the audit trail " in said.err
    assert "record 11 (line 11)" in said.err
    assert "Nothing was sent." in said.err
    assert "Traceback" not in said.err
    assert path.read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_trail_that_may_not_be_written_is_4(kept: Scanned) -> None:
    trail_of(kept).chmod(0o400)

    assert kept.ask("scan", "--lab", "--asset", PORTAL).code == 4


def test_a_trail_that_is_a_folder_is_4(kept: Scanned) -> None:
    trail_of(kept).unlink()
    trail_of(kept).mkdir()
    said = kept.ask("scan", kept.inventory, "--lab", "--asset", PORTAL)

    assert said.code == 4
    assert "E-AUDIT-001" in said.err


def test_the_first_scan_says_the_fingerprint_of_the_key_it_made(kept: Scanned) -> None:
    words = ("scan", kept.inventory, "--lab", "--asset", PORTAL, "--db", kept.folder / "new.db")
    first, second = (process(*words, cwd=kept.folder) for _ in range(2))
    shown = re.search(r"SHA256:\S+", posture("keys", "show", "--db", kept.folder / "new.db").out)

    assert shown
    assert f"made the operator's key {kept.folder / 'new.db.key'}: {shown[0]}\n" in first.err
    assert "key" not in second.err


# ---- keys


def test_keys_new_and_show(elsewhere: Path) -> None:
    made = posture("keys", "new")
    shown = posture("keys", "show")
    again = posture("keys", "new")
    path = elsewhere / "posture.db.key"

    assert (made.code, made.err) == (0, "")
    assert made.out.splitlines()[:2] == shown.out.splitlines()[:2]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert again.code == 2
    assert "exists already" in again.err
    assert "move it away first" in again.err


def test_a_key_made_elsewhere_says_how_to_use_it(elsewhere: Path) -> None:
    said = posture("keys", "new", "--out", "cert.key")

    assert said.code == 0
    assert "key = " in said.err
    assert (elsewhere / "cert.key").exists()
    assert posture("keys", "show").code == 2
    (elsewhere / "posture.toml").write_text('key = "cert.key"\n')
    assert posture("keys", "show").out.splitlines()[0] == said.out.splitlines()[0]


def test_a_key_that_others_may_read_is_shown_with_a_warning(elsewhere: Path) -> None:
    posture("keys", "new")
    (elsewhere / "posture.db.key").chmod(0o644)
    said = posture("keys", "show")

    assert said.code == 0
    assert said.err.startswith("warning: ")
    assert "chmod 600" in said.err


def test_a_damaged_key_is_2(elsewhere: Path) -> None:
    (elsewhere / "posture.db.key").write_text("garbage")

    assert posture("keys", "show").code == 2


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_the_fingerprint_is_ssh_keygens(elsewhere: Path) -> None:
    shown = posture("keys", "new").out
    public = re.search(r"ssh-ed25519 \S+", shown)
    assert public
    (elsewhere / "key.pub").write_text(public[0] + "\n")
    done = subprocess.run(["ssh-keygen", "-lf", elsewhere / "key.pub"], capture_output=True, text=True, check=True)

    assert done.stdout.split()[1] in shown


def test_times_are_those_of_the_state(scanned: Scanned) -> None:
    """The zone comes from the latest run, not from this machine."""
    document = scanned.ask("audit", "show", "--format", "json").document
    zone = ZoneInfo(document["asked"]["timezone"])
    first = datetime.fromisoformat(document["contacts"][0]["first_at"])

    assert first.tzinfo == UTC or first.utcoffset() == timedelta(0)
    assert f"{first.astimezone(zone):%Y-%m-%d %H:%M:%S}" in document["contacts"][0]["local"]


def test_a_broken_trail_is_named_in_json_and_1(kept: Scanned) -> None:
    path = trail_of(kept)
    path.write_bytes(path.read_bytes().replace(b'"seq":42,', b'"seq":43,', 1))
    said = posture("verify", "--audit", path, "--format", "json")

    assert said.code == 1
    assert (said.document["holds"], said.document["runs"]) == (False, None)
    assert said.document["faults"][0].startswith("record 42 (line 42) does not follow")
