"""An export that somebody changed on its way, or made up whole."""

from __future__ import annotations

import json
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posture.cli.ledger_reading import verify_file
from posture.errors import PostureError, StoreError
from posture.keys import make_key
from posture.ledger import Checkpoint, canonical, sign_note
from posture.ledger.export import verify_export
from posture.ledger.proof import make_proof, records_for, runs_between
from tests.ledger.attacking import FINANCE, HEALTH, Export, four_days, sealed
from tests.store import HTTPS, tls

MEMBERS = ("records.jsonl", "proof.json", "checkpoint.txt", "key.pub")


@pytest.fixture
def export(tmp_path: Path) -> Export:
    return four_days(tmp_path).export()


def runs(export: Export) -> list[str]:
    return [leaf["run"] for leaf in export.proof["leaves"]]


def test_it_verifies_as_it_was_made(export: Export) -> None:
    found = export.verified()
    assert not found.faults
    assert found.runs == runs(export)
    assert found.earlier == 0


def test_a_run_dropped_with_all_that_speaks_of_it_is_missed(export: Export) -> None:
    assert any("run was dropped" in fault for fault in export.without(runs(export)[1]).verified().faults)


def test_it_is_missed_too_when_the_export_no_longer_claims_a_range(export: Export) -> None:
    bent = export.without(runs(export)[1])
    bent.proof["range"] = None
    assert bent.verified().faults


def test_a_shorter_range_does_not_hide_it_among_runs_shown_in_full(export: Export) -> None:
    first, second = runs(export)[:2]
    bent = export.without(second)
    bent.proof["range"] = [2, 3]
    assert bent.verified().faults == [f"run {first} stands outside of the range that the export claims"]


def test_a_record_of_an_earlier_run_counts_once(tmp_path: Path) -> None:
    export = four_days(tmp_path).export(first=2, earlier=True)
    found = export.verified()
    assert not found.faults
    assert found.earlier > 0
    export.lines.append(export.lines[0])
    assert export.verified().faults


@pytest.mark.parametrize("span", [[0, 10**18], [-(10**30), 3], [3, 0], [0.0, 3], [True, 3], "03", [0]])
def test_a_range_is_believed_to_be_no_more_than_a_claim(export: Export, span: object) -> None:
    export.proof["range"] = span
    assert export.verified().faults


def test_a_ledger_of_any_size_is_answered_at_once(export: Export, tmp_path: Path) -> None:
    key = make_key(tmp_path / "other")
    export.note, export.key = sign_note(Checkpoint("posture/lc/0", 10**18 - 1, bytes(32)), [key]), key.public.openssh
    export.proof["range"] = [0, 10**18 - 2]
    assert len(export.verified().faults) < 50


@pytest.mark.parametrize("number", ["1e999", "1.5", "true", '"1"', "null", "-1", "9" * 4000])
@pytest.mark.parametrize("name", ["place", "index"])
def test_what_should_be_a_number_may_be_anything(export: Export, name: str, number: str) -> None:
    rows = export.proof["entries" if name == "place" else "leaves"]
    rows[0][name] = "HERE"
    export.raw = json.dumps(export.proof).replace('"HERE"', number).encode()
    assert export.verified().faults


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_in_any_place_is_answered(export: Export, data: st.DataObject) -> None:
    document = json.loads(json.dumps(export.proof))
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for name in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, name))
            if isinstance(node[name], dict | list):
                walk(node[name])

    walk(document)
    leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("00" * 32)
    value = data.draw(
        st.recursive(
            leaf, lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=4), some, max_size=3)
        )
    )
    node, name = places[data.draw(st.integers(0, len(places) - 1))]
    node[name] = value
    export.raw = json.dumps(document).encode()
    export.verified()  # whatever it says, it says it


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_answered(records: bytes, proof: bytes, note: bytes, key: bytes) -> None:
    assert verify_export(records, proof, note, key).faults


def test_a_run_that_closed_among_later_ones_belongs_to_their_range(tmp_path: Path) -> None:
    """Begun abroad on the first day, interrupted, and finished on the third."""
    history, answers = sealed(tmp_path), {(FINANCE.key, "tls", HTTPS): tls("abroad")}
    world = history.world
    with world.open() as store:
        store.begin(world.start(answers, (FINANCE, HEALTH), vantage="abroad"))
    history.scan("one")
    with world.open() as store:
        store.fold_partial("abroad")
    history.scan("two")
    history.scan("three")
    with world.open(write=False) as store:
        runs = [run for run in store.reader.runs()[::-1] if run.vantage != "abroad"]
        whole = runs_between(store, runs)
        proof = make_proof(store, ["finance"], whole)
        lines = [canonical(each) for _, found in records_for(store, ["finance"], whole) for each in found]
        export = Export(lines, proof.document, proof.note, proof.key)

    assert len(whole) == len(runs) + 1
    assert not export.verified().faults


def test_of_no_run_nothing_is_proved(tmp_path: Path) -> None:
    history = four_days(tmp_path)
    with history.world.open(write=False) as store:
        assert runs_between(store, []) == []
        with pytest.raises(StoreError, match="no run in that range"):
            make_proof(store, ["finance"], [])


# ---- the zip around it


def written(path: Path, export: Export, kind: int = zipfile.ZIP_DEFLATED) -> Path:
    records = b"".join(line + b"\n" for line in export.lines).decode("ascii")
    contents = (records, json.dumps(export.proof), export.note, export.key)
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in zip(MEMBERS, contents, strict=True):
            archive.writestr(name, content)
    return path


def test_a_zip_that_was_not_changed_verifies(export: Export, tmp_path: Path) -> None:
    assert verify_file(written(tmp_path / "finance.zip", export), None).result("table").exit_code == 0


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_byte_changed_anywhere_never_breaks_it(export: Export, tmp_path: Path, kind: int) -> None:
    path = written(tmp_path / "finance.zip", export, kind)
    whole = path.read_bytes()
    for place in range(0, len(whole), 37):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with suppress(PostureError):  # anything else is a traceback
            verify_file(path, None)


def test_a_zip_bomb_is_not_unpacked(export: Export, tmp_path: Path) -> None:
    export.lines = [b" " * (64 << 20)]
    with pytest.raises(PostureError, match="would unpack to 64 MB"):
        verify_file(written(tmp_path / "finance.zip", export), None)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_are_refused(export: Export, tmp_path: Path) -> None:
    path = written(tmp_path / "finance.zip", export)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("records.jsonl", "")
    with pytest.raises(PostureError, match="two files"):
        verify_file(path, None)
