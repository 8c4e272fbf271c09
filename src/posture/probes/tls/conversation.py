"""Questions to one TLS endpoint, one connection each, and what may be concluded from the answers.

A refusal is believed when the server said so in an alert and is known to answer hellos of that shape, or when two shapes
of hello were declined alike. Silence, resets and garbage are never a refusal, and end the conversation when they persist.

A server that answered and then turns us away has had enough of us, or never could bear that one hello. It is left alone
for a while and asked again, then with a hello that it answered before: unless it answers that one, all it ever said is
thrown away, because an address that has banned us says nothing about TLS.

Mail servers count connections (Postfix' anvil, fail2ban, our own limits for SMTP): theirs are numbered, and what cannot
be asked in that number is not clear.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from posture.facts.tls import ACCEPTED, UNCLEAR
from posture.model import AbsentCause, NotSeen, NotThere, Reason
from posture.probes.base import Door, Stream
from posture.probes.tls.chain import handshake_chain
from posture.probes.tls.hello import FULL, LEAN, Chain, Question, Shape, client_hello, sni, ssl2_hello
from posture.probes.tls.listening import Heard, listen, listen_ssl2
from posture.probes.tls.records import CodecError, NotTls
from posture.probes.tls.starttls import start_tls
from posture.probes.tls.suites import ssl2, without_dhe
from posture.task import Task

# OpenSSL at its usual security level says internal_error to TLS 1.0 and 1.1; so may a server in trouble: both shapes count.
DOUBTFUL = frozenset({"internal_error"})
# Refusals of our own side: the scan may not go on, whatever the server would say.
_OURS = frozenset(
    {Reason.OUT_OF_SCOPE, Reason.NOT_GRANTED, Reason.BLACKOUT, Reason.STOPPED, Reason.BUG, Reason.RATE_LIMITED}
)
# Turned away, where an earlier hello was answered.
_PUSHES = frozenset({Reason.RESET, Reason.TIMEOUT})
# "Not now", in the clear before TLS.
_NOT_NOW = frozenset({Reason.RATE_LIMITED, Reason.TEMPORARY})
_MAX_SILENCES, _MAX_UNCLEAR, _MAX_RECOVERIES = 2, 4, 1
_MAIL_PORTS = frozenset({25, 465, 587})
# An exchanger may be asked six times in all: one visit as a mail server makes it, and what the two probes take here.
MOST_OF_MAIL = 3

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
        most: connections to a mail server.
    """

    def __init__(self, task: Task, door: Door, most: int = MOST_OF_MAIL) -> None:
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
        self._answered: tuple[bytes, Listen] | None = None
        self._disliked: set[Shape] = set()
        self._recoveries = 0
        self._misses: list[NotSeen] = []
        self._unclear_in_a_row = 0
        self._hangs_up = False
        self._alerts = False
        self._pending = False
        self._connected = False
        self._in_clear = False
        self._left = most if self.frugal else 1_000_000

    @property
    def alpn(self) -> tuple[str, ...]:
        """The protocols that hellos of the full shape offer."""
        return self._alpn

    @property
    def frugal(self) -> bool:
        """Mail servers count connections: ask little."""
        return self._port in _MAIL_PORTS

    @property
    def spent(self) -> bool:
        """Whether no more may be asked of a server that counts connections."""
        return self._left <= 0

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
        plain = without_dhe(suites) == suites
        return await self._twice(self._asking(question), doubt=doubt, plain=plain, usual=not signatures)

    async def glance(
        self,
        versions: tuple[str, ...],
        suites: tuple[int, ...],
        *,
        signatures: tuple[int, ...] = (),
        compressions: tuple[int, ...] = (0,),
    ) -> Heard:
        """A question asked once, whose answer is to be believed only with what others say; see :meth:`credible`."""
        question = Question(versions, suites, self.name, self._alpn, (), signatures, compressions)
        return await self._asking(question)(self._shape)

    async def glance_ssl2(self) -> Heard:
        """The SSL 2.0 CLIENT-HELLO, once."""
        return await self._ask_ssl2(self._shape)

    def credible(self, heard: Heard) -> bool:
        """Whether a refusal was said to a hello of a shape that is answered, in an alert that means just that."""
        return heard.by_alert and heard.shape in self._proven and heard.why not in DOUBTFUL

    def _asking(self, question: Question) -> Ask:
        async def ask(shape: Shape) -> Heard:
            hello = client_hello(question, shape, secrets.token_bytes(64))
            return await self._ask(hello, lambda stream: self._listen(stream, question), shape)

        return ask

    async def _listen(self, stream: Stream, question: Question) -> Heard:
        return await listen(stream, question, chain=not self.chain.certificates)

    async def without_name(self, version: str, suites: tuple[int, ...]) -> Heard:
        """What a client is told that says no server name: asked once, and no part of what is known of the server by name.

        Raises:
            NotSeen: a refusal of ours.
        """
        question = Question((version,), suites, "", self._alpn)

        async def hear(stream: Stream) -> Heard:
            return await listen(stream, question, chain=True, any_alert=True)

        return (await self._attempt(client_hello(question, self._shape, secrets.token_bytes(64)), hear)).heard

    async def settle_ssl2(self) -> Heard:
        """The SSL 2.0 CLIENT-HELLO, with a short and a long challenge."""
        return await self._twice(self._ask_ssl2, doubt=True, plain=True, usual=True)

    async def _ask_ssl2(self, shape: Shape) -> Heard:
        hello = ssl2_hello(ssl2(), secrets.token_bytes(16 if shape.full else 32))
        return await self._ask(hello, listen_ssl2, shape)

    async def read_chain(self) -> str:
        """Fetches the chain in a whole handshake when no flight in clear held it. Returns "" or the reason word.

        Raises:
            NotSeen: RATE_LIMITED.
        """
        if self.chain.certificates:
            return ""
        self.chain, why = await self.handshake(self.name)
        if why in _PUSHES:
            self._door.throttled(self._address)
            self.chain, why = await self.handshake(self.name)
            if why in _PUSHES and not self.frugal:
                await self._must_answer()
        return why

    async def handshake(self, name: str) -> tuple[Chain, str]:
        """One whole handshake: the chain it showed, and "" or the reason word. ``name``: to be said, "" for none.

        Raises:
            NotSeen: a refusal of ours.
        """
        if self.spent:
            return Chain(), str(Reason.RATE_LIMITED)
        self._left -= 1
        try:
            async with await self._door.connect(self._address, self._port) as stream:
                await self._start(stream)
                chain = await handshake_chain(stream, name)
        except NotThere:
            return Chain(), str(Reason.RESET)
        except NotSeen as unseen:
            if unseen.reason in _OURS:
                raise
            return Chain(), str(unseen.reason)
        return chain, "" if chain.certificates else str(Reason.MALFORMED)

    # ---- one question, one connection

    async def conclude(self) -> None:
        """To be awaited last: whether a server that refuses by hanging up did so to the end, or had enough of us.

        Raises:
            NotSeen: RATE_LIMITED.
        """
        if self._pending and not self.frugal:
            await self._must_answer()

    async def _twice(self, ask: Ask, *, doubt: bool, plain: bool, usual: bool) -> Heard:
        """An answer, or what two shapes of hello say together.

        Args:
            plain: no suite is among those offered over which a server may stumble, as it does not in the lean shape.
            usual: the hello has no extension that others of its shape have not.
        """
        first = await ask(self._shape)
        if first.answer == ACCEPTED or self._believed(first, doubt):
            return first
        usual = usual and first.shape in self._proven
        if plain and usual and self._hangs_up and not self._alerts and first.why == "closed":
            self._pending = True
            return first
        other = LEAN if self._shape is FULL else FULL
        second = await ask(other)
        if second.hello:
            if first.answer == UNCLEAR:
                self._disliked.add(self._shape)
            if self._shape not in self._proven:
                self._shape = other
        if second.answer == ACCEPTED:
            return second
        return await self._agreement(first, second, usual=usual)

    def _believed(self, heard: Heard, doubt: bool) -> bool:
        if not heard.by_alert or heard.why in DOUBTFUL:
            return False
        if self.frugal and self.starttls and not doubt:
            return True  # its reply to STARTTLS shows that it understands us
        return self.alive and (heard.why == "protocol_version" or (not doubt and heard.shape in self._proven))

    async def _agreement(self, first: Heard, second: Heard, *, usual: bool) -> Heard:
        """What two shapes of a hello say together, neither of which was accepted."""
        by_alert = [heard for heard in (first, second) if heard.by_alert]
        unclear = [heard for heard in (first, second) if heard.answer == UNCLEAR]
        if unclear:
            certain = by_alert and by_alert[0].shape in self._proven and by_alert[0].why not in DOUBTFUL
            return by_alert[0] if certain else unclear[0]
        if by_alert:
            return by_alert[0]
        if self._answered is None or self.spent:
            return Heard(UNCLEAR, str(Reason.REFUSED_BY_TARGET))
        if self._hangs_up and not self._alerts:
            self._pending = True
            return first
        # Hanging up may be a refusal, or the end of all talk. Once known, the way of a server is put to the test again
        # by the next hello that it answers, or at last.
        await self._must_answer()
        if self._alerts and not usual:
            # Who refuses by alerts and hangs up here is not the server, perhaps, but a box that minds the hello.
            return Heard(UNCLEAR, str(Reason.REFUSED_BY_TARGET))
        self._hangs_up = True
        return first

    async def _ask(self, hello: bytes, listen: Listen, shape: Shape) -> Heard:
        if self._silent():
            return Heard(UNCLEAR, str(self._misses[-1].reason), shape=shape)
        if self.spent:
            return Heard(UNCLEAR, str(Reason.RATE_LIMITED), shape=shape)
        attempt = await self._attempt(hello, listen)
        if attempt.turned_away and self._answered is not None and not self.frugal and shape not in self._disliked:
            attempt = await self._again(hello, listen)
        heard = attempt.heard
        if attempt.miss:
            self._misses.append(attempt.miss)
            self._unclear_in_a_row += 1
        elif heard.answer != UNCLEAR:
            self._unclear_in_a_row = 0
        if heard.by_alert or heard.answer == ACCEPTED:
            self._answered = (hello, listen)
            self._pending = False
            self._alerts = self._alerts or heard.by_alert
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
            if not self._in_clear or self.spent or unseen.reason not in (*_NOT_NOW, Reason.RESET):
                raise
        self._door.throttled(self._address)
        return await self._connection(hello, listen)

    async def _connection(self, hello: bytes, listen: Listen) -> Heard:
        self._in_clear = False
        self._left -= 1
        async with await self._door.connect(self._address, self._port) as stream:
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
