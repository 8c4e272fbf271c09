"""What changes so often that each change is no news: at least ``FLAPPING`` times in the last ``FLAP_WINDOW`` answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from posture.drift import FLAP_WINDOW, FLAPPING, Key
from posture.model import AssetKey
from posture.store.looks import knew
from posture.store.records import Interval, RunRecord
from posture.store.timeline import QUIET, TURNS_AT_LEAST, flips, turns

if TYPE_CHECKING:
    from posture.store.reader import Reader


def flapping(
    reader: Reader,
    run: RunRecord,
    timelines: Mapping[Key, list[Interval]],
    bits: Mapping[AssetKey, int] | None = None,
) -> dict[Key, tuple[int, int]]:
    """How often each such finding changed within its window as of a run, and the run that the window begins with.

    A second look that contradicts the first counts as a change, for what was seen to go and come back too.

    Args:
        bits: the assets' places, from whom has them.
    """
    often = {key: turns(spans) for key, spans in timelines.items() if len(spans) >= TURNS_AT_LEAST}
    torn = reader.contradicted(run) if often else {}
    wanted: dict[Key, set[int]] = {}
    for key, turned in often.items():
        runs = turned | torn.get((key[0], key[2]), set())
        if len(turned) >= TURNS_AT_LEAST and len(runs) >= FLAPPING:
            wanted[key] = runs
    found: dict[Key, tuple[int, int]] = {}
    for key, answered in _answered_runs(reader, run, wanted, bits).items():
        count = flips(wanted[key], answered)
        if count >= FLAPPING:
            found[key] = (count, answered[:FLAP_WINDOW][-1])
    return found


def _answered_runs(
    reader: Reader, run: RunRecord, keys: Mapping[Key, Collection[int]], bits: Mapping[AssetKey, int] | None
) -> dict[Key, list[int]]:
    """The last ``FLAP_WINDOW`` runs that knew the answer to each key, newest first; fewer of what is quiet by now.

    Args:
        keys: with the runs that saw it change: a port that is closed is in no list of what was known.
    """
    found: dict[Key, list[int]] = {key: [] for key in keys}
    place = {asset: bit for bit, asset in reader.bits({key[0] for key in keys}).items()} if bits is None else bits
    pending: dict[str, list[Key]] = defaultdict(list)  # by control, whose look is unpacked once per run
    for key in keys:
        pending[key[1]].append(key)
    for one in reader.until(run) if keys else ():
        number, looks = one.number, reader.looks(one.number)
        for control, waiting in list(pending.items()):
            look = looks.get(control)
            for key in waiting:
                if number in keys[key] or (look is not None and knew(look, place.get(key[0], -1), key[2])):
                    found[key].append(number)
            left = [key for key in waiting if len(found[key]) < FLAP_WINDOW and not _is_quiet(found[key], keys[key])]
            pending[control] = left
            if not left:
                del pending[control]
        if not pending:
            break
    return found


def _is_quiet(answered: Sequence[int], changed: Collection[int]) -> bool:
    """Without a change in its last answers: none before them is counted."""
    return len(answered) == QUIET and not any(run in changed for run in answered)
