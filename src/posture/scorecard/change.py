"""The change of a score taken apart: an ordered replay from one state to the next, through the formula itself.

The state before becomes the state after in these steps, and each step's part is what it moves the score by, in tenths:

    catalogue      the rules: the old answers as the new policy, rules and weights see them, against what was told then
    inventory      assets, and subjects of them, that came or left, or that a control applies to no longer, or newly
    newly_unknown  what was seen and is not any more
    newly_known    what was not seen and now is, be it good or bad
    newly_failed   what is worse than it was
    fixed          what is better than it was
    deadlines      time alone: what fell due unmended, and any rest

The parts add up to the whole change, because every step starts where the one before ended. Caps and rounding count in
the step in which they begin or cease to bind: a part says what that step did *in this order*, which is why the order
is fixed: first what is nobody's doing, then sight, then the target from worse to better. A state without a score in
between moves nothing; the next step that has one counts from the last. Pure.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from posture.model import AssetKey, Confidence, Outcome
from posture.policy import Policy
from posture.scorecard.formula import scorecard
from posture.scorecard.records import Scorecard, ScoredAsset, Standing, Weighed

CATALOGUE, INVENTORY, UNKNOWN, KNOWN, FAILED, FIXED, DEADLINES = PARTS = (
    "catalogue",
    "inventory",
    "newly_unknown",
    "newly_known",
    "newly_failed",
    "fixed",
    "deadlines",
)
_TARGETS = (UNKNOWN, KNOWN, FAILED, FIXED)

Key = tuple[AssetKey, str, str]  # asset, control, subject
Unit = tuple[AssetKey, str, str]  # asset, control, and the subject that its findings are about


@dataclass(frozen=True, slots=True)
class Scene:
    """A state to be scored: its standings by key, its assets, and when (UTC)."""

    standings: Mapping[Key, Standing]
    assets: tuple[ScoredAsset, ...]
    at: datetime

    @classmethod
    def of(cls, standings: Iterable[Standing], assets: Iterable[ScoredAsset], at: datetime) -> Scene:
        return cls({(one.asset, one.control, one.subject): one for one in standings}, tuple(assets), at)


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one score. ``tenths`` by part, None where either end has no score; ``counts`` by part.

    A count is of findings (by asset, control and subject); of the inventory of assets and of such subjects.
    """

    tenths: Mapping[str, int] | None
    counts: Mapping[str, int] = field(default_factory=dict)


def changes(
    told: Mapping[str, int | None],
    before: Scene,
    after: Scene,
    policy: Policy,
    catalogue: Mapping[str, Weighed],
    *,
    now: Scorecard | None = None,
    moved: Iterable[Key] = (),
    subject_of: Callable[[str, str], str] = lambda _, subject: subject,
) -> dict[str, Change]:
    """The change of every score, by ministry; "" is the State.

    Args:
        told: the scores before as they were told then, in tenths; a ministry that is not in it had none.
        before: the state before as ``policy`` and the present rules see it.
        policy, catalogue: what ``after`` is judged and weighed by.
        now: the scores after, where the caller has them.
        moved: findings before that the new rules alone see otherwise; they are counted, not scored, here.
        subject_of: (control, subject) -> what that finding is about; a port's is its address.
    """
    sorted_out = _sorted_out(before, after, subject_of)
    latest = dict(told)
    tenths: dict[str, dict[str, int]] = defaultdict(dict)
    for part, scene in _replay(before, after, sorted_out):
        if scene is None:
            continue
        is_last = part == DEADLINES
        card = (
            now
            if is_last and now
            else scorecard(scene.standings.values(), scene.assets, policy, catalogue, at=scene.at)
        )
        for name, score in _by_name(card).items():
            known = latest.get(name)
            if score is None or known is None:
                continue
            if score != known:
                tenths[name][part] = score - known
            latest[name] = score
    ended = _by_name(now or scorecard(after.standings.values(), after.assets, policy, catalogue, at=after.at))
    counts = _counts(before, after, sorted_out, moved)
    return {
        name: Change(
            tenths[name] if told.get(name) is not None and score is not None else None, dict(counts.get(name, {}))
        )
        for name, score in ended.items()
    }


def _by_name(card: Scorecard) -> dict[str, int | None]:
    return {"": card.state.tenths, **{score.ministry: score.tenths for score in card.ministries}}


def _replay(
    before: Scene, after: Scene, sorted_out: Mapping[str, Mapping[Unit, tuple[_Sides, _Sides]]]
) -> Iterator[tuple[str, Scene | None]]:
    """The state after each step; None where the step changes nothing."""
    yield CATALOGUE, before
    standings, assets = dict(before.standings), before.assets
    for part in (INVENTORY, *_TARGETS):
        units = sorted_out.get(part, {})
        same_assets = part != INVENTORY or _ordered(assets) == _ordered(after.assets)
        if part == INVENTORY:
            assets = after.assets
        if same_assets and not units:
            yield part, None
            continue
        for old, new in units.values():
            for key in old:
                standings.pop(key, None)
            standings.update(new)
        yield part, replace(before, standings=dict(standings), assets=assets)
    yield DEADLINES, after


