"""Rows of the table of verdicts to intervals of findings, key by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from posture.drift import Key
from posture.model import AssetKey, Finding
from posture.store.answers import Texts, finding_from
from posture.store.records import OUTCOMES, SEVERITIES, Interval
from posture.store.verdicts import Row, spells_of

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
    for (asset, control, subject), group in groupby(spells_of(rows), key=lambda spell: spell.place):
        key = (assets[asset], controls[control], texts.text(subject))
        told: dict[tuple[int, int, int], Finding] = {}  # what flaps says the same thing again and again
        spans: list[Interval] = []
        for spell in group:
            finding = told.get(spell.value)
            if finding is None:
                outcome, severity, body = spell.value
                finding = finding_from(
                    key[0],
                    ministries.get(asset, ""),
                    key[1],
                    key[2],
                    OUTCOMES[outcome],
                    SEVERITIES[severity],
                    texts.text(body),
                )
                told[spell.value] = finding
            spans.append(
                Interval(finding, spell.since, spell.until, judgements[spell.since], spell.cause, spell.end_cause)
            )
        yield key, spans
