"""What the intervals of one finding tell: when it was first open, whether it was ever mended, how often it flips. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

from posture.drift import FLAP_WINDOW
from posture.model import Outcome
from posture.store.records import Interval

QUIET = 7  # so many answers without a change, and a flapping finding is stable again


TURNS_AT_LEAST = 2  # a look that contradicts another counts only for what is seen to go and come back too


def first_run(spans: Sequence[Interval]) -> int:
    """The run in which the present finding was first seen.

    For an open one the first run in which it was ever open; for others the start of the present outcome.
    """
    now = spans[-1].finding.outcome
    if now.is_open:
        return next(span.since for span in spans if span.finding.outcome.is_open)
    since = spans[-1].since
    for span in reversed(spans):
        if span.finding.outcome is not now:
            break
        since = span.since
    return since


def open_spells(spans: Sequence[Interval]) -> list[tuple[int, int | None]]:
    """From which run to which it was open, oldest first; None: it still is. A change of its words ends no spell."""
    spells: list[tuple[int, int | None]] = []
    for span in spans:
        if not span.finding.outcome.is_open:
            continue
        if spells and spells[-1][1] == span.since:
            spells[-1] = (spells[-1][0], span.until)
        else:
            spells.append((span.since, span.until))
    return spells


def reopened(spans: Sequence[Interval]) -> int:
    """How often it was open again after it was seen mended (a departure or a new policy mends nothing)."""
    mends = [span.since for span, later in pairwise([*spans, None]) if span is not None and _mended(span, later)]
    again = [since for since, _ in open_spells(spans)]
    return sum(any(since > mend for since in again) for mend in mends)


def fixed_once(spans: Sequence[Interval]) -> bool:
    """Whether it was open and then seen mended (a departure or a new policy mends nothing)."""
    return any(_mended(earlier, later) for earlier, later in pairwise([*spans, None]) if earlier is not None)


def _mended(earlier: Interval, later: Interval | None) -> bool:
    """A port that is closed now has no later interval: only what is wrong with a port is named."""
    if not earlier.finding.outcome.is_open or earlier.end_cause != "target":
        return False
    if later is None or later.since != earlier.until:
        return True
    return later.finding.outcome in (Outcome.PASS, Outcome.INFO)


def turns(spans: Sequence[Interval]) -> set[int]:
    """The runs in which the target went from open to not open, or back; a port that is closed is named no more."""
    found = {
        later.since
        for earlier, later in pairwise(spans)
        if later.cause == "target" and earlier.finding.outcome.is_open is not later.finding.outcome.is_open
    }
    for earlier, later in pairwise([*spans, None]):
        gap = earlier is not None and earlier.until is not None and (later is None or later.since != earlier.until)
        if gap and earlier is not None and earlier.end_cause == "target" and earlier.finding.outcome.is_open:
            assert earlier.until is not None
            found.add(earlier.until)
            if later is not None and later.finding.outcome.is_open:
                found.add(later.since)
    return found


def worst(spans: Sequence[Interval], first: int) -> Interval:
    """The worst that held at any time since a run; open before not, then by severity."""
    held = [span for span in spans if span.until is None or span.until > first]
    rank = {Outcome.FAIL: 2, Outcome.WARN: 1}
    return max(held, key=lambda span: (rank.get(span.finding.outcome, 0), span.finding.severity.rank))


def last_mended(spans: Sequence[Interval]) -> int | None:
    """The run that last saw it mended; None if none did."""
    ends = [span.until for span, later in pairwise([*spans, None]) if span is not None and _mended(span, later)]
    return max((end for end in ends if end is not None), default=None)


def flips(changed: Collection[int], recent: Sequence[int]) -> int:
    """In how many of the last answers it changed between open and not open; a quiet stretch ends the count.

    Args:
        changed: runs in which it did (:func:`turns`), or in which a second look contradicted the first.
        recent: numbers of the runs that answered it, newest first.
    """
    count = quiet = 0
    for run in recent[:FLAP_WINDOW] if changed else ():
        quiet = 0 if run in changed else quiet + 1
        count += run in changed
        if quiet >= QUIET:
            break
    return count
