"""What must outlive a power cut is forced to the disk."""

from __future__ import annotations

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder last: of files that were made, renamed or removed there (fsync(2)). Raises OSError."""
    _sync(folder, os.O_DIRECTORY)


def sync_file(path: Path) -> None:
    """Makes a file's content last, whoever wrote it; its name is the folder's. Raises OSError."""
    _sync(path, 0)


def _sync(path: Path, flags: int) -> None:
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
