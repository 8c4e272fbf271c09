"""What sslyze says and what went by do not always agree: then nothing is known."""

from __future__ import annotations

import pytest

from posture.facts.deep import (
    EARLY_CCS,
    HEARTBLEED,
    NO_RSA,
    PRESUMED,
    RENEGOTIATIONS,
    ROBOT,
    SAFE,
    SECURE_RENEGOTIATION,
    STRONG,
    UNCLEAR,
    VULNERABLE,
    Attempt,
)
from posture.facts.parse_sslyze import Renegotiation, Report
from posture.model import Reason
from posture.net.tunnel import End, Record, Tunnel
from posture.probes.tls.witness import attempts, early_data, unreached

UP, DOWN = True, False
HELLO = Record(UP, 22, 200, b"\0\0\0\0")
DONE = Record(DOWN, 22, 4, b"\x0e\0\0\0")
CHANGE, THEIR_CHANGE = Record(UP, 20, 1), Record(DOWN, 20, 1)
KEY, FINISHED = Record(UP, 22, 262, b"abcd"), Record(UP, 22, 80)
ASK, LEAK = Record(UP, 24, 16384), Record(DOWN, 24, 2003)


def alert(description: int) -> Record:
    return Record(DOWN, 21, 2, bytes([2, description]))


def report(newest: str = "TLS 1.2", faults: dict[str, str] | None = None, **results: object) -> Report:
    return Report("sslyze 6.3.1", newest, results, faults or {})


HEARTBEATS: list[tuple[str, str, End, tuple[Record, ...], Attempt]] = [
    ("both saw it", VULNERABLE, End.CLIENT, (HELLO, ASK, DONE, LEAK), Attempt(VULNERABLE)),
    ("only sslyze saw it", VULNERABLE, End.CLIENT, (HELLO, ASK, DONE, alert(10)), Attempt(UNCLEAR, Reason.MALFORMED)),
    ("only the wire shows it", SAFE, End.CLIENT, (HELLO, ASK, DONE, LEAK), Attempt(UNCLEAR, Reason.MALFORMED)),
    ("refused", SAFE, End.CLIENT, (HELLO, ASK, DONE, alert(10)), Attempt(SAFE)),
    ("closed", SAFE, End.TARGET, (HELLO, ASK, DONE), Attempt(SAFE)),
    ("reset behind the alert", SAFE, End.RESET, (HELLO, ASK, DONE, alert(10)), Attempt(SAFE)),
    ("reset", SAFE, End.RESET, (HELLO, ASK, DONE), Attempt(UNCLEAR, Reason.RESET)),
    ("silence", SAFE, End.SILENCE, (HELLO, ASK, DONE), Attempt(UNCLEAR, Reason.TIMEOUT)),
    ("our deadline", SAFE, End.TIMEOUT, (HELLO, ASK, DONE), Attempt(UNCLEAR, Reason.TIMEOUT)),
    ("our limit", SAFE, End.UNSEEN, (HELLO, ASK, DONE), Attempt(UNCLEAR, Reason.RATE_LIMITED)),
    ("left at once", SAFE, End.CLIENT, (HELLO, ASK, DONE), Attempt(UNCLEAR, Reason.MALFORMED)),
    ("hello declined", SAFE, End.CLIENT, (HELLO, ASK, alert(112)), Attempt(UNCLEAR, Reason.REFUSED_BY_TARGET)),
    ("hello unanswered", SAFE, End.SILENCE, (HELLO, ASK), Attempt(UNCLEAR, Reason.TIMEOUT)),
    ("never put", SAFE, End.CLIENT, (HELLO, alert(40)), Attempt(UNCLEAR, Reason.REFUSED_BY_TARGET)),
    ("never put, and still seen", VULNERABLE, End.CLIENT, (HELLO,), Attempt(UNCLEAR, Reason.MALFORMED)),
]


@pytest.mark.parametrize(("_name", "said", "end", "records", "expected"), HEARTBEATS, ids=lambda value: str(value)[:25])
def test_heartbeats(_name: str, said: str, end: End, records: tuple[Record, ...], expected: Attempt) -> None:
    assert attempts(report(heartbleed=said), [Tunnel(end, records)])[HEARTBLEED] == expected


def test_a_server_of_tls_13_is_not_asked() -> None:
    found = attempts(report("TLS 1.3", heartbleed=SAFE, openssl_ccs=SAFE), [])

    assert found == {HEARTBLEED: Attempt(PRESUMED), EARLY_CCS: Attempt(PRESUMED)}


@pytest.mark.parametrize(
    ("said", "behind", "expected"),
    [
        (VULNERABLE, alert(20), Attempt(VULNERABLE)),
        (VULNERABLE, alert(10), Attempt(UNCLEAR, Reason.MALFORMED)),
        (SAFE, alert(10), Attempt(SAFE)),
        (SAFE, alert(20), Attempt(UNCLEAR, Reason.MALFORMED)),
    ],
)
def test_early_change_cipher_spec(said: str, behind: Record, expected: Attempt) -> None:
    tunnels = [Tunnel(End.CLIENT, (HELLO, DONE, CHANGE, Record(UP, 23, 2), behind))]

    assert attempts(report(openssl_ccs=said), tunnels) == {EARLY_CCS: expected}


