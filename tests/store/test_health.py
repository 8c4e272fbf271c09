"""Whether a history is whole: sound ones are, and whatever is wrong is named."""

from __future__ import annotations

import sqlite3
import subprocess
import zlib
from contextlib import closing
from pathlib import Path

import pytest

from posture.store.bitmap import Bitmap
from posture.store.database import NEWEST
from posture.store.health import SHOWN, check
from tests.store import HTTPS, SITE, World, policy, silence, site, tls
from tests.store.keeping import OTHER, day, tamper, told, year


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "posture.db")


def test_a_history_is_sound_and_its_rows_are_counted(world: World) -> None:
    year(world)
    health = check(world.path)
    assert told(health) == []
    assert health.sound
    assert health.schema == NEWEST
    assert health.counts == {"runs": 5, "assets": 2, "findings": 11, "facts": 7, "blobs": 7, "dropped": 0}


def test_every_kind_of_run_leaves_a_sound_history(world: World) -> None:
    for state in ("complete", "partial", "stopped", "quarantined", "complete"):
        world.scan(day(state), state=state)
    world.policy = policy(1)
    world.scan(day("old"))
    world.scan({(SITE, "tls", HTTPS): silence()})
    with world.open() as store:
        store.begin(world.start(day("open"))).settle(SITE, "tls", HTTPS, tls("waiting"))
    assert told(check(world.path)) == []


NO_TRIGGERS = ("DROP TRIGGER facts_frozen", "DROP TRIGGER packed_frozen", "DROP TRIGGER verdict_complete")
COPY = (
    "INSERT INTO facts SELECT asset_id, probe, subject_id, vantage_id, {start}, {end}, at, blob_id, absent, authorisation "
    "FROM facts WHERE to_run IS NULL AND asset_id = 1 LIMIT 1"
)
NOTHING = "INSERT INTO verdict SELECT asset_id, control_id, subject_id, track_id, {}, NULL, NULL, 1, NULL FROM verdict LIMIT 1"
FORGED = "UPDATE packed SET data = x'{}' WHERE id = (SELECT {} FROM {}_row WHERE run_id = 2 LIMIT 1)"


@pytest.mark.parametrize(
    ("statements", "name", "says"),
    [
        (["DROP INDEX facts_open", COPY.format(start=6, end="NULL")], "intervals", "two open intervals of one key"),
        (["DROP INDEX silence_open"], "schema", "index silence_open is missing"),
        (["DROP VIEW finding"], "schema", "the view finding is missing"),
        ([*NO_TRIGGERS, NOTHING.format(6), NOTHING.format(7)], "intervals", "ends with run 7 had never begun"),
        (
            ["DROP TRIGGER silence_frozen", "UPDATE silence SET to_run = 1 WHERE to_run IS NOT NULL"],
            "intervals",
            "ends before it begins",
        ),
        (
            ["DROP TRIGGER run_frozen", "UPDATE run SET moved = NULL WHERE id = 2"],
            "intervals",
            "wrote of other assets than it names, bits 0",
        ),
        (["DROP TRIGGER run_frozen", "UPDATE run SET moved = x'77' WHERE id = 2"], "intervals", "not a bitmap"),
        (["UPDATE text_value SET value = value || '!' WHERE id = 2"], "texts", "text 2 does not match its hash"),
        (
            [
                "DROP TRIGGER text_once",
                "INSERT INTO text_value (hash, value) SELECT hash, value FROM text_value WHERE id = 2",
            ],
            "texts",
            "text 2 is there 2 times",
        ),
        (
            ["DROP TRIGGER silence_frozen", "UPDATE silence SET said_id = 1"],
            "texts",
            "since run 2 cannot be read",
        ),
        (["DROP TRIGGER run_kept"], "schema", "the trigger run_kept is missing"),
        (
            ["DROP TRIGGER run_kept", "CREATE TRIGGER run_kept BEFORE DELETE ON run BEGIN SELECT 1; END"],
            "schema",
            "the trigger run_kept is not as this release makes it",
        ),
        (
            [*NO_TRIGGERS, "UPDATE facts SET to_run = 5 WHERE to_run = 2"],
            "intervals",
            "two intervals of one key at once",
        ),
        ([*NO_TRIGGERS, "UPDATE facts SET to_run = 0 WHERE to_run = 2"], "intervals", "ends before it begins"),
        (
            ["INSERT INTO journal SELECT 1, 1, 'tls', 'x', 'now', 1, 0, NULL, NULL, '', NULL"],
            "journal",
            "1 rows of journal are left of run",
        ),
        (["INSERT INTO planned VALUES (2, 1, 'tls', 'x')"], "journal", "1 rows of planned are left of run"),
        (
            ["DROP TRIGGER run_frozen", "UPDATE run SET state = 'quarantined' WHERE id = 5"],
            "journal",
            "which is quarantined",
        ),
        (
            ["DROP TRIGGER run_frozen", "DROP INDEX run_open", "UPDATE run SET state = 'running', ended_at = NULL"],
            "journal",
            "5 runs are open at vantage local",
        ),
        (["UPDATE blob SET data = x'00000000' WHERE id = 1"], "blobs", "cannot be unpacked"),
        (["UPDATE blob SET data = substr(data, 1, length(data) - 5) WHERE id = 1"], "blobs", "is cut short"),
        (
            [f"UPDATE blob SET data = x'{zlib.compress(b'forged').hex()}' WHERE id = 1"],
            "blobs",
            "does not match its SHA-256",
        ),
        (
            ["UPDATE blob SET data = x'' WHERE id = (SELECT blob_id FROM facts WHERE to_run IS NULL LIMIT 1)"],
            "blobs",
            "is empty and still needed",
        ),
        (
            ["DROP TRIGGER run_frozen", f"UPDATE run SET inventory = x'{Bitmap([0, 77]).pack().hex()}' WHERE id = 3"],
            "bitmaps",
            "bits of no known asset: 77",
        ),
        ([*NO_TRIGGERS, FORGED.format(Bitmap([0]).pack().hex(), "targeted", "coverage")], "bitmaps", "were not asked"),
        ([*NO_TRIGGERS, FORGED.format("0102", "known", "judged")], "bitmaps", "not a bitmap"),
        (
            [*NO_TRIGGERS, FORGED.format(zlib.compress(b"[7").hex(), "silent", "judged")],
            "bitmaps",
            "the silent subjects cannot be read",
        ),
        (
            [*NO_TRIGGERS, FORGED.format(zlib.compress(b'{"7":[]}').hex(), "silent", "judged")],
            "bitmaps",
            "silent subjects of assets that were not asked, bits 7",
        ),
        (
            ["DROP TRIGGER run_frozen", "UPDATE run SET tool = CAST(x'ff41' AS TEXT)"],
            "values",
            "a row of run cannot be read",
        ),
        (
            ["DROP TRIGGER asset_kept", "DELETE FROM asset WHERE id = 1"],
            "references",
            "refers to a row of asset that is not there",
        ),
    ],
)
def test_what_is_wrong_is_named(world: World, statements: list[str], name: str, says: str) -> None:
    year(world)
    tamper(world.path, *statements)
    health = check(world.path)
    assert not health.sound
    assert any(kind == name and says in what for kind, what in told(health)), told(health)


