"""Verifying believes nothing: forged signatures, keys that were swapped, closings of nothing; and names what fails."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posture.audit.chain import Broken
from posture.audit.records import START, ZEROS, Head, checkpoint_fields, signed_message, written
from posture.keys import OperatorKey, make_key
from tests.audit import Desk, decision

Record = dict[str, Any]


def remade(desk: Desk, change: Callable[[list[Record]], object]) -> None:
    """Somebody changes the records and makes the chain anew: everything but the signatures fits again."""
    records = desk.records
    change(records)
    head, lines = START, []
    for record in records:
        fields = {name: value for name, value in record.items() if name not in ("seq", "at", "kind", "hash")}
        if record["kind"] == "checkpoint":
            fields |= {"records": head.seq, "head": head.hash}
        line, head = written(head, record["at"], record["kind"], fields)
        lines.append(line)
    desk.path.write_bytes(b"".join(lines))


def resigned(desk: Desk, key: OperatorKey, place: int = -1) -> None:
    """A checkpoint is signed by another key, and the chain made anew."""
    record = desk.records[place]
    head = Head(record["records"], record["head"])
    signature = key.sign(signed_message(head, record["at"]))
    remade(desk, lambda records: records[place].update(checkpoint_fields(head, key.public, signature)))


def failure(desk: Desk, **options: Any) -> str:
    with pytest.raises(Broken) as caught:
        desk.survey(**options)
    return str(caught.value)


@pytest.fixture
def kept(desk: Desk) -> Desk:
    """Two scans of two connections each: records 1 to 8 and 9 to 16."""
    for run in ("R-1", "R-2"):
        with desk.scan(run) as trail:
            desk.ask(trail, 2)
    return desk


def test_a_whole_trail_says_what_it_holds(kept: Desk) -> None:
    found = kept.survey(remembered=kept.remembered[-1], signer=kept.key.public.fingerprint)

    assert (found.records, found.allowed, found.refused, found.open) == (16, 4, 0, 0)
    assert (found.checkpoints, found.signed, found.runs) == (2, 15, ["R-1", "R-2"])
    assert found.first_at == "2026-11-24T12:00:00.000Z"
    assert found.last_at == "2026-11-24T12:00:04.000Z"
    assert found.key == kept.key.public


def test_an_older_head_is_still_in_it(kept: Desk) -> None:
    assert kept.survey(remembered=kept.remembered[0]).records == 16


def test_every_byte_counts(kept: Desk) -> None:
    """Whichever one is changed, some record does not follow, or it is no record any more."""
    whole = kept.path.read_bytes()
    for place in range(0, len(whole), 37):
        kept.path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(Broken):
            kept.survey()


@pytest.mark.parametrize("kind", ["decision", "start", "end", "close", "checkpoint"])
def test_a_record_of_any_kind_that_was_edited_is_named(kept: Desk, kind: str) -> None:
    place = kept.kinds().index(kind)
    kept.rewrite(lambda lines: lines.__setitem__(place, lines[place].replace(b"2026", b"2025", 1)))

    assert failure(kept).startswith(f"record {place + 1} (line {place + 1}) does not follow from the one before it")


def test_the_chain_made_anew_without_the_key_fails_at_the_first_checkpoint(kept: Desk) -> None:
    def other_address(records: list[Record]) -> None:
        records[2]["address"] = "203.0.113.9"

    remade(kept, other_address)

    assert failure(kept).startswith("record 8 (line 8) is a checkpoint whose signature is not by the key that it names")


def test_a_decision_left_out_and_the_chain_made_anew(kept: Desk) -> None:
    remade(kept, lambda records: records.__delitem__(slice(4, 6)))

    assert failure(kept).startswith("record 6 (line 6) is a checkpoint whose signature")


def test_a_checkpoint_of_other_records_is_no_checkpoint(kept: Desk) -> None:
    """A true signature from elsewhere in the same trail proves nothing here."""
    records = kept.records
    head = Head(records[6]["seq"], records[6]["hash"])
    line = written(
        Head(16, records[-1]["hash"]),
        records[7]["at"],
        "checkpoint",
        checkpoint_fields(head, kept.key.public, base64.b64decode(records[7]["signature"])),
    ).line
    kept.rewrite(lambda lines: lines.append(line))

    assert failure(kept) == "record 17 (line 17) is a checkpoint of another record than the one before it"


@pytest.mark.parametrize(
    "spoiled", [{"key": "ssh-ed25519 AAAA"}, {"signature": "!"}, {"signature": ""}, {"key": None}, {"key": 7}]
)
def test_half_a_checkpoint_is_none(kept: Desk, spoiled: Record) -> None:
    remade(kept, lambda records: records[7].update(spoiled))

    assert failure(kept).startswith("record 8 (line 8) is")


def test_another_key_from_the_middle_on(kept: Desk, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other.key")
    resigned(kept, other)

    assert failure(kept).startswith("record 16 (line 16) is signed by another key than those before it, SHA256:")


def test_all_of_it_signed_by_another_key_needs_somebody_who_knows_the_right_one(desk: Desk, tmp_path: Path) -> None:
    with desk.scan() as trail:
        desk.ask(trail)
    right, other = desk.key.public.fingerprint, make_key(tmp_path / "other.key")
    resigned(desk, other)

    assert desk.survey().key == other.public
    assert failure(desk, signer=right) == (f"record 6 (line 6) is signed by {other.public.fingerprint}, not by {right}")


def test_nothing_signed_is_not_verified(desk: Desk) -> None:
    trail = desk.open()
    trail.decided(decision())
    trail.close()

    assert desk.survey().key is None
    assert "no checkpoint signs it" in failure(desk, signer=desk.key.public.fingerprint)


def test_a_cut_tail_is_found_by_whoever_remembers_the_head(kept: Desk) -> None:
    kept.rewrite(lambda lines: lines.__delitem__(slice(8, None)))

    assert kept.survey().records == 8
    assert failure(kept, remembered=kept.remembered[-1]) == (
        "record 8 (line 8) is the last, but the database remembers 16: the end was cut off"
    )


@pytest.mark.parametrize("closed", [3, 1, 9, 99])
def test_a_closing_is_of_an_open_allowed_decision(desk: Desk, closed: int) -> None:
    """3 was closed already, 1 is a start, 9 a refusal, 99 is not there."""
    with desk.scan() as trail:
        desk.ask(trail, 3)
        trail.decided(decision(desk.tick(), allowed=False))
    records = desk.records
    line = written(
        Head(records[-1]["seq"], records[-1]["hash"]),
        records[-1]["at"],
        "close",
        {"of": closed, "end": "closed", "sent": 0, "received": 0},
    ).line
    desk.rewrite(lambda lines: lines.append(line))

    assert failure(desk) == f"record 12 (line 12) closes record {closed}, which is no open decision"


def test_a_decision_of_no_connection_of_its_own_needs_no_closing(desk: Desk) -> None:
    with desk.scan() as trail:
        trail.decided(decision(connections=0))

    assert desk.survey().open == 0


def test_decisions_that_a_crash_cut_off_are_counted(desk: Desk) -> None:
    with desk.scan() as trail:
        desk.ask(trail, 2)
        trail.decided(decision())

    assert desk.survey().open == 1


def test_numbers_go_up_by_one(desk: Desk) -> None:
    """Also in a chain that holds."""
    with desk.scan():
        pass
    first = desk.records[0]
    fields = {name: value for name, value in first.items() if name not in ("seq", "at", "kind", "hash")}
    desk.path.write_bytes(written(Head(4, ZEROS), first["at"], "start", fields).line)

    assert failure(desk) == "record 1 (line 1) has another number than its place"


def test_an_empty_file_holds_nothing(desk: Desk) -> None:
    desk.path.touch()

    assert desk.survey().records == 0
    assert failure(desk, remembered=Head(7, "ab" * 32)).startswith("record 1 (line 1) is missing")


def test_a_file_of_something_else(desk: Desk) -> None:
    desk.path.write_bytes(b"PK\x03\x04" + bytes(3 << 20))
    assert "is no record" in failure(desk)
    desk.path.write_text(json.dumps({"seq": 1}) + "\n")
    assert failure(desk) == "record 1 (line 1) is no record"
