"""Questions to one TLS endpoint, one connection each, and what may be concluded from the answers.

A refusal is believed when the server said so in an alert and is known to answer hellos of that shape, or when two shapes
of hello were declined alike. Silence, resets and garbage are never a refusal, and end the conversation when they persist.

A server that answered and then turns us away has had enough of us, or never could bear that one hello. It is left alone
for a while and asked again, then with a hello that it answered before: unless it answers that one, all it ever said is
thrown away, because an address that has banned us says nothing about TLS.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from posture.facts.tls import ACCEPTED, REFUSED, UNCLEAR, VersionAnswer
from posture.model import AbsentCause, NotSeen, NotThere, Reason
from posture.probes.base import Door, Stream
from posture.probes.tls.chain import handshake_chain
from posture.probes.tls.hello import FULL, LEAN, LEAN_SUITES, Chain, Question, Shape, client_hello, sni, ssl2_hello
from posture.probes.tls.listening import Heard, listen, listen_ssl2
from posture.probes.tls.records import CodecError, NotTls
from posture.probes.tls.starttls import start_tls
from posture.probes.tls.suites import name_of, ssl2
from posture.task import Task

# OpenSSL at its usual security level says internal_error to TLS 1.0 and 1.1; so may a server in trouble: both shapes count.
_DOUBTFUL = frozenset({"internal_error"})
# Refusals of our own side: the scan may not go on, whatever the server would say.
_OURS = frozenset(
    {Reason.OUT_OF_SCOPE, Reason.NOT_GRANTED, Reason.BLACKOUT, Reason.STOPPED, Reason.BUG, Reason.RATE_LIMITED}
)
# Turned away, where an earlier hello was answered.
_PUSHES = frozenset({Reason.RESET, Reason.TIMEOUT})
# "Not now", in the clear before TLS.
_NOT_NOW = frozenset({Reason.RATE_LIMITED, Reason.TEMPORARY})
_MAX_SILENCES, _MAX_UNCLEAR, _MAX_RECOVERIES = 2, 4, 1


Ask = Callable[[Shape], Awaitable[Heard]]
Listen = Callable[[Stream], Awaitable[Heard]]


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One hello: what was heard, why nothing was, and whether we were turned away rather than answered badly."""

    heard: Heard
    miss: NotSeen | None = None
    turned_away: bool = False


