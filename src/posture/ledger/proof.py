"""The proof of an export: enough of the ledger to check some ministries' records without the database.

``posture-proof/1``, JSON: the entries of the range with their places under one checkpoint, and of each run the leaves of
the ministries concerned, with the hash of every record. Nothing in it speaks of another ministry but by an alias.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from posture.errors import StoreError
from posture.ledger.entry import Entry
from posture.ledger.leaf import hash_of_leaf, hashes_of
from posture.ledger.log import checkpoints, key_of, unpacked
from posture.ledger.merkle import Tree
from posture.ledger.records import Chronicle, Record
from posture.store import RunRecord, Store

FORMAT = "posture-proof/1"


@dataclass(frozen=True, slots=True)
class Proof:
    """``document`` for proof.json; ``note`` the checkpoint that it stands on; ``key`` whose signature that bears (OpenSSH)."""

    document: dict[str, Any]
    note: str
    key: str


def make_proof(
    store: Store,
    ministries: Collection[str],
    runs: Iterable[RunRecord],
    earlier: Iterable[RunRecord] = (),
    *,
    open_end: bool = True,
) -> Proof:
    """The proof that goes with the records of some ministries.

    Args:
        runs: those of the range, whose records are exported in full; :func:`runs_between` makes them whole.
        earlier: runs before it, of which only some records are (what still held when the range began).
        open_end: the range has no end of its own, so it must reach to the checkpoint.

    Raises:
        StoreError: there are no runs, the ledger does not cover them all, or does not fit what the history holds now.
    """
    entries = _entries(store)
    kept = checkpoints(store.connection, "ORDER BY size DESC LIMIT 1")
    key = key_of(store.connection)
    wanted, sparse = list(runs), list(earlier)
    places = {entry.run: entry for entry in entries if entry.is_run}
    unsigned = [run.id for run in (*wanted, *sparse) if run.id not in places]
    if not kept or key is None or unsigned:
        raise StoreError(
            f"the ledger of {store.path} does not cover {unsigned[0] if unsigned else 'any run'} yet, so nothing can be proved. "
            "The next scan enters every run; 'posture verify --db' says where it stands."
        )
    if not wanted:
        raise StoreError("there is no run in that range, so nothing can be proved. Widen it: --since, --until.")
    tree = Tree([entry.hash for entry in entries[: kept[0].size]])
    span = _span(entries, [places[run.id].place for run in wanted])
    shown = {*span, *(places[run.id].place for run in sparse), *(e.place for e in entries if not e.is_run)}
    document = {
        "format": FORMAT,
        "ministries": sorted(ministries),
        "range": [span[0], span[-1]],
        "open_end": open_end,
        "entries": [
            {
                "place": place,
                "body": entries[place].data.decode("ascii"),
                "path": [each.hex() for each in tree.inclusion(place)],
            }
            for place in sorted(shown)
        ],
        "leaves": list(_leaves(store, ministries, wanted, sparse, places)),
    }
    return Proof(document, kept[0].note, key.openssh)


def runs_between(store: Store, runs: Iterable[RunRecord]) -> list[RunRecord]:
    """Some runs, and all that the ledger entered between them, oldest first.

    A scan that was interrupted for days closes among later ones of another vantage; without it they would seem to be a
    range from which a run was dropped.
    """
    numbers = [run.number for run in runs]
    if not numbers:
        return []
    marks = ", ".join("?" * len(numbers))
    first, last = store.connection.execute(
        f"SELECT min(place), max(place) FROM log_entry WHERE run_id IN ({marks})",  # noqa: S608 - question marks
        numbers,
    ).fetchone()
    rows = store.connection.execute(
        "SELECT run_id FROM log_entry WHERE place BETWEEN ? AND ? AND run_id IS NOT NULL", (first, last)
    )
    return [store.reader.run(number) for number in sorted({*numbers, *(row[0] for row in rows)})]


def _entries(store: Store) -> list[Entry]:
    rows = store.connection.execute("SELECT place, body FROM log_entry ORDER BY place")
    return [Entry.read(place, unpacked(body)) for place, body in rows]


def _span(entries: list[Entry], places: list[int]) -> list[int]:
    """All places from the first run of the range to its last: what lies between belongs to it."""
    last = max(places)
    while last + 1 < len(entries) and not entries[last + 1].is_run:
        last += 1
    return list(range(min(places), last + 1))


def _leaves(
    store: Store,
    ministries: Collection[str],
    wanted: list[RunRecord],
    sparse: list[RunRecord],
    places: dict[str, Entry],
) -> Iterator[dict[str, Any]]:
    chronicle, whole = Chronicle(store), {run.id for run in wanted}
    for run in sorted((*wanted, *sparse), key=lambda run: (run.vantage, run.number)):
        records = chronicle.of(run)
        kept = _salts(store, run)
        names = sorted(records)
        leaves = {
            name: hash_of_leaf(kept[name], run.id, name, hashes_of(records[name])) for name in names if name in kept
        }
        tree = Tree([leaves[name] for name in names if name in leaves])
        if tree.root.hex() != places[run.id].body["root"]:
            raise StoreError(
                f"run {run.id} of {store.path} is not what the ledger signed, so it cannot be proved. "
                "'posture verify --db' names what was changed; export without --proof to read it all the same."
            )
        for name in sorted(set(ministries) & leaves.keys()):
            index = names.index(name)
            yield {
                "run": run.id,
                "ministry": name,
                "whole": run.id in whole,
                "salt": kept[name].hex(),
                "index": index,
                "path": [each.hex() for each in tree.inclusion(index)],
                "records": [each.hex() for each in hashes_of(records[name])],
            }


def _salts(store: Store, run: RunRecord) -> dict[str, bytes]:
    return dict(store.connection.execute("SELECT ministry, salt FROM leaf WHERE run_id = ?", (run.number,)))


def records_for(
    store: Store, ministries: Collection[str], runs: Iterable[RunRecord]
) -> Iterator[tuple[RunRecord, list[Record]]]:
    """Each run with the records of some ministries, in the order in which they are exported."""
    # A few are read alone; of most of them there is little to leave out.
    chosen = frozenset(ministries)
    known = {code for (code,) in store.connection.execute("SELECT code FROM ministry")}
    chronicle = Chronicle(store, chosen if len(chosen) * 2 < len(known) else None)
    for run in runs:
        found = chronicle.of(run)
        yield run, [record for name in sorted(set(ministries) & found.keys()) for record in found[name]]
