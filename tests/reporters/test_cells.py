from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posture.model import AssetKey
from posture.reporters.cells import asset_slug, csv_cell, markdown, plain, slug, terminal
from posture.scanned import visible
from tests.reporters.hostile import PAYLOADS

unhurried = settings(deadline=None)  # a busy machine is no fault
FORMULA = set("=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (3, "3"),
        (["TLS 1.0", "TLS 1.1"], "TLS 1.0;TLS 1.1"),
        ({"days": 3, "names": ["a", "b"]}, "days=3;names=a;b"),
    ],
)
def test_plain_text_of_a_json_value(value: object, text: str) -> None:
    assert plain(value) == text


def test_escape_sequences_and_bidi_controls_are_written_out() -> None:
    assert visible("\x1b[31m\u202e\x9b\x7f") == "\\u{1b}[31m\\u{202e}\\u{9b}\\u{7f}"


@unhurried
@given(st.text(st.characters(codec=None)))
def test_terminal_text_has_no_control_or_format_character(text: str) -> None:
    assert not {char for char in terminal(text) if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")}
    assert not {
        char for char in terminal(text) if unicodedata.bidirectional(char) in ("RLO", "LRO", "RLE", "LRE", "RLI")
    }


def test_huge_text_is_cut() -> None:
    assert len(terminal("A" * 100_000)) < 3000


@unhurried
@given(st.text())
def test_no_cell_starts_like_a_formula(text: str) -> None:
    assert not csv_cell(text).lstrip(" ").startswith(tuple(FORMULA))


def test_ordinary_text_is_left_as_it_is() -> None:
    assert csv_cell("TLS 1.0 = old") == "TLS 1.0 = old"
    assert terminal("Ministère des Finances") == "Ministère des Finances"


@pytest.mark.parametrize("payload", PAYLOADS)
def test_markdown_is_one_line_without_html_links_or_cells(payload: str) -> None:
    text = markdown(payload).replace("\\\\", "")
    assert "\n" not in text
    bare = [char for before, char in zip(" " + text, text, strict=False) if char in "<>|[]`" and before != "\\"]
    assert bare == []


def test_page_names_never_carry_the_asset() -> None:
    name = asset_slug(AssetKey("../../etc/passwd", "host"))
    assert name.startswith("asset-")
    assert set(name.removeprefix("asset-")) <= set("0123456789abcdef")
    assert asset_slug(AssetKey("a", "host")) != asset_slug(AssetKey("a", "zone"))


def test_odd_ministry_codes_are_hashed() -> None:
    assert slug("ministry", "finance") == "ministry-finance"
    assert "/" not in slug("ministry", "../x")
