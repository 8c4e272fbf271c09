"""verify of a history: whole ones hold, and each kind of tampering is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from posture.errors import ConfigurationError
from posture.keys import make_key
from posture.ledger.check import blobs_changed
from posture.ledger.log import checkpoints, key_of, must_go_on_with, rotate, seal
from posture.ledger.note import open_note
from tests.ledger.town import ENTRIES, checked, day, runs_of, tampered, town
from tests.ledger.town import key_of as signer_of
from tests.store import T0, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return town(tmp_path)


def faults(world: World, **options: object) -> str:
    return "\n".join(checked(world, **options).faults)


def note(world: World, size: int) -> str:
    with world.open(write=False) as store:
        return next(each.note for each in checkpoints(store.connection) if each.size == size)


def test_a_whole_history_holds(world: World) -> None:
    found = checked(world, signer=signer_of(world).public.fingerprint)

    assert found.faults == []
    assert (found.entries, found.runs, found.checkpoints, found.unsigned) == (5, 5, 5, [])
    assert found.records > 20
    assert found.keys == [signer_of(world).public]


def test_each_kept_checkpoint_is_a_beginning_of_the_ledger(world: World) -> None:
    for size in range(1, 6):
        assert faults(world, kept=open_note(note(world, size))) == ""


def test_another_signer_is_named(world: World, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other").public.fingerprint

    assert f"not by {other}" in faults(world, signer=other)


# ---- the five kinds of tampering, and more


def test_an_edited_leaf(world: World) -> None:
    run = runs_of(world)[1]
    tampered(world, f"UPDATE leaf SET salt = zeroblob(16) WHERE ministry = 'finance' AND run_id = {run.number}")

    assert f"run {run.id}, ministry finance: its leaf was changed" in faults(world)


def test_a_removed_leaf(world: World) -> None:
    run = runs_of(world)[1]
    tampered(world, f"DELETE FROM leaf WHERE ministry = 'health' AND run_id = {run.number}")

    assert f"run {run.id}, ministry health: its leaf is missing" in faults(world)


def test_an_edited_finding_is_named_by_ministry_run_and_record(world: World) -> None:
    run = runs_of(world)[1]
    tampered(world, f"UPDATE verdict SET said = said % 8 WHERE said / 8 = 2 AND from_run = {run.number}")
    said = faults(world)

    assert f"run {run.id}, ministry finance: record" in said
    assert "(finding www0.finance.gov.example t.cert 198.51.100.7:443/tcp) is not what was signed" in said
    assert "health" not in said


def test_an_interval_that_was_made_longer(world: World) -> None:
    fixed = runs_of(world)[3]
    tampered(world, f"UPDATE verdict SET from_run = from_run + 1 WHERE from_run = {fixed.number}")

    assert f"run {fixed.id}, ministry finance: " in faults(world)


def test_a_run_that_was_dropped_from_history_and_ledger(world: World) -> None:
    run = runs_of(world)[2]
    tampered(
        world,
        *(
            f"DELETE FROM {table} WHERE run_id = {run.number}"
            for table in ("leaf", "log_entry", "coverage_row", "judged_row")
        ),
        f"DELETE FROM run WHERE id = {run.number}",
    )

    assert "entry 2 is missing from the ledger: a run was dropped" in faults(world)


def test_a_run_that_was_dropped_and_the_ledger_renumbered(world: World) -> None:
    run = runs_of(world)[2]
    tampered(
        world,
        f"DELETE FROM log_entry WHERE run_id = {run.number}",
        "UPDATE log_entry SET place = place - 1 WHERE place > 2",
    )
    said = faults(world)

    assert "does not fit: the entries before it were changed, swapped or dropped" in said
    assert f"run {run.id} is in the history, but the ledger has no entry of it" in said


def test_a_run_that_is_in_the_ledger_only(world: World) -> None:
    run = runs_of(world)[0]
    tampered(world, f"DELETE FROM run WHERE id = {run.number}")

    assert f"run {run.id} is in the ledger (entry 0), but not in the history: it was dropped" in faults(world)


def test_swapped_runs(world: World) -> None:
    tampered(
        world,
        "UPDATE log_entry SET place = 99 WHERE place = 1",
        "UPDATE log_entry SET place = 1 WHERE place = 2",
        "UPDATE log_entry SET place = 2 WHERE place = 99",
    )

    assert "the checkpoint over 2 entries does not fit" in faults(world)


def test_entries_under_each_others_runs(world: World) -> None:
    first, second = runs_of(world)[1:3]
    tampered(
        world,
        f"UPDATE log_entry SET run_id = 99 WHERE run_id = {first.number}",
        f"UPDATE log_entry SET run_id = {first.number} WHERE run_id = {second.number}",
        f"UPDATE log_entry SET run_id = {second.number} WHERE run_id = 99",
    )

    assert f"speaks of run {first.id}, but stands under another: runs were swapped" in faults(world)


def test_a_cut_tail_is_known_from_a_kept_checkpoint_and_from_the_trail(world: World) -> None:
    kept, last = open_note(note(world, 5)), runs_of(world)[-1]
    with world.open(write=False) as store:
        reached = (5, checkpoints(store.connection)[-1].root.hex())
    tampered(
        world,
        "DELETE FROM log_entry WHERE place = 4",
        "DELETE FROM checkpoint WHERE size = 5",
        *(f"DELETE FROM {table} WHERE run_id = {last.number}" for table in ("leaf", "coverage_row", "judged_row")),
        f"DELETE FROM run WHERE id = {last.number}",
    )

    assert faults(world) == ""  # by itself it cannot know
    assert "the kept checkpoint signs 5 entries, but the ledger has 4: its end was cut off" in faults(world, kept=kept)
    assert "the audit trail saw a ledger of 5 entries, but it has 4: its end was cut off" in faults(
        world, reached=reached
    )


def test_a_checkpoint_that_is_left_of_a_cut_tail(world: World) -> None:
    tampered(world, "DELETE FROM log_entry WHERE place = 4")

    assert "a checkpoint signs 5 entries, but the ledger has 4: its end was cut off" in faults(world)


def test_a_history_forged_with_the_key_fails_against_a_kept_checkpoint(world: World, tmp_path: Path) -> None:
    """Whoever has the machine and the key can make another past; not one that others have seen signed."""
    kept = open_note(note(world, 3))
    forged = World(tmp_path / "forged.db", key=signer_of(world))
    for _ in range(5):
        forged.scan(day("good"), ENTRIES)

    assert faults(forged) == ""
    said = faults(forged, kept=kept)
    assert "the kept checkpoint is of another ledger" in said or "older history was rewritten" in said


def test_older_history_rewritten_under_the_same_origin(world: World) -> None:
    kept = open_note(note(world, 3))
    run = runs_of(world)[1]
    tampered(
        world,
        f"UPDATE verdict SET said = said % 8 WHERE said / 8 = 2 AND from_run = {run.number}",
        "DELETE FROM checkpoint",
        "DELETE FROM log_entry WHERE place > 0",
        f"DELETE FROM leaf WHERE run_id > {runs_of(world)[0].number}",
    )
    with world.open() as store, store.writing():
        seal(store, signer_of(world), T0)

    assert faults(world) == ""  # a liar with the key
    assert "older history was rewritten" in faults(world, kept=kept)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE run SET tool = 'other' WHERE id = 2", "its tool was changed"),
        ("UPDATE run SET state = 'partial' WHERE id = 2", "its state was changed"),
        ("UPDATE run SET started_at = '2020-01-01T00:00:00Z' WHERE id = 2", "is not what was signed"),
        ("UPDATE checkpoint SET root = zeroblob(32) WHERE size = 2", "was changed: its note says something else"),
        ("UPDATE checkpoint SET note = 'x' WHERE size = 2", "cannot be read"),
        ("DELETE FROM checkpoint WHERE size = 5", "no checkpoint signs the ledger beyond entry 3"),
        ("UPDATE log_entry SET body = x'00' WHERE place = 2", "entry 2 cannot be read"),
        ("UPDATE log_entry SET hash = zeroblob(32) WHERE place = 2", "entry 2 (run"),
        ("UPDATE coverage_row SET answered = targeted WHERE run_id = 5", "is not what was signed"),
        ("UPDATE declaration SET ministry_id = 3 - ministry_id WHERE asset_id = 1", "is not what was signed"),
        ("UPDATE verdict SET event = NULL WHERE from_run = 2", "records that it had are gone"),
    ],
)
def test_whatever_is_changed_is_named(change: str, words: str, world: World) -> None:
    tampered(world, change)

    assert words in faults(world)


def test_facts_whose_bytes_were_changed(world: World) -> None:
    with world.open(write=False) as store:
        assert list(blobs_changed(store.connection)) == []
    tampered(world, "UPDATE blob SET data = (SELECT data FROM blob ORDER BY id DESC LIMIT 1) WHERE id = 1")
    with world.open(write=False) as store:
        assert len(list(blobs_changed(store.connection))) == 1


# ---- how it grows


def test_runs_that_nobody_signed_are_entered_late_with_the_next_one(tmp_path: Path) -> None:
    world = World(tmp_path / "late.db")
    for name in ("good", "bad"):
        world.scan(day(name), ENTRIES)
    assert checked(world).unsigned == [run.id for run in runs_of(world)]
    assert checked(world).faults == []

    world.key = make_key(tmp_path / "key")
    world.scan(day("good"), ENTRIES)
    found = checked(world)

    assert (found.faults, found.entries, found.checkpoints) == ([], 3, 1)


def test_a_run_that_was_not_finished_is_sealed_too(world: World) -> None:
    for state in ("partial", "stopped", "quarantined"):
        world.scan(day("bad"), ENTRIES, state=state)
    found = checked(world)

    assert (found.faults, found.entries) == ([], 8)


def test_vantages_do_not_disturb_each_others_records(world: World) -> None:
    world.scan(day("bad"), ENTRIES, vantage="abroad")
    world.scan(day("bad"), ENTRIES)
    world.scan(day("good"), ENTRIES, vantage="abroad")

    assert checked(world).faults == []


def test_an_asset_that_changes_its_ministry_and_one_that_leaves(world: World) -> None:
    from tests.store import HTTPS, SITE, site, tls

    world.scan(day("bad"), (site(0, "health"), ENTRIES[1]))
    world.scan({(SITE, "tls", HTTPS): tls("good")}, (site(0, "health"),))
    world.scan(day("bad"), ENTRIES)

    assert checked(world).faults == []


def test_a_change_of_the_key_is_signed_by_both(world: World, tmp_path: Path) -> None:
    old, new = signer_of(world), make_key(tmp_path / "new.key")
    with world.open() as store, store.writing():
        rotate(store, old, new, T0)
    with world.open(write=False) as store:
        assert key_of(store.connection) == new.public
        with pytest.raises(ConfigurationError, match="posture keys rotate"):
            must_go_on_with(store, old)
    world.key = new
    world.scan(day("good"), ENTRIES)
    found = checked(world, signer=old.public.fingerprint)

    assert (found.faults, found.entries) == ([], 7)
    assert found.keys == [old.public, new.public]
    assert checked(world, signer=new.public.fingerprint).faults == []


def test_a_key_that_nobody_handed_over_to(world: World, tmp_path: Path) -> None:
    thief = make_key(tmp_path / "thief")
    world.key = thief
    world.scan(day("good"), ENTRIES)

    assert f"goes by the key {thief.public.fingerprint}, but the log's key then was" in faults(world)


def test_a_succession_that_the_old_key_did_not_sign(world: World, tmp_path: Path) -> None:
    thief, new = make_key(tmp_path / "thief"), make_key(tmp_path / "new")

    class Pretender:
        public = signer_of(world).public
        sign = staticmethod(thief.sign)

    with world.open() as store, store.writing():
        rotate(store, Pretender(), new, T0)

    assert "(the change of the key) is not signed by both keys" in faults(world)
