"""The second lock of the door: while a scan runs, nothing connects, looks up or starts what was not granted just now.

The broker decides; this guard catches code that goes round the broker by mistake. It is an audit hook (PEP 578):

    with guarding(endpoints=[("192.0.2.53", 53)]):      # the run's own resolver
        with granted("198.51.100.7", 443): ...          # entered by the broker after each grant

Connections and datagrams are judged in whatever runs in the context of the ``with`` (its tasks, and theirs), so that
servers of the practice range in the same process may answer their clients. Look-ups by the system's resolver and new
processes are refused to the whole process. A hook cannot be removed from an interpreter: outside a scan it is idle.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from ipaddress import ip_address
from typing import Any

logger = logging.getLogger(__name__)

_SENDS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_LOOKS_UP = frozenset({"socket.getaddrinfo", "socket.gethostbyname"})
_LOOKS_BACK = frozenset({"socket.gethostbyaddr", "socket.getnameinfo"})
_STARTS = frozenset({"subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.fork", "os.forkpty"})


class UngrantedError(RuntimeError):
    """A bug of posture: something went round the broker. It was refused; nothing was sent."""


class Guard:
    """What may be reached now. Grants are counted: several connections may hold the same one."""

    def __init__(self, endpoints: Iterable[tuple[str, int]]) -> None:
        self._endpoints = frozenset(_literal(*endpoint) for endpoint in endpoints)
        self._granted: Counter[object] = Counter()

    def permits(self, address: object) -> bool:
        """Whether one may send to a socket address; one that is no (literal, port) belongs to no network of ours."""
        if address is None or not isinstance(address, tuple):
            return True  # a Unix socket, or one that is connected already
        target = _literal(*address[:2])
        return target in self._endpoints or self._granted[target] > 0

    @contextmanager
    def granting(self, address: str, port: int) -> Iterator[None]:
        target = _literal(address, port)
        self._granted[target] += 1
        try:
            yield
        finally:
            self._granted[target] -= 1
            if not self._granted[target]:
                del self._granted[target]


_guard: ContextVar[Guard | None] = ContextVar("guard", default=None)
_may_start: ContextVar[bool] = ContextVar("may_start", default=False)


class _Hook:
    """The hook of this interpreter; ``scans`` counts those under way."""

    def __init__(self) -> None:
        self.scans = 0
        self.installed = False

    def install(self) -> None:
        if not self.installed:
            sys.addaudithook(self)
            self.installed = True

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.scans:
            return
        if event in _SENDS:
            guard = _guard.get()
            if guard is not None and not guard.permits(args[1]):
                _refuse(f"{event} to {args[1]!r}, for which there is no grant")
        elif event in _LOOKS_BACK or (event in _LOOKS_UP and not _is_literal(args[0])):
            _refuse(f"{event} of {args[0]!r}: names are looked up by the run's resolver only")
        elif event in _STARTS and not _may_start.get():
            _refuse(f"{event} of {args[:1]!r} outside the box")


_hook = _Hook()


@contextmanager
def guarding(endpoints: Iterable[tuple[str, int]] = ()) -> Iterator[Guard]:
    """Guards the process for the length of the block, which is a scan.

    Args:
        endpoints: (literal address, port) of the operator's own that may always be reached, such as the resolver.
    """
    guard = Guard(endpoints)
    _hook.install()
    token = _guard.set(guard)
    _hook.scans += 1
    try:
        yield guard
    finally:
        _hook.scans -= 1
        _guard.reset(token)


@contextmanager
def granted(address: str, port: int) -> Iterator[None]:
    """What the broker has just decided and recorded: sending there is permitted for the length of the block."""
    guard = _guard.get()
    if guard is None:
        yield
        return
    with guard.granting(address, port):
        yield


@contextmanager
def starting() -> Iterator[None]:
    """The box starts a program."""
    token = _may_start.set(True)
    try:
        yield
    finally:
        _may_start.reset(token)


def _refuse(what: str) -> None:
    logger.error("refused, this is a bug of posture: %s", what)
    raise UngrantedError(what)


def _literal(host: object, port: object) -> tuple[object, object]:
    """An (address, port) in one spelling; a name stays a name, which was never granted."""
    try:
        return ip_address(str(host).partition("%")[0]), port
    except ValueError:
        return host, port


def _is_literal(host: object) -> bool:
    """Whether there is nothing to look up: an address, or the any-address that servers listen on."""
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    try:
        ip_address(str(text).partition("%")[0])
    except ValueError:
        return text in (None, "")
    return True
