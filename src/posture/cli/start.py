"""Start: demo, init, inventory, range."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posture.cli.app import START, app, settings_of
from posture.cli.result import Result

INVENTORY_ARGUMENT = typer.Argument(metavar="[INVENTORY]", help="Default: posture.toml's, else ./inventory.toml.")


@app.command(
    rich_help_panel=START,
    short_help="Scan a practice range twice; write a site.",
    epilog="Example: posture demo --out /tmp/demo",
)
def demo(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option("--out", help="Folder for the site and the history.")] = Path("posture-demo"),
) -> Result:
    """Scan a practice range on this machine twice and write a scorecard site. No root, no network, under a minute."""
    from posture.cli.practice import run_demo

    return run_demo(out, settings_of(ctx))


@app.command(
    rich_help_panel=START,
    short_help="Write a first inventory and a consent letter.",
    epilog="Example: posture init finance --name finance.gov.example --owner 'Ministry of Finance' "
    "--contact soc@cert.example --basis own",
)
def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to create the files in.")],
    name: Annotated[
        list[str] | None, typer.Option("--name", metavar="DOMAIN", help="A domain you run. Repeat.")
    ] = None,
    owner: Annotated[str, typer.Option("--owner", metavar="TEXT", help="Whose systems they are.")] = "",
    contact: Annotated[str, typer.Option("--contact", metavar="ADDR", help="Who answers for the scans.")] = "",
    basis: Annotated[str, typer.Option("--basis", metavar="own|consent", help="On what authority.")] = "consent",
    state: Annotated[str, typer.Option("--state", metavar="CODE", help="ISO 3166-1 code of the State.")] = "ZZ",
) -> Result:
    """Write a first inventory, a configuration and the consent letter to be signed."""
    from posture.inventory.init import init_directory

    written = init_directory(directory, names=name or [], owner=owner, contact=contact, basis=basis, state_code=state)
    lines = [f"wrote {path}" for path in written]
    following = (
        "posture plan" if basis == "own" else "have the letter signed, fill in the inventory, then: posture plan"
    )
    return Result(text="\n".join([*lines, f"Next: cd {directory} && {following}"]) + "\n")


inventory = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(inventory, name="inventory", rich_help_panel=START, help="Check the inventory; import sheets into it.")


@inventory.command("check", epilog="Example: posture inventory check inventories/lc.toml")
def inventory_check(
    ctx: typer.Context,
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Default: as for posture plan.")] = None,
    output: Annotated[str, typer.Option("--format", metavar="table|json")] = "table",
) -> Result:
    """Validate an inventory; every problem at once, with file, line and field."""
    from posture.cli.letters import signing_remarks
    from posture.cli.wiring import inventory_of
    from posture.errors import UsageError
    from posture.inventory import summary

    if output not in ("table", "json"):
        raise UsageError(f"no format {output!r}. Choose table or json.")
    loaded, warnings = inventory_of(settings_of(ctx), file)
    counts = summary(loaded)
    if output == "json":
        return Result(document={"schema": "posture-errors/1", "errors": []}, format="json")
    said = (*warnings, *signing_remarks(settings_of(ctx), file, loaded))
    remarks = "".join(f"warning: {warning}\n" for warning in said)
    return Result(text=f"{loaded.path}: {counts}\n", remark=remarks)


@inventory.command(
    "import",
    short_help="Assets from a CSV or XLSX sheet; all rows or none.",
    epilog="Example: posture inventory import sites.csv --into inventory.toml --ministry finance",
)
def inventory_import(
    ctx: typer.Context,
    sheet: Annotated[
        Path,
        typer.Argument(metavar="SHEET.{csv,xlsx}", help="One asset a row; a header row first. - is CSV from stdin."),
    ],
    into: Annotated[
        Path | None, typer.Option("--into", metavar="FILE.toml", help="The inventory to update; default: as for plan.")
    ] = None,
    ministry: Annotated[str | None, typer.Option("--ministry", metavar="CODE", help="For rows without one.")] = None,
    name: Annotated[str | None, typer.Option("--sheet", metavar="NAME", help="Which sheet of a workbook.")] = None,
    mapping: Annotated[
        list[str] | None, typer.Option("--map", metavar='"HEADER=FIELD"', help="A header of yours. Repeat.")
    ] = None,
    remove_missing: Annotated[
        bool, typer.Option("--remove-missing", help="Drop assets that the sheet no longer has.")
    ] = False,
) -> Result:
    """Import assets from a sheet: all rows or none; importing again updates. A workbook's formulas are refused."""
    from posture.cli.wiring import config_of
    from posture.inventory.sheet import import_sheet, parse_mapping

    report = import_sheet(
        sheet,
        into or config_of(settings_of(ctx)).inventory,
        ministry=ministry,
        mapping=parse_mapping(mapping or []),
        remove_missing=remove_missing,
        name=name,
    )
    return Result(text=report.text())


@inventory.command(
    "export",
    short_help="The assets as a sheet to edit, or all as one TOML.",
    epilog="Example: posture inventory export --out assets.xlsx, edit it, then: posture inventory import assets.xlsx",
)
def inventory_export(
    ctx: typer.Context,
    file: Annotated[Path | None, INVENTORY_ARGUMENT] = None,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.{csv,xlsx,toml}", help="Default: CSV on stdout.")] = Path(
        "-"
    ),
    ministry: Annotated[
        list[str] | None, typer.Option("--ministry", metavar="CODE", help="Only this one. Repeat.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
) -> Result:
    """The assets as a sheet that 'inventory import' reads back to the same; toml: the inventory with its sheets in it."""
    from posture.cli.sheets import export_to

    return export_to(settings_of(ctx), file, out, tuple(ministry or ()), force=force)


@inventory.command(
    "statement",
    short_help="The text that an authorising officer signs.",
    epilog="Example: posture inventory statement lc-2026-001 --out lc-2026-001.txt, then "
    "ssh-keygen -Y sign -n posture-authorisation -f KEY lc-2026-001.txt",
)
def inventory_statement(
    ctx: typer.Context,
    identifier: Annotated[str, typer.Argument(metavar="ID", help="An authorisation's id.")],
    file: Annotated[Path | None, INVENTORY_ARGUMENT] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Default: stdout.")] = None,
) -> Result:
    """One authorisation as a text, made from what was read, for its officer to sign with ssh-keygen -Y sign."""
    from posture.cli.letters import show_statement

    return show_statement(settings_of(ctx), identifier, file, out)


practice = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(practice, name="range", rich_help_panel=START, help="The practice range: small misconfigured servers.")


@practice.command("up", epilog="Example: posture range up, then in another terminal: posture scan THAT.toml --lab")
def range_up(
    ctx: typer.Context,
    lesson: Annotated[int | None, typer.Option("--lesson", metavar="N", help="One lesson, with its LESSON.md.")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Default: a new temporary folder.")] = None,
) -> Result:
    """Keep the practice range running in the foreground; prints READY and the inventory once all servers answer."""
    from posture.cli.practice import run_range

    return run_range(lesson, out, settings_of(ctx))
