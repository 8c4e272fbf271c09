"""What is forced to the disk: the kernel is asked about the very folder or file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from posture.disk import sync_file, sync_folder


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """(inode, is a folder) of all that was forced, in order; the disk itself is asked too."""
    asked: list[tuple[int, bool]] = []
    real = os.fsync

    def fsync(file: int) -> None:
        real(file)
        found = os.fstat(file)
        asked.append((found.st_ino, stat.S_ISDIR(found.st_mode)))

    monkeypatch.setattr(os, "fsync", fsync)
    return asked


def test_a_folder_and_a_file_are_forced(tmp_path: Path, synced: list[tuple[int, bool]]) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    before = len(list(Path("/proc/self/fd").iterdir()))
    sync_file(file)
    sync_folder(tmp_path)

    assert synced == [(file.stat().st_ino, False), (tmp_path.stat().st_ino, True)]
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_is_no_folder_is_refused(tmp_path: Path, synced: list[tuple[int, bool]]) -> None:
    (tmp_path / "file").touch()
    for name in ("file", "nosuch"):
        with pytest.raises(OSError, match=name):
            sync_folder(tmp_path / name)
    assert synced == []
