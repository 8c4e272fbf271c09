"""The application: its global options, its groups of commands, and its help."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from typer._click import Context, HelpFormatter
from typer.core import TyperGroup

import posture

# The groups of commands, in the order of help.
START, DAILY, EVIDENCE, REGION, UPKEEP = "Start", "Every day", "Evidence", "Region", "Upkeep"
GROUPS = (START, DAILY, EVIDENCE, REGION, UPKEEP)


class GroupedHelp(TyperGroup):
    """Commands under their group's heading, in the order registered."""

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002 (the base class gives it)
        return list(self.commands)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:  # noqa: ARG002 (the base class gives it)
        shown = [(name, command) for name, command in self.commands.items() if not command.hidden]
        width = formatter.width - 6 - max(len(name) for name, _ in shown)
        for group in GROUPS:
            rows = [
                (name, command.get_short_help_str(width))
                for name, command in shown
                if getattr(command, "rich_help_panel", None) == group
            ]
            if rows:
                with formatter.section(group):
                    formatter.write_dl(rows)


@dataclass(frozen=True, slots=True)
class Settings:
    """The global options as typed; ``None`` means not given."""

    db: Path | None = None
    config: Path | None = None
    resolver: str | None = None
    ca_file: Path | None = None
    trust_anchor: Path | None = None
    lab: bool = False
    quiet: bool = False
    verbose: int = 0
    log_format: str = "text"


app = typer.Typer(
    cls=GroupedHelp,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Global options may stand before or after the command. "
    "Exit codes: 0 done, 1 findings at or above --fail-on, 2 usage, 3 incomplete, 4 nothing was sent, 5 posture failed.",
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"posture {posture.__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    db: Annotated[Path | None, typer.Option("--db", envvar="POSTURE_DB", help="The history (SQLite).")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="posture.toml to use.")] = None,
    resolver: Annotated[str | None, typer.Option("--resolver", metavar="ADDR[:PORT]", help="DNS resolver.")] = None,
    ca_file: Annotated[
        Path | None, typer.Option("--ca-file", help="Roots to trust instead of the public ones.")
    ] = None,
    trust_anchor: Annotated[Path | None, typer.Option("--trust-anchor", help="DNSSEC root: DS or DNSKEY.")] = None,
    lab: Annotated[bool, typer.Option("--lab", help="Allow special-purpose addresses of lab authorisations.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress, no remarks.")] = False,
    verbose: Annotated[int, typer.Option("-v", "--verbose", count=True, help="More words on stderr.")] = 0,
    log_format: Annotated[str, typer.Option("--log-format", metavar="text|json", help="Of stderr.")] = "text",
    version: Annotated[  # noqa: ARG001 (its callback acts)
        bool, typer.Option("--version", callback=_version, is_eager=True, help="The version.")
    ] = False,
) -> None:
    """Scans a government's own systems, politely and only where authorised, and keeps a history an auditor can read."""
    from posture.cli.logs import configure

    settings = Settings(db, config, resolver, ca_file, trust_anchor, lab, quiet, verbose, log_format)
    configure(settings.verbose, settings.log_format)
    ctx.obj = settings


def settings_of(ctx: typer.Context) -> Settings:
    """The global options of this command line."""
    found: Any = ctx.find_root().obj
    return found if isinstance(found, Settings) else Settings()
