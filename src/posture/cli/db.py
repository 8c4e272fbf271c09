"""The history's file: db check, backup, migrate, prune."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posture.cli.app import UPKEEP, app, settings_of
from posture.cli.result import Result

if TYPE_CHECKING:
    from posture.store.health import Health
    from posture.store.upkeep import Pruned

CENTURY = 36_500  # days

db = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(db, name="db", rich_help_panel=UPKEEP, help="The history's file: check, back up, migrate, prune.")


def _path(ctx: typer.Context) -> Path:
    from posture.cli.wiring import config_of

    return config_of(settings_of(ctx)).db


@db.command(
    "check", short_help="Is the history whole? Exit 1 if not.", epilog="Example: posture db check --db posture.db"
)
def db_check(ctx: typer.Context) -> Result:
    """Look for damage: pages, references, schema, intervals, journals, blobs, bitmaps. Reads only, also during a scan."""
    from posture.store.health import check

    path = _path(ctx)
    health = check(path)
    lines = [*_faults(health), _verdict(path, health)]
    if not health.sound:
        lines.append("Restore it from a backup ('posture db backup' makes them), or keep this file and ask for help.")
    return Result(text="".join(f"{line}\n" for line in lines), exit_code=0 if health.sound else 1)


@db.command("backup", short_help="A checked copy, also during a scan.", epilog="Example: posture db backup history.db")
def db_backup(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What to write; never over a file that is there.")],
) -> Result:
    """Copy the history into one file, and check the copy. It opens from a read-only medium too.

    The audit trail (NAME.db.audit.jsonl) and the key (NAME.db.key) are files of their own: copy them beside it.
    """
    from posture.store.upkeep import backup

    made = backup(_path(ctx), file)
    sound = made.health.sound
    lines = [*_faults(made.health), f"{_shown(made.path)}: {_size(made.size)}. {_verdict(made.path, made.health)}"]
    if not sound:
        lines.append(
            "The copy was kept, and is as damaged as the database: keep earlier backups, see 'posture db check'."
        )
    return Result(text="".join(f"{line}\n" for line in lines), exit_code=0 if sound else 1)


@db.command("migrate", short_help="Bring it to this release's schema.", epilog="Example: posture db migrate")
def db_migrate(ctx: typer.Context) -> Result:
    """Say which schema the history has, and bring an older one to this release's, whole or not at all.

    Every scan does the same before it begins. An older release cannot open the history afterwards: back it up first.
    """
    from posture.store.upkeep import migrate

    path = _path(ctx)
    done = migrate(path)
    if done.before == done.after:
        return Result(text=f"{_shown(path)}: schema {done.after}, this release's. Nothing to do.\n")
    return Result(text=f"{_shown(path)}: schema {done.before} is now schema {done.after}, this release's.\n")


@db.command(
    "prune",
    short_help="Drop evidence past its time; no finding.",
    epilog="Example: posture db prune --keep-evidence 400 --dry-run",
)
def db_prune(
    ctx: typer.Context,
    keep_evidence: Annotated[
        int,
        typer.Option(
            "--keep-evidence", metavar="DAYS", min=0, max=CENTURY, help="Keep what was current within these days."
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> Result:
    """Drop the recorded answers of servers that no longer hold and are older than DAYS; their SHA-256 stays.

    Findings, runs, scores, coverage and the audit trail stay as they are. What was dropped cannot be judged again:
    it reads as not_recorded. Backups made earlier still hold it.
    """
    from datetime import timedelta

    from posture.cli.wiring import now
    from posture.store.upkeep import prune

    path = _path(ctx)
    pruned = prune(path, timedelta(days=keep_evidence), now(), dry_run=dry_run)
    return Result(text=_told(pruned, path, dry_run=dry_run))


def _told(pruned: Pruned, path: Path, *, dry_run: bool) -> str:
    kept = f"{_many(pruned.kept, 'record')} ({_size(pruned.kept_size)})"
    if not pruned.records:
        return f"{_shown(path)}: no evidence to drop: all of it held after {pruned.limit:%Y-%m-%d}, or still does. {kept} kept.\n"
    verb, reads = ("would be dropped", "would read") if dry_run else ("dropped", "now read")
    lines = [
        f"{_shown(path)}: {_many(pruned.records, 'record')} of evidence ({_size(pruned.size)}) {verb}; {kept} kept."
    ]
    if pruned.since and pruned.until:
        lines.append(
            f"{_many(pruned.answers, 'answer')} from {pruned.since:%Y-%m-%d} to {pruned.until:%Y-%m-%d} {reads} as not_recorded: "
            "an export cannot show them, nor can they be judged again. Every finding stays."
        )
    if pruned.answers == 0:
        lines.append("No run shows any of it.")
    if not dry_run:
        lines.append("The file keeps its size, and the next scans use the room; a backup is smaller at once.")
    return "".join(f"{line}\n" for line in lines)


def _faults(health: Health) -> list[str]:
    """One line a fault; what they quote may come from a damaged file."""
    lines = [f"{fault.check:<11} {_shown(fault.what)}" for fault in health.faults]
    return [*lines, *(f"{name:<11} and {_many(count, 'more fault')}" for name, count in health.more.items())]


def _verdict(path: Path, health: Health) -> str:
    from posture.store.database import NEWEST
    from posture.store.health import CHECKS

    if not health.sound:
        count = len(health.faults) + sum(health.more.values())
        return f"{_shown(path)} is damaged: {_many(count, 'fault')}."
    counts = health.counts
    dropped = f" ({counts['dropped']} dropped)" if counts.get("dropped") else ""
    old = "" if health.schema == NEWEST else f" ('posture db migrate' brings it to {NEWEST})"
    return (
        f"{_shown(path)} is sound: {', '.join(CHECKS)}. Schema {health.schema}{old}, {_many(counts['runs'], 'run')}, "
        f"{_many(counts['assets'], 'asset')}, {_many(counts['findings'], 'finding')}, "
        f"{_many(counts['blobs'], 'record')} of evidence{dropped}."
    )


def _shown(what: object) -> str:
    from posture.reporters.cells import terminal

    return terminal(str(what))


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _size(count: int) -> str:
    """Decimal units, as disks are sold."""
    if count < 1_000:
        return f"{count} bytes"
    return f"{count / 1_000:,.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:,.1f} MB"
