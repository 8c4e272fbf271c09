"""The n-th call of a kind fails: wrappers around what posture asks of the operating system, installed in this process for good.

    with_faults(Fault("sqlite", 17)) installs and counts; ``counts()`` says how many calls of each kind there were.

Kinds: ``dial`` and ``wire`` (TCP and UDP sockets: made and connected, read and written), ``memory`` (a read finds none),
``stat``, ``file`` and ``disk`` (files of the scan's own folder: looked at, opened and read, written and synced),
``sqlite`` and ``full`` (every statement and commit), ``child`` (processes). Sockets of the event loop itself and
Python's own files are left alone.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import socket
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

KINDS = ("dial", "wire", "memory", "stat", "file", "disk", "sqlite", "full", "child")
_INTERNET = (socket.AF_INET, socket.AF_INET6)


@dataclass(frozen=True)
class Fault:
    """The ``number``-th call (from 1) of a kind fails; 0: none does, all are counted."""

    kind: str
    number: int


class Injection:
    """Counts calls, and raises at the one that is to fail.

    Args:
        folder: files in it, and nothing else, are the scan's own.
    """

    def __init__(self, fault: Fault, folder: Path) -> None:
        self.counts: Counter[str] = Counter()
        self._fault = fault
        self._folder = f"{folder}{os.sep}"
        self._ours: set[int] = set()

    def install(self) -> None:
        """Patches this process; there is no way back."""
        self._sockets()
        self._files()
        self._databases()
        self._wrap(subprocess, "Popen", lambda *_args, **_options: True, child=_resources)

    def _meet(self, kind: str, make: Callable[[], BaseException]) -> None:
        self.counts[kind] += 1
        if self._fault == Fault(kind, self.counts[kind]):
            raise make()

    def _wrap(self, owner: Any, name: str, ours: Callable[..., bool], **kinds: Callable[[], BaseException]) -> None:
        original = getattr(owner, name)

        @wraps(original)
        def wrapped(*args: Any, **options: Any) -> Any:
            if ours(*args, **options):
                for kind, make in kinds.items():
                    self._meet(kind, make)
            return original(*args, **options)

        setattr(owner, name, wrapped)

    # ---- sockets

    def _sockets(self) -> None:
        def on_internet(connection: socket.socket, *_args: Any, **_options: Any) -> bool:
            return connection.family in _INTERNET

        def made(_self: Any, family: int = -1, *_args: Any, fileno: Any = None, **_options: Any) -> bool:
            return fileno is None and family in _INTERNET

        self._wrap(socket.socket, "__init__", made, dial=_no_descriptor)
        self._wrap(socket.socket, "connect", on_internet, dial=_unreachable)
        for name in ("send", "sendall", "sendto"):
            self._wrap(socket.socket, name, on_internet, wire=_reset)
        for name in ("recv", "recv_into", "recvfrom"):
            self._wrap(socket.socket, name, on_internet, wire=_reset, memory=MemoryError)

    # ---- files

    def _files(self) -> None:
        def by_path(path: Any, *_args: Any, **_options: Any) -> bool:
            return isinstance(path, str | os.PathLike) and os.fspath(path).startswith(self._folder)

        def by_number(number: Any, *_args: Any, **_options: Any) -> bool:
            try:
                target = str(Path(f"/proc/self/fd/{number}").readlink())
            except OSError:
                return False
            return target.startswith(self._folder)

        opened = builtins.open
        self._wrap(builtins, "open", by_path, file=_input_output)
        io.open = builtins.open
        assert builtins.open is not opened
        self._wrap(os, "open", by_path, file=_input_output)
        self._wrap(os, "stat", by_path, stat=_input_output)
        for name in ("replace", "rename", "unlink"):
            self._wrap(os, name, by_path, disk=_input_output)
        for name in ("write", "fsync", "ftruncate"):
            self._wrap(os, name, by_number, disk=_no_space)
        self._wrap(os, "read", by_number, file=_input_output)

    # ---- SQLite

    def _databases(self) -> None:
        meet = self._meet

        def statement() -> None:
            meet("sqlite", lambda: sqlite3.OperationalError("disk I/O error"))
            meet("full", lambda: sqlite3.OperationalError("database or disk is full"))

        class Connection(sqlite3.Connection):
            def execute(self, *args: Any) -> Any:
                statement()
                return super().execute(*args)

            def executemany(self, *args: Any) -> Any:
                statement()
                return super().executemany(*args)

            def executescript(self, *args: Any) -> Any:
                statement()
                return super().executescript(*args)

            def commit(self) -> None:
                statement()
                super().commit()

        connect = sqlite3.connect

        @wraps(connect)
        def connected(*args: Any, **options: Any) -> Any:
            statement()
            return connect(*args, **{**options, "factory": Connection})

        sqlite3.connect = connected


def _reset() -> BaseException:
    return ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))


def _unreachable() -> BaseException:
    return OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))


def _no_descriptor() -> BaseException:
    return OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def _no_space() -> BaseException:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _input_output() -> BaseException:
    return OSError(errno.EIO, os.strerror(errno.EIO))


def _resources() -> BaseException:
    return BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
