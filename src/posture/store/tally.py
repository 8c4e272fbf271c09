"""How many findings there were as of a run, counted by the database."""

from __future__ import annotations

from collections.abc import Iterator

from posture.store.narrow import PLACE
from posture.store.records import OUTCOMES, SEVERITIES, RunRecord
from posture.store.verdicts import track_of
from posture.store.writer import Store

# Counted by asset first, in the order of the key; whose an asset was is looked up once.
_TALLY = f"""
SELECT code, said >> 3, said & 7, sum(number) FROM (
  SELECT asset_id, said, count(*) AS number FROM (
    SELECT asset_id, said, max(from_run) FROM verdict WHERE track_id = ?1 AND from_run <= ?2 GROUP BY {PLACE} HAVING said >= 0)
  GROUP BY asset_id, said) AS counted
JOIN declaration ON declaration.asset_id = counted.asset_id AND from_run <= ?2 AND (to_run IS NULL OR to_run > ?2)
JOIN ministry ON ministry.id = ministry_id
GROUP BY code, said
"""  # noqa: S608 - names of our own


def tally(store: Store, run: RunRecord) -> Iterator[tuple[str, str, str, int]]:
    """Ministry, outcome, severity, and how many findings of the inventory's assets were known so as of a run."""
    bound = (track_of(store.connection, store.reader.texts.known(run.vantage)), run.number)
    for code, outcome, severity, count in store.connection.execute(_TALLY, bound):
        yield code, str(OUTCOMES[outcome]), str(SEVERITIES[severity]), count
