"""A file system of its own, for the tests of disks."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def readonly(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system that becomes read-only when it holds what it shall: ``mount -o remount,ro``."""
    folder = tmp_path / "disc"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
