"""Programs of others in a box: an argument list and no shell, an empty environment, limits, and certain death.

    ran = await run_boxed(["/usr/bin/nmap", "-V"], deadline=loop.time() + 30.0)

A program is started by its absolute path in a session of its own, in an empty folder that is removed afterwards, with
no descriptor but its three streams and no capability. It ends, with all that it started, at the deadline, at too much
output, when the caller is cancelled, and when posture itself is killed (keeper.py). Linux only.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from posture.model import NotSeen, Reason
from posture.net import guard

MEBIBYTE = 1024 * 1024
# How long the keeper may take to kill everything before it is killed itself.
KEEPER_SECONDS = 2.0
_KEEPER = Path(__file__).with_name("keeper.py")
_CHUNK = 65_536
_STATUS_BYTES = 64


class End(StrEnum):
    """How a program ended."""

    EXITED = "exited"
    SIGNALLED = "signalled"  # by itself, a fault, or a limit of memory or file size
    CPU = "cpu"  # its processor time was used up
    DEADLINE = "deadline"
    OUTPUT = "output"  # it wrote more than it may


@dataclass(frozen=True, slots=True)
class Box:
    """What a program may use. ``memory`` (address space), ``file_bytes`` (each file written) and ``output_limit`` (each
    of stdout and stderr) are bytes; ``cpu_seconds`` and ``files`` (open at once) hold for each of its processes.

    ``namespace`` False does without a PID namespace even where the kernel permits one.
    """

    memory: int = 1024 * MEBIBYTE
    cpu_seconds: int = 60
    files: int = 256
    file_bytes: int = 16 * MEBIBYTE
    output_limit: int = 4 * MEBIBYTE
    namespace: bool = True


@dataclass(frozen=True, slots=True)
class Ran:
    """A program that has ended. ``status`` is its exit status, -N after signal N, None when we killed it."""

    end: End
    status: int | None
    stdout: bytes
    stderr: bytes

    @property
    def succeeded(self) -> bool:
        return self.end is End.EXITED and self.status == 0


async def run_boxed(argv: Sequence[str], *, deadline: float, stdin: bytes = b"", box: Box | None = None) -> Ran:
    """Runs a program to its end.

    Args:
        argv: the absolute path of the program, and its arguments.
        deadline: on the loop's clock; then it is killed.
        stdin: all that it can read.

    Returns:
        Its output, cut at the limit, and how it ended. Everything it started is dead.

    Raises:
        ValueError: no absolute path, or a NUL in an argument.
        NotSeen: TOOL_MISSING, there is no such program; VANTAGE_LIMITED, this machine cannot start one now, or lost
            hold of it. Then, too, everything it started is dead.
    """
    if not argv or not Path(argv[0]).is_absolute():
        raise ValueError(f"a program is started by its absolute path, not as {argv[:1]!r}")
    if any("\0" in word for word in argv):
        raise ValueError("a NUL in an argument")
    box = box or Box()
    if not hasattr(os, "pidfd_open"):
        raise _no_box(argv, "that takes Linux 5.3 or newer")
    try:
        with tempfile.TemporaryDirectory(prefix="posture-box-", ignore_cleanup_errors=True) as folder:
            return await _attended(argv, box, folder, stdin, deadline)
    except OSError as fault:
        raise _no_box(argv, fault.strerror or "") from fault


async def _attended(argv: Sequence[str], box: Box, folder: str, stdin: bytes, deadline: float) -> Ran:
    """Raises OSError: this machine has not what it takes; NotSeen as run_boxed."""
    watched, told = os.pipe()
    try:
        try:
            process = _start(argv, box, folder, told)
        finally:
            os.close(told)
        attendance = _Attendance(process, stdin, box.output_limit)
        end, stdout, stderr = await attendance.until(deadline)
        return _ran(argv, end, os.read(watched, _STATUS_BYTES), stdout, stderr)
    finally:
        os.close(watched)


def _start(argv: Sequence[str], box: Box, folder: str, told: int) -> subprocess.Popen[bytes]:
    terms = {
        "parent": os.getpid(),
        "status": told,
        "folder": folder,
        "namespace": box.namespace,
        "limits": {"as": box.memory, "cpu": box.cpu_seconds, "nofile": box.files, "fsize": box.file_bytes},
    }
    command = [sys.executable, "-I", "-S", "-B", str(_KEEPER), json.dumps(terms), *argv]
    with guard.starting():
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=folder,
            env={"LC_ALL": "C.UTF-8", "HOME": folder},
            start_new_session=True,
            pass_fds=(told,),
        )


def _ran(argv: Sequence[str], end: End, told: bytes, stdout: bytes, stderr: bytes) -> Ran:
    """What the keeper wrote down, told apart by who ended the program."""
    if end is not End.EXITED:
        return Ran(end, None, stdout, stderr)
    # Who failed to become the program says so first, and its parent that it ended.
    verb, _, number = told.decode("ascii").partition("\n")[0].partition(" ")
    if verb == "exit":
        return Ran(End.EXITED, int(number), stdout, stderr)
    if verb == "signal":
        used_up = int(number) == signal.SIGXCPU
        return Ran(End.CPU if used_up else End.SIGNALLED, -int(number), stdout, stderr)
    if verb == "failed" and int(number) in (errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR):
        raise NotSeen(Reason.TOOL_MISSING, f"{argv[0]}: {os.strerror(int(number))}")
    raise _no_box(argv, os.strerror(int(number)) if verb == "failed" else "its keeper did not report")


def _no_box(argv: Sequence[str], why: str) -> NotSeen:
    return NotSeen(Reason.VANTAGE_LIMITED, f"{argv[0]} cannot be run here: {why}")


class _Attendance:
    """Feeds a program and listens to it until it has ended or must; then nothing of it is left."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: bytes, limit: int) -> None:
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[End] = self._loop.create_future()
        self._dead: asyncio.Future[None] = self._loop.create_future()
        self._unread = memoryview(stdin)
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._stdin = process.stdin
        self._heard = {pipe: bytearray() for pipe in (process.stdout, process.stderr)}
        self._limit = limit
        try:
            for stream in (self._stdin, *self._heard):
                os.set_blocking(stream.fileno(), False)
            # Readable once the keeper has ended (pidfd_open(2)).
            self._ended = os.pidfd_open(process.pid)
        except OSError:
            self._abandon()
            raise
        self._loop.add_reader(self._ended, self._has_ended)
        for pipe in self._heard:
            self._loop.add_reader(pipe, self._listen, pipe)
        self._loop.add_writer(self._stdin, self._feed)

    def _abandon(self) -> None:
        """It cannot be attended: its keeper ends it. That takes milliseconds, and there is nothing to wait with but this."""
        self._process.terminate()
        try:
            self._process.wait(KEEPER_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._stdin, *self._heard):
            pipe.close()

    async def until(self, deadline: float) -> tuple[End, bytes, bytes]:
        """How it ended, stdout, stderr. Raises OSError: it could not be fed, heard or waited for to its end."""
        try:
            async with asyncio.timeout_at(deadline):
                end = await self._over
        except TimeoutError:
            end = End.DEADLINE
        finally:
            await _undisturbed(self._bury())
        stdout, stderr = map(bytes, self._heard.values())
        return end, stdout, stderr

    def _has_ended(self) -> None:
        self._loop.remove_reader(self._ended)
        self._dead.set_result(None)
        try:
            self._process.wait()
        except OSError as fault:
            self._lose(fault)
        # All writers are dead: what is in the pipes is all there will ever be.
        for pipe in self._heard:
            while self._listen(pipe):
                pass
        self._conclude(End.EXITED)

    def _listen(self, pipe: IO[bytes]) -> int:
        """Takes what is there; returns how much it was."""
        try:
            data = os.read(pipe.fileno(), _CHUNK)
        except BlockingIOError:
            return 0
        except OSError as fault:
            self._loop.remove_reader(pipe)
            self._lose(fault)
            return 0
        heard = self._heard[pipe]
        room = self._limit - len(heard)
        heard += data[:room]
        if len(data) > room:
            self._conclude(End.OUTPUT)
        if not data:
            self._loop.remove_reader(pipe)
        return min(len(data), room)

    def _feed(self) -> None:
        try:
            if self._unread:
                self._unread = self._unread[os.write(self._stdin.fileno(), self._unread[:_CHUNK]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._unread = self._unread[:0]  # it need not read
        except OSError as fault:
            self._unread = self._unread[:0]
            self._lose(fault)
        if not self._unread:
            self._loop.remove_writer(self._stdin)
            self._stdin.close()

    def _conclude(self, end: End) -> None:
        if not self._over.done():
            self._over.set_result(end)

    def _lose(self, fault: OSError) -> None:
        """What is known of it is not all: there is no result."""
        if not self._over.done():
            self._over.set_exception(fault)

    async def _bury(self) -> None:
        """The keeper kills everything below it and ends; if it does not, it is killed and the kernel does the rest."""
        if not self._dead.done():
            self._process.terminate()
            await asyncio.wait({self._dead}, timeout=KEEPER_SECONDS)
        if not self._dead.done():
            self._process.kill()
            await self._dead
        os.close(self._ended)
        for pipe in self._heard:
            self._loop.remove_reader(pipe)
            pipe.close()
        if not self._stdin.closed:
            self._loop.remove_writer(self._stdin)
            self._stdin.close()


async def _undisturbed(work: Coroutine[Any, Any, None]) -> None:
    """Finishes the work even when the caller is cancelled meanwhile; then the caller is told."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as fault:
            cancelled = fault
    if cancelled:
        raise cancelled
