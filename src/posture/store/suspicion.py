"""The mass-change guard over two runs of which only what moved was read: it asks the database for the rest, where it must."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from posture.drift import Event, Judged
from posture.model import AssetKey
from posture.store.looks import was_known
from posture.store.moved import Moves
from posture.store.narrow import PLACE
from posture.store.verdicts import held
from posture.suspicion import MASS_FLIPS, Groups, flips_of, groups_of, is_mass, mass_flips, mass_silence

_LAST = f"""SELECT control_id, asset_id, subject_id, said, max(from_run) FROM verdict
  WHERE track_id = ? AND from_run <= ? AND control_id IN ({{}}) GROUP BY {PLACE}"""  # noqa: S608 - names of our own
_KNOWN = f"SELECT DISTINCT asset_id, subject_id FROM ({held('track_id = ? AND from_run <= ?')})"  # noqa: S608 - names of our own


def doubts_of_moves(moves: Moves, events: Iterable[Event], doubted: Judged | None) -> tuple[str, ...]:
    """As :func:`posture.suspicion.doubts`, in the very same sentences.

    Args:
        events: what changed between the two runs.
        doubted: a suspect run between them, with its coverage.
    """
    reader, flipped = moves.reader, flips_of(events, doubted)
    seen = _seen(moves, flipped)
    return (
        *mass_flips(flipped, lambda control: seen[control]),
        *mass_silence(
            reader.coverage(moves.before),
            reader.coverage(moves.after),
            None if doubted is None else doubted.probes,
            lambda: _groups(moves),
        ),
    )


def _seen(moves: Moves, flipped: dict[str, set[AssetKey]]) -> dict[str, Collection[AssetKey]]:
    """By control, the assets on which the later run saw it, or saw it gone; or so many of them that the flips are few."""
    reader, run = moves.reader, moves.after
    bits, looks = reader.bits(), reader.looks(run.number)
    found: dict[str, Collection[AssetKey]] = {}
    for control, assets in flipped.items():
        whole = looks.get(control)
        found[control] = set() if whole is None else {bits[bit] for bit in whole[1]}
        if not is_mass(len(assets), len({*found[control], *assets}), MASS_FLIPS):
            flipped = {name: one for name, one in flipped.items() if name != control}
    return {**found, **(_exactly(moves, flipped) if flipped else {})}


def _exactly(moves: Moves, controls: Collection[str]) -> dict[str, Collection[AssetKey]]:
    reader, run = moves.reader, moves.after
    codes = {number: code for number, code in reader.controls().items() if code in controls}
    numbers, looks = reader.assets(), reader.looks(run.number)
    place = {asset: bit for bit, asset in reader.bits().items()}
    found: dict[str, set[AssetKey]] = defaultdict(set)
    query = _LAST.format(",".join(map(str, codes)))
    rows = moves.connection.execute(query, (moves.track, run.number)).fetchall()
    reader.texts.load({row[2] for row in rows})
    for control, number, subject, said, _ in rows:
        code, asset = codes[control], numbers[number]
        if said is None or said < 0 or was_known(looks, place[asset], (asset, code, reader.texts.text(subject))):
            found[code].add(asset)
    return {code: found[code] for code in controls}


def _groups(moves: Moves) -> Groups:
    reader, run = moves.reader, moves.before
    numbers, ministries = reader.assets(), reader.ministries_ever(run.number)
    rows = moves.connection.execute(_KNOWN, (moves.track, run.number)).fetchall()
    reader.texts.load({subject for _, subject in rows})
    return groups_of((numbers[one], ministries.get(one, ""), reader.texts.text(subject)) for one, subject in rows)
