"""A run as drift looks at it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from posture.drift import Judged, Key
from posture.model import AssetKey, Finding
from posture.store.looks import was_known
from posture.store.records import Interval, RunRecord
from posture.store.timeline import fixed_once, last_mended

if TYPE_CHECKING:
    from posture.store.reader import Reader


def view_of(
    reader: Reader,
    run: RunRecord,
    unknown: Mapping[Key, Finding],
    timelines: Mapping[Key, list[Interval]],
    only: Collection[AssetKey] | None = None,
) -> Judged:
    """See :meth:`posture.store.reader.Reader.judged`."""
    bits, looks = reader.bits(only), reader.looks(run.number)
    place = {asset: bit for bit, asset in bits.items()}
    known = {key: spans[-1].finding for key, spans in timelines.items() if spans[-1].until is None}
    ends = {one.number: one.end for one in reader.until(run)}
    return Judged(
        at=run.end,
        known=known,
        answered={key for key in known if was_known(looks, place.get(key[0], -1), key)},
        asked={
            (bits[bit], control)
            for control, (asked, _, _) in looks.items()
            for bit in (asked if only is None else bits)
            if bit in asked
        },
        assets=set(reader.inventory(run.number) if only is None else reader.whose(run.number, only)),
        vantage=run.vantage,
        policy=run.policy_digest,
        rules=run.rules_digest,
        narrowed=bool(run.selectors),
        seen={key: one.end for key, one in reader.last_seen(run, timelines, bits=place).items()},
        unknown=unknown,
        ended={key: spans[-1].end_cause or "scope" for key, spans in timelines.items() if spans[-1].until},
        fixed_once={key for key, spans in timelines.items() if fixed_once(spans)},
        mended={
            key: ends[number]
            for key, spans in timelines.items()
            if len(spans) > 1 and (number := last_mended(spans)) is not None and number in ends
        },
        flips={key: count for key, (count, _) in reader.flapping(run, timelines, place).items()},
        probes=reader.coverage(run) if only is None else {},
    )
