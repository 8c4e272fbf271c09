"""Reading a recording: connections, what was open at once, and pace."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from contextlib import suppress

import pytest

from tests.netns.namespace import read_counters
from tests.netns.packets import Endpoint, Excess, Sent, excesses, most_open, most_within, prefix_of, read_recording
from tests.netns.recorder import attach, line_of

HERE, THERE = "45.46.0.1", "45.45.1.1"
WEB = Endpoint("tcp", THERE, 443)


def out(flags: str, sport: int = 40000, time: float = 1.0, sequence: int = 7, address: str = THERE) -> str:
    return f"{time} tcp {flags} {HERE} {sport} {address} 443 {sequence}"


def back(flags: str, sport: int = 40000, time: float = 1.0, address: str = THERE) -> str:
    return f"{time} tcp {flags} {address} 443 {HERE} {sport} 9"


def whole(*lines: str) -> list[str]:
    return [*lines, "end 0"]


def open_at_once(*lines: str) -> int:
    return most_open(read_recording(whole(*lines)).connections)


def test_a_connection_is_its_first_syn() -> None:
    seen = read_recording(whole(out("S"), back("SA"), out("FA"), back("FA")))

    assert seen.connections == [Sent(1.0, WEB, established=1, ended=2)]
    assert seen.dropped == 0


def test_a_syn_sent_again_is_no_other_connection() -> None:
    seen = read_recording(whole(out("S"), out("S", time=2.0), out("S", time=9.0, sequence=8)))

    assert [sent.at for sent in seen.connections] == [1.0, 9.0]
    assert seen.resent == {WEB: 1}
    assert seen.by_endpoint == {WEB: 3}
    assert most_open(seen.connections) == 0


def test_a_source_port_met_twice_is_another_connection() -> None:
    seen = read_recording(whole(out("S"), back("SA"), out("FA"), out("S", time=9.0, sequence=8)))

    assert [sent.at for sent in seen.connections] == [1.0, 9.0]
    assert not seen.resent


@pytest.mark.parametrize("end", [[out("FA")], [out("R")], [back("R")], [back("RA")], [back("FA"), out("FA")]])
def test_a_connection_is_open_until_we_end_it_or_are_reset(end: Sequence[str]) -> None:
    second = [out("S", 40001), back("SA", 40001)]

    assert open_at_once(out("S"), back("SA"), *end, *second) == 1
    assert open_at_once(out("S"), back("SA"), *second, *end) == 2


def test_a_server_that_has_said_its_last_still_has_our_connection() -> None:
    assert open_at_once(out("S"), back("SA"), back("FA"), out("S", 40001), back("SA", 40001)) == 2


def test_a_refused_connection_was_never_open() -> None:
    seen = read_recording(whole(out("S"), back("RA")))

    assert seen.connections == [Sent(1.0, WEB, ended=1)]
    assert most_open(seen.connections) == 0


def test_answers_are_not_sent_datagrams() -> None:
    question, answer = f"1.0 udp - {HERE} 41000 {THERE} 53 0", f"1.1 udp - {THERE} 53 {HERE} 41000 0"
    seen = read_recording(whole(question, answer, question))

    assert [str(sent.endpoint) for sent in seen.datagrams] == ["45.45.1.1:53/udp"] * 2
    assert seen.by_endpoint == {Endpoint("udp", THERE, 53): 2}


def test_a_recording_that_broke_off_is_known() -> None:
    assert read_recording([out("S")]).dropped is None
    assert read_recording([out("S"), "end 3"]).dropped == 3


def packet(protocol: int, transport: bytes, *, v6: bool = False) -> bytes:
    if v6:
        addresses = socket.inet_pton(socket.AF_INET6, "2a0e::1") + socket.inet_pton(socket.AF_INET6, "2a0e::2")
        return struct.pack("!IHBB", 6 << 28, len(transport), protocol, 64) + addresses + transport
    addresses = socket.inet_aton(HERE) + socket.inet_aton(THERE)
    return struct.pack("!BBHHHBBH", 0x46, 0, 44, 0, 0, 64, protocol, 0) + addresses + b"\1\1\1\0" + transport


def test_packets_are_read_from_the_wire() -> None:
    syn = struct.pack("!HHIIBBHHH", 40000, 443, 77, 0, 5 << 4, 0x02, 1024, 0, 0)
    question = struct.pack("!HHHH", 41000, 53, 8, 0)

    assert line_of(1.5, packet(6, syn)) == f"1.500000 tcp S {HERE} 40000 {THERE} 443 77\n"
    assert line_of(1.5, packet(17, question, v6=True)) == "1.500000 udp - 2a0e::1 41000 2a0e::2 53 0\n"


def segment(flags: int) -> bytes:
    return struct.pack("!HHIIBBHHH", 40000, 443, 77, 0, 5 << 4, flags, 1024, 0, 0)


ICMP = b"\x85" * 20


@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize(
    ("protocol", "transport", "kept"),
    [
        *((6, segment(flags), True) for flags in (0x02, 0x12, 0x11, 0x14, 0x04, 0x01)),
        *((6, segment(flags), False) for flags in (0x10, 0x18, 0x00)),
        (17, struct.pack("!HHHH", 41000, 53, 8, 0), True),
        *((number, ICMP, False) for number in (1, 2, 58)),
    ],
)
def test_the_kernel_lets_through_what_is_written_down(protocol: int, transport: bytes, kept: bool, v6: bool) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        attach(theirs)
        theirs.setblocking(False)
        ours.setblocking(False)
        wire = packet(protocol, transport, v6=v6)
        with suppress(OSError):  # what is filtered cannot be sent
            ours.send(wire)
        try:
            heard = theirs.recv(1000)
        except BlockingIOError:
            heard = b""

    assert heard == (wire if kept else b"")


def at_times(*times: float) -> list[Sent]:
    return [Sent(time, WEB) for time in times]


def overflows(*times: float, burst: float = 2, rate: float = 1) -> list[Excess]:
    return list(excesses(at_times(*times), lambda sent: sent.endpoint.address, burst=burst, rate=rate))


def test_a_pace_within_its_limit_is_no_excess() -> None:
    assert overflows(0, 0, 1, 2, 3) == []
    assert overflows(0, 0, 9, 9, 10) == []


def test_one_packet_too_many_is_an_excess() -> None:
    assert overflows(0, 0, 0.5) == [Excess(THERE, 2, 0.5, 3, 2.5)]
    # The burst is used up and comes back at the rate only.
    assert [found.number for found in overflows(0, 0, 1, 2, 2.9, 4)] == [4]
    assert [found.number for found in overflows(0, 5, 10, 10, 10)] == [4]


def test_every_key_has_a_limit_of_its_own() -> None:
    sent = [Sent(0, Endpoint("tcp", f"45.45.1.{n}", 80)) for n in range(3)]

    assert list(excesses(sent, lambda each: each.endpoint.address, burst=1, rate=1)) == []
    assert len(list(excesses(sent, lambda each: prefix_of(each.endpoint.address), burst=1, rate=1))) == 2


def test_the_most_within_a_window() -> None:
    assert most_within([0, 10, 59.9, 60, 61], 60) == 4
    assert most_within([], 60) == 0


def test_prefixes() -> None:
    assert prefix_of("45.45.1.9") == "45.45.1.0/24"
    assert prefix_of("2a0e:b100:1:2ff::9") == "2a0e:b100:1:200::/56"


def test_the_kernels_counters_are_read() -> None:
    def elements(name: str, *rows: tuple[list[object], int]) -> dict[str, object]:
        return {
            "set": {
                "name": name,
                "elem": [{"elem": {"val": {"concat": row}, "counter": {"packets": packets}}} for row, packets in rows],
            }
        }

    counted = read_counters(
        [
            {"metainfo": {}},
            elements("tcp4", ([THERE, 443], 3)),
            elements("udp6", (["2a0e::2", 53], 5)),
            {"set": {"name": "udp4"}},
            {"counter": {"name": "syn", "packets": 3}},
        ]
    )

    assert counted.syns == {WEB: 3}
    assert counted.by_endpoint == {WEB: 3, Endpoint("udp", "2a0e::2", 53): 5}
    assert counted.totals == {"syn": 3}
