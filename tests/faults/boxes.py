"""Faults of what it takes to run a program of others: in posture itself (sandbox.py) and in its keeper (keeper.py).

The keeper is a process of its own, and forks: its calls are counted together with those of its children up to the
moment when one of them becomes the program, in a file that all of them share.
"""

from __future__ import annotations

import ctypes
import errno
import importlib.util
import json
import mmap
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
COUNTER = 8  # bytes
Make = Callable[[], BaseException]
# What may fail, and as it does on a machine that has come to its limits.
_OF_POSTURE = {
    "pipe": errno.EMFILE,
    "pidfd_open": errno.EMFILE,
    "set_blocking": errno.EIO,
    "read": errno.EIO,
    "write": errno.EIO,
}
_OF_KEEPER = {
    "fork": errno.EAGAIN,
    "setsid": errno.EPERM,
    "pipe": errno.EMFILE,
    "open": errno.EMFILE,
    "dup2": errno.EMFILE,
    "waitpid": errno.EINVAL,
    "kill": errno.EPERM,
    "write": errno.EIO,
    "set_inheritable": errno.EIO,
    "execve": errno.ENOMEM,
}


class Watched:
    """A module of which some functions report before they are called; they raise what the report says."""

    def __init__(self, module: Any, report: Callable[[Make], None], faults: Mapping[str, int]) -> None:
        self._module = module
        self._report = report
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if name not in self._faults:
            return found
        number = self._faults[name]

        def reported(*args: Any, **options: Any) -> Any:
            self._report(lambda: OSError(number, os.strerror(number)))
            return found(*args, **options)

        return reported


def watch_boxes(report: Callable[[Make], None]) -> None:
    """Every call by which posture runs a program is reported."""
    import posture.net.sandbox as sandbox

    class Popen(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            report(lambda: BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)))
            super().__init__(*args, **options)

        def wait(self, timeout: float | None = None) -> int:
            report(lambda: OSError(errno.EINVAL, os.strerror(errno.EINVAL)))
            return super().wait(timeout)

    class Subprocess:
        def __getattr__(self, name: str) -> Any:
            return Popen if name == "Popen" else getattr(subprocess, name)

    box: Any = sandbox
    box.os = Watched(os, report, _OF_POSTURE)
    box.tempfile = Watched(tempfile, report, {"TemporaryDirectory": errno.ENOSPC})
    box.subprocess = Subprocess()


class Keepers:
    """Keepers in which the ``number``-th call fails (0: none does)."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder = folder
        self._number = number
        self._calls: mmap.mmap | None = None

    def install(self) -> None:
        """From here on it is such a keeper that every box of this process gets."""
        import posture.net.sandbox as sandbox

        script, counted = self._folder / "keeper.py", self._folder / "keeper-calls"
        counted.write_bytes(bytes(COUNTER))
        self._calls = _shared(counted)
        script.write_text(
            f"import sys\nsys.path[:0] = {[str(ROOT), *sys.path]!r}\nfrom tests.faults.boxes import keep_faulty\n"
            f"sys.exit(keep_faulty({str(sandbox._KEEPER)!r}, {self._number}, {str(counted)!r}))\n",
            "utf-8",
        )
        sandbox._KEEPER = script

    def count(self) -> int:
        return int.from_bytes(self._calls[:COUNTER], "little") if self._calls else 0


def _shared(counted: Path) -> mmap.mmap:
    with counted.open("r+b") as file:
        return mmap.mmap(file.fileno(), COUNTER)


def keep_faulty(keeper: str, number: int, counted: str) -> int:
    """The life of a keeper with a fault; its exit code."""
    calls = _shared(Path(counted))

    def report(make: Make) -> None:
        count = int.from_bytes(calls[:COUNTER], "little") + 1
        calls[:COUNTER] = count.to_bytes(COUNTER, "little")
        if count == number:
            raise make()

    spec = importlib.util.spec_from_file_location("keeper", keeper)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.os = Watched(os, report, _OF_KEEPER)  # type: ignore[attr-defined]
    module.resource = Watched(module.resource, report, {"setrlimit": errno.EPERM})  # type: ignore[attr-defined]
    module._libc = _Libc(module._libc, report)  # type: ignore[attr-defined]
    return int(module.keep(json.loads(sys.argv[1]), sys.argv[2:]))


class _Libc:
    """The C library, whose ``unshare`` says -1 where a fault is."""

    def __init__(self, library: ctypes.CDLL, report: Callable[[Make], None]) -> None:
        self._library = library
        self._report = report

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)

    def unshare(self, flags: int) -> int:
        try:
            self._report(lambda: OSError(errno.EPERM, os.strerror(errno.EPERM)))
        except OSError:
            return -1
        return int(self._library.unshare(flags))
