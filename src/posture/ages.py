"""Findings age like tickets: how long each open one is open, how often it came back; the median and the oldest of many.

Days are counted while it was open: from the run that first saw it so, through silences (nothing was seen mended), to
the run that saw it mended or gone, and again from each return. So a day's mending makes no old finding young.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from posture.history import Row, Selectors, bounds, resolve_run, state
from posture.model import AssetKey, Outcome, Severity
from posture.store import Interval, Store, stamp
from posture.store.timeline import open_spells, reopened

_SAME = ("ministry", "asset", "kind", "subject", "control", "outcome", "severity", "first_seen", "last_seen")
_DAY = timedelta(days=1)


def ages_of(
    store: Store,
    *,
    run: str | None = None,
    at: str | None = None,
    vantage: str | None = None,
    select: Selectors | None = None,
    now: datetime | None = None,
) -> Row:
    """``posture-ages/1``: every open finding with its age, and the ages by ministry and severity.

    Args:
        run, at, vantage, select: as of :func:`posture.history.state`; of its outcomes only fail and warn have an age.
        now: what today's ages count to; the present when left out. Those of a past time count to that time, those of
            a run to its end.

    Raises:
        UsageError: no such run, both a run and a time, or a selector that matches nothing.
    """
    document = state(store, run=run, at=at, vantage=vantage, select=select)
    moment = now or datetime.now(UTC)
    found: list[Row] = []
    if document["run"] is not None:
        record = resolve_run(store, document["run"]["id"])
        if at is not None:
            moment = min(bounds(at, record.timezone)[1], moment)
        elif run is not None:
            moment = record.end
        timelines = store.reader.timelines(record)
        starts = {one.number: one.started_at for one in store.reader.runs(record.vantage)}
        for row in document["findings"]:
            if Outcome(row["outcome"]).is_open:
                spans = timelines[AssetKey(row["asset"], row["kind"]), row["control"], row["subject"]]
                found.append(_aged(row, spans, starts, moment))
    return {
        "schema": "posture-ages/1",
        "complete": document["complete"],
        "run": document["run"],
        "at": stamp(moment),
        "ages": _by_ministry_and_severity(found),
        "findings": found,
    }


def _aged(row: Mapping[str, Any], spans: Sequence[Interval], starts: Mapping[int, datetime], moment: datetime) -> Row:
    spells = ((starts[since], moment if until is None else starts[until]) for since, until in open_spells(spans))
    return {
        **{name: row[name] for name in _SAME},
        "days_open": days((first, max(first, last)) for first, last in spells),
        "reopened": reopened(spans),
    }


def days(spells: Iterable[tuple[datetime, datetime]]) -> int:
    """Whole days in all of some spells together."""
    return sum((last - first for first, last in spells), timedelta()) // _DAY


def _whole(number: float) -> float:
    """4.0 as 4; a half stays."""
    return int(number) if number == int(number) else number


def _by_ministry_and_severity(rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Ministries in their order, the worst severity first. A median of an even number may be a half."""
    groups: dict[tuple[str, Severity], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["ministry"], Severity(row["severity"])].append(row)
    return [
        {
            "ministry": ministry,
            "severity": str(severity),
            "open": len(group),
            "median_days": _whole(median(row["days_open"] for row in group)),
            "oldest_days": max(row["days_open"] for row in group),
            "reopened": sum(row["reopened"] for row in group),
        }
        for (ministry, severity), group in sorted(groups.items(), key=lambda one: (one[0][0], -one[0][1].rank))
    ]
