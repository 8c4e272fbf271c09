"""What reaches a terminal: colour as asked for, progress that goes away, nothing raw that a scanned system wrote."""

from __future__ import annotations

import csv
import io
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from posture.checks import Declared, catalogue
from posture.cli.printer import wants_colour
from posture.facts import DmarcFacts
from posture.facts.dns import DmarcStep
from posture.model import AssetKey, Observed
from posture.policy import load_policy
from posture.store import AssetEntry
from tests.cli.conftest import TWO, Scanned
from tests.cli.line import PATIENCE, posture, process, script
from tests.reporters.hostile import PAYLOADS
from tests.store import T0, World

ZONE = "finance.gov.example"
RAW = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
COLOUR = re.compile(r"\x1b\[[0-9;]+m")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "at_a_terminal", "elsewhere"),
    [
        ({}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
        ({"NO_COLOR": "", "FORCE_COLOR": "1"}, True, True),
    ],
)
def test_who_gets_colour(environ: dict[str, str], at_a_terminal: bool, elsewhere: bool) -> None:
    assert wants_colour(Terminal(), environ) is at_a_terminal
    assert wants_colour(io.StringIO(), environ) is elsewhere


def test_colour_is_only_paint(scanned: Scanned, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = scanned.ask("findings").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    forced = scanned.ask("findings").out
    told = scanned.ask("findings", "--format", "json").out
    monkeypatch.setenv("NO_COLOR", "1")
    refused = scanned.ask("findings").out

    assert "\x1b" not in plain + told
    assert refused == plain
    assert COLOUR.search(forced)
    assert COLOUR.sub("", forced) == plain


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The history of a zone whose DMARC records hold whatever harms a reader."""
    world = World(tmp_path_factory.mktemp("hostile") / "posture.db", load_policy(), catalogue())
    entry = AssetEntry("finance", Declared(ZONE, "zone", mail=("sends", "receives")))
    for payload in (text[:10_000] for text in PAYLOADS):  # no DNS message carries more than 64 KiB
        own = f"v=DMARC1; p={payload}; rua=mailto:d@gov.example; {payload}=1"
        facts = DmarcFacts((DmarcStep(ZONE, (own,)),))
        world.scan({(AssetKey(ZONE, "zone"), "dmarc", ""): Observed(facts, T0)}, [entry])
    return world.path


def runs_of(db: Path) -> list[str]:
    return [run["id"] for run in posture("runs", "--db", db, "--format", "json").document["runs"]]


def test_hostile_text_is_inert_in_every_format(hostile: Path) -> None:
    runs = runs_of(hostile)

    assert len(runs) == len(PAYLOADS)
    for run in runs:
        ask = ("findings", "--db", hostile, "--run", run, "--outcome", "all")
        table, told, lines = posture(*ask), posture(*ask, "--format", "json"), posture(*ask, "--format", "jsonl")
        assert table.code == told.code == lines.code == 0
        assert not RAW.search(table.out)
        assert told.out.isascii()
        assert lines.out.isascii()
        assert lines.records == told.document["findings"]
        sheet = list(csv.DictReader(io.StringIO(posture(*ask, "--format", "csv").out, newline="")))
        assert len(sheet) == len(lines.records)
        assert not [cell for row in sheet for cell in row.values() if cell.lstrip(" ").startswith(("=", "+", "-", "@"))]


def test_hostile_text_is_inert_in_drift(hostile: Path) -> None:
    runs = runs_of(hostile)
    for older, newer in zip(runs[1:], runs, strict=False):
        said = posture("drift", "--db", hostile, "--from", older, "--to", newer)
        assert said.code == 0
        assert not RAW.search(said.out)


def at_a_terminal(words: list[str], cwd: Path) -> tuple[int, str, str]:
    """Runs the console script with stderr at a terminal: exit code, stdout, what the terminal received."""
    ours, theirs = pty.openpty()
    try:
        child = subprocess.Popen([script(), *words], cwd=cwd, stdout=subprocess.PIPE, stderr=theirs, text=True)
    finally:
        os.close(theirs)
    received = b""
    with child:
        while part := _read(ours):
            received += part
        os.close(ours)
        assert child.stdout is not None
        out = child.stdout.read()
        code = child.wait(PATIENCE)
    return code, out, received.decode()


def _read(terminal: int) -> bytes:
    """What comes next; nothing when nobody holds the other end any more, which Linux reports as an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def test_progress_shows_at_a_terminal_and_is_cleared(scanned: Scanned, tmp_path: Path) -> None:
    words = ["scan", str(scanned.inventory), "--lab", *TWO, "--db", str(tmp_path / "own.db")]
    code, out, seen = at_a_terminal(words, tmp_path)

    assert code == 0
    assert "\x1b" not in out
    assert re.search(r"\r\x1b\[K\d/2 assets  \d+/\d+ questions  \d+ unknown", seen)
    assert seen.rstrip("\n").endswith("\r\x1b[K")


@pytest.mark.parametrize("quiet", [False, True])
def test_progress_is_silent_elsewhere(quiet: bool, scanned: Scanned, tmp_path: Path) -> None:
    words = ["scan", str(scanned.inventory), "--lab", *TWO, "--db", str(tmp_path / "own.db")]
    if quiet:
        code, _, seen = at_a_terminal([*words, "-q"], tmp_path)
    else:
        said = process(*words, cwd=tmp_path)
        code, seen = said.code, said.err

    assert code == 0
    assert "questions" not in seen
    assert "\x1b" not in seen
