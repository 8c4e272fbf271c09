"""Whatever a scanned system says, each sink shows it as text: arbitrary text through every one, read back by its parser."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posture.model import AssetKey
from posture.report import Report, narrow, scorecard_document
from posture.reporters import FORMATS, render
from posture.reporters.cells import (
    LONGEST_CELL,
    about,
    address_in,
    asset_slug,
    csv_cell,
    file_name,
    html,
    markdown,
    slug,
    terminal,
    together,
)
from posture.reporters.html import pages, single_page
from posture.reporters.markdown import scorecard_markdown
from posture.scanned import Scanned, visible
from tests.reporters import sample
from tests.reporters.hostile import PAYLOADS
from tests.reporters.sinks import FILE, cells, elements, formulas, moving, tokens, words

# Characters that mean something to some sink come up as often as all others together.
MEANING = (
    *"<>&\"'=+-@;:|`*_[]()#!~\\{}%$\t\r\n\0\x1b\x07\x9b\u202e\u2066\u200b\ufeff\ud800\uff1d",
    *("www.", "http://", "\x1b]0;", "<b>", "-->", "]]>", "'=", ';"=', "\r\n"),
)

unhurried = settings(deadline=None)  # a busy machine is no fault
PIECES = st.one_of(st.sampled_from(MEANING), st.characters(codec=None))
SHORT = [payload for payload in PAYLOADS if len(payload) < 1000]
TEXT = st.one_of(st.lists(PIECES, min_size=1, max_size=40).map("".join), st.sampled_from(SHORT))
CLEAN = "clean"


def said(text: str) -> dict[str, Any]:
    """A findings document of which everything that a scanned system can write says ``text``."""
    fields: dict[str, Any] = {"subject": text, "provider": text, "args": {"seen": [text], "detail": text}}
    fields["message"] = text
    rows = [
        sample.row(sample.WWW, "tls.hsts.policy", "fail", **fields),
        sample.row(sample.WWW, "svc.mgmt.rdp", "warn", mends="provider", **fields),
        sample.row(sample.WWW, "svc.baseline", "unknown", **fields),
        sample.row(sample.WWW, "web.securitytxt", "unknown", code="E-SCOPE-010", **fields),
        sample.row(sample.WWW, "tls.cert.expiry", "unknown", code="E-SCOPE-020", **fields),
        sample.row(sample.WWW, "tls.protocol.ssl", "not_applicable", **fields),
    ]
    return sample.findings(rows)


def changed(text: str) -> dict[str, Any]:
    fields = {"subject": text, "message": text}
    events = [
        sample.event(kind, sample.WWW, "tls.hsts.policy", "pass", "fail", **fields)
        for kind in ("new", "fixed", "unknown")
    ]
    return sample.drift() | {"events": events}


def planned(text: str) -> dict[str, Any]:
    refusal = {"asset": "a.test", "class": "active", "address": None, "code": "E-SCOPE-010", "text": Scanned(text)}
    return {"schema": "posture-plan/1", "tasks": [], "refusals": [refusal], "notes": [Scanned(text)]}


def reported(text: str) -> Report:
    """A report of one ministry and two controls, so that many can be written."""
    few = {name: sample.controls()[name] for name in ("tls.hsts.policy", "svc.mgmt.rdp", "web.securitytxt")}
    whole = sample.report(said(text)["findings"], drift_document=changed(text), previous=None)
    return replace(narrow(whole, [sample.FINANCE]), controls=few)


def rendered(document: dict[str, Any], format: str) -> str:  # noqa: A002 - as in render
    stream = io.StringIO(newline="")
    render(document, format, stream, everything=True)
    return stream.getvalue()


DOCUMENTS = (said, changed, planned)


@unhurried
@given(TEXT)
def test_terminal(text: str) -> None:
    for document in DOCUMENTS:
        shown = rendered(document(text), "table")
        assert not moving(shown)
    assert not moving(terminal(text))
    assert "\n" not in terminal(Scanned(text))


@unhurried
@given(TEXT)
def test_json_reads_back_what_was_said(text: str) -> None:
    for document in DOCUMENTS:
        shown = rendered(document(text), "json")
        assert not moving(shown)
        assert shown.isascii()
        assert json.loads(shown) == document(text)
    records = rendered(said(text), "jsonl").splitlines()
    assert [json.loads(record) for record in records] == said(text)["findings"]


@unhurried
@given(TEXT)
def test_csv_has_no_formula_in_any_country(text: str) -> None:
    for document, count in ((said, 6), (changed, 3)):
        shown = rendered(document(text), "csv").replace("\r\n", "\n")
        assert not moving(shown)
        assert formulas(shown) == []
        assert [len(row) for row in cells(shown)] == [len(cells(shown)[0])] * (count + 1)
    assert len(csv_cell(text * 1000)) <= LONGEST_CELL * 10 + 2


@unhurried
@given(TEXT)
def test_a_spreadsheets_cell_is_fit_for_xml_and_shows_what_was_said(text: str) -> None:
    cell = csv_cell(Scanned(text))
    assert not [char for char in cell if char < " " or char in "\ufffe\uffff" or "\ud800" <= char <= "\udfff"]
    assert cell.replace("'", "") == visible(text, LONGEST_CELL).replace("'", "")


@unhurried
@given(TEXT)
def test_markdown_is_text_in_cells_and_nothing_else(text: str) -> None:
    for document in DOCUMENTS:
        shown, clean = rendered(document(text), "md"), rendered(document(CLEAN), "md")
        assert not moving(shown)
        assert shown.count("\n") == clean.count("\n")
        assert tokens(shown) <= tokens(clean) | {"text_special"}
    shown = scorecard_markdown(sample.report(said(text)["findings"], drift_document=None, previous=None))
    assert not moving(shown)
    assert not tokens(shown) & {"html_inline", "html_block", "link_open", "image", "code_inline", "s_open", "em_open"}


def test_markdown_grows_no_link_by_itself() -> None:
    """What GitHub, and others after it, make links of without being asked (GFM 6.9)."""
    for bare in ("www.evil.test", "WWW.evil.test", "https://evil.test", "ftp://evil.test", "a@evil.test"):
        assert bare not in markdown(bare)


@pytest.fixture(scope="module")
def clean() -> dict[str, str]:
    return pages(reported(CLEAN)) | single_page(reported(CLEAN))


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(text=TEXT)
def test_pages_have_exactly_the_elements_of_the_clean_ones(clean: dict[str, str], text: str) -> None:
    report = reported(text)
    found = pages(report) | single_page(report)
    assert set(found) == set(clean)
    for name, page in found.items():
        assert elements(page) == elements(clean[name]), name
        assert not moving(page.replace("\t", ""))
    assert visible(text)[:100].strip() in " ".join(words(found["index.html"]).split(" "))


@unhurried
@given(TEXT)
def test_html_is_text_in_an_element_and_in_a_quoted_attribute(text: str) -> None:
    page = f"""<p title="{html(Scanned(text))}" lang='{html(text)}'>{html(text)}</p>"""
    assert elements(page) == [("p", (("title", visible(text)), ("lang", visible(text)))), ("/p", ())]
    assert words(page) == visible(text)


@unhurried
@given(TEXT)
def test_json_scorecard_reads_back(text: str) -> None:
    stream = io.StringIO()
    render(scorecard_document(reported(text)), "json", stream)
    found = json.loads(stream.getvalue())
    assert stream.getvalue().isascii()
    assert {row["message"] for row in found["findings"]} == {text}
    assert {step["message"] for step in found["first"]} == {text}


@unhurried
@given(TEXT, TEXT)
def test_file_names_are_of_a_fixed_alphabet(name: str, kind: str) -> None:
    for page in (asset_slug(AssetKey(name, kind)), slug("ministry", name), slug("control", name)):
        assert FILE.fullmatch(page)
        assert ".." not in page
        assert file_name(f"{page}.html") == f"{page}.html"


@pytest.mark.parametrize(
    "name", ["../x.html", "a/b.html", "x.exe", ".html", "A.html", "a..html", "", "a b.html", "x.html\n"]
)
def test_other_file_names_are_not_written(name: str) -> None:
    with pytest.raises(ValueError, match="not a file name of ours"):
        file_name(name)


@unhurried
@given(
    st.one_of(TEXT, st.ip_addresses().map(str), st.ip_addresses().map(lambda one: f"x resolves to {one}, outside y"))
)
def test_an_address_is_spelled_by_us_or_not_at_all(text: str) -> None:
    found = address_in(Scanned(text))
    assert found is None or set(found) <= set("0123456789abcdef:.")


def test_addresses_of_subjects_and_refusals() -> None:
    assert address_in(Scanned("192.0.2.77:443/tcp")) == "192.0.2.77"
    assert address_in(Scanned("[2001:db8::1]:443/tcp")) == "2001:db8::1"
    assert address_in("192.0.2.77") == "192.0.2.77"
    assert address_in("www.x.example resolves to 192.0.2.77, outside the networks of a.") == "192.0.2.77"
    assert address_in("mx:mx.x.example:25") is None
    assert address_in(None) is None


def test_sentences_beside_the_name_do_without_it() -> None:
    assert about(Scanned("a.test: the probe is active."), "a.test") == "the probe is active."
    assert about(Scanned("a.test resolves to 10.0.0.1."), "a.test") == "it resolves to 10.0.0.1."
    assert about(Scanned("a.test.evil stays."), "a.test") == "a.test.evil stays."


def test_pieces_together_are_still_to_be_encoded() -> None:
    assert isinstance(together("a", Scanned("b"), None, ["c", 1]), Scanned)
    assert together("a", Scanned("b"), None, ["c", 1]) == "abc;1"
    assert together("a", Scanned("b"), between="; ") == "a; b"


@pytest.mark.parametrize("format", FORMATS)
def test_a_sink_that_forgot_its_encoder_would_be_seen(format: str) -> None:  # noqa: A002 - as in render
    """The documents of these tests do hold scanned text, as those of the history do."""
    assert all(isinstance(row[name], Scanned) for row in said("x")["findings"] for name in ("message", "subject"))
    assert "\x1b" not in rendered(said("\x1b"), format)
    with pytest.raises(TypeError):
        str(said("x")["findings"][0]["message"])
