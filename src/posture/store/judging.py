"""Judging what the history holds: old facts under new rules, and the unknowns, which are never stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

from posture.checks import Control
from posture.drift import Event, Judged, Key, drift, key_of
from posture.judge import judge
from posture.model import AssetKey, Finding, Outcome, Reason, Unobserved
from posture.policy import Policy
from posture.store.dockets import docket_of
from posture.store.looks import was_known
from posture.store.reader import Reader
from posture.store.records import Interval, RunRecord
from posture.store.suspicion import doubts_of_moves
from posture.store.under import known_under
from posture.suspicion import doubts


def judge_again(
    reader: Reader,
    run: RunRecord,
    policy: Policy,
    shipped: Mapping[str, Control],
    *,
    controls: Collection[str],
    assets: Collection[AssetKey] | None = None,
) -> dict[Key, Finding]:
    """The last answers known as of a run, judged under a policy of any time. What stays unknown is left out.

    Each answer is judged as of the time it was last given, so that only the rules differ from what was told.
    """
    return known_under(reader, run, policy, shipped, assets=assets, controls=controls).known


def unknown_of_run(
    reader: Reader, run: RunRecord, shipped: Mapping[str, Control], only: Collection[AssetKey] | None = None
) -> dict[Key, Finding]:
    """What a run asked and could not see: judged anew from its facts and misses, with its policy and its time.

    Args:
        only: of these assets alone; of all when left out.
    """
    looks = reader.looks(run.number)
    place = {asset: bit for bit, asset in reader.bits(only).items()}
    silent = {bit for asked, known, _ in looks.values() for bit in asked if bit not in known}
    chosen = {asset for asset, bit in place.items() if bit in silent}
    found = _unknowns(reader, run, shipped, chosen)
    return {
        key: finding
        for key, finding in found.items()
        if key[1] in looks and place[key[0]] in looks[key[1]][0] and not was_known(looks, place[key[0]], key)
    }


def last_looks(
    reader: Reader, run: RunRecord, shipped: Mapping[str, Control], only: Collection[AssetKey] | None = None
) -> dict[Key, Finding]:
    """What the last look at it, up to this run, could not see; also where an older answer is known.

    Args:
        only: of these assets alone; of all when left out.
    """
    return _unknowns(reader, run, shipped, reader.undecided(run, only))


def never_known(found: Mapping[Key, Finding], known: Collection[Key]) -> dict[Key, Finding]:
    """Of what the last looks could not see, that which no run ever saw."""
    answered = {key[:2] for key in known}
    return {
        key: finding
        for key, finding in found.items()
        # An unknown of a whole control is no news beside the instances of it that are known.
        if key not in known and not (key[2] == "" and key[:2] in answered)
    }


def _unknowns(
    reader: Reader, run: RunRecord, shipped: Mapping[str, Control], chosen: Collection[AssetKey]
) -> dict[Key, Finding]:
    if not chosen:
        return {}
    policy, reference, entries = reader.policy(run), reader.reference(run), reader.entries(run.number, chosen)
    misses = reader.misses(run, chosen)
    # Not only where an answer is missing: a rule may find that the answers there are do not decide.
    wanted = list(entries)
    answers = reader.answers(run, wanted) if wanted else {}
    unknown: dict[Key, Finding] = {}
    forgotten: set[AssetKey] = set()
    for asset in wanted:
        # A miss hides the older answer: this is how the last look saw the asset.
        seen = {**answers.get(asset, {}), **misses.get(asset, {})}
        if any(isinstance(s.answer, Unobserved) and s.answer.reason is Reason.NOT_RECORDED for s in seen.values()):
            forgotten.add(asset)
        found = judge(
            docket_of(entries[asset], seen), policy, run.end, reference=reference, lab=run.lab, shipped=shipped
        )
        unknown.update((key_of(one), one) for one in found if one.outcome is Outcome.UNKNOWN)
    # Evidence that is no longer kept is no silence: what that look knew stays known.
    known = reader.known_at_last_look(run, [key for key in unknown if key[0] in forgotten])
    return {key: finding for key, finding in unknown.items() if key not in known}


def compare_runs(
    reader: Reader,
    before: RunRecord,
    after: RunRecord,
    shipped: Mapping[str, Control],
    unknown: Mapping[Key, Finding] | None = None,
    *,
    only: Collection[AssetKey] | None = None,
) -> tuple[tuple[Event, ...], tuple[str, ...]]:
    """The drift between two runs of one vantage, and why it is suspect, if it is.

    Args:
        unknown: the unknowns of ``after`` where the caller has them at hand.
        only: events of these assets alone; doubts are of all, whatever is left out.
    """
    silent = unknown_of_run(reader, after, shipped, only) if unknown is None else unknown
    rejudged = None
    if before.judgement != after.judgement:
        rejudged = judge_again(
            reader,
            before,
            reader.policy(after),
            shipped,
            controls=after.controls,
            assets=only,
        )
    timelines = reader.timelines(after, only)
    then = _without_doubt(reader, before, only)
    now = reader.judged(after, silent, timelines, only)
    events = drift(then, now, rejudged)
    between = [run for run in reader.runs(after.vantage) if before.number < run.number < after.number and run.closed]
    exact = _when(reader, events, timelines, before, between) if between else events
    if only is not None:
        return exact, _doubts_between(reader, before, after, shipped)
    doubted = next((run for run in between if run.state == "complete" and run.suspect), None)
    seen = None if doubted is None else reader.judged(doubted, {}, reader.timelines(doubted))
    return exact, doubts(then, now, events, seen)


def _doubts_between(
    reader: Reader, before: RunRecord, after: RunRecord, shipped: Mapping[str, Control]
) -> tuple[str, ...]:
    if not after.suspect and trusted_before(reader, after) == before:
        return ()  # this very pair was looked at when the run was closed
    if can_be_compared_by_moves(reader, before, after):
        return moved_events(reader, before, after)[1]
    return compare_runs(reader, before, after, shipped)[1]


def _without_doubt(reader: Reader, run: RunRecord, only: Collection[AssetKey] | None = None) -> Judged:
    """A run as drift looks at it, less what a suspect run alone has said and nobody has confirmed yet."""
    timelines = reader.timelines(run, only)
    view = reader.judged(run, {}, timelines, only)
    earlier = [one for one in reader.runs(run.vantage) if one.number < run.number]
    doubted = {one.number for one in earlier if one.suspect}
    if run.suspect or not doubted:
        return view
    candidates = {
        key: spans for key, spans in timelines.items() if spans[-1].until is None and spans[-1].since in doubted
    }
    seen = reader.last_seen(run, candidates)
    unconfirmed = {key: spans for key, spans in candidates.items() if seen[key].number == spans[-1].since}
    before = {
        key: spans[:-1] for key, spans in unconfirmed.items() if len(spans) > 1 and spans[-2].until == spans[-1].since
    }
    known = {key: finding for key, finding in view.known.items() if key not in unconfirmed}
    known |= {key: spans[-1].finding for key, spans in before.items()}
    seen_before = {key: one.end for key, one in reader.last_seen(run, before).items()}
    return replace(view, known=known, seen={**view.seen, **seen_before})


def moved_events(reader: Reader, before: RunRecord, after: RunRecord) -> tuple[tuple[Event, ...], tuple[str, ...]]:
    """As :func:`compare_runs`, less what persists and what could not be seen, by what moved alone.

    Raises:
        ValueError: it takes more to compare these: see :func:`can_be_compared_by_moves`.
    """
    moves = reader.moves(before, after)
    now = moves.judged(after)
    # What does not flap now is not asked for whether it did.
    then = moves.judged(before, {key for key in moves.timelines if not now.is_unstable(key)})
    found = drift(then, now)
    events = tuple(one for one in found if one.kind != "persisting" and one.after is not Outcome.UNKNOWN)
    between = [run for run in reader.runs(after.vantage) if before.number < run.number < after.number and run.closed]
    exact = _when(reader, events, moves.as_of(after.number), before, between) if between else events
    if not after.suspect and trusted_before(reader, after) == before:
        return exact, ()  # this very pair was looked at when the run was closed
    doubted = next((run for run in between if run.state == "complete" and run.suspect), None)
    seen = None if doubted is None else replace(moves.judged(doubted, now.known), probes=reader.coverage(doubted))
    return exact, doubts_of_moves(moves, events, seen)


def can_be_compared_by_moves(reader: Reader, before: RunRecord, after: RunRecord) -> bool:
    """Whether what moved between two runs tells all that changed: other rules move everything, and so may what a suspect
    run alone has said before."""
    if before.judgement != after.judgement:
        return False
    doubted = {one.number for one in reader.runs(before.vantage) if one.number < before.number and one.suspect}
    if before.suspect or not doubted:
        return True
    begun = reader.timelines_begun(before, doubted)
    seen = reader.last_seen(before, begun)
    return all(seen[key].number > spans[-1].since for key, spans in begun.items())


def trusted_before(reader: Reader, run: RunRecord) -> RunRecord | None:
    """The complete run to compare with: the newest one before that is not suspect."""
    earlier = [one for one in reader.runs(run.vantage) if one.number < run.number and one.state == "complete"]
    return next((one for one in earlier if not one.suspect), None)


def _when(
    reader: Reader,
    events: tuple[Event, ...],
    timelines: Mapping[Key, list[Interval]],
    before: RunRecord,
    between: list[RunRecord],
) -> tuple[Event, ...]:
    """The same events, each change between the last answer before it and the first after it, however far the runs are."""
    runs = {run.number: run for run in between}
    place = {asset: bit for bit, asset in reader.bits().items()}
    pending: dict[Key, int] = {}
    for event in events:
        turn = _turn(timelines.get(event.key, []), event)
        if turn is not None and turn > before.number:
            pending[event.key] = turn
    first = {key: runs[turn].end for key, turn in pending.items() if turn in runs}
    last: dict[Key, datetime] = {}
    for run in between:
        looks = reader.looks(run.number)
        for key in [key for key, turn in pending.items() if run.number < turn]:
            if was_known(looks, place.get(key[0], -1), key):
                last[key] = run.end
                del pending[key]
    return tuple(
        replace(event, between=(last.get(event.key, event.between[0]), first.get(event.key, event.between[1])))
        for event in events
    )


def _turn(spans: list[Interval], event: Event) -> int | None:
    """The run in which the change that an event tells of was first seen."""
    if event.kind not in ("new", "regressed", "fixed", "changed") or not spans:
        return None
    if spans[-1].until is not None:
        return spans[-1].until
    turn = spans[-1].since
    for later, earlier in pairwise(reversed(spans)):
        if earlier.until != later.since or earlier.finding.outcome.is_open is not later.finding.outcome.is_open:
            break
        if event.kind == "changed":
            break
        turn = earlier.since
    return turn
