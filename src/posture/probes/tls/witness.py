"""What sslyze says, held against what went over the wire meanwhile. Pure.

sslyze takes a time-out for a "no", a server that would not even begin for a safe one, and a hang-up for an answer. The
records of its tunnels tell these apart: a "no" counts only when the question was put and the server answered it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from posture.facts.deep import (
    EARLY_CCS,
    HEARTBLEED,
    NO_RSA,
    PRESUMED,
    RENEGOTIATIONS,
    ROBOT,
    SAFE,
    SECURE_RENEGOTIATION,
    UNCLEAR,
    VULNERABLE,
    Attempt,
)
from posture.facts.parse_sslyze import Renegotiation, Report
from posture.model import Reason
from posture.net.tunnel import ALERT, CHANGE_CIPHER_SPEC, HANDSHAKE, HEARTBEAT, End, Record, Tunnel

_DONE = b"\x0e\x00\x00\x00"  # ServerHelloDone (RFC 5246 section 7.4.5), the end of a flight
_BAD_RECORD_MAC = 20
# How a tunnel ends that got no answer.
_DOUBTS = {
    End.SILENCE: Reason.TIMEOUT,
    End.TIMEOUT: Reason.TIMEOUT,
    End.RESET: Reason.RESET,
    End.LEFT: Reason.RATE_LIMITED,
    End.UNSEEN: Reason.RATE_LIMITED,
    End.CLOSED: Reason.RESET,  # of a port that was open a moment ago
}
_FAULTS = {
    "CLIENT_CERTIFICATE_NEEDED": Reason.REFUSED_BY_TARGET,
    "CONNECTIVITY_ISSUE": Reason.REFUSED_BY_TARGET,
}
_TLS13 = "TLS 1.3"


def unreached(tunnels: Iterable[Tunnel], otherwise: Reason = Reason.REFUSED_BY_TARGET) -> Reason:
    """Why sslyze could not connect to a server that is there, as the wire shows it."""
    return next(_doubts(tunnels), otherwise)


def attempts(report: Report, tunnels: Sequence[Tunnel]) -> dict[str, Attempt]:
    """What one run says of each question that it was asked, by the names of posture.facts.deep."""
    found: dict[str, Attempt] = {}
    for command, result in report.results.items():
        if command == "heartbleed":
            found[HEARTBLEED] = _raw(str(result), report, [one for one in tunnels if _is_heartbeat(one)], _leaked)
        elif command == "openssl_ccs":
            found[EARLY_CCS] = _raw(str(result), report, [one for one in tunnels if _is_early(one)], _decrypted)
        elif command == "robot":
            found[ROBOT] = _oracle(str(result), tunnels)
        elif command == "reneg" and isinstance(result, Renegotiation):
            found |= _renegotiation(result, tunnels)
    for command, fault in report.faults.items():
        why = next(_doubts(tunnels), _FAULTS.get(fault, Reason.MALFORMED))
        found |= {name: Attempt(UNCLEAR, why) for name in _NAMES.get(command, ())}
    return found


def early_data(report: Report, tunnels: Sequence[Tunnel]) -> Attempt:
    """Whether early data was accepted."""
    said = report.results.get("early_data")
    doubt = next(_doubts(tunnels), None)
    if said is None:
        return Attempt(UNCLEAR, doubt or _FAULTS.get(report.faults.get("early_data", ""), Reason.MALFORMED))
    return Attempt(UNCLEAR, doubt) if said == SAFE and doubt else Attempt(str(said))


_NAMES = {
    "heartbleed": (HEARTBLEED,),
    "openssl_ccs": (EARLY_CCS,),
    "robot": (ROBOT,),
    "reneg": (RENEGOTIATIONS, SECURE_RENEGOTIATION),
}


# ---- Heartbleed and early ChangeCipherSpec: one connection each, in the clear


def _raw(said: str, report: Report, put: Sequence[Tunnel], proved: Callable[[Sequence[Record]], bool]) -> Attempt:
    """``put``: the tunnels in which the question was put; ``proved``: whether what came behind the flight is a leak."""
    if said == SAFE and report.newest == _TLS13:
        return Attempt(PRESUMED)
    if not put:
        # The hello without a server name was declined, so that nothing was asked at all.
        return Attempt(UNCLEAR, Reason.REFUSED_BY_TARGET if said == SAFE else Reason.MALFORMED)
    tunnel = put[-1]
    behind = _behind_flight(tunnel.records)
    if behind is None:
        return Attempt(UNCLEAR, _doubt(tunnel) or Reason.REFUSED_BY_TARGET)
    if proved(behind) or said == VULNERABLE:
        # Both must have seen it: the program, and who looked on.
        return Attempt(VULNERABLE) if proved(behind) and said == VULNERABLE else Attempt(UNCLEAR, Reason.MALFORMED)
    if any(one.kind == ALERT for one in behind) or tunnel.end is End.TARGET:
        return Attempt(SAFE)
    return Attempt(UNCLEAR, _doubt(tunnel) or Reason.MALFORMED)


def _is_heartbeat(tunnel: Tunnel) -> bool:
    return any(one.up and one.kind == HEARTBEAT for one in tunnel.records)


def _is_early(tunnel: Tunnel) -> bool:
    """ChangeCipherSpec right after the hello, without a key exchange; in TLS 1.3 the server sends one, too."""
    up = [one.kind for one in tunnel.records if one.up]
    return up[:2] == [HANDSHAKE, CHANGE_CIPHER_SPEC] and not _is_complete(tunnel)


def _is_complete(tunnel: Tunnel) -> bool:
    return any(one.kind == CHANGE_CIPHER_SPEC for one in tunnel.records if not one.up)


def _behind_flight(records: Sequence[Record]) -> list[Record] | None:
    """What the server sent after its flight; None when it never came to its end."""
    down = [one for one in records if not one.up]
    for place, one in enumerate(down):
        if one.kind == HANDSHAKE and one.tail == _DONE:
            return down[place + 1 :]
    return None


def _leaked(behind: Sequence[Record]) -> bool:
    """A heartbeat came back. There is no right answer to a request that lies about its length (RFC 6520 section 4)."""
    return any(one.kind == HEARTBEAT for one in behind)


def _decrypted(behind: Sequence[Record]) -> bool:
    return any(one.kind == ALERT and one.tail[-1:] == bytes([_BAD_RECORD_MAC]) for one in behind[:1])


# ---- ROBOT and renegotiation: several connections


def _oracle(said: str, tunnels: Sequence[Tunnel]) -> Attempt:
    if said == UNCLEAR:  # answers that differ from one time to the next
        return Attempt(UNCLEAR, Reason.TEMPORARY)
    asked = _is_refused_hello if said == NO_RSA else _is_key_exchange
    doubt = next(_doubts(filter(asked, tunnels)), None)
    return Attempt(UNCLEAR, doubt) if doubt else Attempt(said)


def _is_key_exchange(tunnel: Tunnel) -> bool:
    """A key exchange that the server did not complete, as it never does one of ROBOT's."""
    sent = any(one.kind == CHANGE_CIPHER_SPEC for one in tunnel.records if one.up)
    return sent and not _is_complete(tunnel) and not _is_early(tunnel)


def _is_refused_hello(tunnel: Tunnel) -> bool:
    return not _is_heartbeat(tunnel) and all(one.kind != CHANGE_CIPHER_SPEC for one in tunnel.records)


def _renegotiation(result: Renegotiation, tunnels: Sequence[Tunnel]) -> dict[str, Attempt]:
    ours = [one for one in tunnels if not (_is_key_exchange(one) or _is_early(one) or _is_heartbeat(one))]
    doubt = next(_doubts(ours), None)
    agreed = Attempt(UNCLEAR, doubt) if doubt and not result.agreed else Attempt(str(result.agreed))
    secure = Attempt(SAFE if result.secure else VULNERABLE)
    return {RENEGOTIATIONS: agreed, SECURE_RENEGOTIATION: secure}


def _doubts(tunnels: Iterable[Tunnel]) -> Iterator[Reason]:
    return (doubt for tunnel in tunnels if (doubt := _doubt(tunnel)))


def _doubt(tunnel: Tunnel) -> Reason | None:
    """Why what the client made of this tunnel is not the server's word; a reset behind an alert takes nothing back."""
    if tunnel.end is End.RESET and any(one.kind == ALERT for one in tunnel.records if not one.up):
        return None
    return _DOUBTS.get(tunnel.end)
