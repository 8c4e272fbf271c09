"""Writing: before the packet, one record a call, on disk when promised; a trail that cannot be written stops all."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from posture.audit import AuditTrail, Head
from posture.audit import trail as module
from posture.errors import AuditError, StoreError
from posture.keys import make_key
from posture.net.decisions import Closing
from posture.stop import Order, Orders
from tests.audit import RUN, Desk, decision, start
from tests.net.desk import AT

CLOSING = Closing(AT, "closed", 1, 2)


def test_a_scan_leaves_its_records_in_order(desk: Desk) -> None:
    with desk.scan() as trail:
        first = trail.decided(decision())
        second = trail.decided(decision(allowed=False))
        trail.closed(first, CLOSING)

    assert (first, second) == (3, 4)
    assert desk.kinds() == ["start", "endpoint", "decision", "decision", "close", "end", "checkpoint"]
    begin, endpoint, _, _, close, end, _ = desk.records
    assert begin["authorisations"] == [
        {"id": "lc-2026-001", "sha256": "ab" * 32, "sequence": 3, "signers": ["ps-finance"],
         "owner": "Ministry of Finance", "reference": "Letter MF/ICT/2026/41"}
    ]  # fmt: skip
    assert (begin["run"], begin["user"], begin["uid"], "previous" in begin) == (RUN, "scanner", 1000, False)
    assert (endpoint["purpose"], endpoint["address"], endpoint["port"]) == ("resolver", "192.0.2.53", 53)
    assert (close["of"], close["end"], close["sent"], close["received"]) == (3, "closed", 1, 2)
    assert end["state"] == "complete"


def test_the_record_is_in_the_file_before_anything_could_be_sent(desk: Desk) -> None:
    with desk.scan() as trail:
        before = len(desk.lines)
        trail.decided(decision())

        assert len(desk.lines) == before + 1


def test_the_file_is_its_owners_alone_and_appended_to(desk: Desk) -> None:
    with desk.scan() as trail:
        flags = fcntl.fcntl(trail._file, fcntl.F_GETFL)

    assert flags & os.O_APPEND
    assert stat.S_IMODE(desk.path.stat().st_mode) == 0o600


def test_an_endpoint_is_on_record_once_a_run(desk: Desk) -> None:
    with desk.scan() as trail:
        for _ in range(3):
            trail.endpoint("canary", "mx.cert.test", "192.0.2.25", 25, "tcp")

    assert desk.kinds().count("endpoint") == 2


def test_checkpoints_come_with_every_thousandth_record_and_are_forced_to_disk(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced: list[int] = []
    real = os.fsync

    def noted(file: int) -> None:
        forced.append(file)
        real(file)

    monkeypatch.setattr(os, "fsync", noted)
    with desk.scan() as trail:
        desk.ask(trail, 1100)
        file = trail._file
    signed = [record["seq"] for record in desk.records if record["kind"] == "checkpoint"]

    assert signed == [1001, 2002, 2206]
    assert forced[-3:] == [file, file, file]
    assert [head.seq for head in desk.remembered] == signed
    assert desk.survey().checkpoints == 3


def test_a_checkpoint_comes_after_five_minutes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with desk.scan() as trail:
        desk.ask(trail)
        assert "checkpoint" not in desk.kinds()
        monkeypatch.setattr(trail, "_signed_at", trail._signed_at - module.CHECKPOINT_SECONDS)
        desk.ask(trail)

        assert desk.kinds().count("checkpoint") == 1


def test_each_order_of_the_kill_switch_that_a_run_meets_is_on_record_once(desk: Desk) -> None:
    given: list[Order] = []
    with desk.scan(orders=lambda: Orders(tuple(given))) as trail:
        desk.ask(trail)
        given.append(Order("complaint", "ps", AT, address="198.51.100.7"))
        desk.ask(trail, 2)
    (order,) = [record for record in desk.records if record["kind"] == "order"]

    assert (order["reason"], order["by"], order["address"]) == ("complaint", "ps", "198.51.100.7")
    assert order["given_at"] == "2026-11-24T12:00:00.000Z"
    assert order["seq"] == 5


def test_the_next_scan_goes_on_in_the_same_chain(desk: Desk) -> None:
    for run in ("R-1", "R-2", "R-3"):
        with desk.scan(run) as trail:
            desk.ask(trail, 2)
    found = desk.survey()

    assert found.runs == ["R-1", "R-2", "R-3"]
    assert (found.records, found.allowed, found.open) == (24, 6, 0)


# ---- who may not scan


@pytest.mark.parametrize(
    ("change", "record"),
    [
        (lambda lines: lines.__setitem__(3, lines[3].replace(b"closed", b"dosed.")), 4),
        (lambda lines: lines.pop(2), 3),
        (lambda lines: lines.insert(2, lines[2]), 4),
        (lambda lines: lines.__setitem__(slice(2, 4), [lines[3], lines[2]]), 3),
        (lambda lines: lines.insert(2, b"a note in between\n"), 3),
        (lambda lines: lines.append(b"a note at the end\n"), 9),
        (lambda lines: lines.pop(), 7),
        (lambda lines: lines.clear(), 1),
    ],
    ids=["edited", "deleted", "doubled", "swapped", "inserted", "appended", "cut", "emptied"],
)
def test_a_trail_that_was_changed_refuses_every_scan(desk: Desk, change: object, record: int) -> None:
    with desk.scan() as trail:
        desk.ask(trail, 2)
    assert len(desk.lines) == 8
    desk.rewrite(change)  # type: ignore[arg-type]
    evidence = desk.path.read_bytes()

    with pytest.raises(AuditError) as caught:
        desk.open()
    text = str(caught.value)
    assert f" record {record} (line " in text
    assert text.startswith("E-AUDIT-001 ")
    assert "Nothing was sent." in text
    assert f"posture verify --audit {desk.path}" in text
    assert caught.value.exit_code == 4
    assert desk.path.read_bytes() == evidence


def test_a_trail_replaced_by_another_true_one_is_found(desk: Desk, tmp_path: Path) -> None:
    with desk.scan() as trail:
        desk.ask(trail, 2)
    other = Desk(tmp_path / "other" / "posture.db")
    other.database.parent.mkdir()
    with other.scan(key=desk.key) as trail:
        other.ask(trail, 5)
    other.path.replace(desk.path)

    with pytest.raises(AuditError, match="is another than the one that the database remembers"):
        desk.open()


def test_a_trail_that_was_made_anew_with_another_key_is_found(desk: Desk, tmp_path: Path) -> None:
    """Also where the database remembers nothing."""
    with desk.scan(key=make_key(tmp_path / "stolen.key")):
        pass

    with pytest.raises(AuditError, match=r"signed by SHA256:\S+, not by the operator's key"):
        desk.open(remembered=None)


def test_one_process_writes_at_a_time(desk: Desk) -> None:
    with desk.scan(), pytest.raises(AuditError, match="another process writes it"):
        desk.open()


def test_a_link_is_not_followed(desk: Desk, tmp_path: Path) -> None:
    desk.path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(AuditError, match="cannot be written"):
        desk.open()
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_is_not_there(tmp_path: Path, desk: Desk) -> None:
    lost = replace(desk, database=tmp_path / "nosuch" / "posture.db")

    with pytest.raises(AuditError, match="cannot be written: No such file") as caught:
        lost.open(key=desk.key)
    assert caught.value.exit_code == 4


# ---- moved away on purpose


def test_a_new_trail_names_where_the_old_one_stood(desk: Desk) -> None:
    with desk.scan("R-1") as trail:
        desk.ask(trail, 2)
    old = desk.remembered[-1]
    kept = desk.path.rename(desk.path.with_name("kept"))
    with desk.scan("R-2") as trail:
        desk.ask(trail)
    begin = desk.records[0]

    assert begin["previous"] == {"seq": old.seq, "hash": old.hash}
    assert begin["seq"] == old.seq + 1
    found = desk.survey(remembered=desk.remembered[-1])
    assert (found.before, found.records) == (old, 6)
    assert desk.survey(remembered=old).runs == ["R-2"]
    # Both files together are one chain.
    desk.path.write_bytes(kept.read_bytes() + desk.path.read_bytes())
    assert desk.survey(remembered=desk.remembered[-1]).runs == ["R-1", "R-2"]


def test_the_old_trail_in_the_place_of_the_new_one_is_found(desk: Desk) -> None:
    with desk.scan("R-1"):
        pass
    old = desk.path.rename(desk.path.with_name("kept"))
    with desk.scan("R-2"):
        pass
    old.replace(desk.path)

    with pytest.raises(AuditError, match="the end was cut off"):
        desk.open()


def test_a_database_from_a_backup_does_not_know_the_new_trail(desk: Desk) -> None:
    with desk.scan("R-1"):
        pass
    backup = list(desk.remembered)
    with desk.scan("R-2"):
        pass
    desk.path.unlink()
    with desk.scan("R-3"):
        pass
    desk.remembered = backup

    with pytest.raises(AuditError, match="is the first, but the database remembers record"):
        desk.open()


# ---- crashes


def test_a_torn_last_line_is_kept_and_named(desk: Desk) -> None:
    with desk.scan("R-1") as trail:
        desk.ask(trail)
    with desk.path.open("ab") as file:
        file.write(b'{"seq":7,"at":"2026-11-24T12')
    torn = desk.path.read_bytes()
    assert desk.survey().loose == b'{"seq":7,"at":"2026-11-24T12'
    with desk.scan("R-2") as trail:
        desk.ask(trail)

    assert desk.path.read_bytes().startswith(torn + b"\n")
    found = desk.survey(remembered=desk.remembered[-1])
    assert (found.tears, found.runs, found.loose) == (1, ["R-1", "R-2"], b"")


def test_torn_again_while_that_was_being_written(desk: Desk) -> None:
    with desk.scan("R-1"):
        pass
    with desk.path.open("ab") as file:
        file.write(b'{"seq":5,"at\n{"seq":5,"at":"2026-11-24T12:00:00.000Z","kind":"to')
    with desk.scan("R-2"):
        pass

    assert desk.survey().tears == 1


def test_a_last_record_that_only_lacks_its_end_of_line_is_whole(desk: Desk) -> None:
    with desk.scan("R-1"):
        pass
    desk.path.write_bytes(desk.path.read_bytes()[:-1])
    assert desk.survey().unended
    with desk.scan("R-2"):
        pass

    assert desk.survey(remembered=desk.remembered[-1]).records == 8
    assert "torn" not in desk.kinds()


def test_a_torn_line_of_which_a_byte_was_changed_later(desk: Desk) -> None:
    with desk.scan("R-1"):
        pass
    with desk.path.open("ab") as file:
        file.write(b'{"seq":5,"at')
    with desk.scan("R-2"):
        pass
    desk.rewrite(lambda lines: lines.__setitem__(4, lines[4].replace(b"at", b"it")))

    with pytest.raises(AuditError, match=r"record 5 \(line 5\) is no record"):
        desk.open()


WRITER = """
import sys
from pathlib import Path
from tests.audit import Desk, decision, start
desk = Desk(Path(sys.argv[1]))
trail = desk.open()
trail.start(start())
while True:
    desk.ask(trail)
    trail.decided(decision(desk.tick()))
    print(trail.head.seq, flush=True)
