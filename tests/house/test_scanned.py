"""Scanned text is unwrapped in one place, and nowhere does a template make an attribute of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "posture"
TEMPLATES = sorted((SOURCE / "reporters" / "templates").glob("*.j2"))
HOME, ENCODERS = SOURCE / "scanned.py", SOURCE / "reporters" / "cells.py"
# The parts of cells.py that give out bare text; each is an encoder, or spells what it gives out itself.
GIVES_TEXT = {
    "_text", "terminal", "html", "csv_cell", "markdown", "json_default", "slug", "asset_slug", "file_name",
    "address_in", "_short_hash", "shell_words",
}  # fmt: skip
# What an attribute may be made of: ids and hashes of ours, numbers, words of the model.
TARGETS = re.compile(
    r"\{\{ url\((home|'unseen'|'method'|(control|asset|ministry)_id\((name|key|one\.id|ministry\.code|step\.ministry)\))\) \}\}"
)


def unwrapping(tree: ast.AST) -> Iterator[str]:
    """Whatever in a module reaches for the text within."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "posture.scanned":
            yield from (f"imports {name.name}" for name in node.names if name.name in ("unwrap", "*"))
        elif isinstance(node, ast.Attribute) and (
            node.attr in ("_Scanned__text", "__text", "__html__")
            or (node.attr == "unwrap" and ast.unparse(node.value).endswith("scanned"))
        ):
            yield f"reads .{node.attr}"
        elif isinstance(node, ast.Constant) and node.value in ("unwrap", "_Scanned__text", "__text"):
            yield f"names {node.value!r}"


def faults(text: str) -> list[str]:
    return list(unwrapping(ast.parse(text)))


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_only_the_encoders_unwrap(path: Path) -> None:
    found = faults(path.read_text("utf-8"))
    if path in (HOME, ENCODERS):
        assert found
    else:
        assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "from posture.scanned import unwrap",
        "from posture.scanned import Scanned, unwrap as u",
        "from posture.scanned import *",
        "import posture.scanned\nposture.scanned.unwrap(x)",
        "print(row['message']._Scanned__text)",
        "getattr(x, '_Scanned__text')",
        "x.__html__()",
    ],
)
def test_the_watch_notices_what_it_is_there_for(text: str) -> None:
    assert faults(text)


def test_the_encoders_give_out_nothing_bare() -> None:
    """A new function of cells.py that returns text is looked at: is it an encoder?"""
    tree = ast.parse(ENCODERS.read_text("utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    bare = {one.name for one in functions if one.returns is None or ast.unparse(one.returns) != "Scanned"}
    assert bare == GIVES_TEXT
    callers = {
        one.name
        for one in functions
        for node in ast.walk(one)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "unwrap"
    }
    assert callers == {"_text", "json_default"}


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_nobody_uses_the_inside_of_the_encoders(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "posture.reporters.cells":
            assert not [name.name for name in node.names if name.name.startswith("_")]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_links_lead_to_pages_of_ours_only(path: Path) -> None:
    text = re.sub(r"\{#.*?#\}", "", path.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r'\bhref="([^"]*)"', text):
        assert target == "#main" or TARGETS.fullmatch(target), target
    assert not re.search(r"\b(src|srcset|style|action|formaction|data|xlink:href|on[a-z]+)\s*=", text)
    assert not re.search(r"\|\s*safe\b|autoescape|<script|<base|<form|<iframe|<object", text)
    for bare in re.findall(r"<[a-z][^>]*=(\{\{|\{%)", text):
        pytest.fail(f"an attribute without quotes: {bare}")
