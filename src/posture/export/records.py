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

_HELD = "from_run < ? AND (to_run IS NULL OR to_run >= ?) AND vantage_id = ?"
_TABLES = {
    "finding": ("control_id", " AND live"),
    "facts": ("probe", ""),
    "miss": ("probe", ""),
}
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
    if record["kind"] not in _TABLES:
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
    assets, controls = span.of_asset(), reader.controls()
    for vantage, (first, _) in span.windows.items():
        for kind, (column, extra) in _TABLES.items():
            rows = span.store.connection.execute(
                f"SELECT from_run, asset_id, {column}, subject_id FROM {kind} WHERE {_HELD}{extra}",  # noqa: S608 - names of our own
                (first, first, reader.texts.known(vantage)),
            )
            for since, asset, what, subject in rows:
                holder = next((one for one in assets.get(asset, ()) if one.holds_at(since)), None)
                if holder is not None:
                    name = controls[what] if kind == "finding" else what
                    key = (kind, holder.asset.name, holder.asset.kind, name, reader.texts.text(subject))
                    held.setdefault(since, set()).add(key)
    whole = {run.number for run in span.runs}
    earlier = tuple(run for run in reader.runs() if run.number in held and run.number not in whole)
    return Records(span, span.runs, tuple(sorted(earlier, key=lambda run: run.number)), held)
