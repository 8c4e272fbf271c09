"""Help, global options, usage errors: before any command does its work."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

import posture as package
from posture.cli.app import DAILY, EVIDENCE, START, UPKEEP
from posture.cli.arguments import hoist
from tests.cli.conftest import Scanned
from tests.cli.line import PATIENCE, posture, process, script

COMMANDS = (
    "demo", "init", "inventory check", "inventory import", "range up", "plan", "scan", "runs", "findings", "drift", "stop",
    "scorecard", "controls", "explain", "schema", "doctor", "audit show", "verify", "keys new", "keys show",
)  # fmt: skip
JSON = ("inventory check", "plan", "runs", "findings", "drift", "scorecard", "controls", "stop", "audit show")


def helped(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert posture(*words, "--help").code == 0
    return capsys.readouterr().out


def test_help_groups_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    text = helped(capsys)
    places = [text.index(f"\n{group}:\n") for group in (START, DAILY, EVIDENCE, UPKEEP)]

    assert places == sorted(places)
    assert all(f"\n  {command.partition(' ')[0]} " in text for command in COMMANDS)
    assert "Exit codes: 0 done" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(helped(capsys, *command.split()).split())

    assert f"Example: posture {command}" in text


@pytest.mark.parametrize("command", JSON)
def test_commands_with_json_say_so(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = helped(capsys, *command.split())

    assert "--format" in text
    assert "json" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert posture("--version").code == 0
    assert capsys.readouterr().out == f"posture {package.__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        ["nosuch"],
        ["region", "status"],
        ["export"],
        ["runs", "--nosuch"],
        ["runs", "surplus"],
        ["inventory", "nosuch"],
        ["scorecard"],
        ["schema"],
        ["schema", "nosuch"],
        ["explain"],
        ["init"],
        ["runs", "--db"],
        ["runs", "--log-format", "xml"],
        ["runs", "--config", "nosuch.toml"],
        ["runs", "--resolver", "a-name.test"],
        ["controls", "--format", "nosuch"],
        ["controls", "--check", "nosuch"],
        ["plan", "--profile", "nosuch"],
        ["scan", "--engine", "cluster"],
        ["scan", "--fail-on", "nosuch"],
        ["scan", "nosuch.toml"],
        ["plan", "nosuch.toml"],
        ["drift", "--fail-on", "nosuch"],
        ["findings", "--fail-on", "nosuch"],
        ["findings", "--outcome", "fail,nosuch"],
        ["range", "up", "--lesson", "99"],
    ],
    ids=" ".join,
)
def test_usage_errors_are_2_and_leave_nothing(words: list[str], elsewhere: Path) -> None:
    said = posture(*words)

    assert said.code == 2
    assert said.out == ""
    assert "posture: " in said.err
    assert list(elsewhere.iterdir()) == []


def test_nothing_typed_shows_help_and_is_2() -> None:
    said = posture()

    assert (said.code, said.out) == (2, "")
    assert "Every day:" in said.err


def test_usage_errors_as_json() -> None:
    said = posture("findings", "--nosuch", "--format", "json")

    assert (said.code, said.err) == (2, "")
    assert said.document["errors"][0]["code"] == "E-USAGE"


@pytest.mark.parametrize("command", [["runs"], ["findings"], ["drift"], ["findings", "--format", "json"]], ids=" ".join)
def test_a_reading_command_never_creates_a_database(command: list[str], elsewhere: Path) -> None:
    said = posture(*command, "--db", "nosuch.db")

    assert said.code == 2
    assert "no such database" in said.out + said.err
    assert list(elsewhere.iterdir()) == []


def test_global_options_stand_before_and_after(scanned: Scanned) -> None:
    before = posture("--db", scanned.db, "runs", "--format", "json")
    after = posture("runs", "--format", "json", f"--db={scanned.db}")
    deep = posture("inventory", "check", scanned.inventory, "-q", "--log-format", "json", "-vv")

    assert before == after
    assert before.code == deep.code == 0
    assert len(before.document["runs"]) == 3


def test_the_environment_names_the_database_and_the_flag_wins(
    scanned: Scanned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTURE_DB", str(scanned.db))

    assert posture("runs").code == 0
    assert posture("runs", "--db", "nosuch.db").code == 2


def test_hoisting_stops_at_a_double_dash() -> None:
    assert hoist(["runs", "--db", "a", "--lab", "--", "--db", "b"]) == ["--db", "a", "--lab", "runs", "--", "--db", "b"]
    assert hoist(["runs", "-vv", "-q", "--db=a"]) == ["-vv", "-q", "--db=a", "runs"]
    assert hoist(["runs", "--lab=yes"]) == ["runs", "--lab=yes"]


def test_an_argument_cannot_write_to_the_terminal() -> None:
    said = posture("runs", "--db", "a\x1b]0;owned\x07b")

    assert said.code == 2
    assert "\\u{1b}" in said.err
    assert "\x1b" not in said.err


def test_a_bug_is_5_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("\x1b[31mred")

    monkeypatch.setattr("posture.checks.catalogue", broken)
    said = posture("controls")

    assert (said.code, said.out) == (5, "")
    assert "ZeroDivisionError: \\u{1b}[31mred" in said.err
    assert "Please report it" in said.err
    assert "Traceback" not in said.err


def test_the_console_script_keeps_exit_codes_and_streams_apart(tmp_path: Path) -> None:
    good = process("controls", "--format", "json", cwd=tmp_path)
    bad = process("runs", cwd=tmp_path)

    assert (good.code, good.err) == (0, "")
    assert good.document["schema"] == "posture-controls/1"
    assert (bad.code, bad.out) == (2, "")
    assert "Traceback" not in bad.err


@pytest.mark.parametrize(
    "words", [["controls"], ["--help"], ["nosuch", "--format", "json"], ["--version"]], ids=" ".join
)
def test_a_reader_that_leaves_is_no_fault(words: list[str], tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [script(), *words],
            cwd=tmp_path,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    finally:
        os.close(writer)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_bug_is_logged_as_json_with_its_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("red")

    monkeypatch.setattr("posture.checks.catalogue", broken)
    assert posture("controls", "-vv", "--log-format", "json").code == 5
    (entry,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    assert (entry["level"], entry["message"]) == ("debug", "a bug")
    assert entry["trace"].endswith("ZeroDivisionError: red")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_5_and_no_bug(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [script(), "controls"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    assert done.returncode == 5
    assert done.stderr == "posture: the disk is full; finished results are kept. Free some space and try again.\n"
