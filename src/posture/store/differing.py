"""In how many findings each run differs under another judgement: from the intervals alone, without judging."""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import accumulate, groupby, pairwise
from operator import itemgetter

from posture.store.records import RunRecord
from posture.store.verdicts import Place, Spell, spells, track_of

_Span = tuple[int, int, tuple[int, int]]  # places of the first run and of the one after the last; outcome and severity


def differing(
    connection: sqlite3.Connection, vantage: int, judgement: int, runs: Sequence[RunRecord]
) -> dict[int, int]:
    """By number of the run: findings whose outcome or severity is another, or that only one of the two has.

    Args:
        vantage: the number of its name.
        runs: closed runs of the vantage, oldest first, judged again up to the last of them. One of this very judgement
            differs in nothing.
    """
    numbers = [run.number for run in runs]
    steps = [0] * (len(runs) + 1)
    tracks = (track_of(connection, vantage, judgement), track_of(connection, vantage))
    both = [_marked(connection, track, live) for live, track in enumerate(tracks)]
    for _, same in groupby(merge(*both, key=itemgetter(0)), key=itemgetter(0)):
        told: tuple[list[_Span], list[_Span]] = ([], [])  # under the other judgement; as it was told
        for _, live, spell in same:
            first = bisect_left(numbers, spell.since)
            after = len(numbers) if spell.until is None else bisect_left(numbers, spell.until)
            if first < after:
                told[live].append((first, after, spell.value[:2]))
        _count(told, steps)
    counted = list(accumulate(steps))
    return {run.number: 0 if run.judgement == judgement else counted[place] for place, run in enumerate(runs)}


def _marked(connection: sqlite3.Connection, track: int, live: int) -> Iterator[tuple[Place, int, Spell]]:
    return ((spell.place, live, spell) for spell in spells(connection, track))


def _count(told: tuple[list[_Span], list[_Span]], steps: list[int]) -> None:
    """Adds one to every run in which the two differ."""
    for first, after in _unlike(*told):
        steps[first] += 1
        steps[after] -= 1


def _unlike(one: list[_Span], other: list[_Span]) -> Iterator[tuple[int, int]]:
    edges = sorted({edge for first, after, _ in (*one, *other) for edge in (first, after)})
    for first, after in pairwise(edges):
        if _at(one, first) != _at(other, first):
            yield first, after


def _at(spans: list[_Span], run: int) -> tuple[int, int] | None:
    return next((value for first, after, value in spans if first <= run < after), None)
