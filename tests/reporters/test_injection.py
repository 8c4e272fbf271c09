"""A State that attacks its readers is scanned for real, by the console script; then every sink is read back by a parser."""

from __future__ import annotations

import io
import json
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from posture import history
from posture.reporters import FORMATS, render
from posture.scanned import Scanned
from tests.cli.line import PATIENCE, script
from tests.lab.injecting import MAIL, WWW, ZONE, injecting_state
from tests.reporters.hostile import PAYLOADS
from tests.reporters.sinks import FILE, cells, elements, formulas, moving, tokens, words
from tests.store import SITE, World, tls

pytestmark = pytest.mark.xdist_group("injecting state")
MARKS = ("<script>alert(1)</script>", "=cmd|' /C calc'!A0", "$(id) `id` ; DROP TABLE findings; --", "<b>.hostile")
WRITTEN_BY_US = {"html", "head", "meta", "title", "style", "body", "a", "header", "div", "p", "span", "main", "article"}
WRITTEN_BY_US |= {
    "nav",
    "pre",
    "line",
    "polygon",
    "polyline",
    "h1",
    "h2",
    "h3",
    "h4",
    "strong",
    "svg",
    "desc",
    "circle",
    "text",
    "rect",
    "dl",
    "dt",
    "dd",
    "section",
}
WRITTEN_BY_US |= {"ul", "ol", "li", "table", "caption", "thead", "tbody", "tr", "th", "td", "details", "summary", "br"}
WRITTEN_BY_US |= {"footer", "code"}


