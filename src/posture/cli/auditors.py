"""For auditors: the history as files that travel."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posture.cli.app import EVIDENCE, app, settings_of
from posture.cli.result import Result


@app.command(
    rich_help_panel=EVIDENCE,
    short_help="The history for auditors: csv, xlsx, jsonl, zip.",
    epilog="Example: posture export --ministry finance --since 2026-01-01 --until 2026-12-31 --out finance-2026.zip --proof",
)
def export(
    ctx: typer.Context,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE.{csv,xlsx,jsonl,zip}", help="Its ending is the form; - is stdout.")
    ],
    inventory: Annotated[
        Path | None, typer.Argument(metavar="[INVENTORY]", help="For the letters' words; else posture.toml's.")
    ] = None,
    ministry: Annotated[
        list[str] | None, typer.Option("--ministry", metavar="CODE", help="Only this one. Repeat.")
    ] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="D", help="Runs begun on or after.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="D", help="Runs begun on or before.")] = None,
    proof: Annotated[bool, typer.Option("--proof", help="With the proof of every record; FILE.zip only.")] = False,
    output: Annotated[str | None, typer.Option("--format", metavar="csv|jsonl", help="Of stdout.")] = None,
    tlp: Annotated[str, typer.Option("--tlp", metavar="LEVEL", help="TLP 2.0 label of the file.")] = "AMBER+STRICT",
) -> Result:
    """The history of a range for auditors; with --ministry nothing of any other ministry.

    xlsx: a workbook to read. csv: every state of every finding. jsonl: the records that the ledger signs. zip: workbook
    and records, and with --proof what 'posture verify FILE.zip' needs on another machine, without database or network.
    """
    from posture.cli.exporting import Wanted, run_export

    wanted = Wanted(out, inventory, tuple(ministry or ()), since, until, proof, output, tlp)
    return run_export(settings_of(ctx), wanted)