# An ordinary handshake, one of ROBOT's, a hello that was refused, TLS 1.3.
ORDINARY = (HELLO, DONE, KEY, CHANGE, FINISHED, THEIR_CHANGE, Record(DOWN, 22, 40))
PADDED = (HELLO, DONE, KEY, CHANGE, FINISHED)
DECLINED = (HELLO, alert(40))
MODERN = (HELLO, Record(DOWN, 22, 122, b"abcd"), THEIR_CHANGE, CHANGE, Record(UP, 23, 60))


@pytest.mark.parametrize(
    ("said", "tunnel", "expected"),
    [
        (SAFE, Tunnel(End.CLIENT, (*PADDED, alert(20))), Attempt(SAFE)),
        (SAFE, Tunnel(End.SILENCE, PADDED), Attempt(UNCLEAR, Reason.TIMEOUT)),
        (STRONG, Tunnel(End.SILENCE, PADDED), Attempt(UNCLEAR, Reason.TIMEOUT)),
        (STRONG, Tunnel(End.RESET, PADDED), Attempt(UNCLEAR, Reason.RESET)),
        (SAFE, Tunnel(End.SILENCE, ORDINARY), Attempt(SAFE)),
        (SAFE, Tunnel(End.SILENCE, MODERN), Attempt(SAFE)),
        (NO_RSA, Tunnel(End.TARGET, DECLINED), Attempt(NO_RSA)),
        (NO_RSA, Tunnel(End.RESET, (HELLO,)), Attempt(UNCLEAR, Reason.RESET)),
        (NO_RSA, Tunnel(End.SILENCE, (HELLO, ASK, DONE)), Attempt(NO_RSA)),
        (UNCLEAR, Tunnel(End.CLIENT, PADDED), Attempt(UNCLEAR, Reason.TEMPORARY)),
    ],
)
def test_robot_is_doubted_for_its_own_connections_alone(said: str, tunnel: Tunnel, expected: Attempt) -> None:
    assert attempts(report(robot=said), [Tunnel(End.CLIENT, ORDINARY), tunnel]) == {ROBOT: expected}


@pytest.mark.parametrize(
    ("agreed", "tunnel", "expected"),
    [
        (0, Tunnel(End.CLIENT, (*ORDINARY, Record(DOWN, 21, 26))), Attempt("0")),
        (0, Tunnel(End.SILENCE, ORDINARY), Attempt(UNCLEAR, Reason.TIMEOUT)),
        (2, Tunnel(End.SILENCE, ORDINARY), Attempt("2")),
        (0, Tunnel(End.SILENCE, PADDED), Attempt("0")),
    ],
)
def test_renegotiations(agreed: int, tunnel: Tunnel, expected: Attempt) -> None:
    found = attempts(report(reneg=Renegotiation(secure=True, agreed=agreed)), [tunnel])

    assert found == {RENEGOTIATIONS: expected, SECURE_RENEGOTIATION: Attempt(SAFE)}


def test_errors_have_the_reason_that_the_wire_shows() -> None:
    silent = [Tunnel(End.SILENCE, (HELLO,))]

    assert attempts(report(faults={"robot": "CONNECTIVITY_ISSUE"}), silent) == {ROBOT: Attempt(UNCLEAR, Reason.TIMEOUT)}
    assert attempts(report(faults={"robot": "BUG_IN_SSLYZE"}), []) == {ROBOT: Attempt(UNCLEAR, Reason.MALFORMED)}
    assert attempts(report(faults={"reneg": "CLIENT_CERTIFICATE_NEEDED"}), []) == dict.fromkeys(
        (RENEGOTIATIONS, SECURE_RENEGOTIATION), Attempt(UNCLEAR, Reason.REFUSED_BY_TARGET)
    )


def test_early_data() -> None:
    silent = [Tunnel(End.SILENCE, MODERN)]

    assert early_data(report(early_data=VULNERABLE), silent) == Attempt(VULNERABLE)
    assert early_data(report(early_data=SAFE), silent) == Attempt(UNCLEAR, Reason.TIMEOUT)
    assert early_data(report(early_data=SAFE), [Tunnel(End.TARGET, MODERN)]) == Attempt(SAFE)
    assert early_data(report(faults={"early_data": "CONNECTIVITY_ISSUE"}), []) == Attempt(
        UNCLEAR, Reason.REFUSED_BY_TARGET
    )


def test_why_a_server_that_is_there_was_not_reached() -> None:
    assert unreached([Tunnel(End.TARGET), Tunnel(End.SILENCE)]) is Reason.TIMEOUT
    assert unreached([Tunnel(End.LEFT)]) is Reason.RATE_LIMITED
    assert unreached([Tunnel(End.TARGET, DECLINED)]) is Reason.REFUSED_BY_TARGET
