"""The file of an export: written beside its name and put there when it is whole, the same bytes for the same history."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from posture.errors import PostureError, UsageError
from posture.export.findings import FIELDS, finding_rows
from posture.export.method import readme
from posture.export.records import Records, records_of_span, whole_records
from posture.export.span import Span
from posture.export.workbook import Heard, write_workbook
from posture.inventory.records import Inventory
from posture.ledger.proof import make_proof
from posture.reporters.csv import write_csv

FORMATS = ("csv", "xlsx", "jsonl", "zip")
WORKBOOK, RECORDS, README = "history.xlsx", "records.jsonl", "README.txt"
PROOF, CHECKPOINT, KEY = "proof.json", "checkpoint.txt", "key.pub"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the time of every member: none of a clock
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Export:
    """What is to be written. ``label``: the TLP level; ``heard`` is told which part is under way and how far."""

    span: Span
    inventory: Inventory | None
    label: str
    proof: bool = False
    heard: Heard = lambda part, count: None  # noqa: ARG005 - nobody listens


def format_of(path: Path, proof: bool = False) -> str:
    """The form that a file's ending asks for.

    Raises:
        UsageError: no such form, or a proof asked of another form than zip.
    """
    found = path.suffix.lower().removeprefix(".")
    if found not in FORMATS:
        raise UsageError(
            f"{path}: an export ends in .csv, .xlsx, .jsonl or .zip. Name FILE so; - is stdout, with --format."
        )
    if proof and found != "zip":
        raise UsageError(f"--proof goes with the records it proves. Write --out {path.with_suffix('.zip').name}.")
    return found


def stream_export(export: Export, form: str, stream: TextIO) -> None:
    """csv or jsonl to a stream of text."""
    if form == "csv":
        write_csv(FIELDS, finding_rows(export.span), stream)
    else:
        stream.writelines(line.decode("ascii") for line in records_of_span(export.span).lines())


def write_export(export: Export, path: Path) -> int:
    """Writes an export and returns its size in bytes; a file that is there is replaced by a whole one only.

    Raises:
        UsageError: no such form, or no such folder.
        StoreError: a proof was asked, and the ledger does not cover the range or does not fit the history.
        PostureError: it cannot be written; a file that was there is still there.
    """
    form = format_of(path, export.proof)
    with _whole(path) as part:
        if form == "zip":
            _bundle(export, part)
        elif form == "xlsx":
            _workbook(export, part)
        else:
            with part.open("w", encoding="utf-8-sig" if form == "csv" else "ascii", newline="") as stream:
                stream_export(export, form, stream)
    return path.stat().st_size


def _workbook(export: Export, path: Path) -> None:
    write_workbook(path, export.span, export.inventory, label=export.label, heard=export.heard)


def _bundle(export: Export, path: Path) -> None:
    span = export.span
    records = whole_records(span) if export.proof else records_of_span(span)
    book = path.with_name(f"{path.name}.xlsx")
    try:
        _workbook(export, book)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
            _member(archive, README, lambda: iter([readme(span, proof=export.proof, label=export.label).encode()]))
            _member(archive, WORKBOOK, lambda: _chunks(book))
            _member(archive, RECORDS, lambda: _told(records, export.heard))
            if export.proof:
                export.heard("proof", 0)
                proof = make_proof(span.store, span.ministries.keys(), records.runs, open_end=span.open_end)
                document = json.dumps(proof.document, sort_keys=True, separators=(",", ":"))
                _member(archive, PROOF, lambda: iter([document.encode("ascii")]))
                _member(archive, CHECKPOINT, lambda: iter([proof.note.encode()]))
                _member(archive, KEY, lambda: iter([proof.key.rstrip("\n").encode() + b"\n"]))
    finally:
        book.unlink(missing_ok=True)


def _told(records: Records, heard: Heard) -> Iterator[bytes]:
    for number, line in enumerate(records.lines(), 1):
        if number % 1000 == 0:
            heard("records", number)
        yield line


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _member(archive: zipfile.ZipFile, name: str, content: Callable[[], Iterator[bytes]]) -> None:
    info = zipfile.ZipInfo(name, _LONG_AGO)
    info.compress_type = zipfile.ZIP_STORED if name == WORKBOOK else zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    info.create_system = 3  # Unix, wherever it is written
    with archive.open(info, "w", force_zip64=True) as member:
        for chunk in content():
            member.write(chunk)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A file in a folder of its own beside ``path``, which takes that name when nothing was raised."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder. Name a file in it.")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"no folder {path.parent} for the export. Make it, or name another file.")
    try:
        folder = Path(tempfile.mkdtemp(dir=path.absolute().parent, prefix=f".{path.name}.", suffix=".part"))
    except OSError as fault:
        raise _unwritable(path, fault) from fault
    try:
        part = folder / f"export{path.suffix.lower()}"
        yield part
        if path.exists():
            shutil.copymode(path, part)
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError as fault:
        raise _unwritable(path, fault) from fault
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unwritable(path: Path, fault: OSError) -> PostureError:
    return PostureError(
        f"the export {path} cannot be written: {fault.strerror or fault}. Free some space, or name a file elsewhere."
    )
