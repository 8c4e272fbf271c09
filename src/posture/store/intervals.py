"""Rows of the table of verdicts to intervals of findings, key by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from posture.drift import Key
from posture.model import AssetKey, Finding
from posture.store.answers import Texts, finding_from
from posture.store.narrow import CAUSES
from posture.store.records import OUTCOMES, SEVERITIES, Interval
from posture.store.verdicts import END_CAUSES, Row, value_of

Rows = Sequence[tuple[Any, ...] | Row]


def intervals(
    rows: Rows,
    texts: Texts,
    assets: Mapping[int, AssetKey],
    controls: Mapping[int, str],
    ministries: Mapping[int, str],
    judgements: Mapping[int, int],
) -> Iterator[tuple[Key, list[Interval]]]:
    """Each key with its intervals, oldest first; what ends after the last of the rows is open.

    Args:
        rows: ``COLUMNS`` of :mod:`posture.store.verdicts`, in the order of the key.
        judgements: by run, the judgement of what it said first.
    """
    texts.load({row[2] for row in rows} | {row[5] for row in rows if row[5] is not None})
    for (asset, control, subject), group in groupby(rows, key=itemgetter(0, 1, 2)):
        key = (assets[asset], controls[control], texts.text(subject))
        told: dict[tuple[int, int], Finding] = {}  # what flaps says the same thing again and again
        spans: list[Interval] = []
        held: tuple[Finding, int, str] | None = None
        for _, _, _, since, said, body, why in group:
            if held is not None:
                spans.append(_interval(held, judgements, since, END_CAUSES[why]))
                held = None
            if said is None:
                continue
            finding = told.get((said, body))
            if finding is None:
                outcome, severity, _ = value_of(said, body)
                finding = finding_from(
                    key[0],
                    ministries.get(asset, ""),
                    key[1],
                    key[2],
                    OUTCOMES[outcome],
                    SEVERITIES[severity],
                    texts.text(body),
                )
                told[said, body] = finding
            held = (finding, since, CAUSES[why % 5])
            if said < 0:
                spans.append(_interval(held, judgements, since, CAUSES[why // 25]))
                held = None
        if held is not None:
            spans.append(_interval(held, judgements, None, None))
        yield key, spans


def _interval(
    held: tuple[Finding, int, str], judgements: Mapping[int, int], until: int | None, end_cause: str | None
) -> Interval:
    finding, since, cause = held
    return Interval(finding, since, until, judgements[since], cause, end_cause)
