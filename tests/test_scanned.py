from __future__ import annotations

import copy
import csv
import io
import json
import os
import pickle
import sqlite3
import subprocess
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posture.reporters.cells import json_default
from posture.scanned import LONGEST, Scanned, inert, scanned, visible
from tests.reporters.hostile import PAYLOADS
from tests.reporters.sinks import elements, moving, words

unhurried = settings(deadline=None)  # a busy machine is no fault

TEXT = st.text(st.characters(codec=None))
OWNED = Scanned("\x1b]0;owned\x07<b>")

TWO = ["a", OWNED]

PRINTS: dict[str, Callable[[], object]] = {
    "str": lambda: str(OWNED),
    "print": lambda: print(OWNED, file=io.StringIO()),
    "f-string": lambda: f"the server says {OWNED}",
    "f-string with a width": lambda: f"{OWNED:>10}",
    "str.format": lambda: "{}".format(OWNED),  # noqa: UP032 - this very way
    "percent": lambda: "%s" % OWNED,  # noqa: UP031 - this very way
    "join": lambda: ", ".join(TWO),  # type: ignore[arg-type]
    "template's tilde": lambda: jinja2.Environment(autoescape=True).from_string("{{ x ~ '!' }}").render(x=OWNED),
    "write": lambda: io.StringIO().write(OWNED),  # type: ignore[arg-type]
    "bytes": lambda: bytes(OWNED),  # type: ignore[call-overload]
    "iterate": lambda: list(OWNED),  # type: ignore[call-overload]
    "slice": lambda: OWNED[:3],  # type: ignore[index]
    "json": lambda: json.dumps({"message": OWNED}),
    "csv": lambda: csv.writer(io.StringIO()).writerow(["a", OWNED]),
    "path": lambda: Path("reports") / OWNED,  # type: ignore[operator]
    "open": lambda: open(OWNED),  # type: ignore[call-overload] # noqa: SIM115, PTH123 - it does not open
    "os.fsencode": lambda: os.fsencode(OWNED),  # type: ignore[arg-type]
    "argument of a program": lambda: subprocess.run(["true", OWNED], check=False),  # type: ignore[list-item]
    "pickle": lambda: pickle.dumps(OWNED),
    "upper-case filter": lambda: jinja2.Environment(autoescape=True).from_string("{{ x | upper }}").render(x=OWNED),
    "string filter": lambda: jinja2.Environment(autoescape=True).from_string("{{ x | string }}").render(x=OWNED),
    "template without autoescape": lambda: jinja2.Template("{{ x }}").render(x=OWNED),
}


@pytest.mark.parametrize("way", PRINTS)
def test_no_way_to_print_it_but_an_encoder(way: str) -> None:
    with pytest.raises(TypeError):
        PRINTS[way]()


def test_a_forgotten_encoder_is_named() -> None:
    with pytest.raises(TypeError, match=r"posture\.reporters\.cells \(terminal, html"):
        print(OWNED, file=io.StringIO())


def test_the_database_takes_none() -> None:
    """The history stores facts, which are plain text behind a parameter; what was read back for a reader is not stored."""
    with sqlite3.connect(":memory:") as connection, pytest.raises(sqlite3.Error):
        connection.execute("SELECT ?", (OWNED,))
    connection.close()


@unhurried
@given(TEXT)
def test_stored_strings_are_parameters(text: str) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (body TEXT)")
    connection.execute("INSERT INTO t VALUES (?)", (json.dumps({"said": Scanned(text)}, default=json_default),))
    (body,) = connection.execute("SELECT body FROM t").fetchone()
    assert json.loads(body) == {"said": text}
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (1,)
    connection.close()


@unhurried
@given(TEXT)
def test_repr_is_ascii_without_controls_and_short(text: str) -> None:
    shown = repr(Scanned(text))
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) < 1000


@unhurried
@given(TEXT)
def test_a_template_shows_it_as_text_and_nothing_else(text: str) -> None:
    template = jinja2.Environment(autoescape=True).from_string('<p title="{{ x }}">{{ x }}</p>')
    page = template.render(x=Scanned(text))
    assert [tag for tag, _ in elements(page)] == ["p", "/p"]
    assert elements(page)[0][1] == (("title", visible(text)),)
    assert words(page) == visible(text)


def test_what_autoescape_would_let_through_is_escaped_all_the_same() -> None:
    assert markupsafe.escape(OWNED) == "\\u{1b}]0;owned\\u{7}&lt;b&gt;"
    assert "<b>" not in markupsafe.Markup("<i>{}</i>").format(OWNED)


@unhurried
@given(TEXT, TEXT)
def test_it_compares_sorts_and_hashes_like_the_text(one: str, other: str) -> None:
    assert Scanned(one) == one
    assert (Scanned(one) == Scanned(other)) == (one == other)
    assert (Scanned(one) < Scanned(other)) == (one < other)
    assert (Scanned(one) >= other) == (one >= other)
    mixed: list[Any] = [one, Scanned(other)]
    assert sorted(mixed) == sorted([one, other])
    assert {Scanned(one): 1}.get(one) == 1  # type: ignore[call-overload]
    assert (len(Scanned(one)), bool(Scanned(one))) == (len(one), bool(one))


def test_it_is_no_text_of_any_other_type() -> None:
    assert Scanned("1") != 1
    assert not isinstance(Scanned("1"), str)
    with pytest.raises(TypeError):
        assert Scanned("1") < 1  # type: ignore[operator]
    with pytest.raises(TypeError):
        assert Scanned("1") + 1  # type: ignore[operator]


@unhurried
@given(TEXT, TEXT)
def test_what_it_is_joined_to_is_scanned_too(one: str, other: str) -> None:
    for joined in (Scanned(one) + other, one + Scanned(other), Scanned(one) + Scanned(other)):
        assert isinstance(joined, Scanned)
        assert joined == one + other


def test_it_is_final_and_does_not_change() -> None:
    with pytest.raises(TypeError):
        type("Printable", (Scanned,), {"__str__": lambda self: "!"})
    with pytest.raises(AttributeError):
        OWNED.text = "x"
    assert copy.deepcopy({"a": OWNED}) == {"a": OWNED}
    assert copy.copy(OWNED) is OWNED


def test_every_text_of_a_json_value_is_wrapped() -> None:
    value = {"records": ["a", {"b": "c"}], "count": 3, "clean": None, "seen": True}
    found = scanned(value)
    assert found == value
    assert isinstance(found["records"][0], Scanned)
    assert isinstance(found["records"][1]["b"], Scanned)
    assert (found["count"], found["clean"], found["seen"]) == (3, None, True)


@unhurried
@given(TEXT)
def test_visible_text_moves_nothing_and_is_one_line(text: str) -> None:
    assert not moving(visible(text))
    assert "\n" not in visible(text)
    assert visible(visible(text)) == visible(text)


@unhurried
@given(TEXT)
def test_inert_text_keeps_its_lines_and_nothing_else_that_moves(text: str) -> None:
    assert not moving(inert(text))
    assert inert(text).count("\n") == text.count("\n")


@pytest.mark.parametrize("payload", PAYLOADS)
def test_known_payloads_are_inert(payload: str) -> None:
    assert not moving(visible(payload))
    assert len(visible(payload)) <= LONGEST * 10


def test_ordinary_text_stays_as_it_is() -> None:
    for text in ("Ministère des Finances", "100\u00a0%", "保健省", "TLS 1.0 = old"):
        assert visible(text) == text


def test_every_character_that_moves_text_is_written_out() -> None:
    for number in range(0x110000):
        char = chr(number)
        if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            assert visible(char) == f"\\u{{{number:x}}}"
