"""One encoder per sink for text that a scanned host may have written. Every reporter goes through these.

HTML is encoded by Jinja's autoescape (html.py); here are the terminal, the spreadsheet, Markdown and file names.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from posture.model import AssetKey

# C0, DEL, C1, the line separators and the characters that reorder or hide text (Unicode TR 36, bidi controls).
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # and full-width ones
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|~&])")
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
LONGEST = 2000


def plain(value: Any) -> str:
    """A JSON value as text: lists joined by ``;``, mappings as ``key=value``, null as nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return ";".join(f"{key}={plain(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ";".join(plain(item) for item in value)
    return str(value)


def visible(text: str) -> str:
    """Every character that moves, colours, reorders or hides text, written out as ``\\u{1b}``; one line, bounded."""
    shown = text if len(text) <= LONGEST else text[:LONGEST] + "…"
    return _UNSAFE.sub(lambda match: f"\\u{{{ord(match[0]):x}}}", shown)


def terminal(value: Any) -> str:
    """For a terminal: inert, one line."""
    return visible(plain(value))


def csv_cell(value: Any) -> str:
    """For a spreadsheet: what would be read as a formula gets a ``'`` in front (CWE-1236)."""
    text = plain(value).replace("\0", "\\u{0}")
    return "'" + text if text.lstrip(" ").startswith(_FORMULA) or text.startswith(_FORMULA) else text


def markdown(value: Any) -> str:
    """For Markdown, also inside a table cell: inert and on one line."""
    return _MARKDOWN.sub(r"\\\1", terminal(value)).replace("://", "&#58;//").replace("@", "&#64;")


def slug(prefix: str, code: str) -> str:
    """A page's name from a code of the inventory: itself when it is harmless, else its hash."""
    return f"{prefix}-{code}" if _SLUG.fullmatch(code) else f"{prefix}-{_short_hash(code)}"


def asset_slug(asset: AssetKey) -> str:
    """A page's name from an asset: never the name itself."""
    return f"asset-{_short_hash(f'{asset.kind}/{asset.name}')}"


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]
