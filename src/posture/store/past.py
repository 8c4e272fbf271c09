"""All that one asset ever answered at a vantage, and every silence, by run: what judging its past again needs.

One asset at a time, so that memory is bounded by the largest asset, however long the history.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache

from posture.model import Answer, AssetKey, Reason, Unobserved
from posture.store.answers import Texts, answer_from, entry_from, get_blob
from posture.store.records import AssetEntry, StoredAnswer, moment
from posture.store.silences import misses, missing_at

ANY_TIME = datetime(1, 1, 1, tzinfo=UTC)  # the same record was seen at many times
_KEPT = 4096  # records of evidence that stay decoded; many assets answer alike

_FACTS = """SELECT probe, subject_id, from_run, to_run, at, blob_id, authorisation FROM facts
  WHERE asset_id = ? AND vantage_id = ? ORDER BY from_run"""

_FACTS_AT = _FACTS.replace("ORDER BY", "AND from_run <= ? AND (to_run IS NULL OR to_run > ?) ORDER BY")

_ENTRIES = """SELECT from_run, to_run, code, body FROM declaration JOIN ministry ON ministry.id = ministry_id
  WHERE asset_id = ? ORDER BY from_run"""


@dataclass(frozen=True, slots=True)
class Span:
    """An answer, or a silence, that held from run ``since`` up to, not including, run ``until`` (None: it still does)."""

    probe: str
    subject: str
    since: int
    until: int | None
    read: Callable[[], StoredAnswer]

    def holds(self, run: int) -> bool:
        return self.since <= run and (self.until is None or run < self.until)


@dataclass(frozen=True, slots=True)
class Past:
    """One asset's answers and silences, and what the inventory said of it from run to run; oldest first."""

    answers: tuple[Span, ...]
    silences: tuple[Span, ...]
    entries: tuple[tuple[int, int | None, AssetEntry], ...]

    def entry(self, run: int) -> AssetEntry | None:
        """The inventory's entry as of a run; None before and after its time."""
        for since, until, entry in self.entries:
            if since <= run and (until is None or run < until):
                return entry
        return None

    def known(self, run: int) -> dict[tuple[str, str], StoredAnswer]:
        """The last answers known as of a run, by (probe, subject)."""
        return {(span.probe, span.subject): span.read() for span in self.answers if span.holds(run)}

    def look(self, run: int) -> dict[tuple[str, str], StoredAnswer]:
        """How the last look, as of a run, saw the asset: a silence hides the older answer."""
        silent = {(span.probe, span.subject): span.read() for span in self.silences if span.holds(run)}
        return {**self.known(run), **silent}

    def is_stopped(self) -> bool:
        """Whether of something the newest silence is the kill switch's."""
        open_ones = [span.read().answer for span in self.silences if span.until is None]
        return any(isinstance(one, Unobserved) and one.reason is Reason.STOPPED for one in open_ones)

    def changes(self) -> Iterator[tuple[int, str]]:
        """(run, probe) wherever a look saw something else than the one before."""
        for span in (*self.answers, *self.silences):
            yield span.since, span.probe
            if span.until is not None:
                yield span.until, span.probe


@dataclass(slots=True)
class Pasts:
    """Reads the pasts of assets at one vantage."""

    connection: sqlite3.Connection
    texts: Texts
    vantage: str
    number: int = field(init=False)
    decoded: Callable[[int], tuple[Answer, str]] = field(init=False)

    def __post_init__(self) -> None:
        self.number = self.texts.known(self.vantage)

        @lru_cache(maxsize=_KEPT)
        def decoded(blob: int) -> tuple[Answer, str]:
            return answer_from(get_blob(self.connection, blob), ANY_TIME)

        self.decoded = decoded

    def of(self, asset: int, key: AssetKey) -> Past:
        """Everything of one asset.

        Args:
            asset: its number; ``key`` the asset itself.
        """
        place, text = (asset, self.number), self.texts.text
        answers = [
            Span(probe, text(subject), since, until, self._answer(since, at, blob, authority))
            for probe, subject, since, until, at, blob, authority in self.connection.execute(_FACTS, place)
        ]
        missed = sorted(misses(self.connection, self.number, only=(asset,)), key=lambda one: one.miss.since)
        silences = [Span(one.probe, one.subject, one.miss.since, one.until, _known(one.miss.stored)) for one in missed]
        return Past(tuple(answers), tuple(silences), self.entries(asset, key))

    def known(self, asset: int, run: int) -> dict[tuple[str, str], StoredAnswer]:
        """The last answers of one asset known as of a run, as :meth:`Past.known`, without all the others."""
        text = self.texts.text
        return {
            (probe, text(subject)): self._answer(since, at, blob, authority)()
            for probe, subject, since, _, at, blob, authority in self.connection.execute(
                _FACTS_AT, (asset, self.number, run, run)
            )
        }

    def look(self, asset: int, run: int) -> dict[tuple[str, str], StoredAnswer]:
        """How the last look, as of a run, saw one asset, as :meth:`Past.look`, without all the others."""
        answers = self.known(asset, run)
        for _, missing in missing_at(self.connection, self.number, run, (asset,)):
            answers |= {question: miss.stored for question, miss in missing.items()}
        return answers

    def entries(self, asset: int, key: AssetKey) -> tuple[tuple[int, int | None, AssetEntry], ...]:
        """What the inventory said of one asset, as in :class:`Past`."""
        rows = self.connection.execute(_ENTRIES, (asset,))
        return tuple((since, until, entry_from(key, code, body)) for since, until, code, body in rows)

    def _answer(self, since: int, at: str, blob: int, authority: str | None) -> Callable[[], StoredAnswer]:
        def read() -> StoredAnswer:
            answer, digest = self.decoded(blob)
            return StoredAnswer(replace(answer, at=moment(at)), since, digest, authority)

        return read


def _known(stored: StoredAnswer) -> Callable[[], StoredAnswer]:
    return lambda: stored
