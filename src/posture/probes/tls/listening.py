"""Reading what answers one hello, off the stream: a choice, a refusal, or nothing that can be used."""

from __future__ import annotations

from dataclasses import dataclass, field

from posture.facts.suites import suites
from posture.facts.tls import ACCEPTED, REFUSED
from posture.model import NotSeen, Reason
from posture.probes.base import Stream
from posture.probes.tls.flight import (
    CERTIFICATE_STATUS,
    SERVER_HELLO_DONE,
    SERVER_KEY_EXCHANGE,
    Exchange,
    certificate_status,
    key_exchange,
)
from posture.probes.tls.hello import (
    CERTIFICATE,
    FULL,
    STATUS_REQUEST,
    Chain,
    Question,
    ServerHello,
    Shape,
    certificate_chain,
    server_hello,
    ssl2_server_hello,
)
from posture.probes.tls.records import ALERT, VERSIONS, CodecError, Flight, Message
from posture.probes.tls.suites import name_of

# Alerts that answer "I do not do that"; others (unrecognized_name, access_denied, ...) answer some other question.
_REFUSALS = frozenset(
    {"handshake_failure", "protocol_version", "insufficient_security", "illegal_parameter", "internal_error"}
)
# Java's word when it has no group in common with a client.
_NO_GROUP = "unexpected_message"
# What today's servers say to the hellos of SSL, which they may not even recognise as such.
_OLD_REFUSALS = _REFUSALS | {
    "decode_error",
    "unexpected_message",
    "record_overflow",
    "close_notify",
    "missing_extension",
}
FALLBACK_REFUSED = "inappropriate_fallback"
_EPHEMERAL = ("DHE", "ECDHE")
_FLIGHT_LIMIT = 300_000


@dataclass(frozen=True, slots=True)
class Heard:
    """The answer to one hello. Exactly one of ``hello``, ``kinds`` (SSL 2.0) is set when ``answer`` is accepted.

    ``why`` is the alert, "closed", or a reason word; ``shape`` the hello's; ``exchange`` the server's half of the key
    exchange, where it was waited for and came.
    """

    answer: str
    why: str = ""
    hello: ServerHello | None = None
    kinds: tuple[int, ...] = ()
    chain: Chain = field(default_factory=Chain)
    shape: Shape = FULL
    exchange: Exchange | None = None

    @property
    def by_alert(self) -> bool:
        return self.answer == REFUSED and self.why != "closed"


async def listen(stream: Stream, question: Question, *, chain: bool, any_alert: bool = False) -> Heard:
    """What a server says to a hello of TLS, or of SSL 3.0.

    Args:
        chain: whether to wait for certificates that come in clear, and for what else tells of the server by the way.
        any_alert: whether every alert is an answer, whatever it is about.

    Raises:
        CodecError: not TLS, or an answer to something else.
        NotSeen: TRUNCATED, REFUSED_BY_TARGET (an alert about another matter), or what the stream raises.
    """
    flight = Flight()
    while not flight.messages and not flight.alert:
        data = await stream.read()
        if not data:
            if flight.midway:
                raise NotSeen(Reason.TRUNCATED, "the connection ended in the middle of an answer")
            return Heard(REFUSED, "closed")
        flight.feed(data)
    if not flight.messages:
        return Heard(REFUSED, flight.alert) if any_alert else _refused(flight.alert, question)
    hello = server_hello(flight.messages[0])
    if hello.suite not in question.suites or VERSIONS[hello.version] > VERSIONS[question.versions[0]]:
        raise CodecError("the server chose what was not offered")
    if hello.compression not in question.compressions:
        raise CodecError("a compression that was not offered")
    if hello.version == "TLS 1.3":
        return Heard(ACCEPTED, hello=hello)
    suite = suites().get(name_of(hello.suite))
    kind = suite.exchange if suite else ""
    wanted = {CERTIFICATE} if chain else set()
    if STATUS_REQUEST in hello.extensions:
        # Some servers fetch their staple only after the first visitor has gone without.
        wanted |= {CERTIFICATE, CERTIFICATE_STATUS}
    if kind in _EPHEMERAL and (chain or kind == "DHE" or question.groups or question.signatures):
        wanted.add(SERVER_KEY_EXCHANGE)
    rest = await _rest(stream, flight, wanted)
    signed = hello.version == "TLS 1.2"
    return Heard(ACCEPTED, hello=hello, chain=_chain(rest), exchange=_exchange(rest, kind, signed))


def _refused(alert: str, question: Question) -> Heard:
    """Raises NotSeen: the alert is about another matter."""
    if alert == "close_notify":
        return Heard(REFUSED, "closed")
    refusals = _OLD_REFUSALS if question.versions[0] == "SSL 3.0" else _REFUSALS
    asked = (question.fallback and alert == FALLBACK_REFUSED) or (question.groups and alert == _NO_GROUP)
    if alert in refusals or asked:
        return Heard(REFUSED, alert)
    raise NotSeen(Reason.REFUSED_BY_TARGET, f"alert {alert}")


async def _rest(stream: Stream, flight: Flight, wanted: set[int]) -> dict[int, Message]:
    """The messages after the ServerHello, by kind, until those wanted are there. The hello counts in any case."""
    received = 0
    try:
        while True:
            found = {one.kind: one for one in reversed(flight.messages[1:])}
            done = wanted <= set(found) or SERVER_HELLO_DONE in found
            if done or flight.alert or received > _FLIGHT_LIMIT:
                return found
            data = await stream.read()
            received += len(data)
            if not data:
                return found
            flight.feed(data)
    except (NotSeen, CodecError):
        return {one.kind: one for one in reversed(flight.messages[1:])}


def _chain(rest: dict[int, Message]) -> Chain:
    try:
        chain = certificate_chain(rest[CERTIFICATE])
    except (KeyError, CodecError):
        return Chain()
    try:
        return Chain(chain.certificates, chain.cut, certificate_status(rest[CERTIFICATE_STATUS]))
    except (KeyError, CodecError):
        return chain


def _exchange(rest: dict[int, Message], kind: str, signed: bool) -> Exchange | None:
    try:
        return key_exchange(rest[SERVER_KEY_EXCHANGE], kind, signed=signed)
    except (KeyError, CodecError):
        return None


async def listen_ssl2(stream: Stream) -> Heard:
    """What a server says to an SSL 2.0 CLIENT-HELLO. Raises as :func:`listen` does."""
    received = b""
    while True:
        data = await stream.read()
        if not data:
            if received:
                raise NotSeen(Reason.TRUNCATED, "the connection ended in the middle of an answer")
            return Heard(REFUSED, "closed")
        received += data
        if received[0] == ALERT:
            flight = Flight()
            flight.feed(received)
            if flight.alert in _OLD_REFUSALS:
                return Heard(REFUSED, flight.alert)
            if flight.alert:
                raise NotSeen(Reason.REFUSED_BY_TARGET, f"alert {flight.alert}")
        elif received[:3] == b"\x80\x03\x00":  # an SSL 2.0 ERROR message: cipher kinds not acceptable
            return Heard(REFUSED, "ssl2_error")
        elif (kinds := ssl2_server_hello(received)) is not None:
            if not kinds:
                return Heard(REFUSED, "no_cipher")
            return Heard(ACCEPTED, kinds=kinds)
