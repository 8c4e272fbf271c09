"""A row of the table of runs, as a value; a condition on assets."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from posture.store.records import RunRecord, moment

# The columns that :func:`run_of` takes.
RUN = """SELECT run.id, run.name, state_code, timezone, vantage, started_at, ended_at, run.state, selectors, controls,
  judgement_id, judgement.policy, policy_sha256, rules_sha256, tool, inventory_sha256, authorisation_sha256, lab, suspect
  FROM run JOIN judgement ON judgement.id = judgement_id"""


@cache
def _chosen(text: str) -> Mapping[str, Any]:
    """The selectors of a run: mostly none. To be read only."""
    selectors: dict[str, Any] = json.loads(text)
    return selectors


@cache
def _ids(text: str) -> tuple[str, ...]:
    """The controls of a run: the same in one after the other."""
    return tuple(json.loads(text))


def run_of(row: tuple[Any, ...]) -> RunRecord:
    started, ended, state, selectors, controls = row[5:10]
    times = moment(started), moment(ended) if ended else None
    flags = bool(row[17]), bool(row[18])
    return RunRecord(*row[:5], *times, state, _chosen(selectors), _ids(controls), *row[10:17], *flags)


def among(only: Collection[int] | None) -> str:
    """A condition on asset_id. Numbers of ours, written out: there may be more than SQLite takes as parameters."""
    return "" if only is None else f" AND asset_id IN ({','.join(map(str, only))})"
