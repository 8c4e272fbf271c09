"""What changes so often that each change is no news: at least ``FLAPPING`` times in the last ``FLAP_WINDOW`` answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
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
            found[key] = (count, answered[-1])
    return found


@dataclass(slots=True)
class _Answers:
    """The last runs that knew the answer to one key, newest first; how many of them saw it change."""

    key: Key
    bit: int
    changed: Collection[int]
    runs: list[int] = field(default_factory=list)
    count: int = 0
    quiet: int = 0

    def add(self, run: int) -> None:
        self.runs.append(run)
        self.count, self.quiet = (self.count + 1, 0) if run in self.changed else (self.count, self.quiet + 1)

    @property
    def is_calm(self) -> bool:
        """Whether it cannot be found flapping any more: a quiet stretch ends the count."""
        return self.count < FLAPPING and self.quiet >= QUIET


def _answered_runs(
    reader: Reader, run: RunRecord, keys: Mapping[Key, Collection[int]], bits: Mapping[AssetKey, int] | None
) -> dict[Key, list[int]]:
    """The last ``FLAP_WINDOW`` runs that knew the answer to each key, newest first; none of what is quiet by now.

    Args:
        keys: with the runs that saw it change: a port that is closed is in no list of what was known.
    """
    place = {asset: bit for bit, asset in reader.bits({key[0] for key in keys}).items()} if bits is None else bits
    every = [_Answers(key, place.get(key[0], -1), changed) for key, changed in keys.items()]
    pending: dict[str, list[_Answers]] = defaultdict(list)  # by control, whose look is unpacked once per run
    for one in every:
        pending[one.key[1]].append(one)
    for before in reader.until(run) if keys else ():
        number, looks = before.number, reader.looks(before.number)
        for control, waiting in list(pending.items()):
            look = looks.get(control)
            left = []
            for one in waiting:
                if number in one.changed or (look is not None and knew(look, one.bit, one.key[2])):
                    one.add(number)
                if len(one.runs) < FLAP_WINDOW and not one.is_calm:
                    left.append(one)
            pending[control] = left
            if not left:
                del pending[control]
        if not pending:
            break
    return {one.key: one.runs for one in every if one.count >= FLAPPING}
