"""Evidence of what was sent: audit show, verify."""

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


@app.command(
    rich_help_panel=EVIDENCE,
    short_help="Is the evidence whole, and whose is it?",
    epilog="Example: posture verify --audit posture.db.audit.jsonl --key SHA256:FINGERPRINT",
)
def verify(
    trail: Annotated[Path | None, typer.Option("--audit", metavar="FILE", help="An audit trail.")] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="KEY|FINGERPRINT", help="Whose signature is expected.")
    ] = None,
) -> Result:
    """Check an audit trail: every record follows from the one before, every signature is good. Exit 1 names what fails."""
    from posture.cli.audit_reading import verify_audit
    from posture.errors import UsageError

    if trail is None:
        raise UsageError("nothing was named to verify. Name an audit trail: --audit posture.db.audit.jsonl.")
    return verify_audit(trail, key)