def _ordered(assets: Iterable[ScoredAsset]) -> list[ScoredAsset]:
    return sorted(assets, key=lambda asset: asset.key)


_Sides = Mapping[Key, Standing]


def _sorted_out(
    before: Scene, after: Scene, subject_of: Callable[[str, str], str]
) -> dict[str, dict[Unit, tuple[_Sides, _Sides]]]:
    """Every unit that differs, by the step in which it changes."""
    there = {asset.key for asset in before.assets} & {asset.key for asset in after.assets}
    olds, news = _units(before, subject_of), _units(after, subject_of)
    blind_before, blind_after = _blind(olds), _blind(news)
    found: dict[str, dict[Unit, tuple[_Sides, _Sides]]] = defaultdict(dict)
    for unit in sorted({*olds, *news}):
        old, new = olds.get(unit, {}), news.get(unit, {})
        if _seen_alike(old, new):
            continue
        pair = unit[:2]
        if unit[0] not in there:
            part = INVENTORY
        else:
            part = _part(old, new, was_blind=pair in blind_before, is_blind=pair in blind_after)
        found[part][unit] = old, new
    return found


def _units(scene: Scene, subject_of: Callable[[str, str], str]) -> dict[Unit, dict[Key, Standing]]:
    units: dict[Unit, dict[Key, Standing]] = defaultdict(dict)
    for key, standing in scene.standings.items():
        units[key[0], key[1], subject_of(key[1], key[2])][key] = standing
    return units


def _blind(units: Mapping[Unit, Mapping[Key, Standing]]) -> set[tuple[AssetKey, str]]:
    """Asset and control of which nothing at all is known."""
    pairs: dict[tuple[AssetKey, str], bool] = {}
    for (asset, control, _), standings in units.items():
        blind = all(one.outcome is Outcome.UNKNOWN for one in standings.values())
        pairs[asset, control] = pairs.get((asset, control), True) and blind
    return {pair for pair, blind in pairs.items() if blind}


def _seen_alike(old: _Sides, new: _Sides) -> bool:
    """Whether both score alike; when exactly it was observed is a matter of time."""
    if old.keys() != new.keys():
        return False
    return all(replace(one, observed_at=None) == replace(new[key], observed_at=None) for key, one in old.items())


def _part(old: _Sides, new: _Sides, *, was_blind: bool, is_blind: bool) -> str:
    """The step in which one unit of a present asset changes."""
    if was_blind and not is_blind:
        return KNOWN
    if is_blind and not was_blind:
        return UNKNOWN
    if not old or not new:
        return INVENTORY
    seen_before, seen_now = _is_seen(old), _is_seen(new)
    if seen_before != seen_now:
        return KNOWN if seen_now else UNKNOWN
    if _applies(old) != _applies(new) and not any(one.outcome.is_open for one in new.values()):
        return INVENTORY
    was, now = _harm(old), _harm(new)
    if was == now:
        return DEADLINES  # only its dates differ
    return FAILED if now > was else FIXED


def _is_seen(side: _Sides) -> bool:
    return all(one.outcome is not Outcome.UNKNOWN and not one.stale for one in side.values())


def _applies(side: _Sides) -> bool:
    return any(one.outcome not in (Outcome.NOT_APPLICABLE, Outcome.INFO) for one in side.values())


def _harm(side: _Sides) -> tuple[tuple[int, int, int], ...]:
    """The worse, the greater; first the worst finding of it."""
    rank = {Outcome.FAIL: 2, Outcome.WARN: 1}
    harms = [
        (rank.get(one.outcome, 0), one.severity.rank, int(one.confidence is Confidence.CONFIRMED))
        for one in side.values()
        if one.outcome.is_open
    ]
    return tuple(sorted(harms, reverse=True))


def _counts(
    before: Scene,
    after: Scene,
    sorted_out: Mapping[str, Mapping[Unit, tuple[_Sides, _Sides]]],
    moved: Iterable[Key],
) -> dict[str, Counter[str]]:
    was = {asset.key: asset for asset in before.assets}
    now = {asset.key: asset for asset in after.assets}
    counts: dict[str, Counter[str]] = defaultdict(Counter)

    def count(part: str, *names: str) -> None:
        for name in {"", *names}:
            counts[name][part] += 1

    for key in sorted(was.keys() | now.keys()):
        old, new = was.get(key), now.get(key)
        if old != new:
            count(INVENTORY, *(one.ministry for one in (old, new) if one))
    for part, units in sorted_out.items():
        for asset, _, _ in units:
            if part != DEADLINES and asset in was and asset in now:
                count(part, now[asset].ministry)
    for asset, _, _ in moved:
        if asset in now:
            count(CATALOGUE, now[asset].ministry)
    return counts


def total(parts: Mapping[str, int]) -> int:
    """The whole change, in tenths."""
    return sum(parts.values())


def in_order(parts: Mapping[str, int]) -> Sequence[tuple[str, int]]:
    """The parts that moved something, in the order of the replay."""
    return [(name, parts[name]) for name in PARTS if parts.get(name)]