"""


def test_killed_at_any_moment_the_trail_verifies_and_lacks_nothing_that_was_sent(desk: Desk) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'src'}"}
    for kill in range(5):
        command = [sys.executable, "-c", WRITER, str(desk.database)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
            assert process.stdout
            said = [process.stdout.readline() for _ in range(50 + 300 * kill)]
            process.send_signal(signal.SIGKILL)
            said += [line for line in process.stdout if line.endswith("\n")]
        acknowledged = int(said[-1])
        found = desk.survey()
        assert found.head.seq >= acknowledged >= 150
    with desk.scan("R-last"):
        pass

    found = desk.survey(signer=desk.key.public.fingerprint)
    assert len(found.runs) == 6
    assert found.open > 0


# ---- disks that fill, files that vanish


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes: what a full disk does, without filling one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_room_at_all_sends_nothing(desk: Desk) -> None:
    with desk.scan():
        pass
    with room(desk.path.stat().st_size):
        trail = desk.open()
        with pytest.raises(AuditError, match=r"cannot be written: .*\. Nothing was sent") as caught:
            trail.start(start())
        trail.close()

    assert caught.value.exit_code == 4
    assert desk.survey().loose == b""


def test_no_room_for_a_first_trail_leaves_none(desk: Desk) -> None:
    key = desk.key
    with room(0):
        trail = desk.open(key=key)
        with pytest.raises(AuditError):
            trail.start(start())
        trail.close()

    assert not desk.path.exists()


@pytest.mark.parametrize("spare", range(0, 900, 97))
def test_room_that_ends_in_mid_run_ends_everything(desk: Desk, spare: int) -> None:
    """Wherever it ends: after that nothing is decided, closings raise nothing, and the next scan can begin."""
    trail = desk.open()
    trail.start(start())
    record = trail.decided(decision())

    def go_on() -> None:
        nonlocal record
        for _ in range(10):
            trail.closed(record, CLOSING)
            record = trail.decided(decision())

    with room(desk.path.stat().st_size + spare), pytest.raises(AuditError) as caught:
        go_on()
    for last in (lambda: trail.decided(decision()), lambda: trail.end("complete"), trail.checkpoint):
        with pytest.raises(AuditError):
            last()
    trail.closed(record, CLOSING)
    trail.close()

    assert caught.value.exit_code == 5
    assert "Finished answers are kept" in str(caught.value)
    assert str(caught.value).endswith("then 'posture scan --resume'.")
    with desk.scan("R-next"):
        pass
    assert desk.survey().runs == [RUN, "R-next"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")
def test_a_disk_that_is_full(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(small)], check=False)
    if done.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        desk = Desk(small / "posture.db")
        trail = desk.open()
        trail.start(start())
        with pytest.raises(AuditError, match="No space left on device") as caught:
            desk.ask(trail, 1000)
        trail.close()
        assert caught.value.exit_code == 5
        assert desk.survey().allowed > 50
    finally:
        subprocess.run(["umount", str(small)], check=True)


def add_to(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: os.truncate(path, 100),
        add_to,
    ],
    ids=["removed", "cut", "added to"],
)
def test_somebody_who_meddles_during_the_run_is_noticed_at_the_next_checkpoint(desk: Desk, spoil: object) -> None:
    trail = desk.open()
    trail.start(start())
    spoil(desk.path)  # type: ignore[operator]

    with pytest.raises(AuditError, match="somebody else changed it"):
        trail.end("complete")
    trail.close()
    assert desk.remembered == []


def test_a_database_that_cannot_remember_ends_the_run_too(desk: Desk) -> None:
    def full(_: Head) -> None:
        raise StoreError("the disk is full. Free some space.")

    trail: AuditTrail = desk.open(remember=full)
    trail.start(start())
    record = trail.decided(decision())
    trail._unsigned = module.CHECKPOINT_RECORDS
    trail.closed(record, CLOSING)

    with pytest.raises(StoreError, match="the disk is full"):
        trail.decided(decision())
    trail.close()
    assert json.loads(desk.lines[-1])["kind"] == "checkpoint"
