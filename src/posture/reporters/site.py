"""Where a scorecard goes: a directory of pages, one HTML file, one JSON, Markdown or PDF file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from posture.errors import UsageError
from posture.report import Report, narrow, scorecard_document, tlp_level
from posture.reporters.cells import file_name
from posture.reporters.html import pages, single_page
from posture.reporters.json import write_json
from posture.reporters.markdown import scorecard_markdown

MARK = b'<meta name="generator" content="posture scorecard">'


def write(
    report: Report,
    directory: Path,
    *,
    ministries: Sequence[str],
    single_file: bool,
    tlp: str | None,
    format: str,  # noqa: A002 - the option's name
) -> Path:
    """See :func:`posture.reporters.write_site`."""
    shown = narrow(report if tlp is None else replace(report, tlp=tlp_level(tlp)), ministries)
    if format == "html":
        files = single_page(shown) if single_file else pages(shown)
    elif format == "md":
        files = {"scorecard.md": scorecard_markdown(shown)}
    elif format == "pdf":
        return _pdf(shown, directory)
    elif format == "json":
        files = {}
    else:
        raise UsageError(f"no scorecard format {format!r}. Choose from: html, json, md, pdf.")
    directory.mkdir(parents=True, exist_ok=True)
    _clear(directory)
    for name, text in files.items():
        (directory / file_name(name)).write_text(text, "utf-8", newline="\n")
    if format == "json":
        with (directory / "scorecard.json").open("w", encoding="ascii", newline="\n") as stream:
            write_json(scorecard_document(shown), stream)
        return directory / "scorecard.json"
    return directory / next(iter(files))


def _pdf(report: Report, directory: Path) -> Path:
    from posture.reporters.pdf import scorecard_pdf  # WeasyPrint is loaded only for this

    content = scorecard_pdf(report)
    directory.mkdir(parents=True, exist_ok=True)
    _clear(directory)
    path = directory / file_name("scorecard.pdf")
    path.write_bytes(content)
    return path


def _clear(directory: Path) -> None:
    """Takes away the pages of an earlier scorecard: they may be of ministries that this one must not show."""
    for path in directory.glob("*.html"):
        with path.open("rb") as stream:
            if MARK in stream.read(2000):
                path.unlink()
