"""The ledger's records of the range, one canonical line each: what a proof binds and ``posture verify`` checks.

First, of the runs before the range, what still held when it began, with the terms of those runs; then every record of
every run of the range. With a proof every run before it comes in full: of a part, nobody could tell what was left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from posture.export.span import Span
from posture.ledger import canonical
from posture.ledger.proof import records_for, runs_between
from posture.ledger.records import Record
from posture.store import RunRecord
from posture.store.run_rows import among
from posture.store.silences import misses
from posture.store.verdicts import spells, track_of

_FACTS = "SELECT asset_id, probe, subject_id, from_run, to_run FROM facts WHERE vantage_id = ? AND from_run < ?"
_KINDS = ("finding", "facts", "miss")
_Key = tuple[str, str, str, str, str]  # kind, asset, its kind, control or probe, subject


@dataclass(frozen=True, slots=True)
class Records:
    """``runs``: those whose records are exported in full; ``earlier``: those of which only some are."""

    span: Span
    runs: tuple[RunRecord, ...]
    earlier: tuple[RunRecord, ...] = ()
    held: Mapping[int, set[_Key]] = field(default_factory=dict)

    def lines(self) -> Iterator[bytes]:
        """Each record with its line's end; memory for one run at a time."""
        for record in self.each():
            yield canonical(record) + b"\n"

    def each(self) -> Iterator[Record]:
        sparse = {run.number for run in self.earlier}
        everything = sorted((*self.earlier, *self.runs), key=lambda run: run.number)
        for run, records in records_for(self.span.store, self.span.ministries.keys(), everything):
            if run.number not in sparse:
                yield from records
            else:
                held = self.held[run.number]
                yield from (record for record in records if record["kind"] == "run" or _key(record) in held)


def _key(record: Record) -> _Key | None:
    if record["kind"] not in _KINDS:
        return None
    what = record["control"] if record["kind"] == "finding" else record["probe"]
    return record["kind"], record["asset"], record["asset_kind"], what, record["subject"]


def whole_records(span: Span) -> Records:
    """Every record of every run up to the end of the range, so that what held when it began can be proved too."""
    first = span.store.reader.runs()[-1]
    return Records(span, tuple(runs_between(span.store, [first, *span.runs])))


def records_of_span(span: Span) -> Records:
    """What is to be exported of which runs."""
    reader, held = span.store.reader, dict[int, set[_Key]]()
    assets = span.of_asset()
    for vantage, (first, _) in span.windows.items():
        for kind, asset, what, subject, since, until in _held(span, vantage, first):
            if since >= first or (until is not None and until < first):
                continue
            holder = next((one for one in assets.get(asset, ()) if one.holds_at(since)), None)
            if holder is not None:
                key = (kind, holder.asset.name, holder.asset.kind, what, subject)
                held.setdefault(since, set()).add(key)
    whole = {run.number for run in span.runs}
    earlier = tuple(run for run in reader.runs() if run.number in held and run.number not in whole)
    return Records(span, span.runs, tuple(sorted(earlier, key=lambda run: run.number)), held)


def _held(span: Span, vantage: str, first: int) -> Iterator[tuple[str, int, str, str, int, int | None]]:
    """Kind, asset, control or probe, subject, from which run and to which, of all that began before a run."""
    connection, reader, assets = span.store.connection, span.store.reader, span.of_asset()
    place, controls, text = reader.texts.known(vantage), reader.controls(), reader.texts.text
    for spell in spells(connection, track_of(connection, place), only=assets):
        asset, control, subject = spell.place
        yield "finding", asset, controls[control], text(subject), spell.since, spell.until
    for asset, probe, subject, since, until in connection.execute(_FACTS + among(assets), (place, first)):
        yield "facts", asset, probe, text(subject), since, until
    for one in misses(connection, place, only=assets):
        yield "miss", one.asset, one.probe, one.subject, one.miss.since, one.until
