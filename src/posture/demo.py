"""``posture demo``: the practice range, two scans with a planted change between, and the site. No root, no network."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from posture.config import load_config
from posture.errors import UsageError
from posture.inventory import load_inventory
from posture.plan import Selection
from posture.range import PracticeRange
from posture.reporters import write_site
from posture.scan import Ended, Progress, drift_document, prepare, report_of, scan

MARK = ".posture-demo"  # a folder with this file is a demo's, and may be replaced


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What a demo leaves. ``drift`` is ``posture-drift/1`` between its two scans; ``page`` the file to open."""

    first: Ended
    second: Ended
    drift: dict[str, Any]
    page: Path
    database: Path


def make_room(directory: Path) -> None:
    """An empty folder for a demo; an earlier demo there is removed.

    Raises:
        UsageError: the folder holds something else.
    """
    if directory.exists() and (
        not directory.is_dir() or (any(directory.iterdir()) and not (directory / MARK).is_file())
    ):
        raise UsageError(f"{directory} is not empty and no earlier demo. Choose another folder with --out.")
    if directory.exists():
        for entry in directory.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MARK).write_text("This folder was made by 'posture demo', which may replace it.\n", "utf-8")


async def demonstrate(directory: Path, progress: Progress, say: Callable[[str], None]) -> Demonstration:
    """Runs the whole demo into an emptied folder.

    Raises:
        UsageError: the folder holds something else.
        OSError: 127.0.20.0/24 is not on this machine's loopback, or the folder cannot be written.
    """
    make_room(directory)
    async with PracticeRange() as practice:
        path = practice.write(directory)
        say(f"practice range: {len(practice.hosts)} servers of an example State on 127.0.20.0/24")
        first = await _scan(path, progress)
        say("first scan done; now one fault is mended and a new one appears")
        await practice.change()
        second = await _scan(path, progress)
    config = load_config(config=path.with_name("posture.toml"), inventory=path, environ={}, cwd=directory)
    inventory, _ = load_inventory(path, at=datetime.now(UTC))
    page = await asyncio.to_thread(write_site, report_of(config, inventory), directory)
    changes = drift_document(config.db, "previous", "latest")
    return Demonstration(first, second, changes, page, config.db)


async def _scan(path: Path, progress: Progress) -> Ended:
    config = load_config(config=path.with_name("posture.toml"), inventory=path, environ={}, cwd=path.parent)
    inventory, _ = load_inventory(path, at=datetime.now(UTC))
    return await scan(prepare(config, inventory, Selection(), lab=True), progress=progress)
