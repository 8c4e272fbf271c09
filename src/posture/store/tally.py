"""How many findings there were as of a run, counted by the database."""

from __future__ import annotations

from collections.abc import Iterator

from posture.store.records import OUTCOMES, SEVERITIES, RunRecord
from posture.store.writer import Store

# Counted by asset first, in the order of the key; whose an asset was is looked up once.
_TALLY = """
SELECT code, outcome, severity, sum(number) FROM (
  SELECT asset_id, outcome, severity, count(*) AS number FROM finding
  WHERE vantage_id = ?1 AND live AND from_run <= ?2 AND (to_run IS NULL OR to_run > ?2)
  GROUP BY asset_id, outcome, severity) AS counted
JOIN declaration ON declaration.asset_id = counted.asset_id AND from_run <= ?2 AND (to_run IS NULL OR to_run > ?2)
JOIN ministry ON ministry.id = ministry_id
GROUP BY code, outcome, severity
"""


def tally(store: Store, run: RunRecord) -> Iterator[tuple[str, str, str, int]]:
    """Ministry, outcome, severity, and how many findings of the inventory's assets were known so as of a run."""
    bound = (store.reader.texts.known(run.vantage), run.number)
    for code, outcome, severity, count in store.connection.execute(_TALLY, bound):
        yield code, str(OUTCOMES[outcome]), str(SEVERITIES[severity]), count
