"""The demo as a newcomer runs it: two scans of the whole range, the planted change between, and a site that stands alone."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from posture import history
from posture.demo import MARK, Demonstration, demonstrate, make_room
from posture.errors import UsageError
from posture.range.layout import HOSTS, truth
from posture.report import Row
from posture.store import Store
from tests.scan.wiring import TARPIT, Watch
from tests.truth import CONSEQUENCES, PLANTED_CHANGE, changes, contradicted, unplanted

pytestmark = pytest.mark.xdist_group("demo")
LINK = re.compile(r"""(?:href|src|action|data|poster|srcset)\s*=\s*["']?([^"'\s>]*)""", re.IGNORECASE)
LOADED = re.compile(r"""url\(\s*["']?([^"')]*)|@import\s+["']?([^"';]*)""", re.IGNORECASE)
OLD = "old.html"


@dataclass(frozen=True)
class Shown:
    demo: Demonstration
    directory: Path
    said: list[str]

    def state(self, run: str) -> list[Row]:
        with Store.open(self.demo.database, write=False) as store:
            rows: list[Row] = history.state(store, run=run)["findings"]
            return rows


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    directory = tmp_path_factory.mktemp("demo") / "posture-demo"
    make_room(directory)  # as if an earlier demo had been here
    (directory / OLD).write_text("old")
    said: list[str] = []
    demo = asyncio.run(demonstrate(directory, Watch(), said.append))
    return Shown(demo, directory, said)


def test_both_scans_are_complete_and_the_silent_host_is_the_only_unknown(shown: Shown) -> None:
    for ended in (shown.demo.first, shown.demo.second):
        assert (ended.run["state"], ended.exit_code(None)) == ("complete", 0)
        unknown = [row for row in ended.rows if row["outcome"] == "unknown"]
        assert {row["asset"] for row in unknown if row["reason"] != "not_run"} == {TARPIT}
        # What only deep scans ask.
        families = {row["control"].rpartition(".")[0] for row in unknown if row["reason"] == "not_run"}
        assert families <= {"tls", "tls.vuln"}


@pytest.mark.parametrize("changed", [False, True], ids=["before", "after"])
def test_each_scan_tells_the_planted_truth_and_nothing_else(shown: Shown, changed: bool) -> None:
    ended = shown.demo.second if changed else shown.demo.first
    rows, planted = shown.state(ended.run["id"]), truth(changed=changed)

    assert contradicted(planted, rows) == []
    assert unplanted(planted, rows) == CONSEQUENCES


def test_the_drift_is_the_planted_change(shown: Shown) -> None:
    assert changes(shown.demo.drift) == PLANTED_CHANGE
    assert not shown.demo.drift["suspect"]


def test_it_says_what_it_does(shown: Shown) -> None:
    first, second = shown.said

    assert re.fullmatch(r"practice range: \d+ servers of an example State on 127\.0\.20\.0/24", first)
    assert "one fault is mended and a new one appears" in second


def test_the_site_is_there_and_the_earlier_demo_is_not(shown: Shown) -> None:
    assert shown.demo.page.is_file()
    assert shown.demo.page.name == "index.html"
    assert shown.demo.database == shown.directory / "posture.db"
    assert not (shown.directory / OLD).exists()
    assert (shown.directory / MARK).is_file()


def test_no_file_of_the_site_reaches_outside_it(shown: Shown) -> None:
    root = shown.demo.page.parent.resolve()
    pages = [path for path in root.rglob("*") if path.suffix in (".html", ".css", ".svg")]
    assert len(pages) > len(HOSTS)
    for page in pages:
        text = page.read_text("utf-8")
        assert "<script" not in text.lower()
        loads = [first or second for first, second in LOADED.findall(text)]
        for target in [*LINK.findall(text), *loads]:
            place = target.partition("#")[0]
            if place:
                assert not re.match(r"(?i)[a-z][a-z0-9+.-]*:|//|/", place), (page.name, target)
                assert (page.parent / place).resolve().is_relative_to(root), (page.name, target)
                assert (page.parent / place).exists(), (page.name, target)


def test_somebody_elses_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    with pytest.raises(UsageError, match="is not empty and no earlier demo"):
        make_room(tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("thesis.txt", "years of work")]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "posture-demo"
    file.write_text("mine")

    with pytest.raises(UsageError):
        make_room(file)
    assert file.read_text() == "mine"


def test_what_an_earlier_demo_links_to_is_left_alone(tmp_path: Path) -> None:
    mine, demo = tmp_path / "mine", tmp_path / "demo"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    make_room(demo)
    (demo / "link").symlink_to(mine)
    make_room(demo)

    assert (mine / "thesis.txt").is_file()
    assert [path.name for path in demo.iterdir()] == [MARK]


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    make_room(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [MARK]
