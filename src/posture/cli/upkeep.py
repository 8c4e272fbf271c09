"""Upkeep: schema, attribution, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posture.cli.app import UPKEEP, app, settings_of
from posture.cli.result import Result


@app.command(rich_help_panel=UPKEEP, epilog="Example: posture schema findings > findings.schema.json")
def schema(
    name: Annotated[str, typer.Argument(metavar="NAME", help="inventory, plan, runs, findings, drift, ...")],
) -> Result:
    """The published JSON Schema of a document."""
    from posture.schemas import schema as text_of

    return Result(text=text_of(name))


@app.command(
    rich_help_panel=UPKEEP,
    short_help="Write probing.txt: who is scanning (RFC 9511).",
    epilog="Example: posture attribution inventory.toml --out probing.txt",
)
def attribution(
    ctx: typer.Context,
    inventory: Annotated[
        Path | None, typer.Argument(metavar="[INVENTORY]", help="Default: posture.toml's, else ./inventory.toml.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Default: stdout.")] = None,
) -> Result:
    """The file that tells whoever finds our probes in a log who sent them and whom to ask (RFC 9511)."""
    from posture.cli.letters import write_attribution

    return write_attribution(settings_of(ctx), inventory, out)


@app.command(
    rich_help_panel=UPKEEP,
    short_help="What works here, and how to mend the rest.",
    epilog="Example: posture doctor",
)
def doctor(ctx: typer.Context) -> Result:
    """What works on this machine, what is degraded and how to mend it. Sends nothing but DNS to our resolver."""
    from posture.cli.wiring import run_doctor

    return run_doctor(settings_of(ctx))
