"""Documents and scorecards to what people and programs read. A reporter knows no store and no network.

render(document, "table", sys.stdout, colour=True, width=100)
write_site(report, Path("site"), ministries=["finance"])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from posture.errors import UsageError
from posture.reporters.csv import write_csv
from posture.reporters.documents import shape_of
from posture.reporters.json import write_json, write_jsonl
from posture.reporters.markdown import write_markdown
from posture.reporters.shapes import Row
from posture.reporters.terminal import write_table

if TYPE_CHECKING:
    from posture.report import Report

FORMATS = ("table", "json", "jsonl", "csv", "md")
SITE_FORMATS = ("html", "json", "md", "pdf")

__all__ = ["FORMATS", "SITE_FORMATS", "render", "write_site"]


def render(
    document: Row,
    format: str,  # noqa: A002 - the option's name
    stream: TextIO,
    *,
    colour: bool = False,
    width: int = 100,
    everything: bool = False,
    left_out: Mapping[str, int] | None = None,
) -> None:
    """Writes one published document (its ``schema`` says which).

    Args:
        format: table, json, jsonl, csv or md; jsonl and csv write the document's rows.
        width: columns of the terminal, for ``table``.
        everything: a table lists passed and not applicable too, instead of counting them.
        left_out: how many rows of each outcome the document lacks already, for ``table``.

    Raises:
        UsageError: no such format, or a format that this document does not have.
    """
    shape = shape_of(document)
    if format == "json":
        write_json(document, stream)
    elif shape is None or format not in FORMATS:
        choice = FORMATS if shape else ("json",)
        raise UsageError(f"no format {format!r} for {document['schema']}. Choose from: {', '.join(choice)}.")
    elif format == "jsonl":
        write_jsonl(document[shape.rows], stream)
    elif format == "csv":
        write_csv(shape.fields, document[shape.rows], stream)
    elif format == "md":
        write_markdown(document, stream, everything=everything)
    else:
        write_table(document, stream, colour=colour, width=width, everything=everything, left_out=left_out)


def write_site(
    report: Report,
    directory: Path,
    *,
    ministries: Sequence[str] = (),
    single_file: bool = False,
    tlp: str | None = None,
    format: str = "html",  # noqa: A002 - the option's name
) -> Path:
    """Writes the scorecard into ``directory`` (made when absent) and returns the file to open.

    Args:
        ministries: codes; nothing of any other ministry is written. Empty: the whole State.
        single_file: one HTML file with everything.
        tlp: a level of TLP 2.0 that replaces the report's.
        format: html, json (scorecard.json), md (scorecard.md) or pdf (scorecard.pdf; the extra posture[pdf]).

    Raises:
        UsageError: no such ministry, TLP level or format.
        OSError: the directory cannot be written.
    """
    from posture.reporters.site import write  # Jinja is loaded only for this

    return write(report, directory, ministries=ministries, single_file=single_file, tlp=tlp, format=format)
