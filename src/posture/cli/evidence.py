"""Evidence: controls, explain."""

from __future__ import annotations

from typing import Annotated

import typer

from posture.cli.app import EVIDENCE, app, settings_of
from posture.cli.result import Result


@app.command(rich_help_panel=EVIDENCE, epilog="Example: posture controls --check email --format json")
def controls(
    check: Annotated[
        list[str] | None, typer.Option("--check", metavar="tls|dns|email|web|services", help="Only this family.")
    ] = None,
    output: Annotated[str, typer.Option("--format", metavar="table|json", help="Of stdout.")] = "table",
) -> Result:
    """The catalogue of controls, with class, severity and kind."""
    from posture.checks import catalogue
    from posture.errors import UsageError
    from posture.plan.selection import CHECKS

    for name in check or []:
        if name not in CHECKS:
            raise UsageError(f"no check {name!r}. Choose among {', '.join(CHECKS)}.")
    families = {CHECKS[name] for name in check or []}
    rows = [
        {
            "id": control.id,
            "title": control.title,
            "check": control.family,
            "class": str(control.probe_class),
            "severity": str(control.severity),
            "kind": str(control.kind),
        }
        for control in catalogue().values()
        if not families or control.family in families
    ]
    return Result(document={"schema": "posture-controls/1", "controls": rows}, format=output)


@app.command(
    rich_help_panel=EVIDENCE,
    short_help="One control, or a score line by line.",
    epilog="Example: posture explain tls.protocol.legacy, or: posture explain score --ministry finance",
)
def explain(
    ctx: typer.Context,
    control: Annotated[
        str, typer.Argument(metavar="ID|score", help="A control's id ('posture controls' lists them), or score.")
    ],
    ministry: Annotated[
        str | None, typer.Option("--ministry", metavar="CODE", help="Whose score; without, the State's.")
    ] = None,
    asset: Annotated[
        str | None,
        typer.Option("--asset", metavar="NAME", help="What is open of the control there, and how to see it."),
    ] = None,
    run: Annotated[str | None, typer.Option("--run", metavar="R", help="As this run saw it.")] = None,
    at: Annotated[str | None, typer.Option("--at", metavar="D", help="As it was known then.")] = None,
    vantage: Annotated[str | None, typer.Option("--vantage", metavar="NAME", help="From where we look.")] = None,
    output: Annotated[str, typer.Option("--format", metavar="table|json|csv", help="Of a score's lines.")] = "table",
) -> Result:
    """One control in full: what is looked at, what passes, why it matters, how to see it and how to mend it.

    With --asset what is open of it there, and the line that shows it from any machine.

    Or a score: every addend and every cap on a line of its own, that add up to the number shown.
    """
    if control == "score":
        from posture.cli.reading import explain_score
        from posture.errors import UsageError

        if asset is not None:
            raise UsageError("--asset is about a control. Write: posture explain ID --asset NAME.")

        return explain_score(settings_of(ctx), ministry, run, at, vantage, output)
    from difflib import get_close_matches

    from posture.checks import catalogue
    from posture.checks.document import explain as text_of
    from posture.errors import UsageError

    scored = ("ministry",) if asset is not None else ("ministry", "run", "at", "vantage")
    if given := [name for name in scored if ctx.params[name] is not None]:
        raise UsageError(f"--{given[0]} is about a score. Write: posture explain score --{given[0]} ...")
    if output != "table":
        raise UsageError("a control is explained in words. Leave --format out, or: posture controls --format json.")
    known = catalogue()
    if control not in known:
        near = get_close_matches(control, known, n=3, cutoff=0.4)
        hint = f"Did you mean {', '.join(near)}?" if near else "'posture controls' lists them."
        raise UsageError(f"no control {control!r}. {hint}")
    if asset is not None:
        from posture.cli.reading import see_on

        return see_on(settings_of(ctx), known[control], asset, run, at, vantage)
    return Result(text=text_of(known[control]))
