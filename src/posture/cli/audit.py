"""Evidence of what was sent: audit show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posture.cli.app import EVIDENCE, app, settings_of
from posture.cli.result import Result

audit = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(audit, name="audit", rich_help_panel=EVIDENCE, help="What was sent to whom, and on whose authority.")


@audit.command(
    "show",
    short_help="What was sent to whom: was it you?",
    epilog="Example: posture audit show --address 198.51.100.7 --at 2026-11-24T21:03",
)
def audit_show(
    ctx: typer.Context,
    asset: Annotated[str | None, typer.Option("--asset", metavar="A", help="What was scanned.")] = None,
    address: Annotated[str | None, typer.Option("--address", metavar="ADDR", help="In any spelling.")] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="T", help="A date, or a time; local without a zone.")
    ] = None,
    window: Annotated[
        int | None, typer.Option("--window", metavar="MIN", min=0, help="Minutes to each side of a time; default 5.")
    ] = None,
    trail: Annotated[Path | None, typer.Option("--audit", metavar="FILE", help="A trail that was moved away.")] = None,
    output: Annotated[str, typer.Option("--format", metavar="table|json|jsonl", help="Of stdout.")] = "table",
) -> Result:
    """What was sent to whom, when and on whose authority, in the State's local time; says so plainly when nothing was."""
    from posture.cli.audit_reading import show_audit

    return show_audit(settings_of(ctx), asset, address, at, window, trail, output)
