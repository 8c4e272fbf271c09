"""The lab: real servers from the distribution's packages, started by the tests on loopback.

Elsewhere than on a machine with these servers a test is skipped with the line that installs them;
with POSTURE_LAB=required a missing server is a failure.
"""

from __future__ import annotations

import ctypes.util
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

SBIN = ("/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/17/bin")


def need(binary: str, package: str) -> str:
    """The path of a server's binary; skips (or, with POSTURE_LAB=required, fails) the test when it is missing."""
    path = shutil.which(binary, path=os.pathsep.join((os.environ.get("PATH", ""), *SBIN)))
    if path:
        return path
    message = f"{binary} is missing: apt-get install -y {package}"
    if os.environ.get("POSTURE_LAB") == "required":
        pytest.fail(message)
    pytest.skip(message)


def need_library(name: str, package: str) -> None:
    """Skips (or, with POSTURE_LAB=required, fails) what needs a shared library of the system that is missing."""
    if ctypes.util.find_library(name):
        return
    message = f"the library {name} is missing: apt-get install -y {package}"
    if os.environ.get("POSTURE_LAB") == "required":
        pytest.fail(message)
    pytest.skip(message, allow_module_level=True)


def need_root() -> None:
    """Skips (or, with POSTURE_LAB=required, fails) a test that only root can run."""
    if os.geteuid() == 0:
        return
    if os.environ.get("POSTURE_LAB") == "required":
        pytest.fail("this test needs root")
    pytest.skip("this test needs root: run it as root, or in a container")


def free_port(address: str = "127.0.0.1", kind: int = socket.SOCK_STREAM) -> int:
    """A port nobody listens on at that address now."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def wait_for_port(
    address: str, port: int, *, seconds: float = 10.0, process: subprocess.Popen[bytes] | None = None
) -> None:
    """Returns once something accepts connections there.

    Raises:
        TimeoutError: nothing did in time, or ``process`` ended first (its output is in the message).
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process is not None and process.poll() is not None:
            break
        try:
            with socket.create_connection((address, port), timeout=1):
                return
        except OSError:
            time.sleep(0.02)
    said = ""
    if process is not None:
        process.kill()
        said = (process.communicate()[0] or b"").decode("utf-8", "replace")[-2000:]
    raise TimeoutError(f"nothing listens on {address}:{port}. {said}")


@contextmanager
def serve(
    argv: Sequence[str | Path],
    *,
    ready: tuple[str, int] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    seconds: float = 15.0,
) -> Iterator[subprocess.Popen[bytes]]:
    """A server process for the length of the block; ``ready`` is the (address, port) to wait for."""
    process = subprocess.Popen(
        [str(word) for word in argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=None if env is None else dict(env),
        cwd=cwd,
        start_new_session=True,
    )
    try:
        if ready:
            wait_for_port(*ready, seconds=seconds, process=process)
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
