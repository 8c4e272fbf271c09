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
    times = moment(row[5]), moment(row[6]) if row[6] else None
    said = _chosen(row[8]), _ids(row[9])
    digests = row[11], row[12], row[13], row[14], row[15], row[16]
    start = row[0], row[1], row[2], row[3], row[4]
    return RunRecord(*start, *times, row[7], *said, row[10], *digests, bool(row[17]), bool(row[18]))


def among(only: Collection[int] | None) -> str:
    """A condition on asset_id. Numbers of ours, written out: there may be more than SQLite takes as parameters."""
    return "" if only is None else f" AND asset_id IN ({','.join(map(str, only))})"
