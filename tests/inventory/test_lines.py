from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posture.inventory.lines import LineIndex, Path, dotted


def paths_of(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every path of a parsed document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from paths_of(inner, (*path, key))


DOCUMENT = '''\
# a comment = "not a key"
title = "a # in a string"  # and a comment [with] = marks
literal = 'C:\\temp # no'
"quoted key" = 1
'single.quoted' = 2
"esc\\u0061ped" = 3
a.b."c.d" = 4
text = """
fake = 1
[fake]
\\""" still inside ""\\" """
after_text = 5
raw = \'\'\'
other = "x"
it''s\'\'\'
after_raw = 6
quotes = """"two""""" # ends with two quotes of its own
after_quotes = 7
day = 2026-01-01 10:00:00
number = 1_000.5e3
array = [
  "one",  # a comment, with = and ]
  "two",
  [3, 4],
  { x = 5, y = { z = 6 } },
]
inline = { p = 1, q.r = [1,
  2] }
empty = []
nested.array = [ [1], [ "]" ] ]

[table]  # comment
key = 1
[table.sub."strange ] name"]
key = 2

[[list]]
name = "first"
[list.details]
name = "details of first"
[[list.inner]]
n = 1
[[list.inner]]
n = 2

[[list]]
name = "second"
[[list.inner]]
n = 3
  [ spaced . out ]
  key = true
last = "no newline at the end"'''

LINES: dict[Path, int] = {
    ("title",): 2,
    ("literal",): 3,
    ("quoted key",): 4,
    ("single.quoted",): 5,
    ("escaped",): 6,
    ("a",): 7,
    ("a", "b", "c.d"): 7,
    ("text",): 8,
    ("after_text",): 12,
    ("raw",): 13,
    ("after_raw",): 16,
    ("quotes",): 17,
    ("after_quotes",): 18,
    ("day",): 19,
    ("number",): 20,
    ("array",): 21,
    ("array", 0): 22,
    ("array", 1): 23,
    ("array", 2): 24,
    ("array", 2, 1): 24,
    ("array", 3, "x"): 25,
    ("array", 3, "y", "z"): 25,
    ("inline",): 27,
    ("inline", "q", "r"): 27,
    ("inline", "q", "r", 1): 28,
    ("empty",): 29,
    ("nested", "array", 1, 0): 30,
    ("table",): 32,
    ("table", "key"): 33,
    ("table", "sub", "strange ] name"): 34,
    ("table", "sub", "strange ] name", "key"): 35,
    ("list",): 37,
    ("list", 0): 37,
    ("list", 0, "name"): 38,
    ("list", 0, "details", "name"): 40,
    ("list", 0, "inner", 0, "n"): 42,
    ("list", 0, "inner", 1): 43,
    ("list", 0, "inner", 1, "n"): 44,
    ("list", 1): 46,
    ("list", 1, "name"): 47,
    ("list", 1, "inner", 0, "n"): 49,
    ("spaced", "out"): 50,
    ("spaced", "out", "key"): 51,
    ("spaced", "out", "last"): 52,
}


@pytest.mark.parametrize(
    ("path", "line"), LINES.items(), ids=lambda value: dotted(value) if isinstance(value, tuple) else ""
)
def test_every_way_to_write_a_key_is_found_at_its_line(path: Path, line: int) -> None:
    assert LineIndex(DOCUMENT).exact(path) == line


def test_the_index_knows_every_key_of_the_parsed_document_and_nothing_more() -> None:
    index = LineIndex(DOCUMENT)

    parsed = set(paths_of(tomllib.loads(DOCUMENT)))

    simple_arrays = {path for path in parsed if isinstance(path[-1], int) and index.exact(path) is None}
    assert parsed - simple_arrays == {path for path in parsed if index.exact(path) is not None}
    assert all(index.line(path) for path in parsed)
    assert index.exact(("fake",)) is None
    assert index.exact(("other",)) is None


def test_an_unknown_path_falls_back_to_what_is_around_it() -> None:
    index = LineIndex(DOCUMENT)

    assert index.line(("list", 1, "missing", 3)) == 46
    assert index.line(("missing",)) is None
    assert index.line(()) is None


def test_windows_line_ends_count_once() -> None:
    source = 'a = 1\r\n[b]\r\nc = [\r\n "x"\r\n]\r\nd = """\r\n\r\n"""\r\ne = 2\r\n'

    index = LineIndex(source)

    assert [index.exact(path) for path in (("a",), ("b",), ("b", "c", 0), ("b", "d"), ("b", "e"))] == [1, 2, 4, 6, 9]


KEYS = st.text("abc-_9", min_size=1, max_size=4) | st.sampled_from(['"a b"', "'x.y'", '"]"', '"#"', "p.q", "p . r"])
VALUES = st.recursive(
    st.sampled_from(
        [
            "1",
            "-2.5",
            "true",
            "2026-01-02",
            "2026-01-02 03:04:05Z",
            '""',
            "''",
            '"#[]{}=,"',
            "'\"'",
            '"\\""',
            '"""\n"""',
            '"""\n[x]\ny = 1\n\\""" """',
            "'''\n'''",
            "'''a''''",
            '"""b""""',
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[\n" + ", # ]\n".join(items) + "\n]")
        | st.lists(inner, max_size=3).map(
            lambda items: "{" + ", ".join(f"k{number} = {item}" for number, item in enumerate(items)) + "}"
        )
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["", "[t]", "[[u]]", "[u.v]", "[[u.w]]", "# [no]"]), KEYS, VALUES), max_size=6)
)
def test_whatever_toml_accepts_is_indexed(parts: list[tuple[str, str, str]]) -> None:
    """Each key's line holds the last part of its spelling; a document that is no TOML must merely not break the index."""
    source = "".join(f"{header}\n{key} = {value} # end\n" for header, key, value in parts)
    index = LineIndex(source)
    try:
        parsed = tomllib.loads(source)
    except tomllib.TOMLDecodeError:
        return
    lines = source.split("\n")

    for path in paths_of(parsed):
        line = index.line(path)
        assert line is not None
        if isinstance(path[-1], str):
            assert index.exact(path) == line
            assert path[-1] in lines[line - 1]


def test_dotted_paths_read_as_people_write_them() -> None:
    assert dotted(("ministry", 0, "asset", 2, "name")) == "ministry[0].asset[2].name"
