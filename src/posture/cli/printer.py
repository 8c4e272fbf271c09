"""The one place that prints what commands return."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import TextIO

from posture.cli.result import Result


def show(result: Result, out: TextIO, err: TextIO) -> None:
    """Data to ``out``, remarks to ``err``."""
    if result.document is not None:
        from posture.reporters import render

        width = shutil.get_terminal_size((100, 24)).columns
        colour = wants_colour(out, os.environ)
        render(result.document, result.format, out, colour=colour, width=width, everything=result.everything)
    out.write(result.text)
    out.flush()
    err.write(result.remark)


def wants_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """NO_COLOR over FORCE_COLOR over "is it a terminal" (https://no-color.org)."""
    if environ.get("NO_COLOR"):
        return False
    return bool(environ.get("FORCE_COLOR")) or (stream.isatty() and environ.get("TERM") != "dumb")
