"""Reading a trail: every record in turn, each proved to follow from the one before. Cutting and hashing, no JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import BinaryIO

from posture.audit.records import ENDING, LONGEST, MARK, START, TAIL, Head, is_record, kind_of


class Broken(Exception):
    """The trail does not hold. ``record`` is the number of the record that fails, ``line`` its line in the file."""

    def __init__(self, record: int, line: int, what: str) -> None:
        super().__init__(f"record {record} (line {line}) {what}")
        self.record = record
        self.line = line
        self.what = what


class Chain:
    """Iterate once: (line number, record number, line) of every record; the rest says where it stands.

    ``before`` is where the chain stood before the file's first record. ``loose`` are the bytes of a last line that is
    no record, ``unended`` says that the last record lacks its LF: both are what a crash leaves. ``tears`` counts those
    that a later scan found and recorded.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.before = START
        self.loose = b""
        self.unended = False
        self.tears = 0
        self._stream = stream
        self._loose_line = 0
        # Record and hash that stand last, and the hash before those.
        self._seq = START.seq
        self._hash = self._previous = START.hash.encode()

    @property
    def head(self) -> Head:
        """The record last given out."""
        return Head(self._seq, self._hash.decode())

    @property
    def preceding(self) -> Head:
        """The one before it."""
        return Head(self._seq - 1, self._previous.decode())

    def __iter__(self) -> Iterator[tuple[int, int, bytes]]:
        """Raises Broken at the first record that does not follow, OSError when the file cannot be read."""
        sha256 = hashlib.sha256
        seq, previous = START.seq, START.hash.encode()
        for number, line in enumerate(iter(partial(self._stream.readline, LONGEST), b""), 1):
            if line[-TAIL : 9 - TAIL] != MARK or line[-3:] != ENDING:
                line = self._mended(number, seq + 1, line)  # noqa: PLW2901 (the record, once its LF is there)
                if not line:
                    continue
            if self._seq == START.seq:
                self.before = _before(line)
                seq, previous = self.before.seq, self.before.hash.encode()
            seq += 1
            digest = line[-67:-3]
            if sha256(previous + line[:-TAIL]).hexdigest().encode() != digest:
                raise Broken(
                    seq,
                    number,
                    "does not follow from the one before it: it was changed, or one was taken out or put in",
                )
            if not line.startswith(b'{"seq":%d,' % seq):
                raise Broken(seq, number, "has another number than its place")
            if self.loose:
                self._torn(seq, line)
            self._seq, self._hash, self._previous = seq, digest, previous
            previous = digest
            yield number, seq, line
        if self.loose.endswith(b"\n"):
            raise Broken(seq + 1, self._loose_line, "is no record")

    def _mended(self, number: int, seq: int, line: bytes) -> bytes:
        """A last record that only lacks its LF, with it; b"" for a line that is no record, which is kept in ``loose``."""
        if not line.endswith(b"\n") and len(line) < LONGEST and is_record(line + b"\n"):
            self.unended = True
            return line + b"\n"
        if not self.loose:
            self._loose_line = number
        self.loose += line
        if len(self.loose) > LONGEST:
            raise Broken(seq, self._loose_line, "is no record, and longer than any")
        return b""

    def _torn(self, seq: int, line: bytes) -> None:
        """What lies before a record and is none must be named by it."""
        torn, self.loose = self.loose.removesuffix(b"\n"), b""
        said = {}
        if kind_of(line) == "torn":
            with suppress(ValueError):
                said = json.loads(line)
        if (said.get("bytes"), said.get("sha256")) != (len(torn), hashlib.sha256(torn).hexdigest()):
            raise Broken(seq, self._loose_line, "is no record")
        self.tears += 1


def _before(line: bytes) -> Head:
    """Where the chain stood before a file's first record."""
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        previous = json.loads(line)["previous"]
        return Head(int(previous["seq"]), str(previous["hash"]))
    return START
