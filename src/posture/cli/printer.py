"""The one place that prints what commands return."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Mapping
from typing import TextIO

from posture.cli.result import Result
from posture.scanned import inert


def show(result: Result, out: TextIO, err: TextIO) -> None:
    """Data to ``out``, remarks to ``err``; nothing in them moves, colours or hides, whatever they quote."""
    for stream in (out, err):
        if isinstance(stream, io.TextIOWrapper):  # a character that the locale lacks is written out; it stops nothing
            stream.reconfigure(errors="backslashreplace")
    if result.document is not None:
        from posture.reporters import render

        width = shutil.get_terminal_size((100, 24)).columns
        colour = wants_colour(out, os.environ)
        render(
            result.document,
            result.format,
            out,
            colour=colour,
            width=width,
            everything=result.everything,
            left_out=result.left_out,
        )
    if result.writer is not None:
        result.writer(out)
    out.write(inert(result.text))
    out.flush()
    err.write(inert(result.remark))


def wants_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """NO_COLOR over FORCE_COLOR over "is it a terminal" (https://no-color.org)."""
    if environ.get("NO_COLOR"):
        return False
    return bool(environ.get("FORCE_COLOR")) or (stream.isatty() and environ.get("TERM") != "dumb")
