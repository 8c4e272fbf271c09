"""``posture trend`` as typed, and the alarm about a control that went silent where people look."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from posture.checks import Declared, catalogue
from posture.facts import DmarcFacts
from posture.facts.dns import DmarcStep
from posture.model import Observed
from posture.policy import load_policy
from posture.store import AssetEntry
from tests.cli.conftest import Scanned
from tests.cli.line import posture
from tests.store import HTTPS, SITE, T0, World, silence, tls

DEAD = "127.0.20.99:9"  # a resolver that is none
NAMES = {"finance": "Ministry of Finance", "health": "Ministry of Health"}


def test_every_score_and_what_moved_it(scanned: Scanned) -> None:
    said = scanned.ask("trend")

    assert said.code == 0
    assert re.search(r"^finance +\S+ +\d+\.\d > \d+\.\d +[-+]\d+\.\d$", said.out, re.MULTILINE)
    assert re.search(r"finance +\d+\.\d +[A-E] +-\d+\.\d .*newly failed -\d+\.\d", said.out)
    assert re.search(r"health +\d+\.\d +[A-E] +\+\d+\.\d .*fixed \+\d+\.\d", said.out)


def test_the_parts_of_each_change_add_up(scanned: Scanned) -> None:
    points = scanned.ask("trend", "--format", "json").document["points"]
    changed = [point for point in points if point["change"] is not None]

    assert {point["ministry"] for point in points} == {"", "finance", "health"}
    assert changed
    for point in changed:
        assert round(sum(point["because"].values()), 1) == point["change"], point
    assert any(point["newly_failed"] for point in changed if point["ministry"] == "finance")
    assert any(point["fixed"] for point in changed if point["ministry"] == "health")


def test_one_ministry_in_every_form(scanned: Scanned) -> None:
    document = scanned.ask("trend", "--ministry", "finance", "--format", "json").document
    lines = scanned.ask("trend", "--ministry", "finance", "--format", "jsonl").records
    table = list(csv.DictReader(io.StringIO(scanned.ask("trend", "--ministry", "finance", "--format", "csv").out)))

    assert {point["ministry"] for point in document["points"]} == {"finance"}
    assert lines == document["points"]
    assert [row["run"] for row in table] == [point["run"] for point in document["points"]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ministry", "nosuch"], "nosuch"),
        (["--since", "yesterday"], "yesterday"),
        (["--format", "docx"], "docx"),
        (["--vantage", "nowhere"], "nowhere"),
    ],
)
def test_usage(words: list[str], said: str, scanned: Scanned) -> None:
    answer = scanned.ask("trend", *words)

    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err


def test_no_colour_and_no_escapes_without_a_terminal(scanned: Scanned) -> None:
    assert "\x1b" not in scanned.ask("trend").out


def silent(path: Path, runs: int) -> World:
    world = World(path)
    world.scan({(SITE, "tls", HTTPS): tls("good")})
    for _ in range(runs):
        world.scan({(SITE, "tls", HTTPS): silence()})
    return world


@pytest.mark.parametrize(("runs", "alarmed"), [(2, False), (3, True)])
def test_a_control_that_went_silent_is_told_with_the_runs(runs: int, alarmed: bool, tmp_path: Path) -> None:
    world = silent(tmp_path / "x.db", runs)
    told = posture("runs", "--db", world.path, "--format", "json").document["silent_controls"]
    table = posture("runs", "--db", world.path)

    assert bool(told) is alarmed
    assert {one["control"] for one in told} <= {"t.cert", "t.site"}
    assert ("control t.cert went silent: for 3 runs" in " ".join((table.out + table.err).split())) is alarmed


def test_how_many_runs_make_an_alarm_is_configured(tmp_path: Path) -> None:
    world = silent(tmp_path / "x.db", 2)
    config = tmp_path / "posture.toml"
    config.write_text('db = "x.db"\nsilent_runs = 2\n', "utf-8")

    assert posture("runs", "--config", config, "--format", "json").document["silent_controls"]
    assert world.path.exists()


@pytest.mark.parametrize("value", ["0", "-1", '"many"', "true"])
def test_a_number_of_runs_that_is_none_is_2(value: str, tmp_path: Path) -> None:
    config = tmp_path / "posture.toml"
    config.write_text(f"silent_runs = {value}\n", "utf-8")
    said = posture("runs", "--config", config)

    assert said.code == 2
    assert "silent_runs" in said.err


# ---- the alarm about a silent control, where people look


@pytest.fixture
def dumb(tmp_path: Path) -> Path:
    """A history of real controls: two ministries' zones were seen once, and for three runs nobody answered about DMARC."""
    world = World(tmp_path / "posture.db", load_policy(), catalogue())
    zones = [
        AssetEntry(code, Declared(f"{code}.gov.example", "zone", mail=("sends",))) for code in ("finance", "health")
    ]
    facts = Observed(DmarcFacts((DmarcStep("_dmarc.gov.example", ("v=DMARC1; p=reject",)),)), T0)
    for answer in (facts, silence(), silence(), silence()):
        world.scan({(zone.key, "dmarc", ""): answer for zone in zones}, zones, ministries=NAMES)
    return world.path


