"""Which run somebody means: by id, by order, by date in the State's time zone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from posture.errors import UsageError
from posture.store.judging import trusted_before
from posture.store.records import RunRecord
from posture.store.writer import Store


def latest_closed(store: Store, vantage: str | None = None) -> RunRecord | None:
    """The newest run that has ended."""
    return next((run for run in store.reader.runs(vantage) if run.closed), None)


def resolve_run(store: Store, text: str, *, vantage: str | None = None, complete: bool = False) -> RunRecord:
    """The run that somebody means.

    Args:
        text: an id, a unique prefix of one, ``latest``, ``previous``, or a date (the last run begun on that day in the
            State's time zone).
        complete: ``latest`` and ``previous`` count complete runs only.

    Raises:
        UsageError: there is none, or more than one; names what is near.
    """
    everything = store.reader.runs(vantage)
    if text in ("latest", "previous"):
        return _by_order(everything, text, vantage, complete)
    day = day_of(text)
    if day is not None:
        found = [run for run in everything if run.started_at.astimezone(ZoneInfo(run.timezone)).date() == day]
        if not found:
            raise UsageError(f"no run began on {text}. {_near(everything)}")
        return next((run for run in found if run.state == "complete"), found[0])
    found = [run for run in everything if text and run.id.lower().startswith(text.lower())]
    exact = [run for run in found if run.id.lower() == text.lower()]
    if len(exact or found) != 1:
        problem = f"{len(found)} runs begin with {text!r}" if found else f"no run {text!r}"
        raise UsageError(f"{problem}. {_near(found or everything)}")
    return (exact or found)[0]


def _by_order(everything: Sequence[RunRecord], text: str, vantage: str | None, complete: bool) -> RunRecord:
    closed = [run for run in everything if run.closed and (not complete or run.state == "complete")]
    if closed and vantage is None:
        closed = [run for run in closed if run.vantage == closed[0].vantage]
    place = 0 if text == "latest" else 1
    if len(closed) <= place:
        kind = "complete run" if complete else "run that has ended"
        where = f" at vantage {vantage!r}" if vantage else ""
        raise UsageError(f"there is no {text} {kind}{where} yet. Run 'posture scan', or see 'posture runs'.")
    return closed[place]


def _near(candidates: Sequence[RunRecord]) -> str:
    if not candidates:
        return "There is no run yet: start one with 'posture scan'."
    shown = ", ".join(run.id for run in candidates[:5])
    return f"Choose from: {shown}{', ...' if len(candidates) > 5 else ''} ('posture runs' lists all)."


def day_of(text: str) -> date | None:
    """A date as people write it, or None."""
    try:
        return date.fromisoformat(text) if len(text) == len("2026-01-01") else None
    except ValueError:
        return None


@lru_cache(maxsize=64)
def bounds(text: str, timezone: str) -> tuple[datetime, datetime]:
    """First and last instant (UTC) of a date in a time zone; a time is an instant.

    Raises:
        UsageError: neither a date nor an RFC 3339 time.
    """
    zone = ZoneInfo(timezone)
    day = day_of(text)
    if day is not None:
        first = datetime.combine(day, time.min, zone).astimezone(UTC)
        following = datetime.combine(day + timedelta(days=1), time.min, zone).astimezone(UTC)
        return first, following - timedelta(microseconds=1)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no date. Write 2026-11-23, or 2026-11-23T21:00:00Z.") from None
    instant = instant if instant.tzinfo else instant.replace(tzinfo=zone)
    return instant.astimezone(UTC), instant.astimezone(UTC)


def as_of(store: Store, at: str, vantage: str | None) -> RunRecord:
    """The newest run that had ended by a date or time, of any vantage unless one is chosen. Raises UsageError."""
    closed = [run for run in store.reader.runs(vantage) if run.closed]
    for run in closed:
        if run.end <= bounds(at, run.timezone)[1]:
            return run
    raise UsageError(f"no run had ended by {at}. {_near(closed)}")


def two_runs(store: Store, from_run: str, to_run: str, vantage: str | None) -> tuple[RunRecord, RunRecord]:
    """The two complete runs of one vantage that are to be compared. ``previous``: the run before ``to_run`` that
    is complete and not suspect.

    Raises:
        UsageError: no such run, not complete, not of one vantage, or in the wrong order.
    """
    after = resolve_run(store, to_run, vantage=vantage, complete=True)
    if from_run == "previous":
        before = trusted_before(store.reader, after)
        if before is None:
            raise UsageError(f"no complete run before {after.id} to compare with. Scan again, or see 'posture runs'.")
    else:
        before = resolve_run(store, from_run, vantage=vantage or after.vantage, complete=True)
    for run in (before, after):
        if run.state != "complete":
            raise UsageError(
                f"run {run.id} is {run.state}: only complete runs are compared. 'posture runs' lists them."
            )
    if before.vantage != after.vantage:
        raise UsageError(
            f"{before.id} looked from {before.vantage}, {after.id} from {after.vantage}: they do not compare."
        )
    if before.number >= after.number:
        raise UsageError(f"{before.id} is not before {after.id}. Exchange --from and --to.")
    return before, after
