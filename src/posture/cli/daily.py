"""Every day: plan, scan, runs, findings, drift, trend, scorecard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posture.cli.app import DAILY, app, settings_of
from posture.cli.result import Result

Inventory = Annotated[
    Path | None, typer.Argument(metavar="[INVENTORY]", help="Default: posture.toml's, else ./inventory.toml.")
]
Ministries = Annotated[list[str] | None, typer.Option("--ministry", metavar="CODE", help="Only this one. Repeat.")]
Assets = Annotated[list[str] | None, typer.Option("--asset", metavar="NAME", help="Only this one. Repeat.")]
Checks = Annotated[
    list[str] | None, typer.Option("--check", metavar="tls|dns|email|web|services", help="Only this family. Repeat.")
]
Controls = Annotated[list[str] | None, typer.Option("--control", metavar="GLOB", help="Only these ids. Repeat.")]
Profile = Annotated[str | None, typer.Option("--profile", metavar="passive|standard|deep", help="Classes of probes.")]
Format = Annotated[str, typer.Option("--format", metavar="table|json|jsonl|csv", help="Of stdout.")]
At = Annotated[str | None, typer.Option("--at", metavar="D", help="As it was known at a date's end, or a time.")]
Vantage = Annotated[str | None, typer.Option("--vantage", metavar="NAME", help="From where we look.")]
FailOn = Annotated[
    str, typer.Option("--fail-on", metavar="SEVERITY", help="Exit 1 at or above, but for exempted ones; default none.")
]


@app.command(
    rich_help_panel=DAILY,
    short_help="What would be asked of whom; sends only DNS.",
    epilog="Example: posture plan inventory.toml --ministry finance --format json",
)
def plan(
    ctx: typer.Context,
    inventory: Inventory = None,
    ministry: Ministries = None,
    asset: Assets = None,
    check: Checks = None,
    control: Controls = None,
    profile: Profile = None,
    output: Annotated[str, typer.Option("--format", metavar="table|json", help="Of stdout.")] = "table",
) -> Result:
    """What a scan would ask of whom, under whose authority, and every refusal. Sends nothing but DNS to our resolver."""
    from posture.cli.wiring import selection_of, show_plan

    chosen = selection_of(ministry, asset, check, control, profile)
    return show_plan(settings_of(ctx), inventory, chosen, output)


@app.command(rich_help_panel=DAILY, epilog="Example: posture scan inventory.toml --ministry finance --fail-on high")
def scan(
    ctx: typer.Context,
    inventory: Inventory = None,
    ministry: Ministries = None,
    asset: Assets = None,
    check: Checks = None,
    control: Controls = None,
    profile: Profile = None,
    fail_on: FailOn = "none",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with this database's interrupted run.")] = False,
    vantage: Vantage = None,
    engine: Annotated[str, typer.Option("--engine", metavar="local", help="Where probes run.")] = "local",
) -> Result:
    """Plan, probe, judge, record. Ends with what got worse and the five things to do first."""
    from posture.cli.wiring import run_scan, selection_of

    chosen = selection_of(ministry, asset, check, control, profile)
    return run_scan(settings_of(ctx), inventory, chosen, fail_on=fail_on, resume=resume, vantage=vantage, engine=engine)


@app.command(rich_help_panel=DAILY, epilog="Example: posture runs --format json")
def runs(ctx: typer.Context, vantage: Vantage = None, output: Format = "table") -> Result:
    """The runs in the history, newest first."""
    from posture.cli.reading import show_runs

    return show_runs(settings_of(ctx), vantage, output)


@app.command(
    rich_help_panel=DAILY,
    short_help="The current state, or one run's.",
    epilog="Example: posture findings --ministry finance --severity high",
)
def findings(
    ctx: typer.Context,
    ministry: Ministries = None,
    asset: Assets = None,
    check: Checks = None,
    control: Controls = None,
    severity: Annotated[str | None, typer.Option("--severity", metavar="LEVEL", help="At or above.")] = None,
    outcome: Annotated[str | None, typer.Option("--outcome", metavar="LIST|all", help="E.g. fail,warn.")] = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="R", help="Id, prefix, latest, previous or a date.")
    ] = None,
    at: At = None,
    since: Annotated[str | None, typer.Option("--since", metavar="D", help="Last seen on or after.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="D", help="Last seen on or before.")] = None,
    vantage: Vantage = None,
    fail_on: FailOn = "none",
    ages: Annotated[bool, typer.Option("--ages", help="How long open ones are open, how often reopened.")] = False,
    output: Format = "table",
) -> Result:
    """The current state: the last answer to each control, with its age; as it was known with --at; one run's with --run.

    An exempted finding is shown as what it is, with its exemption; only --fail-on does not count it.
    """
    from posture.cli.reading import Filters, show_findings

    filters = Filters(
        ministries=tuple(ministry or ()),
        assets=tuple(asset or ()),
        checks=tuple(check or ()),
        controls=tuple(control or ()),
        severity=severity,
        outcome=outcome,
        run=run,
        at=at,
        since=since,
        until=until,
        vantage=vantage,
    )
    return show_findings(settings_of(ctx), filters, fail_on, output, ages=ages)


@app.command(
    rich_help_panel=DAILY,
    short_help="What changed between two runs.",
    epilog="Example: posture drift --from previous --to latest --fail-on high",
)
def drift(
    ctx: typer.Context,
    before: Annotated[str, typer.Option("--from", metavar="R", help="A run.")] = "previous",
    after: Annotated[str, typer.Option("--to", metavar="R", help="A run.")] = "latest",
    ministry: Ministries = None,
    kind: Annotated[
        str | None, typer.Option("--kind", metavar="LIST|all", help="E.g. new,regressed. A table: what changed.")
    ] = None,
    vantage: Vantage = None,
    fail_on: FailOn = "none",
    output: Format = "table",
) -> Result:
    """What changed between two runs; exit 1 when something new or regressed, and not exempted, reaches --fail-on.

    A table leaves out what persists and what could not be seen; json, jsonl and csv give all. --kind chooses.
    """
    from posture.cli.reading import show_drift

    return show_drift(settings_of(ctx), before, after, tuple(ministry or ()), kind, vantage, fail_on, output)


@app.command(
    rich_help_panel=DAILY,
    short_help="Scores over time, and what moved them.",
    epilog="Example: posture trend --ministry finance --since 2026-01-01",
)
def trend(
    ctx: typer.Context,
    ministry: Ministries = None,
    since: Annotated[str | None, typer.Option("--since", metavar="D", help="Runs that ended on or after.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="D", help="Runs that ended on or before.")] = None,
    vantage: Vantage = None,
    output: Format = "table",
) -> Result:
    """The score of every ministry at every run, and what moved it: fixed, newly failed, seen or unseen, inventory, rules."""
    from posture.cli.reading import show_trend

    return show_trend(settings_of(ctx), tuple(ministry or ()), since, until, vantage, output)


@app.command(
    rich_help_panel=DAILY,
    short_help="Write the scorecards as a static site.",
    epilog="Example: posture scorecard --out site --ministry finance --single-file",
)
def scorecard(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write to.")],
    ministry: Ministries = None,
    output: Annotated[str, typer.Option("--format", metavar="html|json|md|pdf", help="Of the files.")] = "html",
    single_file: Annotated[bool, typer.Option("--single-file", help="Everything in one page.")] = False,
    tlp: Annotated[str, typer.Option("--tlp", metavar="LEVEL", help="TLP 2.0 label of every page.")] = "AMBER+STRICT",
    run: Annotated[str | None, typer.Option("--run", metavar="R", help="As this run saw it.")] = None,
    at: At = None,
    vantage: Vantage = None,
) -> Result:
    """Write the scorecards as a self-contained site; with --ministry nothing of any other ministry.

    With --at as it was known then: the ministries, assets, policy and drift of that time, deadlines counted to it.
    """
    from posture.cli.reading import write_scorecard

    return write_scorecard(settings_of(ctx), out, tuple(ministry or ()), output, single_file, tlp, run, at, vantage)