def test_many_faults_of_one_kind_are_counted(world: World) -> None:
    world.scan({(site(n).key, "tls", HTTPS): tls(f"{n}") for n in range(SHOWN + 7)})
    tamper(world.path, "UPDATE blob SET data = x'00000000'")
    health = check(world.path)
    assert len(health.faults) == SHOWN
    assert health.more == {"blobs": 7}


def test_damaged_pages_are_found_wherever_they_are(world: World) -> None:
    world.scan({(site(n).key, "tls", HTTPS): tls(f"{n}" * 90) for n in range(100)})
    whole = world.path.read_bytes()
    for page in range(1, len(whole) // 4096, 7):
        world.path.write_bytes(whole[: page * 4096] + bytes(4096) + whole[(page + 1) * 4096 :])
        assert not check(world.path).sound, f"page {page}"
    world.path.write_bytes(whole[: len(whole) // 2])
    assert not check(world.path).sound
    world.path.write_bytes(whole)
    assert check(world.path).sound


def test_a_schema_that_cannot_be_read_is_a_fault_and_no_crash(world: World) -> None:
    year(world)
    data = bytearray(world.path.read_bytes())
    data[100:4096] = bytes(3996)  # the first page holds the schema's root
    world.path.write_bytes(data)
    health = check(world.path)
    assert [kind for kind, _ in told(health)] == ["file"]
    assert health.schema == 0


def test_checking_changes_nothing_and_takes_no_lock(world: World) -> None:
    year(world)
    before = world.path.read_bytes()
    with world.open() as store:
        run = store.begin(world.start(day("six")))
        run.settle(SITE, "tls", HTTPS, tls("six"))
        assert check(world.path).sound
        run.settle(OTHER, "tls", HTTPS, tls("seven"))
    other = world.path.with_name("other.db")
    other.write_bytes(before)
    other.chmod(0o400)
    check(other)
    assert other.read_bytes() == before


def test_a_log_that_a_read_only_medium_hides_is_a_fault(world: World, readonly: Path) -> None:
    with world.open() as store:
        world.scan(day("one"), store=store)
        for name in ("posture.db", "posture.db-wal"):
            (readonly / name).write_bytes(world.path.with_name(name).read_bytes())
    with closing(sqlite3.connect(readonly / "posture.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint")
        (readonly / "kept").write_bytes((readonly / "posture.db-wal").read_bytes())
    (readonly / "kept").rename(readonly / "posture.db-wal")
    subprocess.run(["mount", "-o", "remount,ro", str(readonly)], check=True)
    assert told(check(readonly / "posture.db"))[0] == (
        "file",
        "posture.db-wal lies beside it and cannot be read here: copy both to a disk that can be written",
    )
