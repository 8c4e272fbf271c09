"""Commands that only read the history: runs, findings, drift, trend, scorecard."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from posture.cli.result import DISK_FULL, Result
from posture.cli.wiring import config_of, inventory_of, now
from posture.errors import UsageError
from posture.model import Outcome, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from posture.checks import Control
    from posture.cli.app import Settings
    from posture.exemptions import Exemption
    from posture.store import Store

_LISTED = ("fail", "warn", "unknown")
_AS_READ = ("json", "jsonl", "csv")
# The worst first; within one outcome by severity.
_ORDER = {name: place for place, name in enumerate(("fail", "warn", "unknown", "info", "pass", "not_applicable"))}


@dataclass(frozen=True, slots=True)
class Filters:
    """The selectors of ``posture findings`` as typed."""

    ministries: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    severity: str | None = None
    outcome: str | None = None
    run: str | None = None
    at: str | None = None
    since: str | None = None
    until: str | None = None
    vantage: str | None = None


def severity_of(text: str) -> Severity | None:
    """The threshold of --fail-on; None for ``none``.

    Raises:
        UsageError: no such severity.
    """
    if text == "none":
        return None
    try:
        return Severity(text)
    except ValueError:
        raise UsageError(f"no severity {text!r}. Choose among none, {', '.join(Severity)}.") from None


def show_runs(settings: Settings, vantage: str | None, output: str) -> Result:
    from posture import history
    from posture.store import Store

    config = config_of(settings)
    with Store.open(config.db, write=False) as store:
        return Result(document=history.runs(store, vantage, config.silent_runs), format=output)


def show_findings(settings: Settings, filters: Filters, fail_on: str, output: str, *, ages: bool = False) -> Result:
    from posture import history
    from posture.ages import ages_of
    from posture.exempted import exemptions_now
    from posture.scan.ended import reaches
    from posture.store import Store

    threshold = severity_of(fail_on)
    select = history.Selectors(
        ministries=filters.ministries,
        assets=tuple(name.lower().rstrip(".") for name in filters.assets),
        checks=filters.checks,
        controls=filters.controls,
        severity=filters.severity,
        outcomes=_outcomes(filters.outcome),
        since=filters.since,
        until=filters.until,
    )
    config = config_of(settings)
    entries = exemptions_now(config) if filters.run is None and filters.at is None else None
    state = partial(
        history.state_as_read,
        run=filters.run,
        at=filters.at,
        vantage=filters.vantage,
        select=select,
        exemptions=entries,
        now=now(),
    )
    left_out: dict[str, int] = {}
    if output in _AS_READ and not ages:
        return _as_read(config.db, state, threshold, output)
    with Store.open(config.db, write=False) as store:
        if ages:
            document = ages_of(store, run=filters.run, at=filters.at, vantage=filters.vantage, select=select)
        else:
            document = state(store)
            rows, left_out = _shown(document["findings"], everything=filters.outcome is not None or output != "table")
            document = {**document, "findings": rows}
        run = document["run"]
        timezone = history.resolve_run(store, run["id"]).timezone if run else "UTC"
    rows = document["findings"]
    if output == "table":
        document = {**document, "findings": sorted(rows, key=_oldest_first if ages else _worst_first)}
    reached = threshold is not None and any(reaches(row, threshold) for row in rows)
    said = _of_exemptions(entries or (), timezone) if output == "table" and not settings.quiet else ""
    return Result(
        document=document,
        format=output,
        exit_code=int(reached),
        everything=filters.outcome is not None,
        left_out=left_out,
        remark=said,
    )


def _shown(rows: Iterable[dict[str, Any]], *, everything: bool) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The rows that a table lists, the worst first, and how many of each outcome it leaves out, which are not held."""
    shown: list[dict[str, Any]] = []
    left_out: Counter[str] = Counter()
    for row in rows:
        if everything or row["outcome"] in _LISTED:
            shown.append(row)
        else:
            left_out[row["outcome"]] += 1
    return shown, dict(left_out)


def _as_read(db: Path, state: Callable[[Store], dict[str, Any]], threshold: Severity | None, output: str) -> Result:
    """A nation's findings are written as they are read: there is no need to hold hundreds of thousands of them."""
    from posture.reporters import render
    from posture.scan.ended import reaches
    from posture.store import Store

    with Store.open(db, write=False) as store:
        rows = state(store)["findings"]
        reached = threshold is not None and any(reaches(row, threshold) for row in rows)

    def write(out: TextIO) -> None:
        with Store.open(db, write=False) as store:
            render(state(store), output, out)

    return Result(writer=write, exit_code=int(reached))


def _of_exemptions(entries: Sequence[Exemption], timezone: str) -> str:
    """Which have ended, or are about to."""
    from posture.exemptions import InForce, remarks

    today = InForce.at(entries, now(), timezone).today
    return "".join(f"note: {line}\n" for line in remarks(entries, today))


