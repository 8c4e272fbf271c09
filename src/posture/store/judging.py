"""Judging what the history holds: old facts under new rules, and the unknowns, which are never stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from posture.checks import Control
from posture.drift import Event, Key, drift, is_suspect, key_of
from posture.judge import judge
from posture.model import AssetKey, Finding, Outcome, Reason, Unobserved
from posture.policy import Policy
from posture.store.dockets import docket_of
from posture.store.reader import Reader, was_known
from posture.store.records import RunRecord
from posture.store.under import known_under


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


def unknown_of_run(reader: Reader, run: RunRecord, shipped: Mapping[str, Control]) -> dict[Key, Finding]:
    """What a run asked and could not see: judged anew from its facts and misses, with its policy and its time."""
    looks = reader.looks(run.number)
    place = {asset: bit for bit, asset in reader.bits().items()}
    silent = {bit for asked, known, _ in looks.values() for bit in asked if bit not in known}
    chosen = {asset for asset, bit in place.items() if bit in silent}
    found = _unknowns(reader, run, shipped, chosen)
    return {
        key: finding
        for key, finding in found.items()
        if key[1] in looks and place[key[0]] in looks[key[1]][0] and not was_known(looks, place[key[0]], key)
    }


def last_looks(reader: Reader, run: RunRecord, shipped: Mapping[str, Control]) -> dict[Key, Finding]:
    """What the last look at it, up to this run, could not see; also where an older answer is known."""
    return _unknowns(reader, run, shipped, reader.undecided(run))


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
    policy, reference, entries = reader.policy(run), reader.reference(run), reader.entries(run.number)
    misses = reader.misses(run)
    # Not only where an answer is missing: a rule may find that the answers there are do not decide.
    wanted = [asset for asset in entries if asset in chosen]
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
) -> tuple[tuple[Event, ...], bool]:
    """The drift between two runs of one vantage, and whether it is suspect.

    Args:
        unknown: the unknowns of ``after`` where the caller has them at hand.
    """
    silent = unknown_of_run(reader, after, shipped) if unknown is None else unknown
    rejudged = None
    if before.judgement != after.judgement:
        rejudged = judge_again(
            reader,
            before,
            reader.policy(after),
            shipped,
            controls=after.controls,
        )
    then = reader.judged(before, {}, reader.timelines(before))
    now = reader.judged(after, silent, reader.timelines(after))
    events = drift(then, now, rejudged)
    return events, is_suspect(then, now, events)
