"""From options to the rooms of the house: configuration, inventory, selection, plan, scan."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from posture.cli.arguments import hoist
from posture.cli.result import Result
from posture.errors import PostureError, Problem, UsageError
from posture.plan.selection import PROFILES, Selection

ONLY_HERE = ("--lab", "-q", "--quiet", "-v", "--verbose")  # options that do not lead anywhere

if TYPE_CHECKING:
    from posture.cli.app import Settings
    from posture.config import Config
    from posture.doctor import Remark
    from posture.inventory.records import Inventory
    from posture.plan import Plan
    from posture.scan import Terms


def config_of(settings: Settings, inventory: Path | None = None) -> Config:
    """The configuration with the command line's options over it."""
    from posture.config import load_config, parse_resolver

    loaded = load_config(config=settings.config, inventory=inventory, environ=os.environ, cwd=Path.cwd())
    return loaded.overridden(
        db=settings.db,
        resolver=parse_resolver(settings.resolver) if settings.resolver else None,
        ca_file=settings.ca_file,
        trust_anchor=settings.trust_anchor,
    )


def inventory_of(settings: Settings, file: Path | None) -> tuple[Inventory, tuple[Problem, ...]]:
    """The inventory named, or the configured one; with its warnings."""
    from posture.inventory import load_inventory

    return load_inventory(file or config_of(settings).inventory, at=now())


def now() -> datetime:
    return datetime.now(UTC)


def selection_of(
    ministry: Sequence[str] | None,
    asset: Sequence[str] | None,
    check: Sequence[str] | None,
    control: Sequence[str] | None,
    profile: str | None,
) -> Selection:
    """Selectors as typed. An asset's name is compared in lower case, without the last dot.

    Raises:
        UsageError: an unknown profile.
    """
    if profile is not None and profile not in PROFILES:
        raise UsageError(f"no profile {profile!r}. Choose among {', '.join(PROFILES)}.")
    return Selection(
        ministries=tuple(ministry or ()),
        assets=tuple(name.lower().rstrip(".") for name in asset or ()),
        checks=tuple(check or ()),
        controls=tuple(control or ()),
        profile=profile or "",
    )


def show_plan(settings: Settings, file: Path | None, selection: Selection, output: str) -> Result:
    """``posture plan``."""
    from posture.scan import prepare

    config = config_of(settings, file)
    inventory, warnings = inventory_of(settings, file or config.inventory)
    terms = prepare(config, inventory, selection, lab=settings.lab)
    plan = asyncio.run(_planned(terms))
    said = (*warnings, *terms.remarks)
    remark = "".join(f"warning: {warning}\n" for warning in said) if not settings.quiet else ""
    return Result(document=plan.document(), format=output, remark=remark)


async def _planned(terms: Terms) -> Plan:
    resolver = terms.resolver()
    try:
        return await terms.plan(resolver, now())
    finally:
        await resolver.aclose()


def run_doctor(settings: Settings) -> Result:
    """``posture doctor``; exit 5 when a scan could not be believed."""
    from posture.doctor import BROKEN, examine

    config = config_of(settings)
    of_history = _of_history(config)
    seen = {remark.subject for remark in of_history}
    remarks = [one for one in asyncio.run(examine(config, now())) if one.subject not in seen] + of_history
    lines = []
    for remark in remarks:
        lines.append(f"{remark.state:<9} {remark.subject:<15} {remark.finding}")
        if remark.mend:
            lines.append(f"{'':<26}mend: {remark.mend}")
    broken = any(remark.state == BROKEN for remark in remarks)
    return Result(text="\n".join(lines) + "\n", exit_code=5 if broken else 0)


def _of_history(config: Config) -> list[Remark]:
    """Controls that nobody answers any more; or that the history cannot be read, which hides nothing else."""
    from posture.doctor import BROKEN, DEGRADED, Remark
    from posture.scan.reading import gone_silent

    try:
        return [Remark(DEGRADED, "silent control", sentence) for sentence in gone_silent(config)]
    except PostureError as fault:
        return [Remark(BROKEN, "history", str(fault), "posture db check")]


def typed(config: Config, found: Config) -> tuple[str, str]:
    """The command line as it was typed, and what leads other commands to the same places.

    Args:
        config: of the scan; ``found``: what a command without its INVENTORY would go by.
    """
    words = sys.argv[1:]
    front = hoist(words)
    command = front.index("scan") if "scan" in front else 0
    leading = [word for word in front[:command] if word not in ONLY_HERE]
    if config.path is not None and config.path != found.path:
        leading += ["--config", str(config.path)]
    return shlex.join(["posture", *words]), shlex.join(["posture", *leading])


def run_scan(
    settings: Settings,
    file: Path | None,
    selection: Selection,
    *,
    fail_on: str,
    resume: bool,
    vantage: str | None,
    engine: str,
) -> Result:
    """``posture scan``: runs it, with progress on stderr, and says how it ended."""
    from posture.cli.progress import TerminalProgress
    from posture.cli.reading import severity_of
    from posture.cli.words import after_scan
    from posture.reporters.cells import terminal
    from posture.scan import prepare, scan

    if engine != "local":
        raise UsageError(f"no engine {engine!r}. Only 'local' is built.")
    threshold = severity_of(fail_on)
    config = config_of(settings, file).overridden(vantage=vantage)
    inventory, warnings = inventory_of(settings, file or config.inventory)
    terms = prepare(config, inventory, selection, lab=settings.lab)
    progress = TerminalProgress(sys.stderr, quiet=settings.quiet)
    for warning in (*warnings, *terms.remarks) if not settings.quiet else ():
        progress.said(f"warning: {terminal(str(warning))}")
    ended = asyncio.run(scan(terms, progress=progress, resume=resume))
    code = ended.exit_code(threshold)
    # Quiet is for schedules: nothing to read unless there is something to do.
    return Result(
        text="" if settings.quiet and code == 0 else after_scan(ended, *typed(config, config_of(settings))),
        remark=_alarms(config),
        exit_code=code,
    )


def _alarms(config: Config) -> str:
    """Controls that nobody answers any more. The scan is done: when they cannot be read its last words are said all the same."""
    from posture.reporters.cells import terminal
    from posture.scan.reading import gone_silent

    try:
        return "".join(f"alarm: {terminal(sentence)}\n" for sentence in gone_silent(config))
    except PostureError as fault:
        return f"warning: {terminal(str(fault))}\n"
