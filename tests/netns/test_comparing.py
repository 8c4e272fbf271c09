"""The comparer sees what it is there to see."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.netns.comparing import compare, read_trail
from tests.netns.packets import Endpoint, Sent

AT = 1_795_502_786.123  # 2026-11-24T06:46:26.123Z
WEB = Endpoint("tcp", "45.45.1.1", 443)
NAME_SERVER = Endpoint("udp", "45.45.1.53", 53)
RESOLVER = Endpoint("udp", "45.46.0.53", 53)


def decision(seq: int, endpoint: Endpoint = WEB, *, second: str = "26.123", **changes: Any) -> str:
    record = {
        "seq": seq,
        "at": f"2026-11-24T06:46:{second}Z",
        "kind": "decision",
        "allowed": True,
        "code": None,
        "class": "client",
        "traffic": "connection",
        "address": endpoint.address,
        "port": endpoint.port,
        "protocol": endpoint.protocol,
        "connections": 1,
    }
    return json.dumps({**record, **changes})


def own(endpoint: Endpoint) -> str:
    fields = {"address": endpoint.address, "port": endpoint.port, "protocol": endpoint.protocol}
    return json.dumps({"seq": 2, "kind": "endpoint", "purpose": "resolver", **fields})


def test_what_was_recorded_and_sent_agrees() -> None:
    trail = read_trail([own(RESOLVER), decision(3), decision(4, NAME_SERVER), decision(5)])
    sent = [Sent(AT + 0.1, WEB), Sent(AT + 0.2, NAME_SERVER), Sent(AT + 0.3, WEB), Sent(AT, RESOLVER)]
    compared = compare(sent, trail)

    assert (compared.uncovered, compared.unused) == ((), ())
    assert [(packet.endpoint, allow.seq) for packet, allow in compared.matched] == [
        (WEB, 3),
        (NAME_SERVER, 4),
        (WEB, 5),
    ]


@pytest.mark.parametrize(
    "stray",
    [
        Endpoint("tcp", "45.45.1.2", 443),
        Endpoint("tcp", "45.45.1.1", 80),
        Endpoint("udp", "45.45.1.1", 443),
        Endpoint("tcp", RESOLVER.address, 80),
    ],
)
def test_what_no_record_speaks_of_is_uncovered(stray: Endpoint) -> None:
    trail = read_trail([own(RESOLVER), decision(3)])

    assert compare([Sent(AT + 1, stray)], trail).uncovered == (Sent(AT + 1, stray),)


def test_one_connection_too_many_is_uncovered() -> None:
    sent = [Sent(AT + 1, WEB), Sent(AT + 2, WEB)]

    assert compare(sent, read_trail([decision(3)])).uncovered == (sent[1],)


def test_a_record_written_after_its_packet_covers_nothing() -> None:
    early = Sent(AT - 0.1, WEB)
    compared = compare([early], read_trail([decision(3)]))

    assert compared.uncovered == (early,)
    assert [allow.seq for allow in compared.unused] == [3]


def test_a_refusal_covers_nothing() -> None:
    trail = read_trail([decision(3, allowed=False, code="E-SCOPE-020")])

    assert trail.refusals == (("E-SCOPE-020", WEB),)
    assert compare([Sent(AT + 1, WEB)], trail).uncovered


def test_a_child_may_connect_as_often_as_its_budget_says_and_not_once_more() -> None:
    trail = read_trail([decision(3, traffic="child", connections=3)])
    sent = [Sent(AT + second, WEB) for second in range(1, 5)]

    assert compare(sent[:2], trail).unused == ()
    assert compare(sent, trail).uncovered == (sent[3],)


def test_a_budget_of_a_child_is_used_last() -> None:
    trail = read_trail([decision(3, traffic="child", connections=3), decision(4)])
    sent = [Sent(AT + second, WEB) for second in range(1, 6)]

    assert compare(sent[:2], trail).unused == ()
    assert [allow.seq for _, allow in compare(sent, trail).matched] == [4, 3, 3, 3]
    assert compare(sent, trail).uncovered == (sent[4],)


def test_a_record_under_which_nothing_was_sent_is_named() -> None:
    close = json.dumps({"seq": 5, "kind": "close", "of": 4, "end": "vantage_limited", "sent": 0, "received": 0})
    compared = compare([Sent(AT + 1, WEB)], read_trail([decision(3), decision(4), close]))

    assert [(allow.seq, allow.end) for allow in compared.unused] == [(4, "vantage_limited")]


def test_kinds_of_traffic_are_told_apart_by_their_records() -> None:
    trail = read_trail([decision(3), decision(4, traffic="sweep", second="28.000")])
    sent = [Sent(AT, WEB), Sent(AT + 3, WEB)]

    assert compare(sent, trail).under("sweep") == (sent[1],)


def test_a_record_of_no_connections_covers_nothing_and_awaits_nothing() -> None:
    trail = read_trail([decision(3), decision(4, connections=0)])

    assert compare([Sent(AT + 1, WEB)], trail).unused == ()
    assert compare([Sent(AT + 1, WEB), Sent(AT + 2, WEB)], trail).uncovered