class Conversation:
    """All questions of one probe to one endpoint. ``choices`` are the hellos that were answered with a choice, in order.

    Args:
        task: ``addresses[0]`` and ``port`` are asked for ``name``; ``params["starttls"]``, ``params["ehlo"]``.
    """

    def __init__(self, task: Task, door: Door) -> None:
        if not task.addresses or task.port is None:
            raise NotSeen(Reason.OUT_OF_SCOPE, "no granted address")
        self.starttls = str(task.params.get("starttls", ""))
        self.name = sni(task.name)
        self.chain = Chain()
        self.choices: list[Heard] = []
        self._address, self._port = task.addresses[0], task.port
        self._ehlo = str(task.params.get("ehlo", "posture.invalid"))
        self._alpn = ("h2", "http/1.1") if self._port in (443, 8443) and not self.starttls else ()
        self._door = door
        self._shape = FULL
        self._proven: set[Shape] = set()
        self._known: tuple[Ask, Shape] | None = None
        self._answered: tuple[bytes, Listen] | None = None
        self._disliked: set[Shape] = set()
        self._recoveries = 0
        self._misses: list[NotSeen] = []
        self._unclear_in_a_row = 0
        self._connected = False
        self._in_clear = False

    @property
    def alpn(self) -> tuple[str, ...]:
        """The protocols that hellos of the full shape offer."""
        return self._alpn

    @property
    def frugal(self) -> bool:
        """Mail exchangers count connections (anvil, fail2ban): ask little."""
        return self._port == 25

    @property
    def alive(self) -> bool:
        """Whether some hello of this conversation was answered with a choice."""
        return bool(self._proven)

    def unseen(self) -> NotSeen:
        """Why nothing could be seen, when nothing could."""
        return self._misses[0] if self._misses else NotSeen(Reason.REFUSED_BY_TARGET, "every hello was declined")

    async def settle(
        self,
        versions: tuple[str, ...],
        suites: tuple[int, ...],
        *,
        doubt: bool = True,
        groups: tuple[int, ...] = (),
        signatures: tuple[int, ...] = (),
        compressions: tuple[int, ...] = (0,),
        fallback: bool = False,
    ) -> Heard:
        """A question asked until its answer can be believed: once, or in a second shape of hello.

        Args:
            doubt: a refusal other than protocol_version is doubted even when the shape is known to be fine.
            groups, signatures, compressions, fallback: as in :class:`Question`.
        """
        question = Question(versions, suites, self.name, self._alpn, groups, signatures, compressions, fallback)

        async def ask(shape: Shape) -> Heard:
            hello = client_hello(question, shape, secrets.token_bytes(64))
            return await self._ask(hello, lambda stream: self._listen(stream, question), shape)

        return await self._twice(ask, doubt=doubt)

    async def _listen(self, stream: Stream, question: Question) -> Heard:
        return await listen(stream, question, chain=not self.chain.certificates)

    async def settle_ssl2(self) -> Heard:
        """The SSL 2.0 CLIENT-HELLO, with a short and a long challenge."""

        async def ask(shape: Shape) -> Heard:
            hello = ssl2_hello(ssl2(), secrets.token_bytes(16 if shape.full else 32))
            return await self._ask(hello, listen_ssl2, shape)

        return await self._twice(ask, doubt=not self.frugal)

    async def eliminate(
        self,
        version: str,
        suites: tuple[int, ...],
        *,
        first: Heard | None = None,
        known: tuple[int, ...] = (),
        limit: int = 200,
    ) -> VersionAnswer:
        """What the server accepts at one version: offer, strike what it chose, offer the rest, until it refuses.

        Args:
            first: the answer to a hello that offered at least these, when there is one already.
            known: suites that were chosen before.
            limit: stop after so many accepted suites.
        """
        chosen = list(known)
        doubt = first is None and not self.frugal
        while True:
            rest = tuple(suite for suite in suites if suite not in chosen)
            heard = first or await self.settle((version,), rest, doubt=doubt and not chosen)
            first = None
            if heard.hello is None or heard.hello.version != version:
                return _ended(version, chosen, heard, len(rest))
            chosen.append(heard.hello.suite)
            if len(chosen) in (limit, len(suites)):
                return VersionAnswer(version, ACCEPTED, "", _names(chosen), complete=len(chosen) == len(suites))

    async def read_chain(self) -> str:
        """Fetches the chain in a whole handshake when no flight in clear held it. Returns "" or the reason word.

        Raises:
            NotSeen: RATE_LIMITED.
        """
        if self.chain.certificates:
            return ""
        why = await self._handshake()
        if why in _PUSHES:
            self._door.throttled(self._address)
            why = await self._handshake()
            if why in _PUSHES:
                await self._must_answer()
        return why

    async def _handshake(self) -> str:
        try:
            async with await self._door.connect(self._address, self._port, brisk=not self.starttls) as stream:
                await self._start(stream)
                self.chain = await handshake_chain(stream, self.name)
        except NotThere:
            return str(Reason.RESET)
        except NotSeen as unseen:
            if unseen.reason in _OURS:
                raise
            return str(unseen.reason)
        return "" if self.chain.certificates else str(Reason.MALFORMED)

    # ---- one question, one connection

    async def _twice(self, ask: Ask, *, doubt: bool) -> Heard:
        first = await ask(self._shape)
        if first.hello:
            self._known = (ask, self._shape)
        if first.answer == ACCEPTED or self._believed(first, doubt):
            return first
        other = LEAN if self._shape is FULL else FULL
        second = await ask(other)
        if second.hello:
            if first.answer == UNCLEAR:
                self._disliked.add(self._shape)
            if self._shape not in self._proven:
                self._shape = other
            self._known = (ask, other)
        if second.answer == ACCEPTED:
            return second
        return await self._agreement(first, second)

    def _believed(self, heard: Heard, doubt: bool) -> bool:
        if not heard.by_alert or heard.why in _DOUBTFUL:
            return False
        if self.frugal and self.starttls and not doubt:
            return True  # its reply to STARTTLS shows that it understands us
        return self.alive and (heard.why == "protocol_version" or (not doubt and heard.shape in self._proven))

    async def _agreement(self, first: Heard, second: Heard) -> Heard:
        """What two shapes of a hello say together, neither of which was accepted."""
        by_alert = [heard for heard in (first, second) if heard.by_alert]
        unclear = [heard for heard in (first, second) if heard.answer == UNCLEAR]
        if unclear:
            certain = by_alert and by_alert[0].shape in self._proven and by_alert[0].why not in _DOUBTFUL
            return by_alert[0] if certain else unclear[0]
        if by_alert:
            return by_alert[0]
        if await self._still_answers():
            return first
        if self._known is not None:
            raise self._throttled("hangs up on hellos that it answered before")
        return Heard(UNCLEAR, str(Reason.REFUSED_BY_TARGET))

    async def _still_answers(self) -> bool:
        """Whether a hello that was accepted before is accepted now: hanging up may be a refusal, or the end of all talk."""
        if self._known is None:
            return False
        ask, shape = self._known
        return (await ask(shape)).answer == ACCEPTED

    async def _ask(self, hello: bytes, listen: Listen, shape: Shape) -> Heard:
        if self._silent():
            return Heard(UNCLEAR, str(self._misses[-1].reason), shape=shape)
        attempt = await self._attempt(hello, listen)
        if attempt.turned_away and self._answered is not None and shape not in self._disliked:
            attempt = await self._again(hello, listen)
        heard = attempt.heard
        if attempt.miss:
            self._misses.append(attempt.miss)
            self._unclear_in_a_row += 1
        elif heard.answer != UNCLEAR:
            self._unclear_in_a_row = 0
        if heard.by_alert or heard.answer == ACCEPTED:
            self._answered = (hello, listen)
        heard = replace(heard, shape=shape)
        if heard.hello:
            self._proven.add(shape)
            self.choices.append(heard)
            if not self.chain.certificates or (heard.chain.staple and not self.chain.staple):
                self.chain = heard.chain
        return heard

    async def _attempt(self, hello: bytes, listen: Listen) -> _Attempt:
        """One hello, put to the server once.

        Raises:
            NotThere: the port is closed.
            NotSeen: a refusal of ours; another protocol; the server declines before TLS, and always did.
        """
        try:
            return _Attempt(await self._exchange(hello, listen))
        except NotThere as absent:
            if not self._connected or (absent.cause is AbsentCause.NOT_OFFERED and not self.alive):
                raise
            return _missed(NotSeen(Reason.RESET, "connections or STARTTLS no longer accepted"), turned_away=True)
        except CodecError as fault:
            malformed = NotSeen(Reason.MALFORMED, str(fault))
            if isinstance(fault, NotTls) and not self.alive:
                raise malformed from fault
            return _missed(malformed)
        except NotSeen as unseen:
            if unseen.reason in _OURS or (self._in_clear and not self.alive):
                raise
            return _missed(unseen, turned_away=self._in_clear or unseen.reason in _PUSHES)

    async def _again(self, hello: bytes, listen: Listen) -> _Attempt:
        """The second attempt, after a pause, at a hello that was turned away where others were answered.

        An answer is believed, once. Turned away again, it is this hello that the server cannot bear only if another one
        is answered now.

        Raises:
            NotSeen: RATE_LIMITED.
        """
        self._door.throttled(self._address)
        attempt = await self._attempt(hello, listen)
        if attempt.miss:
            await self._must_answer()
            return attempt
        self._recoveries += 1
        if self._recoveries > _MAX_RECOVERIES:
            raise self._throttled("answers only after pauses")
        return attempt

    async def _must_answer(self) -> None:
        """Puts a hello that was answered before once more. Raises NotSeen(RATE_LIMITED) when it is not."""
        heard = (await self._attempt(*self._answered)).heard if self._answered else Heard(UNCLEAR)
        if not (heard.answer == ACCEPTED or heard.by_alert):
            raise self._throttled("turns away hellos that it answered before")

    def _throttled(self, what: str) -> NotSeen:
        return NotSeen(Reason.RATE_LIMITED, f"{self._address} {what}")

    async def _exchange(self, hello: bytes, listen: Listen) -> Heard:
        """One connection; a second one, after a pause, when the server says "not now" or resets it before TLS."""
        try:
            return await self._connection(hello, listen)
        except NotSeen as unseen:
            if not self._in_clear or unseen.reason not in (*_NOT_NOW, Reason.RESET):
                raise
        self._door.throttled(self._address)
        return await self._connection(hello, listen)

    async def _connection(self, hello: bytes, listen: Listen) -> Heard:
        self._in_clear = False
        async with await self._door.connect(self._address, self._port, brisk=not self.starttls) as stream:
            self._connected = True
            await self._start(stream)
            await stream.write(hello)
            return await listen(stream)

    async def _start(self, stream: Stream) -> None:
        self._in_clear = bool(self.starttls)
        if self.starttls:
            await start_tls(stream, self.starttls, self.name, self._ehlo)
        self._in_clear = False

    def _silent(self) -> bool:
        recent = self._misses[-_MAX_SILENCES:] if self._unclear_in_a_row >= _MAX_SILENCES else []
        return self._unclear_in_a_row >= _MAX_UNCLEAR or bool(
            recent and all(miss.reason in (Reason.TIMEOUT, Reason.DEADLINE) for miss in recent)
        )


def _missed(unseen: NotSeen, *, turned_away: bool = False) -> _Attempt:
    return _Attempt(Heard(UNCLEAR, str(unseen.reason)), unseen, turned_away)


def _ended(version: str, chosen: list[int], heard: Heard, left: int) -> VersionAnswer:
    """The end of an elimination by anything but another accepted suite."""
    other = heard.hello.version if heard.hello else ""
    if chosen:
        covered = heard.shape.full or left <= LEAN_SUITES
        why = heard.why if heard.answer == UNCLEAR else ""
        return VersionAnswer(version, ACCEPTED, why, _names(chosen), complete=heard.answer == REFUSED and covered)
    if other:
        return VersionAnswer(version, REFUSED, other, (), complete=True)
    return VersionAnswer(version, heard.answer, heard.why, (), complete=heard.answer == REFUSED)


def _names(numbers: list[int]) -> tuple[str, ...]:
    return tuple(name_of(number) for number in numbers)
