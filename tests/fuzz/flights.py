"""What a server may say after a hello, as a fuzzer makes it up: every parser of it returns a value or says what is wrong.

``nox -s fuzz -- -max_total_time=600`` runs it under atheris, with coverage of the parsers; the tests run a few thousand inputs.
The first byte chooses the question that is asked and the size of the pieces in which the answer comes.
"""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from posture.facts.suites import suites
from posture.facts.tls import ACCEPTED, REFUSED, UNCLEAR
from posture.model import NotSeen
from posture.probes.tls.flight import certificate_status, key_exchange
from posture.probes.tls.hello import Question, certificate_chain, server_hello, ssl2_server_hello
from posture.probes.tls.listening import Heard, listen, listen_ssl2
from posture.probes.tls.records import CodecError, Flight, Message

EVERY = tuple(suite.number for suite in suites().values() if suite.number <= 0xFFFF)
QUESTIONS = (
    Question(("TLS 1.3", "TLS 1.2"), EVERY),
    Question(("TLS 1.2",), EVERY),
    Question(("TLS 1.0",), EVERY),
    Question(("SSL 3.0",), EVERY),
)
PIECES = (1, 3, 64, 70_000)


class Said:
    """A stream that says given bytes in pieces and then ends."""

    def __init__(self, data: bytes, piece: int) -> None:
        self._data, self._piece = data, piece

    async def read(self, limit: int = 16_384) -> bytes:
        head, self._data = self._data[: min(limit, self._piece)], self._data[min(limit, self._piece) :]
        return head

    async def write(self, data: bytes) -> None:
        """Nobody listens."""

    def close(self) -> None:
        """Nothing is open."""


def one(data: bytes) -> None:
    """Puts one answer to every parser.

    Raises:
        AssertionError, or anything else but CodecError and NotSeen: a fault of a parser.
    """
    if not data:
        return
    choice, body = data[0], data[1:]
    piece = PIECES[choice >> 2 & 3]
    _heard(_listened(Said(body, piece), QUESTIONS[choice & 3], chain=bool(choice & 16)))
    with suppress(CodecError, NotSeen):
        _heard(_driven(listen_ssl2(Said(body, piece))))  # type: ignore[arg-type]
    _parsers(body)


def _listened(said: Said, question: Question, *, chain: bool) -> Heard | None:
    try:
        return _driven(listen(said, question, chain=chain))  # type: ignore[arg-type]
    except (CodecError, NotSeen):
        return None


def _driven(listening: Coroutine[Any, Any, Heard]) -> Heard:
    """Runs it to its end without a loop: such a stream never waits."""
    try:
        listening.send(None)
    except StopIteration as done:
        heard: Heard = done.value
        return heard
    raise AssertionError("it waited for something")


def _heard(heard: Heard | None) -> None:
    if heard is None:
        return
    assert heard.answer in (ACCEPTED, REFUSED, UNCLEAR)
    assert (heard.answer == ACCEPTED) == bool(heard.hello or heard.kinds)
    assert sum(map(len, heard.chain.certificates)) <= 300_000


def _parsers(body: bytes) -> None:
    flight = Flight()
    with suppress(CodecError):
        flight.feed(body)
    for kind in (2, 11, 12, 22):
        for parse in (server_hello, certificate_chain, certificate_status):
            try:
                parse(Message(kind, body))
            except CodecError:
                continue
        for exchange in ("DHE", "ECDHE"):
            for signed in (False, True):
                try:
                    key_exchange(Message(kind, body), exchange, signed=signed)
                except CodecError:
                    continue
    with suppress(CodecError):
        ssl2_server_hello(body)


def main() -> None:
    from importlib import import_module

    atheris = import_module("atheris")  # no part of the tests' environment

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
