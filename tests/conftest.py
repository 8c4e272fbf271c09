"""The fence: no test of this suite can reach anything but 127.0.0.0/8 and ::1, and none sees the developer's environment."""

from __future__ import annotations

import ipaddress
import os
import sys
from pathlib import Path
from typing import Any

import pytest


class FenceError(AssertionError):
    """A test tried to leave the machine."""


def _fence(event: str, args: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = args[1]
        if not isinstance(address, tuple):
            return  # a Unix socket, or a datagram socket that is connected already
        try:
            inside = ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback
        except ValueError:
            inside = address[0] in ("localhost", "")
        if not inside:
            raise FenceError(f"{event} to {address!r}: tests stay on loopback")
    elif event == "socket.getaddrinfo" and args[0] not in (None, "", "localhost", b"localhost"):
        host = args[0].decode() if isinstance(args[0], bytes) else str(args[0])
        try:
            ipaddress.ip_address(host.partition("%")[0])
        except ValueError as fault:
            raise FenceError(f"look-up of {host!r} through the system's resolver: tests stay on loopback") from fault


sys.addaudithook(_fence)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy, colour, POSTURE_* or XDG setting of the person who runs the tests reaches a test."""
    for name in list(os.environ):
        if (
            name.upper().endswith("_PROXY")
            or name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTHONUNBUFFERED")
            or (name.startswith("POSTURE_") and name != "POSTURE_LAB")
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
