"""The answers of a run that is still open, as they came."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping

from posture.model import AssetKey, Reason, Unobserved
from posture.store.answers import answer_from, get_blob
from posture.store.records import Question, StoredAnswer, moment

_ALL = """SELECT asset_id, probe, subject, at, blob_id, reason, code, detail, authorisation FROM journal
  WHERE run_id = ? ORDER BY asset_id, probe, subject"""


def journal_of(
    connection: sqlite3.Connection, assets: Mapping[int, AssetKey], run: int
) -> Iterator[tuple[Question, StoredAnswer]]:
    """Question and answer, by asset (``assets``: by number), probe and subject."""
    for asset, probe, subject, at, blob, reason, code, detail, authorisation in connection.execute(_ALL, (run,)):
        question = (assets[asset], probe, subject)
        if blob is None:
            unseen = Unobserved(Reason(reason), moment(at), detail, code)
            yield question, StoredAnswer(unseen, run, "", authorisation)
        else:
            answer, digest = answer_from(get_blob(connection, blob), moment(at))
            yield question, StoredAnswer(answer, run, digest, authorisation)
