"""How far back something was last seen, run by run, no further than something is still unseen."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from posture.drift import Key
from posture.model import AssetKey
from posture.store.bitmap import Bitmap
from posture.store.looks import Look, Looks, knew, was_known
from posture.store.records import Interval, RunRecord

if TYPE_CHECKING:
    from posture.store.reader import Reader


def undecided(reader: Reader, run: RunRecord, only: Collection[AssetKey] | None = None) -> set[AssetKey]:
    """Assets of which the last look at some control, up to a run, did not get to know everything.

    Looks back only as far as the last run that asked the whole inventory. ``only``: among these assets.
    """
    bits = reader.bits(only)
    ours, settled, found = Bitmap(bits).number, dict[str, int](), 0
    for one in reader.until(run):
        if one.state == "quarantined":
            continue
        for control, (asked, known, _) in reader.looks(one.number).items():
            news = asked.number & ours & ~settled.get(control, 0)
            settled[control] = settled.get(control, 0) | news
            found |= news & ~known.number
        if one.state == "complete" and not one.selectors:
            break
    return {asset for bit, asset in bits.items() if found >> bit & 1}


def known_at_last_look(reader: Reader, run: RunRecord, keys: Collection[Key]) -> set[Key]:
    """Those of some keys that the last run to ask for them, up to this run, got to know."""
    place, pending, known = {asset: bit for bit, asset in reader.bits().items()}, set(keys), set[Key]()
    for one in reader.until(run) if pending else ():
        looks = reader.looks(one.number)
        asked = {key for key in pending if key[1] in looks and place[key[0]] in looks[key[1]][0]}
        known.update(key for key in asked if was_known(looks, place[key[0]], key))
        pending -= asked
        if not pending:
            break
    return known


def last_seen(
    reader: Reader,
    run: RunRecord,
    timelines: Mapping[Key, list[Interval]],
    *,
    runs: Sequence[RunRecord] | None = None,
    bits: Mapping[AssetKey, int] | None = None,
) -> dict[Key, RunRecord]:
    """Which run last answered each key that was known as of a run.

    Looks back from the newest run only as far as something is still unseen.

    Args:
        runs, bits: the vantage's closed runs up to that one, newest first, and the assets' places, from whom has them.
    """
    place = {asset: bit for bit, asset in reader.bits().items()} if bits is None else bits
    pending = {key: spans[-1] for key, spans in timelines.items()}
    seen: dict[Key, RunRecord] = {}
    for one in reader.until(run) if runs is None else runs:
        if not pending:
            break
        number = one.number
        held = [key for key, span in pending.items() if span.until is None or number < span.until]
        looks = reader.looks(number) if held else Looks()
        by_control: dict[str, Look | None] = {}
        for key in held:
            if key[1] not in by_control:
                by_control[key[1]] = looks.get(key[1])
            look = by_control[key[1]]
            if number <= pending[key].since or (look is not None and knew(look, place.get(key[0], -1), key[2])):
                seen[key] = one
                del pending[key]
    return seen
