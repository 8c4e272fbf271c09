"""A run's score under another policy, or by the rules of today: "was 71.2, is 64.0 under the new rules".

A change of the rules is told apart from a change of the target by scoring the same answers twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from posture.drift import STALE_AFTER, Key
from posture.model import Finding, Reason
from posture.policy import Policy
from posture.scorecard import Score, Scorecard, ScoredAsset, Standing, scorecard
from posture.store import RunRecord, ScoreRow, Store
from posture.store.timeline import first_run, worst
from posture.store.under import Under, known_under


def score_under(store: Store, run: RunRecord, policy: Policy | None = None) -> Scorecard:
    """The score of every ministry and of the State as of a run, its recorded answers judged by this release's rules.

    Args:
        run: a closed run. Inventory, trust store and time are those of the run; weights are this release's.
        policy: the baseline to judge by; the run's own when left out.

    A finding that only the other rules make has no deadline yet: nobody could have mended it before.
    """
    chosen = policy or store.reader.policy(run)
    under = known_under(store.reader, run, chosen, store.shipped)
    return scorecard_of(store, run, chosen, under)


def scorecard_of(store: Store, run: RunRecord, policy: Policy, under: Under) -> Scorecard:
    """As :func:`score_under`, from what is judged already."""
    entries = store.reader.entries(run.number).items()
    assets = [ScoredAsset(asset, entry.ministry, entry.declared.criticality) for asset, entry in entries]
    return scorecard(standings_of(store, run, under), assets, policy, store.shipped, at=run.end)


def recorded_scores(store: Store, run: RunRecord) -> dict[str, ScoreRow]:
    """What the run itself was told, by ministry ("" is the State); {} for a run that was not scored."""
    query = "SELECT ministry, tenths, low, high, coverage, grade FROM score WHERE run_id = ? ORDER BY ministry"
    return {row[0]: ScoreRow(*row[1:]) for row in store.connection.execute(query, (run.number,))}


def keep_scores(store: Store, run: RunRecord, judgement: int, scores: Iterable[Score]) -> None:
    """A run's scores under another judgement than its own, once and for ever. Raises StoreError."""
    insert = (
        "INSERT OR IGNORE INTO rescore (run_id, judgement_id, ministry, tenths, low, high, coverage, grade) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    )
    with store.writing() as connection:
        connection.executemany(
            insert,
            [
                (run.number, judgement, one.ministry, one.tenths, one.low, one.high, one.coverage, one.grade or "")
                for one in scores
            ],
        )


def standings_of(store: Store, run: RunRecord, under: Under) -> Iterator[Standing]:
    """What is scored: known findings with their age, and what nobody ever saw."""
    starts = {one.number: one.started_at for one in store.reader.runs(run.vantage)}
    flapping = store.reader.flapping(run, under.timelines)
    for key, finding in under.known.items():
        spans = under.timelines.get(key)
        was_open = spans is not None and spans[-1].finding.outcome.is_open
        since = starts[first_run(spans)] if spans and was_open and finding.outcome.is_open else None
        seen = under.seen.get(key)
        stale = _is_silent(under, key) or (seen is not None and run.end - seen.end > STALE_AFTER)
        standing = Standing.of_finding(finding, stale=stale, first_seen=since)
        if key in flapping and spans and _scores_alike(spans[-1].finding, finding):
            held = worst(spans, flapping[key][1]).finding
            standing = replace(standing, outcome=held.outcome, severity=held.severity)
        yield standing if seen is None else replace(standing, observed_at=seen.end)
    for finding in under.unknown.values():
        yield Standing.of_finding(finding)


def _scores_alike(told: Finding, anew: Finding) -> bool:
    """Whether what the run was told of a finding's past speaks for it under the other rules too."""
    return (told.outcome, told.severity) == (anew.outcome, anew.severity)


def _is_silent(under: Under, key: Key) -> bool:
    silent: Finding | None = under.silent.get(key) or under.silent.get((key[0], key[1], ""))
    return silent is not None and silent.reason is not Reason.NOT_RUN
