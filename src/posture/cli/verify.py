"""verify: is the evidence whole, and whose is it?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posture.cli.app import EVIDENCE, app, settings_of
from posture.cli.result import Result


@app.command(
    rich_help_panel=EVIDENCE,
    short_help="Is the evidence whole, and whose is it?",
    epilog="Example: posture verify finance-2026.zip --key SHA256:FINGERPRINT",
)
def verify(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="An export with proof (zip). Needs no database, no network.")
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", hidden=True, help="As --db without a value: the history.")
    ] = False,
    trail: Annotated[Path | None, typer.Option("--audit", metavar="FILE", help="An audit trail.")] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="KEY|FINGERPRINT", help="Whose signature is expected.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="FILE", help="With --db: one kept from an older scorecard or export."),
    ] = None,
    output: Annotated[str, typer.Option("--format", metavar="table|json", help="Of stdout.")] = "table",
) -> Result:
    """Check an export, the history (--db) or an audit trail (--audit). Exit 1 names what fails.

    The history: every record follows from its intervals, every run is in the signed ledger, and the ledger goes on from
    what was kept elsewhere: the audit trail beside it, and --checkpoint.
    """
    from posture.cli.verified import check_format
    from posture.errors import UsageError

    check_format(output)
    settings = settings_of(ctx)
    history = history or (settings.db is not None and file is None and trail is None)
    if [file is not None, history, trail is not None].count(True) != 1:
        raise UsageError(
            "name one thing to verify: an export (FILE.zip), the history (--db), or a trail (--audit FILE)."
        )
    if checkpoint is not None and not history:
        raise UsageError("--checkpoint is compared with the ledger of a history. Give it with --db.")
    if trail is not None:
        from posture.cli.audit_reading import verify_audit

        return verify_audit(trail, key).result(output)
    from posture.cli.ledger_reading import verify_file, verify_history

    found = verify_file(file, key) if file is not None else verify_history(settings, key, checkpoint)
    return found.result(output)
