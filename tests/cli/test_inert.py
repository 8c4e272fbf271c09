"""Whatever a file, an error or a log record quotes: on the terminal it is text."""

from __future__ import annotations

import io
import json
import logging
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posture.cli.logs import JsonLines, Lines
from posture.cli.printer import show
from posture.cli.progress import TerminalProgress
from posture.cli.result import Result
from posture.model import NotSeen, Reason
from posture.scanned import Scanned
from tests.cli.line import posture, script
from tests.inventory.documents import GOOD, write
from tests.reporters.sinks import moving
from tests.store import SITE, World, tls

ATTACK = "\x1b]0;owned\x07\x1b[2J\u202e\x9b31m\r"
TEXT = st.text(st.characters(codec=None))
unhurried = settings(deadline=None)  # a busy machine is no fault


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def record(message: str, *arguments: object, fault: BaseException | None = None) -> logging.LogRecord:
    caught = (type(fault), fault, fault.__traceback__) if fault else None
    return logging.LogRecord("posture.net", logging.WARNING, __file__, 1, message, arguments, caught)


@unhurried
@given(TEXT)
def test_a_log_record_is_one_line(text: str) -> None:
    for argument in (text, NotSeen(Reason.MALFORMED, text), Scanned(text)):
        shown = Lines().format(record("%s does not answer", argument))
        assert "\n" not in shown
        assert not moving(shown)
        assert shown.startswith("WARNING posture.net: ")
        entry = json.loads(JsonLines().format(record("%s does not answer", argument)))
        assert entry["message"].endswith(" does not answer")


@unhurried
@given(TEXT)
def test_a_trace_cannot_pass_for_a_record(text: str) -> None:
    try:
        raise NotSeen(Reason.MALFORMED, f"{text}\nERROR posture: all ministries are fine")
    except NotSeen as fault:
        shown = Lines().format(record("a bug", fault=fault))
        entry = json.loads(JsonLines().format(record("a bug", fault=fault)))
    assert not moving(shown)
    assert all(line.startswith("    ") for line in shown.split("\n")[1:])
    assert "NotSeen" in shown
    assert "NotSeen" in entry["trace"]


def test_scanned_text_in_a_json_record_is_text() -> None:
    assert json.loads(JsonLines().format(record("%s", Scanned("\x1b<b>"))))["message"] == "\\u{1b}<b>"


@unhurried
@given(TEXT)
def test_remarks_and_results_are_inert(text: str) -> None:
    out, err, live = io.StringIO(), io.StringIO(), Terminal()
    show(Result(text=f"said: {text}\n", remark=f"remark: {text}\n"), out, err)
    progress = TerminalProgress(live)
    progress.said(text)
    for shown in (out.getvalue(), err.getvalue(), live.getvalue().replace("\r\x1b[K", "")):
        assert not moving(shown)
    assert out.getvalue().startswith("said: ")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_character_that_the_locale_lacks_stops_nothing(encoding: str, tmp_path: Path) -> None:
    World(tmp_path / "posture.db").scan({(SITE, "tls", "mx:Ministère-保健省"): tls("bad")})
    done = subprocess.run(
        [script(), "findings"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONIOENCODING": encoding, "HOME": str(tmp_path), "COLUMNS": "250"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert ("Ministère" if encoding != "ascii" else "Minist\\xe8re").encode(encoding) in done.stdout


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('id = "lc-2026-001"', 'id = "\\u001b]0;owned\\u0007"'),
        ('zones = ["finance.gov.example"]', 'zones = ["\\u001b[2J<b>.finance.gov.example"]'),
        ('owner = "Ministry of Finance"', 'owner = "a\\u202eb\\u009b31m"'),
        ('classes = ["passive"', 'classes = ["\\u001b[31m"'),
        ('timezone = "America/St_Lucia"', 'timezone = "\\u001b[31m/../x"'),
    ],
)
@pytest.mark.parametrize("command", [("inventory", "check"), ("plan", "--resolver", "127.0.0.1:9")])
def test_errors_that_quote_an_inventory_are_inert(
    command: tuple[str, ...], before: str, after: str, tmp_path: Path
) -> None:
    assert before in GOOD
    said = posture(*command, write(tmp_path, GOOD.replace(before, after)))

    assert said.code == 2
    assert not moving(said.out + said.err)
    assert said.err


@pytest.mark.parametrize("cell", ["name", "kind", "ports", "ministry"])
def test_errors_that_quote_a_sheet_are_inert(cell: str, tmp_path: Path) -> None:
    inventory = write(tmp_path)
    row = {"ministry": "finance", "name": "a.finance.gov.example", "kind": "host", "ports": "443"} | {cell: ATTACK}
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(
        ",".join(row) + "\n" + ",".join(f'"{value}"' for value in row.values()) + "\n", "utf-8", newline=""
    )
    said = posture("inventory", "import", sheet, "--into", inventory)
    machine = posture("inventory", "import", sheet, "--into", inventory, "--format", "json")

    assert said.code == 2
    assert not moving(said.out + said.err)
    assert said.err
    assert machine.out.isascii()


def test_arguments_and_paths_are_inert(tmp_path: Path) -> None:
    for words in (
        ("findings", "--severity", ATTACK),
        ("plan", tmp_path / ATTACK),
        ("findings", "--db", tmp_path / ATTACK),
        ("explain", ATTACK),
        ("plan", f"--{ATTACK}"),
        (ATTACK,),
    ):
        said = posture(*words)
        assert said.code == 2, words
        assert not moving(said.out + said.err), words
