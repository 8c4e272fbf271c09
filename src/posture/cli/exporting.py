"""``posture export``: from options to a file, or to stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from posture.cli.result import DISK_FULL, Result
from posture.cli.wiring import config_of, inventory_of, now
from posture.errors import InventoryError, PostureError, UsageError

if TYPE_CHECKING:
    from posture.cli.app import Settings
    from posture.export import Export
    from posture.inventory.records import Inventory

STDOUT = Path("-")
REDRAW = 0.5  # seconds


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options as typed."""

    out: Path
    inventory: Path | None
    ministries: tuple[str, ...]
    since: str | None
    until: str | None
    proof: bool
    format: str | None
    tlp: str


def run_export(settings: Settings, wanted: Wanted) -> Result:
    """Writes FILE, or gives back what writes to stdout.

    Raises:
        UsageError: no such ministry, range or form; PostureError: the file cannot be written.
    """
    from posture.export import format_of, stream_export, write_export

    if wanted.out == STDOUT:
        if wanted.proof:
            raise UsageError("--proof goes with a file. Write --out FILE.zip.")
        if wanted.format not in ("csv", "jsonl"):
            raise UsageError("--out - writes csv or jsonl. Add --format csv or --format jsonl.")
        form = wanted.format
        with _export(settings, wanted):
            pass  # what is wrong with the options is said before the first line

        def writer(stream: TextIO) -> None:
            with _export(settings, wanted) as export:
                stream_export(export, form, stream)

        return Result(writer=writer)
    form = format_of(wanted.out, wanted.proof)
    if wanted.format not in (None, form):
        raise UsageError(f"{wanted.out} is {form}, --format says {wanted.format}. Leave --format out.")
    try:
        with _export(settings, wanted) as export:
            size = write_export(export, wanted.out)
    except PostureError as fault:
        if isinstance(fault.__cause__, OSError) and fault.__cause__.errno in DISK_FULL:
            raise fault.__cause__ from None
        raise
    span = export.span
    days = f"{span.first_day} to {span.last_day}"
    told = f"{wanted.out}: {len(span.runs)} runs of {span.whose}, {days}, {size:,} bytes\n"
    following = f"Next: posture verify {wanted.out}\n" if wanted.proof else ""
    return Result(text=told, remark="" if settings.quiet else following)


@contextmanager
def _export(settings: Settings, wanted: Wanted) -> Iterator[Export]:
    """All that is read is read at one moment, also while a scan writes."""
    from posture.export import Export, span_of
    from posture.report import tlp_level
    from posture.store import Store

    label = tlp_level(wanted.tlp)
    progress = Progress(sys.stderr, quiet=settings.quiet)
    with Store.open(config_of(settings, wanted.inventory).db, write=False) as store:
        today = now().date()
        span = span_of(store, ministries=wanted.ministries, since=wanted.since, until=wanted.until, today=today)
        yield Export(span, _inventory(settings, wanted), label, wanted.proof, progress)
    progress.done()


def _inventory(settings: Settings, wanted: Wanted) -> Inventory | None:
    """What the letters say; without one that can be read the history speaks alone."""
    if wanted.inventory is not None:
        return inventory_of(settings, wanted.inventory)[0]
    try:
        return inventory_of(settings, None)[0] if config_of(settings).inventory.exists() else None
    except InventoryError:
        return None


class Progress:
    """One line on a terminal, written over; removed at the end."""

    def __init__(self, stream: TextIO, *, quiet: bool) -> None:
        self._stream, self._live = stream, stream.isatty() and not quiet
        self._drawn = time.monotonic()

    def __call__(self, part: str, count: int) -> None:
        if self._live and time.monotonic() - self._drawn > REDRAW:
            self._drawn = time.monotonic()
            self._stream.write(f"\r\x1b[Kexporting {part}" + (f", {count:,}" if count else ""))
            self._stream.flush()

    def done(self) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
