"""Rows of the table of findings to intervals, key by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from posture.drift import Key
from posture.model import AssetKey, Finding
from posture.store.answers import Texts, finding_from
from posture.store.records import OUTCOMES, SEVERITIES, Interval

# What :func:`intervals` takes, ordered by ``PLACE``, then by from_run.
PLACE = "asset_id, control_id, subject_id"
COLUMNS = f"{PLACE}, from_run, to_run, judgement_id, outcome, severity, body_id, cause, end_cause"

Rows = Sequence[tuple[Any, ...]]


def intervals(
    rows: Rows,
    texts: Texts,
    assets: Mapping[int, AssetKey],
    controls: Mapping[int, str],
    ministries: Mapping[int, str],
    until: int | None = None,
) -> Iterator[tuple[Key, list[Interval]]]:
    """Each key with its intervals, oldest first.

    Args:
        until: a run; what ended after it is open again. None: as they are.
    """
    texts.load({row[2] for row in rows} | {row[8] for row in rows})
    for (asset, control, subject), group in groupby(rows, key=_place):
        key = (assets[asset], controls[control], texts.text(subject))
        told: dict[tuple[int, int, int], Finding] = {}  # what flaps says the same thing again and again
        spans: list[Interval] = []
        for _, _, _, since, end, judgement, outcome, severity, body, cause, why in group:
            finding = told.get((outcome, severity, body))
            if finding is None:
                finding = finding_from(
                    key[0],
                    ministries.get(asset, ""),
                    key[1],
                    key[2],
                    OUTCOMES[outcome],
                    SEVERITIES[severity],
                    texts.text(body),
                )
                told[outcome, severity, body] = finding
            again = end is None or (until is not None and end > until)
            spans.append(Interval(finding, since, None if again else end, judgement, cause, None if again else why))
        yield key, spans


def _place(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return row[:3]
