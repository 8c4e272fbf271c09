"""The history: one SQLite file, written by one process, read by any."""

from __future__ import annotations

from posture.store.records import (
    AssetEntry,
    Closed,
    Interval,
    Question,
    RunRecord,
    RunStart,
    ScoreRow,
    StoredAnswer,
    moment,
    stamp,
)
from posture.store.writer import OpenRun, Store

__all__ = [
    "AssetEntry",
    "Closed",
    "Interval",
    "OpenRun",
    "Question",
    "RunRecord",
    "RunStart",
    "ScoreRow",
    "Store",
    "StoredAnswer",
    "moment",
    "stamp",
]
