from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from posture.errors import UsageError
from posture.policy import DEFAULT
from posture.reporters import write_site
from tests.reporters import sample
from tests.reporters.hostile import PAYLOADS

VOID = {"meta", "br", "img", "link", "hr", "input", "base", "circle", "rect"}


class Parsed(HTMLParser):
    """What a page is made of; fails on unbalanced tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.style = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> without a start"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def read(directory: Path) -> dict[str, Parsed]:
    return {path.name: Parsed(path.read_text("utf-8")) for path in sorted(directory.glob("*.html"))}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Parsed]:
    directory = tmp_path_factory.mktemp("site")
    assert write_site(sample.report(), directory) == directory / "index.html"
    return read(directory)


def test_every_page_of_the_house_is_written(site: dict[str, Parsed]) -> None:
    assert {"index.html", "ministry-finance.html", "ministry-health.html", "unseen.html", "method.html"} <= set(site)
    assert sum(name.startswith("asset-") for name in site) == 5
    assert {f"control-{name}.html" for name in sample.controls()} <= set(site)


def test_every_link_leads_to_a_page_or_an_anchor_of_its_own(site: dict[str, Parsed]) -> None:
    for name, page in site.items():
        ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
        for link in page.all("a"):
            target, _, anchor = link["href"].partition("#")
            assert target in site if target else anchor in ids, (name, link["href"])


def test_ids_are_unique_in_a_page(site: dict[str, Parsed]) -> None:
    for page in site.values():
        ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
        assert len(ids) == len(set(ids))


def test_pages_have_one_title_and_no_heading_level_is_skipped(site: dict[str, Parsed]) -> None:
    for name, page in site.items():
        levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
        assert levels.count(1) == 1, name
        assert levels[0] == 1
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), (name, levels)


def test_tables_have_captions_and_scopes_and_svgs_have_names(site: dict[str, Parsed]) -> None:
    for page in site.values():
        assert len(page.all("table")) == len(page.all("caption"))
        assert all(cell.get("scope") in ("col", "row") for cell in page.all("th"))
        assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.all("svg"))
        assert page.all("html") == [{"lang": "en"}]
        assert page.all("a")[0] == {"class": "skip", "href": "#main"}


def test_policy_admits_only_the_style_by_its_hash(site: dict[str, Parsed]) -> None:
    for page in site.values():
        policy = next(
            meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"
        )
        digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
        assert policy.startswith(
            f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
        )
        assert "script" not in policy


def test_nothing_is_loaded_from_anywhere_and_nothing_runs(site: dict[str, Parsed]) -> None:
    for page in site.values():
        tags = {tag for tag, _ in page.tags}
        assert not tags & {
            "script",
            "link",
            "img",
            "iframe",
            "object",
            "embed",
            "form",
            "base",
            "video",
            "audio",
            "source",
        }
        for _, attributes in page.tags:
            assert not [name for name in attributes if name.startswith("on") or name in ("style", "src", "srcset")]
        assert not re.search(r"url\(|@import", page.style)


def test_every_page_says_how_it_may_be_shared_and_where_it_comes_from(site: dict[str, Parsed]) -> None:
    for page in site.values():
        assert page.words.count("TLP:AMBER+STRICT") >= 3  # title, top and foot
        for fact in (sample.RUN["id"], "posture 0.1.0", DEFAULT, "17:04 (21:04 UTC)"):
            assert fact in page.words


def test_state_page_gives_grades_changes_and_five_things(site: dict[str, Parsed]) -> None:
    words = site["index.html"].words
    for phrase in (
        "Example Islands",
        "2 of 3",
        "2 of 2",
        "not a ranking",
        "Five things to do first",
        "Got worse (2)",
        "Got better (2)",
    ):
        assert phrase in words
    assert (
        len([tag for tag, attributes in site["index.html"].tags if tag == "ol" and attributes["class"] == "steps"]) == 1
    )


def test_ministry_page_names_the_cap_and_who_must_mend(site: dict[str, Parsed]) -> None:
    words = site["ministry-finance.html"].words
    assert "the grade cannot be better than D (59.0 points)" in words
    assert "Remote Desktop exposed on tax.finance.gov.example 198.51.100.9:3389/tcp" in words
    assert "For its providers to mend" in words
    assert "for CloudMail to mend" in words
    assert "since 2 Sep 2026" in words
    assert sample.controls()["mail.dmarc.policy"].meaning in words
    assert sample.controls()["mail.dmarc.policy"].remedy in words
    assert "health" not in words.replace("Ministry of Health", "")


def test_unseen_page_gives_the_reason_the_code_and_how_to_mend_it(site: dict[str, Parsed]) -> None:
    words = site["unseen.html"].words
    assert "no answer in the time allowed" in words
    assert "E-SCOPE-020" in words
    assert "hosted at 192.0.2.77, not in your authorisation: ask the host's owner" in words


def test_not_graded_and_tentative_are_said_in_words(tmp_path: Path) -> None:
    blind = [
        row | ({"outcome": "unknown", "reason": "timeout"} if "health" in row["asset"] else {}) for row in sample.rows()
    ]
    write_site(sample.report(blind), tmp_path)
    words = read(tmp_path)["ministry-health.html"].words
    assert "Not graded : too little could be seen to give a fair grade." in words


def test_first_measurement_has_nothing_to_compare_with(tmp_path: Path) -> None:
    write_site(sample.report(drift_document=None, previous=None), tmp_path)
    assert "This is the first measurement" in read(tmp_path)["index.html"].words


def test_an_asset_looked_at_for_the_first_time_is_not_a_change_for_the_worse(tmp_path: Path) -> None:
    first = sample.event("new", sample.WWW, "web.securitytxt", "pass", "fail") | {"initial": True}
    write_site(sample.report(drift_document=sample.drift() | {"events": [first]}), tmp_path)
    pages = read(tmp_path)
    assert "Got worse (0)" in pages["index.html"].words
    assert "1 other change" in pages["ministry-finance.html"].words


def test_reporters_do_not_load_the_template_engine_before_it_is_needed() -> None:
    code = "import sys, posture.reporters; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_ministry_scorecard_has_nothing_of_any_other(tmp_path: Path) -> None:
    for format, single in (("html", False), ("html", True), ("json", False), ("md", False)):  # noqa: A001 - as in write_site
        out = tmp_path / f"{format}{single}"
        write_site(sample.report(), out, ministries=["finance"], single_file=single, format=format)
        files = list(out.iterdir())
        assert files
        for path in files:
            content = path.read_bytes().lower()
            assert b"finance.gov.example" in content or path.name.startswith(("control-", "method", "unseen", "asset-"))
            for word in (b"health.gov", b"ministry of health", b'"health"', b"wellness", b"192.0.2.77", b"e-scope-020"):
                assert word not in content, (path.name, word)


def test_pages_of_an_earlier_scorecard_are_taken_away_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "notes.html").write_text("<p>mine</p>", "utf-8")
    write_site(sample.report(), tmp_path)
    write_site(sample.report(), tmp_path, ministries=["finance"])
    assert not [path for path in tmp_path.iterdir() if b"health.gov" in path.read_bytes()]
    assert (tmp_path / "notes.html").exists()


def test_one_ministrys_index_is_its_own_page(tmp_path: Path) -> None:
    write_site(sample.report(), tmp_path, ministries=["finance"])
    pages = read(tmp_path)
    assert "What holds the grade down" in pages["index.html"].words
    assert "ministry-finance.html" not in pages
    for page in pages.values():
        assert {link["href"] for link in page.all("a") if not link["href"].startswith("#")} <= set(pages)


def test_single_file_holds_everything_and_links_within_itself(tmp_path: Path) -> None:
    path = write_site(sample.report(), tmp_path, single_file=True)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    page = Parsed(path.read_text("utf-8"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(link["href"].startswith("#") and link["href"][1:] in ids for link in page.all("a"))
    assert [tag for tag, _ in page.tags].count("h1") == 1


def test_hostile_text_is_only_ever_text(tmp_path: Path) -> None:
    rows = [
        sample.row(
            sample.WWW, control, "fail", payload, subject=payload, provider=payload, mends="provider",
            args={payload: payload}, exemption=payload, mend_by=None, confidence="probable",
        )
        for payload in PAYLOADS
        for control in ("tls.hsts.policy", "svc.mgmt.rdp")
    ]  # fmt: skip
    rows += [sample.row(sample.WWW, "svc.baseline", "unknown", payload, code=None) for payload in PAYLOADS]
    events = [sample.event("new", payload, "tls.hsts.policy", "pass", "fail", subject=payload) for payload in PAYLOADS]
    report = sample.report(rows, drift_document=sample.drift() | {"events": events})
    write_site(report, tmp_path / "pages")
    write_site(report, tmp_path / "single", single_file=True)
    for name, page in (read(tmp_path / "pages") | read(tmp_path / "single")).items():
        tags = {tag for tag, _ in page.tags}
        assert not tags & {"script", "img", "base", "b"}, name
        assert len(page.all("style")) == 1
        for _, attributes in page.tags:
            assert not [one for one in attributes if one.startswith("on")]
            assert "alert(" not in "".join(value for key, value in attributes.items() if key in ("href", "class", "id"))
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202e\u2066\ufeff]", page.words)
        assert max(map(len, page.text)) < 10_000
    assert "{{ 7*7 }}" in read(tmp_path / "pages")["ministry-finance.html"].words


def test_tlp_level_is_printed_and_checked(tmp_path: Path) -> None:
    write_site(sample.report(), tmp_path, tlp="green")
    assert "TLP:GREEN" in read(tmp_path)["method.html"].words
    assert "AMBER" not in read(tmp_path)["method.html"].words
    with pytest.raises(UsageError, match=r"TLP:AMBER\+STRICT"):
        write_site(sample.report(), tmp_path, tlp="pink")


def test_unknown_ministry_and_format_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="finance, health"):
        write_site(sample.report(), tmp_path, ministries=["defence"])
    with pytest.raises(UsageError, match="html, json, md"):
        write_site(sample.report(), tmp_path, format="docx")


def test_json_and_markdown_scorecards(tmp_path: Path) -> None:
    document = json.loads(write_site(sample.report(), tmp_path, format="json").read_text("ascii"))
    assert document["ministries"][0]["score"]["label"] == "D"
    text = write_site(sample.report(), tmp_path, format="md").read_text("utf-8")
    assert text.startswith("**TLP:AMBER+STRICT**")
    assert "| Ministry of Finance | D | " in text


def test_ministry_without_assets_is_said_so(tmp_path: Path) -> None:
    from dataclasses import replace

    from posture.report import MinistryReport

    report = sample.report()
    empty = replace(report, ministries=(*report.ministries, MinistryReport("sport", "Ministry of Sport", (), None)))
    write_site(empty, tmp_path)
    assert "The inventory lists no asset" in read(tmp_path)["ministry-sport.html"].words
    assert "no assets" in read(tmp_path)["index.html"].words
    assert "| Ministry of Sport | no assets |" in write_site(empty, tmp_path, format="md").read_text("utf-8")
