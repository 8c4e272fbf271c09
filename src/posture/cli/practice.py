"""``posture demo`` and ``posture range up``: around the practice range."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from posture.cli.progress import TerminalProgress
from posture.cli.result import DISK_FULL, Result
from posture.errors import PostureError

if TYPE_CHECKING:
    from posture.cli.app import Settings
    from posture.demo import Demonstration

NO_LOOPBACK = "the practice range needs 127.0.20.0/24 on loopback, which Linux has: {fault}. Run it on a Linux machine."


def run_demo(out: Path, settings: Settings) -> Result:
    """``posture demo``."""
    from posture.demo import demonstrate

    progress = TerminalProgress(sys.stderr, quiet=settings.quiet)

    def say(remark: str) -> None:
        if not settings.quiet:
            progress.said(remark)

    try:
        shown = asyncio.run(demonstrate(out, progress, say))
    except OSError as fault:
        raise _mendable(fault, out) from fault
    return Result(text=_told(shown, out))


def _told(shown: Demonstration, out: Path) -> str:
    from posture.reporters.cells import terminal

    lines = ["", "What changed between the two scans:"]
    for event in shown.drift["events"]:
        if event["kind"] in ("new", "regressed", "fixed", "changed"):
            where = f"{event['asset']} {event['control']}"
            lines.append(f"  {event['kind']:<9} {event['severity']:<8} {terminal(where)}: {terminal(event['message'])}")
    lines += ["", f"open findings: {sum(shown.second.outcomes[name] for name in ('fail', 'warn'))}"]
    if not shutil.which("nmap"):
        lines.append("degraded: nmap is not installed; no control of this release needs it")
    lines += [
        "",
        f"open    {shown.page.resolve()}",
        f"ask     posture findings --db {shown.database}",
        f"train   posture range up, then scan it with --lab; the inventory of this demo: {out / 'inventory.toml'}",
    ]
    return "\n".join(lines) + "\n"


def run_range(lesson: int | None, out: Path | None, settings: Settings) -> Result:
    """``posture range up``: until SIGINT or SIGTERM."""
    from posture.range import serve_forever

    directory = out or Path(tempfile.mkdtemp(prefix="posture-range-"))

    def ready(inventory: Path) -> None:
        sys.stdout.write(f"READY {inventory}\n")
        sys.stdout.flush()
        if not settings.quiet:
            sys.stderr.write(f"In another terminal: posture scan {inventory} --lab   (Ctrl-C ends the range)\n")

    async def until_told() -> None:
        serving = asyncio.ensure_future(serve_forever(directory, lesson, ready))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, serving.cancel)
        await asyncio.wait({serving})
        if not serving.cancelled():
            serving.result()

    try:
        asyncio.run(until_told())
    except OSError as fault:
        raise _mendable(fault, directory) from fault
    finally:
        if out is None and not any(directory.iterdir()):
            directory.rmdir()
    return Result(text="")


def _mendable(fault: OSError, directory: Path) -> PostureError:
    """A range that cannot stand here, or a folder that cannot be written."""
    if fault.filename is None and fault.errno not in DISK_FULL:
        return PostureError(NO_LOOPBACK.format(fault=fault))
    return PostureError(f"{directory} cannot be written: {fault.strerror}. Choose another folder with --out.")