@dataclass(frozen=True)
class Told:
    """What a process wrote, byte by byte: a carriage return is seen."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Evil:
    folder: Path
    scan: Told

    def ask(self, *said: object) -> Told:
        return told(self.folder, *said, "--config", "posture.toml")


def told(folder: Path, *said: object) -> Told:
    done = subprocess.run(
        [script(), *map(str, said)],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    return Told(done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8"))


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evil]:
    folder = tmp_path_factory.mktemp("evil")
    with injecting_state(folder):
        yield Evil(folder, told(folder, "scan", "inventory.toml", "--lab", "-vv"))


def rows(evil: Evil) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(evil.ask("findings", "--outcome", "all", "--format", "json").out)[
        "findings"
    ]
    return found


def test_what_was_sent_did_arrive(evil: Evil) -> None:
    """Else all that follows would prove nothing: names, TXT, certificate, banner and greeting are quoted by findings."""
    assert evil.scan.code == 0, evil.scan.err
    said = json.dumps(rows(evil), ensure_ascii=False)
    assert all(mark in said for mark in MARKS)
    by = {str(row["control"]): json.dumps(row) for row in rows(evil) if row["outcome"] in ("fail", "warn")}
    for control in ("dns.ns.count", "mail.spf.valid", "mail.dmarc.valid", "tls.cert.trust", "svc.baseline"):
        assert "<script>" in by[control] or "=cmd" in by[control], control
    assert {row["asset"] for row in rows(evil)} == {ZONE, WWW, MAIL}


def test_terminal_of_the_scan_and_its_log(evil: Evil) -> None:
    assert not moving(evil.scan.out)
    assert not moving(evil.scan.err)
    assert "To do first:" in evil.scan.out
    assert "Traceback" not in evil.scan.err
    logged = told(evil.folder, "scan", "inventory.toml", "--lab", "-vv", "--log-format", "json", "--asset", WWW)
    assert not moving(logged.err)


@pytest.mark.parametrize("command", [("findings", "--outcome", "all"), ("plan", "--lab"), ("runs",), ("controls",)])
def test_tables(evil: Evil, command: tuple[str, ...]) -> None:
    said = evil.ask(*command) if command[0] != "controls" else told(evil.folder, *command)
    assert said.code == 0
    assert not moving(said.out + said.err)


def test_csv(evil: Evil) -> None:
    sheet = evil.ask("findings", "--outcome", "all", "--format", "csv").out.replace("\r\n", "\n")
    assert not moving(sheet)
    assert formulas(sheet) == []
    assert len(cells(sheet)) == len(rows(evil)) + 1
    assert "=cmd" in sheet


def test_json_and_jsonl(evil: Evil) -> None:
    for format in ("json", "jsonl"):  # noqa: A001 - as in render
        said = evil.ask("findings", "--outcome", "all", "--format", format).out
        assert said.isascii()
        assert not moving(said)


@pytest.mark.parametrize("single", [(), ("--single-file",)])
def test_site(evil: Evil, single: tuple[str, ...]) -> None:
    site = evil.folder / f"site{len(single)}"
    assert evil.ask("scorecard", "--out", site, *single).code == 0
    texts = {path.name: path.read_bytes().decode("utf-8") for path in site.iterdir()}
    assert all(FILE.fullmatch(name) for name in texts)
    for name, page in texts.items():
        found = elements(page)
        assert {tag.removeprefix("/") for tag, _ in found} <= WRITTEN_BY_US, name
        assert not moving(page)
        for tag, attributes in found:
            given = dict(attributes)
            assert tag == "meta" or not {
                key for key in given if key in ("src", "style", "action") or key.startswith("on")
            }
            assert not [value for value in given.values() if value and ("script" in value or "cmd|" in value)]
            target = given.get("href") or "#"
            assert target.startswith("#") or FILE.fullmatch(target.partition("#")[0])
    assert any("<script>alert(1)</script>" in words(page) for page in texts.values())


def test_markdown_and_json_scorecards(evil: Evil) -> None:
    for format in ("md", "json"):  # noqa: A001 - as in render
        assert evil.ask("scorecard", "--out", evil.folder / format, "--format", format).code == 0
    text = (evil.folder / "md" / "scorecard.md").read_bytes().decode("utf-8")
    assert not moving(text)
    assert not tokens(text) & {"html_inline", "html_block", "link_open", "image", "code_inline", "em_open", "s_open"}
    assert json.loads((evil.folder / "json" / "scorecard.json").read_text("ascii"))["findings"]


def test_database_has_its_tables_and_nothing_else_happened(evil: Evil) -> None:
    with closing(sqlite3.connect(f"file:{evil.folder / 'posture.db'}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM finding").fetchone()[0] > 50
        # The history holds what was said as it was said; it is only ever a parameter.
        texts = [text for (text,) in connection.execute("SELECT value FROM text_value")]
        assert any("DROP TABLE findings; --" in text for text in texts)


def test_files_are_ours_alone(evil: Evil) -> None:
    """Nothing was named after what a server said, and nothing ran."""
    names = {path.name for path in evil.folder.rglob("*") if path.is_file()}
    assert all(FILE.fullmatch(name) for name in names)
    assert not {name for name in names if "passwd" in name or "script" in name}


# ---- the history's own rows: even what no probe of today lets through


@pytest.mark.parametrize("payload", [one for one in PAYLOADS if "\ud800" not in one], ids=ascii)
def test_what_the_history_gives_back_is_scanned_and_inert(payload: str, tmp_path: Path) -> None:
    world = World(tmp_path / "history.db")
    world.scan({(SITE, "tls", payload[:300]): tls(payload)})
    world.scan({(SITE, "tls", payload[:300]): tls("bad")})
    with world.open(write=False) as store:
        first = history.state(store, run="previous")
        drift = history.compare(store)
    row = next(row for row in first["findings"] if row["control"] == "t.cert")

    assert isinstance(row["message"], Scanned)
    assert isinstance(row["subject"], Scanned)
    assert isinstance(row["args"]["name"], Scanned)
    assert row["subject"] == payload[:300]
    assert row["args"] == {"name": payload}
    assert all(
        isinstance(event["message"], Scanned) and isinstance(event["subject"], Scanned) for event in drift["events"]
    )
    for document in (first, drift):
        for format in FORMATS:  # noqa: A001 - as in render
            stream = io.StringIO(newline="")
            render(document, format, stream, everything=True)
            assert not moving(stream.getvalue().replace("\r\n", "\n"))
    stream = io.StringIO()
    render(first, "json", stream)
    assert next(r for r in json.loads(stream.getvalue())["findings"] if r["control"] == "t.cert")["args"] == {
        "name": payload
    }
