"""The fuzzer's target, over some thousand answers that begin as real ones."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from posture.probes.tls.records import ALERT, HANDSHAKE, message, record, vector
from tests.fuzz.flights import one

RANDOM = bytes(range(32))
HELLO_12 = message(
    2, b"\x03\x03" + RANDOM + b"\0" + b"\xc0\x2f" + b"\0" + vector(2, b"\xff\x01\x00\x01\x00\x00\x17\x00\x00")
)
HELLO_13 = message(
    2,
    b"\x03\x03" + RANDOM + b"\0" + b"\x13\x01" + b"\0" + vector(2, b"\x00\x2b\x00\x02\x03\x04\x00\x33\x00\x02\x11\xec"),
)
CERTIFICATE = message(11, vector(3, vector(3, b"0\x82\x01\x00" + bytes(256))))
EXCHANGE = message(12, b"\x03\x00\x17" + vector(1, bytes(65)) + b"\x04\x03" + vector(2, bytes(70)))
FLIGHTS = (
    record(HANDSHAKE, 0x0303, HELLO_12 + CERTIFICATE + EXCHANGE + message(14, b"")),
    record(HANDSHAKE, 0x0303, HELLO_13) + record(23, 0x0303, bytes(64)),
    record(ALERT, 0x0303, b"\x02\x28"),
    record(ALERT, 0x0301, b"\x01\x70") + record(HANDSHAKE, 0x0303, HELLO_12),
    b"\x80\x2c\x04\x00\x01\x00\x02\x00\x10\x00\x03\x00\x10" + bytes(35),
)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """A real flight, cut, repeated or with bytes changed; or any bytes at all."""
    whole = bytearray(draw(st.sampled_from(FLIGHTS)) * draw(st.integers(1, 3)))
    for _ in range(draw(st.integers(0, 8))):
        whole[draw(st.integers(0, len(whole) - 1))] = draw(st.integers(0, 255))
    return bytes(whole[: draw(st.integers(0, len(whole)))])


@settings(max_examples=1500, deadline=None)
@given(st.integers(0, 255), st.one_of(answers(), st.binary(max_size=300)))
def test_every_answer_is_a_value_or_a_fault_that_is_named(choice: int, body: bytes) -> None:
    one(bytes((choice,)) + body)
