"""One encoder per sink for text that a scanned system may have written. Every reporter goes through these.

Here alone is :class:`~posture.scanned.Scanned` unwrapped, and what comes out is always fit for one sink: the terminal,
a page, a spreadsheet, Markdown, JSON. File names are never made from it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from html import escape
from ipaddress import ip_address
from typing import Any

from posture.model import AssetKey, parse_endpoint
from posture.scanned import LONGEST, Scanned, unwrap, visible

_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # and their full-width forms (CWE-1236)
# Where a comma is the decimal sign, spreadsheets part cells at semicolons, quoted or not: each part begins a cell.
_FORMULA_WITHIN = re.compile(rf'(;[\s"\']*)([{re.escape("".join(_FORMULA))}])')
LONGEST_CELL = 32_000  # a spreadsheet's cell holds 32,767 characters; what is longer spills into cells of its own
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|~&$^])")
_BARE_LINK = re.compile(r"(?i)\b(www)\.")
_RESOLVES = re.compile(r" resolves to ([0-9a-fA-F.:]{2,45}), outside ")
_WORDS = re.compile(r"[A-Za-z0-9._:/\[\]][A-Za-z0-9._:/\[\] -]{0,300}")
_PAGE = re.compile(r"[a-z0-9](?:[a-z0-9_-]|\.(?=[a-z0-9])){0,60}")
_FILE = re.compile(r"[a-z0-9][a-z0-9._-]{0,120}\.(html|json|md|pdf)")


def plain(value: Any) -> Scanned:
    """A JSON value as text: lists joined by ``;``, mappings as ``key=value``, null as nothing. Still to be encoded."""
    return Scanned(_text(value))


def together(*parts: Any, between: str = "") -> Scanned:
    """Values and words one after the other, still to be encoded."""
    return Scanned(between.join(map(_text, parts)))


def about(value: Any, name: str) -> Scanned:
    """A sentence about ``name`` that stands beside that name: without it, or with "it". Still to be encoded."""
    text = _text(value)
    if text.startswith(f"{name}: "):
        return Scanned(text[len(name) + 2 :])
    return Scanned(f"it {text[len(name) + 1 :]}" if text.startswith(f"{name} ") else text)


def address_in(value: Any) -> str | None:
    """The address of an endpoint, of a subject that is one, or of "NAME resolves to ADDRESS,": spelled by us."""
    text = _text(value)
    found = _RESOLVES.search(text)
    try:
        return str(ip_address(found[1] if found else text))
    except ValueError:
        pass
    try:
        return parse_endpoint(text)[0]
    except ValueError:
        return None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Scanned):
        return unwrap(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return ";".join(f"{_text(key)}={_text(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ";".join(map(_text, value))
    return str(value)


def terminal(value: Any, longest: int | None = LONGEST) -> str:
    """For a terminal or a log: inert, one line."""
    return visible(_text(value), longest)


def html(value: Any) -> str:
    """For a page, as the text of an element or of a quoted attribute: visible, escaped. Never for a link's target."""
    return escape(visible(_text(value)), quote=True)


def csv_cell(value: Any) -> str:
    """For a spreadsheet, be it CSV or xlsx (as a string): one line that is no formula, and starts none.

    What would be read as a formula gets a ``'`` in front (CWE-1236). No control reaches a terminal that shows the
    file, nor a character that XML 1.0 forbids the sheet.
    """
    text = visible(_text(value), LONGEST_CELL)
    text = _FORMULA_WITHIN.sub(r"\1'\2", text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def markdown(value: Any) -> str:
    """For Markdown, also inside a table cell: inert and on one line; no link grows from it."""
    escaped = _MARKDOWN.sub(r"\\\1", terminal(value)).replace("://", "&#58;//").replace("@", "&#64;")
    return _BARE_LINK.sub(r"\1&#46;", escaped)


def shell_words(value: Any) -> Any:
    """For a line that is pasted into a shell: a JSON value with every text that a shell might read otherwise left empty."""
    if isinstance(value, Mapping):
        return {key: shell_words(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [shell_words(item) for item in value]
    if isinstance(value, (str, Scanned)):
        text = _text(value)
        return text if _WORDS.fullmatch(text) else ""
    return value


def json_default(value: Any) -> str:
    """For ``json.dumps(default=...)``: scanned text as the string that it is. The writers escape all but ASCII.

    Raises:
        TypeError: it is nothing that JSON can say.
    """
    if isinstance(value, Scanned):
        return unwrap(value)
    raise TypeError(f"no JSON value: {type(value).__name__}")


def slug(prefix: str, code: str) -> str:
    """A page's name from a code of the inventory or catalogue: itself when it is harmless, else its hash."""
    return f"{prefix}-{code}" if _PAGE.fullmatch(code) else f"{prefix}-{_short_hash(code)}"


def asset_slug(asset: AssetKey) -> str:
    """A page's name from an asset: never the name itself."""
    return f"asset-{_short_hash(f'{asset.kind}/{asset.name}')}"


def file_name(name: str) -> str:
    """The name of a file to write, which must be one of ours.

    Raises:
        ValueError: it has another character than lower-case letters, digits and ``._-``, or another ending.
    """
    if not _FILE.fullmatch(name) or ".." in name:
        raise ValueError(f"not a file name of ours: {name!r}")
    return name


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]
