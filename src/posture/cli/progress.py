"""Live progress on stderr: assets done, unknown so far, time left. Quiet when stderr is not a terminal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Self, TextIO

from posture.model import Answer, AssetKey, Unobserved
from posture.scanned import inert
from posture.task import Task

REDRAW = 0.2  # seconds


class TerminalProgress:
    """One line, redrawn; removed at the end."""

    def __init__(self, stream: TextIO, *, quiet: bool = False) -> None:
        self._stream = stream
        self._live = stream.isatty() and not quiet
        self._left: Counter[AssetKey] = Counter()
        self._assets = self._tasks = self._done = self._unknown = 0
        self._started = self._drawn = time.monotonic()

    def started(self, tasks: Sequence[Task]) -> None:
        """A batch of tasks is about to run."""
        self._left.update(task.key for task in tasks)
        self._assets, self._tasks = len(self._left), self._tasks + len(tasks)
        self._draw(force=True)

    def finished(self, task: Task, answer: Answer) -> None:
        """One task has its answer."""
        self._done += 1
        self._left[task.key] -= 1
        self._unknown += isinstance(answer, Unobserved)
        self._draw()

    def said(self, remark: str) -> None:
        """A remark for the person who watches; also when nobody watches live. It may quote anything."""
        self._clear()
        self._stream.write(inert(remark.rstrip("\n")) + "\n")

    def ended(self) -> None:
        self._clear()

    def _draw(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if not self._live or (not force and now - self._drawn < REDRAW):
            return
        self._drawn = now
        ready = sum(left == 0 for left in self._left.values())
        passed = now - self._started
        left = passed / self._done * (self._tasks - self._done) if self._done else 0.0
        line = f"{ready}/{self._assets} assets  {self._done}/{self._tasks} questions  {self._unknown} unknown"
        self._stream.write(f"\r\x1b[K{line}  about {left:.0f} s left" if self._done else f"\r\x1b[K{line}")
        self._stream.flush()

    def _clear(self) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


class Counting:
    """``judging again: 1200 of 5000 assets``, redrawn, and removed at the end of the ``with``."""

    def __init__(self, stream: TextIO, what: str, *, of: str = "assets", quiet: bool = False) -> None:
        self._stream, self._what, self._of = stream, what, of
        self._live = stream.isatty() and not quiet
        self._drawn = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_fault: object) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def at(self, done: int, every: int) -> None:
        """So many are done."""
        now = time.monotonic()
        if self._live and now - self._drawn >= REDRAW:
            self._drawn = now
            self._stream.write(f"\r\x1b[K{self._what}: {done} of {every} {self._of}")
            self._stream.flush()
