"""Evidence: rejudge."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posture.cli.app import EVIDENCE, app, settings_of
from posture.cli.result import Result
from posture.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posture.cli.app import Settings


@app.command(
    rich_help_panel=EVIDENCE,
    short_help="Recorded facts under another policy, or today's rules.",
    epilog="Example: posture rejudge --policy strict.toml --all, or: posture rejudge --compare recorded strict.toml",
)
def rejudge(
    ctx: typer.Context,
    policy: Annotated[
        str | None, typer.Option("--policy", metavar="FILE|NAME", help="The baseline; default: the configured one.")
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="R", help="Show this run; default: the latest complete one.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="List every complete run.")] = False,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--compare",
            metavar="OLD NEW",
            help="Only say which verdicts move. A side is a policy (FILE or NAME, by today's rules), 'recorded' "
            "(what the run was told) or 'recorded:PREFIX' (a judgement in the history).",
        ),
    ] = None,
    facts: Annotated[
        Path | None, typer.Option("--facts", metavar="DIR", help="With --compare: over recorded files, no history.")
    ] = None,
    ministry: Annotated[list[str] | None, typer.Option("--ministry", metavar="CODE", help="Only this one.")] = None,
    vantage: Annotated[str | None, typer.Option("--vantage", metavar="NAME", help="From where we looked.")] = None,
    output: Annotated[str, typer.Option("--format", metavar="table|json|jsonl|csv", help="Of stdout.")] = "table",
) -> Result:
    """Judge recorded facts again under another baseline, or by the rules of this release. Sends nothing.

    What each run was told stays as it is; the other judgement is kept beside it, so that doing it twice adds nothing.
    Shows per ministry the score as it was and as it is, and which verdicts differ. Evidence that 'db prune' has dropped
    is unknown (not_recorded), and said. With --compare nothing is written.
    """
    settings, ministries = settings_of(ctx), tuple(ministry or ())
    _check_usage(policy, run, facts, everything=everything, compare=compare is not None)
    if compare is None:
        return _rejudged(settings, policy, run, ministries, vantage, output, everything=everything)
    if facts is not None:
        if ministries or vantage:
            raise UsageError("--ministry and --vantage choose from a history. Leave them out with --facts.")
        return _over_facts(facts, *compare, output)
    return _compared(settings, compare, run, ministries, vantage, output, everything=everything)


def _check_usage(policy: str | None, run: str | None, facts: Path | None, *, everything: bool, compare: bool) -> None:
    """Raises UsageError: options that do not go together."""
    if run is not None and everything:
        raise UsageError("--run and --all both choose runs. Give one of them.")
    if compare and policy is not None:
        raise UsageError("--compare names both policies itself. Leave --policy out.")
    if facts is not None and not compare:
        raise UsageError("--facts is looked at with --compare OLD NEW. Add it.")
    if facts is not None and (run is not None or everything):
        raise UsageError("--facts has no runs. Leave --run and --all out.")


def _rejudged(
    settings: Settings,
    policy: str | None,
    run: str | None,
    ministries: Sequence[str],
    vantage: str | None,
    output: str,
    *,
    everything: bool,
) -> Result:
    from posture.checks.baseline import load_baseline
    from posture.cli.progress import Counting
    from posture.cli.wiring import config_of
    from posture.rejudged import rejudged, runs_to_show
    from posture.store import Store
    from posture.store.upkeep import schema_of

    config = config_of(settings)
    baseline = load_baseline(policy or config.policy)
    schema_of(config.db)  # a reading command never creates a database
    progress = Counting(sys.stderr, "judging again", quiet=settings.quiet)
    with Store.open(config.db, write=True) as store, progress:
        shown = runs_to_show(store, run, vantage, everything=everything)
        document = rejudged(store, baseline, shown, ministries=ministries, listed=everything, progress=progress.at)
    return Result(document=document, format=output)


def _over_facts(folder: Path, old: str, new: str, output: str) -> Result:
    from posture.checks import catalogue
    from posture.compared import compare_corpus, side_of
    from posture.corpus import read_corpus

    sides = side_of(old, None), side_of(new, None)
    return Result(document=compare_corpus(read_corpus(folder), *sides, catalogue(), str(folder)), format=output)


def _compared(
    settings: Settings,
    compare: tuple[str, str],
    run: str | None,
    ministries: Sequence[str],
    vantage: str | None,
    output: str,
    *,
    everything: bool,
) -> Result:
    from posture.cli.progress import Counting
    from posture.cli.wiring import config_of
    from posture.compared import compare_all, compare_run, side_of
    from posture.rejudged import runs_to_show
    from posture.store import Store

    with Store.open(config_of(settings).db, write=False) as store:
        old, new = (side_of(name, store) for name in compare)
        chosen = runs_to_show(store, run, vantage, everything=False)[0]
        if everything:
            with Counting(sys.stderr, "comparing", quiet=settings.quiet) as progress:
                document = compare_all(store, chosen.vantage, old, new, ministries, progress.at)
        else:
            document = compare_run(store, chosen, old, new, ministries)
    return Result(document=document, format=output)
