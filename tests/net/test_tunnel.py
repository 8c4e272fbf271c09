"""What the middle of a tunnel sees: records in whatever pieces they come, and never what is in them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from posture.net.tunnel import RECORDS, SILENT_SECONDS, End, Observer, Record, Tunnel
from posture.probes.tls.records import record

HELLO = record(22, 0x0301, b"\x01" + bytes(40))
FLIGHT = record(22, 0x0303, b"\x02" + bytes(70) + b"\x0e\0\0\0")
LEAK = record(24, 0x0303, b"\x02\x3f\xfd" + b"password" * 100)
ALERT = record(21, 0x0303, b"\x02\x14")
SECRET = record(20, 0x0303, b"\x01") + record(22, 0x0303, bytes(40)) + record(21, 0x0303, bytes(26))


def seen(*pieces: tuple[bool, bytes], end: End = End.CLIENT, after: float = 0.0) -> Tunnel:
    observer = Observer(0.0)
    for at, (up, data) in enumerate(pieces):
        observer.saw(data, up=up, at=float(at))
    return observer.ended(end, len(pieces) - 1 + after)


def cut(data: bytes, lengths: list[int]) -> list[bytes]:
    pieces = []
    for length in lengths:
        pieces.append(data[:length])
        data = data[length:]
    return [piece for piece in (*pieces, data) if piece]


@given(st.lists(st.integers(1, 300), max_size=30))
def test_records_are_the_same_however_they_are_cut(lengths: list[int]) -> None:
    pieces = cut(FLIGHT + LEAK + ALERT + SECRET, lengths)

    assert seen((True, HELLO), *((False, piece) for piece in pieces)).records == (
        Record(True, 22, 41, bytes(4)),
        Record(False, 22, 75, b"\x0e\0\0\0"),
        Record(False, 24, 803),
        Record(False, 21, 2, b"\x02\x14"),
        Record(False, 20, 1),
        Record(False, 22, 40),
        Record(False, 21, 26),
    )


def test_an_empty_record_is_one() -> None:
    assert seen((True, HELLO), (True, record(22, 0x0303, b""))).records[1] == Record(True, 22, 0)


def test_what_is_said_before_tls_is_passed_over() -> None:
    tunnel = seen((False, b"* OK\r\n"), (True, b". STARTTLS\r\n"), (False, b". OK\r\n"), (True, HELLO), (False, FLIGHT))

    assert [(one.up, one.kind) for one in tunnel.records] == [(True, 22), (False, 22)]


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=200)), max_size=40))
def test_any_bytes_will_do(pieces: list[tuple[bool, bytes]]) -> None:
    tunnel = seen(*pieces)

    assert len(tunnel.records) <= RECORDS
    assert tunnel.answered is any(not up for up, _ in pieces)


def test_the_first_records_are_kept_and_no_more() -> None:
    assert len(seen((True, HELLO * 3 * RECORDS)).records) == RECORDS


def test_a_client_that_left_at_once_had_its_answer_and_one_that_waited_had_none() -> None:
    assert seen((True, HELLO), (False, ALERT), after=SILENT_SECONDS - 0.1).end is End.CLIENT
    assert seen((True, HELLO), (False, ALERT), after=SILENT_SECONDS).end is End.SILENCE
    assert seen((True, HELLO), end=End.TARGET, after=SILENT_SECONDS).end is End.TARGET
