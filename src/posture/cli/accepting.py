"""Evidence: exemptions and disputes, which stand beside a finding and change nothing of it."""

from __future__ import annotations

from typing import Annotated

import typer

from posture.cli.app import EVIDENCE, app, settings_of
from posture.cli.result import Result

dispute = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(
    dispute,
    name="dispute",
    rich_help_panel=EVIDENCE,
    help="A ministry says that a finding is wrong, and what came of it.",
)

By = Annotated[str, typer.Option("--by", metavar="TEXT", help="Who says so.")]
Output = Annotated[str, typer.Option("--format", metavar="table|json|jsonl|csv", help="Of stdout.")]
Decision = Annotated[
    str,
    typer.Option(
        "--decision",
        metavar="accepted|rejected|withdrawn|reopened",
        help="accepted: the finding is wrong; rejected: it stands.",
    ),
]


@app.command(
    rich_help_panel=EVIDENCE,
    short_help="Findings that are accepted for a time, by whom.",
    epilog="Example: posture exemptions --format json",
)
def exemptions(
    ctx: typer.Context,
    run: Annotated[str | None, typer.Option("--run", metavar="R", help="Those on record for this run.")] = None,
    output: Output = "table",
) -> Result:
    """The operator's exemptions: in force, ending within 30 days, not yet begun, past their time (which have no effect).

    The file is exemptions.toml beside the inventory, or 'exemptions' of posture.toml. Every scan keeps it on record, so
    that --run shows what was in force then. An exempted finding is shown as it is and the score counts it all the same;
    --fail-on does not count it.
    """
    from posture.cli.annotating import show_exemptions

    return show_exemptions(settings_of(ctx), run, output)


@dispute.command(
    "add",
    short_help="Record that a finding is said to be wrong.",
    epilog='Example: posture dispute add --asset tax.finance.gov.example --control tls.cert.key --by "J. Doe" --reason "..."',
)
def add(
    ctx: typer.Context,
    asset: Annotated[str, typer.Option("--asset", metavar="NAME", help="Of the finding.")],
    control: Annotated[str, typer.Option("--control", metavar="ID", help="Of the finding.")],
    by: By,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why it is wrong.")],
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="TEXT", help="Which one, where there are several.")
    ] = None,
    vantage: Annotated[str | None, typer.Option("--vantage", metavar="NAME", help="From where it was seen.")] = None,
    output: Output = "table",
) -> Result:
    """Record who says that a finding of the current state is wrong, and why. It is shown beside the finding from then on.

    The finding stays as it is and the score counts it: a dispute changes neither. The record is append-only.
    """
    from posture.cli.annotating import add_dispute

    return add_dispute(settings_of(ctx), asset, control, subject, by, reason, vantage, output)


@dispute.command(
    "resolve",
    short_help="Record what was decided about one.",
    epilog='Example: posture dispute resolve D-3 --decision rejected --by "CERT" --reason "seen again on 3 days"',
)
def resolve(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="ID", help="Such as D-3; 'posture dispute list' lists them.")],
    decision: Decision,
    by: By,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.")],
    output: Output = "table",
) -> Result:
    """Record a decision: accepted (the finding is wrong), rejected (it stands), withdrawn, or reopened.

    An accepted dispute does not change the finding either: mend the rule or the inventory, or write an exemption.
    """
    from posture.cli.annotating import resolve_dispute

    return resolve_dispute(settings_of(ctx), name, decision, by, reason, output)


@dispute.command(
    "list", short_help="All of them, open ones first.", epilog="Example: posture dispute list --state open"
)
def list_(
    ctx: typer.Context,
    ministry: Annotated[list[str] | None, typer.Option("--ministry", metavar="CODE", help="Only this one.")] = None,
    state: Annotated[
        str | None, typer.Option("--state", metavar="open|accepted|rejected|withdrawn", help="Only these.")
    ] = None,
    output: Output = "table",
) -> Result:
    """Who says which finding is wrong, since when, and what was decided."""
    from posture.cli.annotating import show_disputes

    return show_disputes(settings_of(ctx), tuple(ministry or ()), state, output)
