"""``posture verify`` of a history and of an export, and ``keys rotate``, as typed."""

from __future__ import annotations

import re
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from posture.keys import key_path, load_key, make_key
from posture.ledger.log import checkpoints
from posture.schemas import schema
from tests.cli.conftest import Scanned
from tests.cli.line import posture
from tests.cli.test_terminal import Terminal
from tests.ledger.town import Parcel, tampered, town
from tests.store import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    return town(tmp_path)


def parcel_of(world: World, path: Path, **changes: bytes) -> Path:
    names = ("records.jsonl", "proof.json", "checkpoint.txt", "key.pub")
    files = dict(zip(names, Parcel(world).files(), strict=True)) | {
        name.replace("_", "."): v for name, v in changes.items()
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_a_scanned_history_is_verified_with_its_trail(scanned: Scanned) -> None:
    fingerprint = re.search(r"SHA256:\S+", scanned.ask("keys", "show").out)
    assert fingerprint
    said = scanned.ask("verify", "--db", "--key", fingerprint[0])

    assert said.code == 0, said.out
    assert "verified; signed by that key." in said.out
    assert re.search(r"^  runs +3, every one in the ledger$", said.out, re.MULTILINE)
    assert re.search(r"^  trail +saw 3 entries, and they are here$", said.out, re.MULTILINE)


@pytest.mark.parametrize(
    "words",
    [["verify", "--db"], ["verify", "--db", "town.db"], ["--db", "town.db", "verify"], ["verify", "--db", "-q"]],
)
def test_the_ways_to_name_a_history(words: list[str], world: World) -> None:
    world.path.with_name("posture.db").symlink_to(world.path)
    said = posture(*words)

    assert (said.code, said.err) == (0, "")
    assert "consistent; signer not checked." in said.out
    assert "give it here: --key." in said.out


def test_a_changed_finding_is_1_and_named(world: World) -> None:
    tampered(world, "UPDATE verdict SET said = said % 8 WHERE said / 8 = 2")
    said = posture("verify", "--db", "town.db")

    assert said.code == 1
    assert "town.db does not verify:" in said.out
    assert re.search(r"  run R-\S+, ministry finance: record \d+ \(finding www0", said.out)
    assert "evidence" in said.out


def test_changed_evidence_is_1_and_named(world: World) -> None:
    tampered(world, "UPDATE blob SET data = (SELECT data FROM blob ORDER BY id DESC LIMIT 1) WHERE id = 1")
    said = posture("verify", "--db", "town.db")

    assert said.code == 1
    assert re.search(r"facts sha256:[0-9a-f]{64} are not the bytes of that name", said.out)


def test_a_checkpoint_from_a_footer(world: World) -> None:
    with world.open(write=False) as store:
        note = checkpoints(store.connection)[1].note
    kept = Path("kept.txt")
    kept.write_text(f"\n{note}\n", "utf-8")
    said = posture("verify", "--db", "town.db", "--checkpoint", kept)
    assert (said.code, "the checkpoint over 2 entries is a beginning of this ledger" in said.out) == (0, True)

    kept.write_text(note.replace("\n2\n", "\n3\n"), "utf-8")
    said = posture("verify", "--db", "town.db", "--checkpoint", kept)
    assert (said.code, "older history was rewritten" in said.out) == (1, True)


def test_an_older_database_has_nothing_signed_yet(world: World) -> None:
    tampered(world, "DELETE FROM leaf", "DELETE FROM checkpoint", "DELETE FROM log_entry")
    said = posture("verify", "--db", "town.db")

    assert said.code == 0
    assert "nothing is signed yet: 5 runs wait for the next scan" in said.out


def test_an_export_on_another_machine(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parcel_of(world, tmp_path / "finance.zip")
    assert world.key
    away = tmp_path / "away"
    away.mkdir()
    (tmp_path / "finance.zip").rename(away / "finance.zip")
    monkeypatch.chdir(away)
    said = posture("verify", "finance.zip", "--key", world.key.public.fingerprint)

    assert said.code == 0, said.out
    assert "verified; signed by that key." in said.out
    assert re.search(r"^  runs +5 \(R-\S+ to R-\S+\), none missing between them$", said.out, re.MULTILINE)
    assert list(away.iterdir()) == [away / "finance.zip"]
    assert posture("verify", "finance.zip", "--key", make_key(away / "k").public.fingerprint).code == 1


def test_an_edited_export_is_1(world: World, tmp_path: Path) -> None:
    records = Parcel(world).files()[0]
    path = parcel_of(world, tmp_path / "x.zip", records_jsonl=records.replace(b'"outcome":"fail"', b'"outcome":"pass"'))
    said = posture("verify", path)

    assert said.code == 1
    assert re.search(r"  line \d+ \(finding www0\.finance\.gov\.example t\.cert .*\) is not what was signed", said.out)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "no whole zip"), (b"PK\x03\x04" + bytes(40), "no whole zip"), (None, "cannot be read: No such file")],
)
def test_what_is_no_export_is_2(content: bytes | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    if content is not None:
        path.write_bytes(content)
    said = posture("verify", path)

    assert (said.code, said.out) == (2, "")
    assert words in said.err


def test_a_zip_without_a_proof_is_2(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("records.jsonl", "{}")
    said = posture("verify", tmp_path / "x.zip")

    assert said.code == 2
    assert "posture export --proof --out FILE.zip" in said.err


@pytest.mark.parametrize(
    "words",
    [
        ["verify", "x.zip", "--audit", "y"],
        ["verify", "--db", "town.db", "--audit", "y"],
        ["verify", "x.zip", "--checkpoint", "y"],
        ["verify", "--db", "town.db", "--checkpoint", "nosuch"],
        ["verify", "--db", "nosuch.db"],
        ["verify", "--db", "town.db", "--key", "x"],
    ],
)
def test_usage(words: list[str], world: World) -> None:
    said = posture(*words)

    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("posture: ")


# ---- the key


def test_rotate_hands_over_and_everything_still_verifies(world: World) -> None:
    old = load_key(key_path(world.path)).public
    said = posture("keys", "rotate", "--db", "town.db")
    new = load_key(key_path(world.path)).public
    world.key = load_key(key_path(world.path))
    world.scan({})

    assert said.code == 0
    assert said.out.startswith(f"former       {old.fingerprint}\nkept in      ")
    assert f"\nfingerprint  {new.fingerprint}\n" in said.out
    assert "recorded in the ledger" in said.err
    for key in (old, new):
        assert posture("verify", "--db", "town.db", "--key", key.fingerprint).code == 0
    assert f"before       {old.fingerprint}" in posture("keys", "show", "--db", "town.db").out
    assert not list(world.path.parent.glob("*.new"))


def test_a_backup_from_before_is_gone_on_with_by_the_former_key(world: World) -> None:
    """Which therefore outlives the change, readable by its owner alone."""
    before, path = world.path.read_bytes(), key_path(world.path)
    assert posture("keys", "rotate", "--db", "town.db").code == 0
    (archive,) = path.parent.glob(path.name + ".*")
    world.path.write_bytes(before)
    archive.replace(path)

    world.key = load_key(path)  # refuses a key that others may read
    world.scan({})
    assert posture("verify", "--db", "town.db", "--key", world.key.public.fingerprint).code == 0


def test_a_rotation_that_was_killed_is_finished_by_the_next_one(world: World) -> None:
    """Killed after the ledger was told and before the new key stood in its place."""
    from posture.ledger.log import rotate
    from tests.store import T0

    path = key_path(world.path)
    waiting = make_key(path.with_name(path.name + ".new"))
    with world.open() as store, store.writing():
        rotate(store, load_key(path), waiting, T0)
    said = posture("keys", "rotate", "--db", "town.db")

    assert said.code == 0
    assert load_key(path).public == waiting.public
    assert posture("verify", "--db", "town.db").code == 0
    with closing(sqlite3.connect(world.path)) as connection:
        assert connection.execute("SELECT count(*) FROM log_entry WHERE kind = 'rotation'").fetchone() == (1,)


def test_only_the_ledgers_own_key_can_hand_over(world: World) -> None:
    key_path(world.path).unlink()
    make_key(key_path(world.path))
    said = posture("keys", "rotate", "--db", "town.db")

    assert said.code == 2
    assert "only that key can hand over" in said.err


def test_without_a_history_there_is_nothing_to_hand_over(tmp_path: Path) -> None:
    make_key(tmp_path / "none.db.key")
    said = posture("keys", "rotate", "--db", tmp_path / "none.db")

    assert said.code == 2
    assert "has signed nothing yet" in said.err


def test_the_checkpoint_stands_in_the_scorecard(scanned: Scanned, tmp_path: Path) -> None:
    assert '"checkpoint"' in schema("scorecard")
    for form in ("html", "md", "json"):
        assert scanned.ask("scorecard", "--out", tmp_path / form, "--format", form).code == 0
    with closing(sqlite3.connect(scanned.folder / "posture.db")) as connection:
        (root,) = connection.execute("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1").fetchone()
    wanted = root.split("\n")[2]
    for form in ("html", "md", "json"):
        texts = [
            path.read_text("utf-8") for path in (tmp_path / form).iterdir() if path.suffix in (".html", ".md", ".json")
        ]
        assert texts
        assert all(wanted.replace("+", "&#43;") in text or wanted in text for text in texts)


def test_at_a_terminal_runs_are_counted_and_the_line_goes_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Terminal()
    monkeypatch.setattr("sys.stderr", watched)
    assert posture("verify", "--db", "town.db").code == 0
    line = watched.getvalue()
    assert "\r\x1b[Kchecking: 1 of 5 runs" in line
    assert line.endswith("\r\x1b[K")

    watched.seek(0)
    watched.truncate()
    assert posture("verify", "--db", "town.db", "-q").code == 0
    assert watched.getvalue() == ""


# ---- as JSON


def test_each_kind_of_evidence_says_as_json_that_it_holds(scanned: Scanned, tmp_path: Path) -> None:
    fingerprint = re.findall(r"SHA256:\S+", scanned.ask("keys", "show").out)[0]
    made = scanned.ask("export", "--ministry", "finance", "--proof", "--out", tmp_path / "e.zip")
    assert made.code == 0, made.err
    ways = {
        "history": scanned.ask("verify", "--db", "--format", "json"),
        "export": posture("verify", tmp_path / "e.zip", "--format", "json", "--key", fingerprint),
        "audit": posture("verify", "--audit", f"{scanned.db}.audit.jsonl", "--format", "json"),
    }

    for what, said in ways.items():
        found = said.document
        assert (said.code, said.err, found["what"], found["holds"], found["faults"]) == (0, "", what, True, [])
        assert found["signed_by"] == [fingerprint]
        assert found["signer"] == (fingerprint if what == "export" else None)
        assert found["runs"] == 3
        assert found["records"] > 3
        assert (found["ledger"] is None) is (what == "audit")
    assert ways["history"].document["ledger"] == ways["export"].document["ledger"]


def test_what_fails_is_named_in_json_and_1(world: World, tmp_path: Path) -> None:
    records = Parcel(world).files()[0]
    path = parcel_of(world, tmp_path / "x.zip", records_jsonl=records.replace(b'"outcome":"fail"', b'"outcome":"pass"'))
    tampered(world, "UPDATE verdict SET said = said % 8 WHERE said / 8 = 2")

    for words, named in (("--db", "ministry finance: record"), (path, "is not what was signed")):
        said = posture("verify", words, "--format", "json", "--db", "town.db") if words == "--db" else None
        said = said or posture("verify", words, "--format", "json")
        assert said.code == 1
        assert said.document["holds"] is False
        assert any(named in fault for fault in said.document["faults"])


def test_a_history_without_a_ledger_holds_and_is_signed_by_nobody(world: World) -> None:
    tampered(world, "DELETE FROM leaf", "DELETE FROM checkpoint", "DELETE FROM log_entry")
    found = posture("verify", "--db", "town.db", "--format", "json").document

    assert (found["holds"], found["signed_by"], found["ledger"], found["checkpoints"]) == (True, [], None, 0)


def test_there_is_no_other_format(world: World) -> None:
    said = posture("verify", "--db", "town.db", "--format", "csv")

    assert (said.code, said.out) == (2, "")
    assert "Choose table or json." in said.err