ALARM = "control mail.dmarc.present went silent: for 3 runs, since 2026-11-02, nobody answered it on any of 2 assets."


def test_doctor_raises_the_alarm(dumb: Path) -> None:
    said = posture("doctor", "--db", dumb, "--resolver", DEAD)

    assert f"degraded  silent control  {ALARM}" in said.out


def test_doctor_examines_the_rest_beside_a_damaged_history(dumb: Path) -> None:
    dumb.write_bytes(b"no database any more")
    said = posture("doctor", "--db", dumb, "--resolver", DEAD)

    assert said.code == 5
    assert "ok        posture " in said.out
    assert re.search(r"^broken    history         .*posture\.db", said.out, re.MULTILINE)


def test_the_page_of_the_state_raises_the_alarm_and_no_ministrys_does(dumb: Path, tmp_path: Path) -> None:
    assert posture("scorecard", "--db", dumb, "--out", tmp_path / "site").code == 0
    pages = {path.name: path.read_text("utf-8") for path in (tmp_path / "site").glob("*.html")}
    assert [name for name, text in pages.items() if "went silent" in text] == ["index.html"]
    assert ALARM in pages["index.html"]

    for name, chosen in (("one", ["finance"]), ("both", ["finance", "health"])):
        words = [word for code in chosen for word in ("--ministry", code)]
        assert posture("scorecard", "--db", dumb, "--out", tmp_path / name, *words).code == 0
        assert not [path for path in (tmp_path / name).iterdir() if "went silent" in path.read_text("utf-8")]


def test_markdown_and_json_raise_it_too(dumb: Path, tmp_path: Path) -> None:
    for kind in ("md", "json"):
        assert posture("scorecard", "--db", dumb, "--out", tmp_path, "--format", kind).code == 0
        assert (
            posture(
                "scorecard", "--db", dumb, "--out", tmp_path / "one", "--format", kind, "--ministry", "finance"
            ).code
            == 0
        )

    text = (tmp_path / "scorecard.md").read_text("utf-8")
    assert "## Controls that went silent" in text
    assert ALARM in text.replace("\\", "")
    said = json.loads((tmp_path / "scorecard.json").read_text("utf-8"))["silent_controls"]
    assert any(sentence.startswith(ALARM) for sentence in said)
    assert "went silent" not in (tmp_path / "one" / "scorecard.md").read_text("utf-8")
    assert json.loads((tmp_path / "one" / "scorecard.json").read_text("utf-8"))["silent_controls"] == []


def test_no_alarm_while_anybody_answers(dumb: Path, tmp_path: Path) -> None:
    config = tmp_path / "posture.toml"
    config.write_text(f'db = "{dumb}"\nsilent_runs = 4\n', "utf-8")
    assert posture("scorecard", "--config", config, "--out", tmp_path / "site").code == 0

    assert "silent control" not in posture("doctor", "--config", config, "--resolver", DEAD).out
    assert "went silent" not in (tmp_path / "site" / "index.html").read_text("utf-8")
