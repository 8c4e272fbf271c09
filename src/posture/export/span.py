"""Whose history is exported, which runs of it, and which assets were whose when.

An asset belongs to the ministry that the inventory last named for it; so the ledger counts, too. When it moves to
another ministry, each sees it only while it was its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

from posture.errors import UsageError
from posture.model import AssetKey
from posture.store import RunRecord, Store
from posture.store.bitmap import Bitmap
from posture.store.choice import bounds, day_of

SHOWN = 5  # ministries that a line names


@dataclass(frozen=True, slots=True)
class Tenure:
    """An asset while it was of one ministry: from run ``since`` up to, not including, run ``until`` (None: it still is)."""

    number: int
    bit: int
    asset: AssetKey
    ministry: str
    since: int
    until: int | None

    def holds_at(self, run: int) -> bool:
        return self.since <= run and (self.until is None or run < self.until)


@dataclass(frozen=True, slots=True)
class Span:
    """What an export is about.

    Args:
        ministries: code -> name, of those exported.
        narrowed: some ministries only, so that nothing may speak of any other.
        runs: those that have ended, of every vantage, oldest first.
        first_day, last_day: in ``zone``, both included.
        open_end: it reaches to the last run that there is.
        tenures: of the ministries exported, by ministry and asset.
    """

    store: Store
    state: str
    ministries: Mapping[str, str]
    narrowed: bool
    runs: tuple[RunRecord, ...]
    first_day: date
    last_day: date
    zone: ZoneInfo
    open_end: bool
    tenures: tuple[Tenure, ...]
    windows: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    starts: Mapping[int, datetime] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)

    @property
    def end(self) -> datetime:
        """When the last run of the range had ended."""
        return max(run.end for run in self.runs)

    @property
    def whose(self) -> str:
        """The ministries in a few words."""
        codes = list(self.ministries)
        return ", ".join(codes) if len(codes) <= SHOWN else f"{', '.join(codes[:SHOWN])} and {len(codes) - SHOWN} more"

    def day(self, at: datetime) -> date:
        return at.astimezone(self.zone).date()

    def of_asset(self) -> dict[int, list[Tenure]]:
        """The tenures of each asset, by its number."""
        found: dict[int, list[Tenure]] = defaultdict(list)
        for tenure in self.tenures:
            found[tenure.number].append(tenure)
        return dict(found)


def span_of(
    store: Store,
    *,
    ministries: Sequence[str] = (),
    since: str | None = None,
    until: str | None = None,
    today: date | None = None,
) -> Span:
    """The runs that began in a range of days, and the assets of some ministries.

    Args:
        ministries: codes; empty means all of them.
        since, until: dates in the State's time zone, both included, or times.
        today: no day after it is part of the range, whatever ``until`` says.

    Raises:
        UsageError: no such ministry, no date, or no run that began and ended in the range.
    """
    everything = sorted((run for run in store.reader.runs() if run.closed), key=lambda run: run.number)
    if not everything:
        raise UsageError(f"{store.path} has no run that has ended, so there is nothing to export. Run 'posture scan'.")
    newest = everything[-1]
    zone = ZoneInfo(newest.timezone)
    first = bounds(since, newest.timezone)[0] if since else everything[0].started_at
    last = bounds(until, newest.timezone)[1] if until else newest.started_at
    if first > last:
        raise UsageError(f"{since} is after {until}. Exchange --since and --until.")
    runs = _closed_between(store, everything, [run for run in everything if first <= run.started_at <= last])
    if not runs:
        days = f"from {everything[0].started_at:%Y-%m-%d} to {newest.started_at:%Y-%m-%d}"
        raise UsageError(f"no run began in that range and has ended. The history has runs {days}.")
    known = store.reader.ministries(newest.state_code)
    if unknown := [code for code in ministries if code not in known]:
        choice = ", ".join(sorted(known)[:20]) or "none"
        raise UsageError(f"no ministry {', '.join(map(repr, unknown))} in the history. Choose from: {choice}.")
    chosen = {code: known[code] for code in sorted(known) if not ministries or code in ministries}
    last_day = _day(until, last, zone)
    return Span(
        store=store,
        state=newest.state_code,
        ministries=chosen,
        narrowed=bool(ministries),
        runs=runs,
        first_day=_day(since, first, zone),
        last_day=min(last_day, today) if today else last_day,
        zone=zone,
        open_end={run.number for run in everything if run.started_at >= first} <= {run.number for run in runs},
        tenures=_tenures(store, chosen),
        windows=_windows(runs),
        starts={run.number: run.started_at for run in everything},
        names={run.number: run.id for run in everything},
    )


def _day(text: str | None, at: datetime, zone: ZoneInfo) -> date:
    return (day_of(text) if text else None) or at.astimezone(zone).date()


def _closed_between(
    store: Store, everything: Iterable[RunRecord], chosen: Sequence[RunRecord]
) -> tuple[RunRecord, ...]:
    """With those of another vantage that ended between them: the ledger shows that none is missing, so none may be."""
    places = dict(store.connection.execute("SELECT run_id, place FROM log_entry WHERE run_id IS NOT NULL"))
    held = [places[run.number] for run in chosen if run.number in places]
    between = range(min(held), max(held) + 1) if held else range(0)
    wanted = {run.number for run in chosen}
    return tuple(run for run in everything if run.number in wanted or places.get(run.number) in between)


def _windows(runs: Iterable[RunRecord]) -> dict[str, tuple[int, int]]:
    """By vantage, the numbers of the first and last run of the range."""
    found: dict[str, tuple[int, int]] = {}
    for run in runs:
        found[run.vantage] = (found.get(run.vantage, (run.number, 0))[0], run.number)
    return found


def _tenures(store: Store, chosen: Mapping[str, str]) -> tuple[Tenure, ...]:
    rows = store.connection.execute(
        "SELECT asset_id, asset.bit, asset.name, asset.kind, ministry.code, from_run FROM declaration "
        "JOIN asset ON asset.id = asset_id JOIN ministry ON ministry.id = ministry_id ORDER BY asset_id, from_run"
    ).fetchall()
    found: list[Tenure] = []
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        number, bit, name, kind, code, since = row
        moves = following is not None and following[0] == number
        until = following[5] if following is not None and moves else None
        last = found[-1] if found else None
        if last and last.number == number and last.ministry == code and last.until == since:
            found[-1] = Tenure(number, bit, last.asset, code, last.since, until)
        else:
            found.append(Tenure(number, bit, AssetKey(name, kind), code, since, until))
    mine = [tenure for tenure in found if tenure.ministry in chosen]
    return tuple(sorted(mine, key=lambda one: (one.ministry, one.asset, one.since)))


class Membership:
    """Which assets of the ministries exported were in the inventory of a run. Ask in the order of the runs."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._edges = {edge for one in span.tenures for edge in (one.since, one.until) if edge is not None}
        self._run, self._mask = 0, 0

    def at(self, run: RunRecord) -> int:
        """Their bits, as one number."""
        if any(self._run < edge <= run.number for edge in self._edges):
            self._mask = Bitmap(one.bit for one in self._span.tenures if one.holds_at(run.number)).number
        self._run = run.number
        packed = self._span.store.connection.execute("SELECT inventory FROM run WHERE id = ?", (run.number,)).fetchone()
        return self._mask & Bitmap.unpack(packed[0]).number
