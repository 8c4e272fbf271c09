"""The model of a power cut: what a disk may hold when the current goes, after any of a writer's file operations.

The statements of the real writer, recorded at its connection, are run again by APSW's SQLite over a VFS that notes every
write, truncation and sync. After a cut a file holds all that was written before its last sync, and of what was written
since any 512-byte sectors. A disk that acknowledges a sync and has not written is outside of the model.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import pytest

from posture.store.answers import text_hash

SECTOR = 512


@dataclass(slots=True)
class Script:
    """What a writer did, in its order: ("sql", statement, parameters) and, once it had been told so, ("ack", fact)."""

    steps: list[tuple[str, Any, Any]] = field(default_factory=list)

    def acknowledge(self, fact: object) -> None:
        self.steps.append(("ack", fact, None))

    @contextmanager
    def recording(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Notes every statement of connections that are opened within."""
        steps = self.steps

        class Recorded(sqlite3.Connection):
            def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
                steps.append(("sql", sql, parameters))
                return super().execute(sql, parameters)

            def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
                rows = [tuple(row) for row in parameters]
                steps.extend(("sql", sql, row) for row in rows)
                return super().executemany(sql, rows)

            def cursor(self, *_: Any, **__: Any) -> Any:
                raise AssertionError("a statement of the writer would not be recorded")

        real = sqlite3.connect
        with monkeypatch.context() as patched:
            patched.setattr(sqlite3, "connect", lambda *args, **named: real(*args, **named, factory=Recorded))
            yield


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on a file: write (``data`` at ``offset``), truncate (to ``offset``), sync, delete; or ack (``fact``)."""

    kind: str
    name: str = ""
    offset: int = 0
    data: bytes = b""
    fact: object = None


class _Files(apsw.VFS):
    def __init__(self, operations: list[Operation]) -> None:
        self.operations = operations
        super().__init__("recorder", "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _File(name, flags, self.operations)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        self.operations.append(Operation("delete", Path(filename).name))


class _File(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], operations: list[Operation]) -> None:
        self.operations = operations
        self.name = Path(name.filename() if isinstance(name, apsw.URIFilename) else name or "temporary").name
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self.operations.append(Operation("write", self.name, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        self.operations.append(Operation("truncate", self.name, newsize))

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self.operations.append(Operation("sync", self.name))


def _hash(*texts: Any) -> int:
    return text_hash(*texts)


def replay(script: Script, path: Path, synchronous: str, autocheckpoint: int) -> list[Operation]:
    """The file operations of a script. Its own ``PRAGMA synchronous`` is replaced, so that others can be compared."""
    operations: list[Operation] = []
    files = _Files(operations)
    connection = apsw.Connection(str(path), vfs="recorder")
    connection.create_scalar_function("text_hash", _hash, 1, deterministic=True)  # as the migrations do
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # WAL without shared memory, which a VFS of our own has not
    connection.execute(f"PRAGMA wal_autocheckpoint = {autocheckpoint}")
    try:
        for kind, what, parameters in script.steps:
            if kind == "ack":
                operations.append(Operation("ack", fact=what))
                continue
            statement = what
            if "synchronous" in what.lower():
                statement = f"PRAGMA synchronous = {synchronous}"
            list(connection.execute(statement, parameters if isinstance(parameters, Mapping) else tuple(parameters)))
    finally:
        noted = list(operations)  # without the tidy end, which a cut does not give
        connection.close()
        files.unregister()
    return noted


@dataclass(slots=True)
class _OnDisk:
    content: bytearray = field(default_factory=bytearray)
    unsynced: list[Operation] = field(default_factory=list)

    def sync(self) -> None:
        for operation in self.unsynced:
            self.apply(operation)
        self.unsynced.clear()

    def apply(self, operation: Operation) -> None:
        if operation.kind == "truncate":
            del self.content[operation.offset :]
        else:
            self.put(operation.offset, operation.data)

    def put(self, offset: int, data: bytes) -> None:
        if len(self.content) < offset:
            self.content.extend(bytes(offset - len(self.content)))
        self.content[offset : offset + len(data)] = data

    def after_cut(self, chance: random.Random, share: float) -> bytes:
        left = _OnDisk(bytearray(self.content))
        for operation in self.unsynced:
            if operation.kind == "truncate":
                if chance.random() < share:
                    left.apply(operation)
                continue
            for start in range(0, len(operation.data), SECTOR):
                if chance.random() < share:
                    left.put(operation.offset + start, operation.data[start : start + SECTOR])
        return bytes(left.content)


def cuts(
    operations: Sequence[Operation], count: int, chance: random.Random
) -> Iterator[tuple[dict[str, bytes], list[object]]]:
    """States of a disk after power cuts at random moments, with what had been acknowledged by then, earliest first."""
    moments = sorted(chance.randrange(len(operations)) for _ in range(count))
    disk: dict[str, _OnDisk] = {}
    told: list[object] = []
    done = 0
    for moment in moments:
        for operation in operations[done:moment]:
            _happen(disk, told, operation)
        done = moment
        share = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        yield {name: file.after_cut(chance, share) for name, file in disk.items()}, list(told)


def _happen(disk: dict[str, _OnDisk], told: list[object], operation: Operation) -> None:
    if operation.kind == "ack":
        told.append(operation.fact)
    elif operation.kind == "delete":
        disk.pop(operation.name, None)
    elif operation.kind == "sync":
        disk.setdefault(operation.name, _OnDisk()).sync()
    else:
        disk.setdefault(operation.name, _OnDisk()).unsynced.append(operation)
