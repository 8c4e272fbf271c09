"""An export is checked without its database: whole ones hold, and what was done to it is named by line or by run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posture.errors import StoreError
from posture.keys import make_key
from posture.ledger.export import Verified, verify_export
from posture.ledger.log import rotate
from tests.ledger.town import ENTRIES, Parcel, day, key_of, runs_of, tampered, town
from tests.store import T0, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return town(tmp_path)


@pytest.fixture
def parcel(world: World) -> Parcel:
    return Parcel(world)


def verified(parcel: Parcel, **options: Any) -> Verified:
    return verify_export(*parcel.files(), **options)


def faults(parcel: Parcel, **options: Any) -> str:
    return "\n".join(verified(parcel, **options).faults)


def test_a_whole_year_of_one_ministry_holds(world: World, parcel: Parcel) -> None:
    found = verified(parcel, signer=key_of(world).public.fingerprint)

    assert found.faults == []
    assert found.runs == [run.id for run in runs_of(world)]
    assert (found.ministries, found.records, found.size, found.after) == (["finance"], len(parcel.lines), 5, 0)


def test_nothing_of_another_ministry_travels(parcel: Parcel) -> None:
    travelled = b"".join(parcel.files())

    assert b"health" not in travelled
    assert b"finance" in travelled


def test_both_ministries(world: World) -> None:
    assert faults(Parcel(world, ("finance", "health"))) == ""


@pytest.mark.parametrize("since", [1, 2, 4])
def test_a_range_travels_with_what_still_held_when_it_began(world: World, since: int) -> None:
    found = verified(Parcel(world, since=since))

    assert found.faults == []
    assert found.runs == [run.id for run in runs_of(world)[since:]]


def test_a_range_that_ends_earlier_says_so(world: World) -> None:
    found = verified(Parcel(world, until=3))

    assert (found.faults, found.after) == ([], 2)


def test_another_signer(parcel: Parcel, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other").public

    assert f"not by {other.fingerprint}" in faults(parcel, signer=other.fingerprint)
    parcel.key = other.openssh.encode()
    assert "the checkpoint is not signed by the key of the export" in faults(parcel)


# ---- what somebody does on the way


def test_an_edited_record_is_named_by_its_line(world: World, parcel: Parcel) -> None:
    place = next(place for place, line in enumerate(parcel.lines) if b'"outcome":"fail"' in line)
    parcel.lines[place] = parcel.lines[place].replace(b'"outcome":"fail"', b'"outcome":"pass"')
    run = runs_of(world)[1].id

    assert faults(parcel) == (
        f"line {place + 1} (finding www0.finance.gov.example t.cert 198.51.100.7:443/tcp {run}) is not what was signed"
    )


def test_each_line_counts(parcel: Parcel) -> None:
    for place in range(len(parcel.lines)):
        changed = Parcel.__new__(Parcel)
        changed.__dict__ = {**parcel.__dict__, "lines": parcel.lines[:place] + parcel.lines[place + 1 :]}
        assert verified(changed).faults, place


def test_a_removed_record_an_added_one_and_two_swapped_ones(parcel: Parcel) -> None:
    lines = list(parcel.lines)
    parcel.lines = lines[:2] + lines[3:]
    assert "a record before line 3 is missing, or one too many" in faults(parcel)
    parcel.lines = [*lines, lines[-1]]
    assert f"line {len(lines) + 1} (" in faults(parcel)
    parcel.lines = [lines[1], lines[0], *lines[2:]]
    assert "line 1 (" in faults(parcel)
    parcel.lines = lines[:-1]
    assert "1 of its records are missing" in faults(parcel)


def test_a_record_of_elsewhere(parcel: Parcel) -> None:
    parcel.lines.append(b'{"kind":"finding","ministry":"finance","run":"R-20200101T000000Z-0000"}')
    assert "belongs to no run and ministry of the proof" in faults(parcel)
    parcel.lines[-1] = b"not json"
    assert "is no record" in faults(parcel)
    parcel.lines[-1] = parcel.lines[0].replace(b",", b", ", 1)
    assert "is not written as it was signed" in faults(parcel)


def test_a_dropped_run(world: World, parcel: Parcel) -> None:
    run = runs_of(world)[2].id
    parcel.lines = [line for line in parcel.lines if run.encode() not in line]
    parcel.document["leaves"] = [leaf for leaf in parcel.document["leaves"] if leaf["run"] != run]
    assert f"run {run}, ministry finance: its records were left out" in faults(parcel)

    parcel.document["entries"] = [entry for entry in parcel.document["entries"] if run not in entry["body"]]
    assert "entry 2 of the ledger is missing from the export: a run was dropped" in faults(parcel)


def test_swapped_runs(parcel: Parcel) -> None:
    first, second = parcel.document["entries"][1:3]
    first["place"], second["place"] = second["place"], first["place"]

    assert "is not in the ledger that the checkpoint signs" in faults(parcel)


def test_a_cut_tail(world: World, parcel: Parcel) -> None:
    run = runs_of(world)[-1].id
    parcel.lines = [line for line in parcel.lines if run.encode() not in line]
    parcel.document["leaves"] = [leaf for leaf in parcel.document["leaves"] if leaf["run"] != run]
    parcel.document["entries"] = parcel.document["entries"][:-1]
    assert "entry 4 of the ledger is missing" in faults(parcel)
    parcel.document["range"] = [0, 3]
    assert "1 entries before it are missing: cut off" in faults(parcel)


def test_an_edited_leaf_and_an_edited_entry(parcel: Parcel) -> None:
    leaf = parcel.document["leaves"][1]
    leaf["salt"] = "00" * 16
    assert "its list of records is not the one that was signed" in faults(parcel)
    entry = parcel.document["entries"][1]
    entry["body"] = entry["body"].replace('"state":"complete"', '"state":"partial"')
    assert "entry 1 (run" in faults(parcel)


def test_another_checkpoint(parcel: Parcel) -> None:
    parcel.note = parcel.note.replace(b"\n5\n", b"\n6\n")
    assert "the checkpoint is not signed by the key of the export" in faults(parcel)


def test_a_succession_of_keys_travels_too(world: World, tmp_path: Path) -> None:
    old, new = key_of(world), make_key(tmp_path / "new.key")
    with world.open() as store, store.writing():
        rotate(store, old, new, T0)
    world.key = new
    world.scan(day("bad"), ENTRIES)

    for parcel in (Parcel(world), Parcel(world, since=5)):
        assert faults(parcel, signer=old.public.fingerprint) == ""
        assert faults(parcel, signer=new.public.fingerprint) == ""
        assert parcel.key == new.public.openssh.encode()


def test_what_was_changed_in_the_history_cannot_be_proved(world: World) -> None:
    tampered(world, "UPDATE verdict SET said = said % 8 WHERE said / 8 = 2")

    with pytest.raises(StoreError, match="'posture verify --db' names what was changed"):
        Parcel(world)


def test_what_was_never_signed_cannot_be_proved(tmp_path: Path) -> None:
    world = World(tmp_path / "x.db")
    world.scan(day("good"), ENTRIES)

    with pytest.raises(StoreError, match=r"does not cover .* yet"):
        Parcel(world)


# ---- whatever the files hold, the answer is a list of sentences

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=100))
def test_any_bytes_are_refused_in_words(records: bytes, proof: bytes, note: bytes, key: bytes) -> None:
    assert verify_export(records, proof, note, key).faults


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data())
def test_a_proof_with_anything_in_any_place_is_refused_or_still_the_same(world: World, data: st.DataObject) -> None:
    parcel = Parcel(world)
    node: Any = parcel.document
    for _ in range(data.draw(st.integers(0, 3))):
        node = data.draw(st.sampled_from(list(node.values() if isinstance(node, dict) else node)))
        if not (isinstance(node, dict | list) and node):
            node = parcel.document
    key = data.draw(st.sampled_from(list(node) if isinstance(node, dict) else range(len(node))))
    node[key] = data.draw(json_values)
    try:
        parcel.files()
    except ValueError:
        return
    found = verified(parcel)
    # Either it is named, or every line was still found in a leaf that the checkpoint signs.
    assert found.faults or found.records == len(parcel.lines)


@pytest.mark.parametrize(
    "line", [b'{"run":NaN}', b'{"run":1e999}', b"[" * 100_000, b'{"a":' * 5_000, b'"\\ud800"', b'{"run":"\\ud800"}']
)
def test_odd_lines(parcel: Parcel, line: bytes) -> None:
    parcel.lines.append(line)

    assert f"line {len(parcel.lines)} of records.jsonl" in faults(parcel) or "belongs to no run" in faults(parcel)
