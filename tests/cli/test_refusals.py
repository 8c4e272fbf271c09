"""What may not be asked: plan, findings and the ministry's page all say the code, why, and how to mend it.

One inventory of the practice range in which every ministry's letter bars something else, scanned for real.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from posture.stop import Order, StopFile
from tests.cli.line import Said, posture
from tests.range.standing import standing_range
from tests.reporters.sinks import elements, words

pytestmark = pytest.mark.xdist_group("refusals of the range")
TODAY = date.today()
HOSTED, TAX, ZONE = "portal.finance.gov.example", "tax.finance.gov.example", "finance.gov.example"
CLIENT_AND_ACTIVE = '["client", "active"]'


@dataclass(frozen=True)
class Letter:
    """A ministry with one authorisation of its own. ``words``: what its page says, at least once."""

    code: str
    assets: tuple[str, ...]
    words: str
    networks: str = "127.0.20.0/24"
    classes: str = '["passive", "client", "active"]'
    ports: str = '["25", "53", "80", "443"]'
    exclude: tuple[str, ...] = ()
    lab: bool = True
    not_after: date = TODAY + timedelta(days=90)
    blackout: str = ""

    def toml(self, name: str) -> str:
        lines = [
            f'[[authorisation]]\nid = "zz-{name}"\nowner = "Owner of {name}"\nofficer = "Secretary"\nbasis = "consent"',
            f'reference = "Letter {name}"\nnot_before = {TODAY - timedelta(days=200)}\nnot_after = {self.not_after}',
            f'classes = {self.classes}\nzones = ["gov.example"]\nexclude = {list(self.exclude)}',
            f'networks = ["{self.networks}"]\nports = {self.ports}\nlab = {str(self.lab).lower()}',
        ]
        if self.blackout:
            lines.append(f'[[authorisation.blackout]]\nwhen = "{self.blackout}"\nclasses = {CLIENT_AND_ACTIVE}')
        lines.append(f'[[ministry]]\ncode = "{name}"\nname = "Ministry {name}"\nauthorisation = "zz-{name}"')
        for asset in self.assets:
            kind = "zone" if asset == ZONE else "host"
            lines.append(f'[[ministry.asset]]\nname = "{asset}"\nkind = "{kind}"')
        return "\n".join(lines) + "\n"


LETTERS = {
    "hosted": Letter(
        "E-SCOPE-020",
        (HOSTED, TAX, ZONE),
        "hosted at 127.0.20.11, not in your authorisation: ask the host's owner",
        networks="127.0.99.0/24",
    ),
    "special": Letter(
        "E-SCOPE-021",
        ("clinic.health.gov.example",),
        "it resolves to 127.0.20.21 (loopback): refused, in any network. Correct the DNS",
        lab=False,
    ),
    "ended": Letter(
        "E-SCOPE-003",
        ("customs.finance.gov.example",),
        "Ask Owner of ended to renew it, then change not_after.",
        not_after=TODAY - timedelta(days=3),
    ),
    "narrow": Letter(
        "E-SCOPE-010",
        ("tenders.finance.gov.example",),
        "the probe is client; zz-narrow grants passive. If Owner of narrow agrees, add it to classes.",
        classes='["passive"]',
    ),
    "dark": Letter(
        "E-SCOPE-011",
        ("registry.health.gov.example",),
        "zz-dark has a blackout for client: Mon-Sun 00:00-24:00",
        blackout="Mon-Sun 00:00-24:00",
    ),
    "excluded": Letter(
        "E-SCOPE-012",
        ("records.health.gov.example",),
        "it is excluded by zz-excluded. It is left alone; to scan it, delete it from exclude.",
        exclude=("records.health.gov.example",),
    ),
    "stopped": Letter(
        "E-SCOPE-040",
        ("mail.finance.gov.example",),
        'zz-stopped was stopped by root at 2026-01-02 03:04 UTC ("complaint 12").',
    ),
    "ports": Letter(
        "E-SCOPE-024",
        ("pharmacy.health.gov.example",),
        "If the owner agrees, add them to ports.",
        ports='["80"]',
    ),
}


@dataclass(frozen=True)
class Barred:
    folder: Path
    scan: Said

    def ask(self, *said: object) -> Said:
        return posture(*said, "--config", self.folder / "posture.toml")

    def page(self, name: str) -> str:
        return (self.folder / "site" / f"ministry-{name}.html").read_text("utf-8")


@pytest.fixture(scope="module")
def barred(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Barred]:
    folder = tmp_path_factory.mktemp("barred")
    with standing_range() as standing, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("POSTURE_")]:
            patch.delenv(name)
        inventory = standing.practice.write(folder)
        text = inventory.read_text("utf-8")
        head, tail = text[: text.index("[[authorisation]]")], text[text.index("[[lab_port]]") :]
        inventory.write_text(head + "".join(one.toml(name) for name, one in LETTERS.items()) + tail, "utf-8")
        order = Order("complaint 12", "root", datetime(2026, 1, 2, 3, 4, tzinfo=UTC), authorisation="zz-stopped")
        StopFile(folder / "posture.db").add(order)
        state = Barred(folder, posture("scan", inventory, "--lab"))
        written = state.ask("scorecard", "--out", folder / "site")
        assert written.code == 0, written.err
        yield state


@pytest.mark.parametrize("name", LETTERS)
def test_plan_shows_the_code_and_the_mending(barred: Barred, name: str) -> None:
    letter = LETTERS[name]
    told = barred.ask("plan", "--lab", "--format", "json", "--ministry", name).document["refusals"]
    said = barred.ask("plan", "--lab", "--ministry", name)

    assert {row["code"] for row in told} == {letter.code}
    assert {row["asset"] for row in told} == set(letter.assets)
    assert all(row["text"].rstrip().endswith(".") for row in told)
    assert letter.code in said.out


@pytest.mark.parametrize("name", LETTERS)
def test_findings_show_the_code_in_every_format(barred: Barred, name: str) -> None:
    letter = LETTERS[name]
    only = ("findings", "--ministry", name, "--outcome", "unknown")
    rows = [row for row in barred.ask(*only, "--format", "json").document["findings"] if row["reason"] != "timeout"]
    records = barred.ask(*only, "--format", "jsonl").records
    cells = list(csv.DictReader(io.StringIO(barred.ask(*only, "--format", "csv").out, newline="")))

    assert {row["code"] for row in rows} == {letter.code}
    assert {row["asset"] for row in rows} == set(letter.assets)
    assert letter.code in {record["code"] for record in records}
    assert letter.code in {cell["code"] for cell in cells}
    assert f"({letter.code}" in barred.ask(*only).out.replace("\n", "")


@pytest.mark.parametrize("name", LETTERS)
def test_the_ministrys_page_says_why_and_how_to_mend_it_in_one_line(barred: Barred, name: str) -> None:
    letter, shown = LETTERS[name], " ".join(words(barred.page(name)).split())

    assert letter.words in shown
    assert letter.code in shown
    line = shown[shown.index(letter.code) :]
    assert letter.assets[0] in line
    for other in LETTERS.values():
        assert other.code == letter.code or other.code not in shown


def test_a_host_is_named_once_with_the_names_it_holds(barred: Barred) -> None:
    for address, asset in (("127.0.20.11", HOSTED), ("127.0.20.12", TAX), ("127.0.20.14", ZONE)):
        shown = " ".join(words(barred.page("hosted")).split())
        line = f"hosted at {address}, not in your authorisation: ask the host's owner"
        assert shown.count(line) == 1
        assert asset in shown[shown.index(line) :][:150]


def test_refusals_are_no_hole_in_the_page(barred: Barred) -> None:
    tags = {tag for tag, _ in elements(barred.page("hosted"))}
    assert not tags & {"script", "img", "base", "form", "iframe"}


def test_a_scan_that_was_partly_barred_says_so(barred: Barred) -> None:
    assert barred.scan.code == 3
    assert "not in force, so not looked at: zz-ended" in barred.scan.out


def test_markdown_says_it_too(barred: Barred) -> None:
    assert barred.ask("scorecard", "--out", barred.folder / "md", "--format", "md").code == 0
    text = (barred.folder / "md" / "scorecard.md").read_text("utf-8")
    for letter in LETTERS.values():
        assert f"- {letter.code} " in text