def _outcomes(text: str | None) -> tuple[str, ...]:
    if text is None or text == "all":
        return ()
    chosen = tuple(word.strip() for word in text.split(","))
    for word in chosen:
        if word not in set(Outcome):
            raise UsageError(f"no outcome {word!r}. Choose among all, {', '.join(Outcome)}.")
    return chosen


def _worst_first(row: dict[str, Any]) -> tuple[int, int, str, str, str]:
    return (_ORDER[row["outcome"]], -Severity(row["severity"]).rank, row["ministry"], row["asset"], row["control"])


def _oldest_first(row: dict[str, Any]) -> tuple[int, int, str, str, str]:
    return (-row["days_open"], -Severity(row["severity"]).rank, row["ministry"], row["asset"], row["control"])


def show_drift(
    settings: Settings,
    before: str,
    after: str,
    ministries: tuple[str, ...],
    kind: str | None,
    vantage: str | None,
    fail_on: str,
    output: str,
) -> Result:
    from posture.exempted import accepted_in
    from posture.overview import drift_of
    from posture.store import Store

    threshold = severity_of(fail_on)
    changes_alone = kind is None and output == "table"
    kinds = None if kind == "all" else tuple(word.strip() for word in kind.split(",")) if kind else None
    with Store.open(config_of(settings).db, write=False) as store:
        document = drift_of(
            store, before, after, vantage=vantage, ministries=ministries, kinds=() if changes_alone else kinds
        )
        accepted = accepted_in(store, document["to"]["id"])
    said = "What persists and what could not be seen is not listed: --kind all\n" if changes_alone else ""
    worse = [] if document["suspect"] else [row for row in document["events"] if row["kind"] in ("new", "regressed")]
    worse = [row for row in worse if not accepted(row)]
    reached = threshold is not None and any(Severity(row["severity"]).rank >= threshold.rank for row in worse)
    return Result(document=document, format=output, exit_code=int(reached), text=said)


def show_trend(
    settings: Settings,
    ministries: tuple[str, ...],
    since: str | None,
    until: str | None,
    vantage: str | None,
    output: str,
) -> Result:
    from posture.store import Store
    from posture.trend import trend

    with Store.open(config_of(settings).db, write=False) as store:
        document = trend(store, ministries=ministries, since=since, until=until, vantage=vantage)
    return Result(document=document, format=output)


def write_scorecard(
    settings: Settings,
    out: Path,
    ministries: tuple[str, ...],
    output: str,
    single_file: bool,
    tlp: str,
    run: str | None,
    at: str | None,
    vantage: str | None,
) -> Result:
    from posture.reporters import write_site
    from posture.scan import report_of

    config = config_of(settings)
    inventory = inventory_of(settings, None)[0] if config.inventory.exists() else None
    report = report_of(config, inventory, run=run, at=at, vantage=vantage, ministries=ministries)
    try:
        page = write_site(report, out, ministries=ministries, single_file=single_file, tlp=tlp, format=output)
    except OSError as fault:
        if fault.errno in DISK_FULL:
            raise
        raise UsageError(f"{out} cannot be written: {fault.strerror}. Choose another folder with --out.") from fault
    return Result(text=f"{page}\n")


def explain_score(
    settings: Settings, ministry: str | None, run: str | None, at: str | None, vantage: str | None, output: str
) -> Result:
    """Every addend and cap of a ministry's score, or of the State's."""
    from posture.explained import explained
    from posture.scan import report_of

    config = config_of(settings)
    inventory = inventory_of(settings, None)[0] if config.inventory.exists() else None
    of = () if ministry is None else (ministry,)
    report = report_of(config, inventory, run=run, at=at, vantage=vantage, ministries=of)
    return Result(document=explained(report, ministry), format=output)


def see_on(
    settings: Settings, control: Control, asset: str, run: str | None, at: str | None, vantage: str | None
) -> Result:
    """What is open of a control on an asset, each with the line that shows it from any machine."""
    from posture import history
    from posture.checks.mending import line_of, shows_of
    from posture.reporters.cells import shell_words, terminal
    from posture.store import Store

    select = history.Selectors(assets=(asset.lower().rstrip("."),), controls=(control.id,), outcomes=("warn", "fail"))
    with Store.open(config_of(settings).db, write=False) as store:
        rows = history.state(store, run=run, at=at, vantage=vantage, select=select)["findings"]
    lines = []
    for row in rows:
        place = shell_words(row["asset"]), shell_words(row["subject"]), shell_words(row["args"] or {})
        lines += [f"{terminal(row['subject']) or asset}  {row['outcome']}: {terminal(row['message'])}"]
        lines += [f"  {line}" for line in line_of(control.mending, *place).splitlines()]
        if shows := shows_of(control.mending, place[2]):
            lines += [f"  It shows: {shows}"]
    return Result(text="\n".join(lines or [f"Nothing is open of {control.id} on {asset}."]) + "\n")
