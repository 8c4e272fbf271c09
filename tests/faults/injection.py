"""The n-th call of a kind fails: wrappers around what posture asks of the operating system, installed in this process for good.

    Injection(Fault("sqlite", 17), folder).install() installs and counts; ``counts`` says how many calls of each kind
    there were.

Kinds: ``dial`` and ``wire`` (TCP and UDP sockets made and connected; streams read and written), ``dns`` and ``lost``
(datagrams: sending or receiving fails, what is sent never arrives), ``memory`` (a read finds none), ``stat``, ``file``
and ``disk`` (files of the scan's own folder: looked at, opened and read, written and synced), ``sqlite`` and ``full``
(every statement and commit), ``child`` and ``keeper`` (what it takes to start, feed, hear and bury a program; see
tests/faults/boxes.py). Sockets of the event loop itself and Python's own files are left alone.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import socket
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

from tests.faults.boxes import Keepers, watch_boxes

CHILD_KINDS = ("child", "keeper")
KINDS = ("dial", "wire", "dns", "lost", "memory", "stat", "file", "disk", "sqlite", "full", *CHILD_KINDS)
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
        self._counts: Counter[str] = Counter()
        self._fault = fault
        self._folder = f"{folder}{os.sep}"
        self._keepers = Keepers(folder, fault.number if fault.kind == "keeper" else 0)

    @property
    def counts(self) -> dict[str, int]:
        return {**self._counts, "keeper": self._keepers.count()}

    def install(self) -> None:
        """Patches this process; there is no way back."""
        if self._fault.kind == "keeper":
            self._keepers.install()
        self._sockets()
        self._files()
        self._databases()
        watch_boxes(lambda make: self._meet("child", make))

    def _meet(self, kind: str, make: Callable[[], BaseException]) -> None:
        if self._is_the_one(kind):
            raise make()

    def _is_the_one(self, kind: str) -> bool:
        self._counts[kind] += 1
        return self._fault == Fault(kind, self._counts[kind])

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

        def stream(connection: socket.socket, *_args: Any, **_options: Any) -> bool:
            return on_internet(connection) and connection.type == socket.SOCK_STREAM

        def datagrams(connection: socket.socket, *_args: Any, **_options: Any) -> bool:
            return on_internet(connection) and connection.type == socket.SOCK_DGRAM

        def made(_self: Any, family: int = -1, *_args: Any, fileno: Any = None, **_options: Any) -> bool:
            return fileno is None and family in _INTERNET

        self._wrap(socket.socket, "__init__", made, dial=_no_descriptor)
        self._wrap(socket.socket, "connect", on_internet, dial=_unreachable)
        for name in ("send", "sendall", "sendto", "sendmsg"):
            self._losing(name, datagrams)
            self._wrap(socket.socket, name, stream, wire=_reset)
            self._wrap(socket.socket, name, datagrams, dns=_unreachable)
        for name in ("recv", "recv_into", "recvfrom"):
            self._receiving(name, on_internet, "memory", MemoryError)
            self._receiving(name, stream, "wire", _reset)
            self._receiving(name, datagrams, "dns", _refused)

    def _receiving(self, name: str, ours: Callable[..., bool], kind: str, make: Callable[[], BaseException]) -> None:
        """Only a read that brings something counts: how often the loop looks in vain differs from scan to scan."""
        original = getattr(socket.socket, name)

        @wraps(original)
        def received(connection: socket.socket, *args: Any) -> Any:
            found = original(connection, *args)
            if ours(connection):
                self._meet(kind, make)
            return found

        setattr(socket.socket, name, received)

    def _losing(self, name: str, ours: Callable[..., bool]) -> None:
        """A datagram that is on its way as far as the sender knows."""
        original = getattr(socket.socket, name)

        @wraps(original)
        def lost(connection: socket.socket, data: Any, *args: Any) -> Any:
            if ours(connection) and self._is_the_one("lost"):
                return len(data)
            return original(connection, data, *args)

        setattr(socket.socket, name, lost)

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


def _refused() -> BaseException:
    return ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))


def _unreachable() -> BaseException:
    return OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))


def _no_descriptor() -> BaseException:
    return OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def _no_space() -> BaseException:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _input_output() -> BaseException:
    return OSError(errno.EIO, os.strerror(errno.EIO))
