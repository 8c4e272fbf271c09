"""One mail exchanger on port 25: greeting, EHLO, STARTTLS and one handshake at each address (RFC 5321, RFC 3207).

Tasks of subject ``mx:NAME:25``: ``task.name`` is the exchanger, ``params`` are {"ehlo": the name we greet with}.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from posture.facts.smtp import SmtpAnswer, SmtpFacts, is_masked
from posture.model import NotSeen, NotThere, ProbeClass, Reason
from posture.net.tls import TlsStream, client_context
from posture.probes.base import Door, Parts, Probe, Stream
from posture.task import Task

PORT = 25
TOO_MANY = 421
MAX_LINES = 100
MAX_LINE = 2048
# RFC 5321 section 4.5.3.2 lets a server take five minutes to greet; tarpits do, and are not worth the asset's time.
CONNECT_SECONDS = 10.0
MAX_EXTENSIONS = 60

_LINE = re.compile(r"([2-5][0-9]{2})(?:([ -])([^\r\n]*))?\r?\n")
_KEYWORD = re.compile(r"[A-Z0-9][A-Z0-9-]{0,39}")
# Said or done by a server that wants to be left alone for a while: 421, other 4xx, hanging up.
_PUSHES = frozenset({Reason.RATE_LIMITED, Reason.TEMPORARY, Reason.RESET})
# Ours to explain, not the server's: when every address ends so, nobody was asked.
_NOT_ASKED = frozenset(
    {Reason.OUT_OF_SCOPE, Reason.NOT_GRANTED, Reason.BLACKOUT, Reason.STOPPED, Reason.RATE_LIMITED, Reason.DEADLINE}
)


async def observe(task: Task, door: Door) -> SmtpFacts:
    """Every address, one after the other, as a mail server would; once more after a pause where it says "not now".

    Raises:
        NotSeen: RATE_LIMITED, an address says 421 again after the pause, which makes all of it unusable; or no address
            could be asked at all, for a reason of our own.
    """
    answers: list[SmtpAnswer] = []
    refusals: list[NotSeen] = []
    for address in task.addresses:
        try:
            answers.append(await _patient_visit(door, address, task.name, str(task.params["ehlo"])))
        except NotSeen as unseen:
            if unseen.reason is Reason.RATE_LIMITED and not unseen.code:
                raise
            answers.append(SmtpAnswer(address, str(unseen.reason), code=unseen.code or ""))
            refusals += [unseen] if unseen.reason in _NOT_ASKED else []
    answers += _refused(task)
    if refusals and len(refusals) == len(task.addresses):
        raise refusals[0]
    return SmtpFacts(task.name, tuple(answers))


@dataclass(frozen=True, slots=True)
class _Reply:
    code: int
    lines: tuple[str, ...]


async def _patient_visit(door: Door, address: str, name: str, ehlo: str) -> SmtpAnswer:
    """A visit, and a second one after a pause when the first was turned away.

    Raises:
        NotSeen: as the door does; RATE_LIMITED for a second 421, RESET for a second hang-up.
    """
    try:
        answer = await _visit(door, address, name, ehlo)
        if answer.state != Reason.TEMPORARY:
            return answer
    except NotSeen as unseen:
        if unseen.code or unseen.reason not in _PUSHES:
            raise
    door.throttled(address)
    return await _visit(door, address, name, ehlo)


async def _visit(door: Door, address: str, name: str, ehlo: str) -> SmtpAnswer:
    try:
        stream = await door.connect(address, PORT, timeout=CONNECT_SECONDS)
    except NotThere:
        return SmtpAnswer(address, "closed")
    async with stream:
        for command in ("", f"EHLO {ehlo}"):
            reply = await _say(stream, command)
            if reply.code // 100 != 2:
                await _quit(stream)
                return SmtpAnswer(address, _refusal(address, reply.code))
        keywords = _keywords(reply)
        answer = SmtpAnswer(address, "greeted", keywords, starttls=_offer(reply, keywords))
        if answer.starttls != "offered":
            await _quit(stream)
            return answer
        return await _start_tls(stream, name, answer)


def _refusal(address: str, code: int) -> str:
    """The word for it. Raises NotSeen(RATE_LIMITED) for 421, the one that means us (RFC 5321 section 3.8)."""
    if code == TOO_MANY:
        raise NotSeen(Reason.RATE_LIMITED, f"{address} said {TOO_MANY}")
    return {4: "temporary", 5: "rejected"}.get(code // 100, "malformed")


def _keywords(reply: _Reply) -> tuple[str, ...]:
    """EHLO keywords of the lines after the greeting (RFC 5321 section 4.1.1.1)."""
    words = {line.split(" ")[0].upper() for line in reply.lines[1:]}
    return tuple(sorted(word for word in words if _KEYWORD.fullmatch(word)))[:MAX_EXTENSIONS]


def _offer(reply: _Reply, keywords: tuple[str, ...]) -> str:
    if "STARTTLS" in keywords:
        return "offered"
    return "masked" if any(map(is_masked, reply.lines[1:])) else "not_offered"


async def _start_tls(stream: Stream, name: str, answer: SmtpAnswer) -> SmtpAnswer:
    try:
        reply = await _say(stream, "STARTTLS")
    except NotSeen:
        return replace(answer, tls="unclear")
    if reply.code != 220:
        await _quit(stream)
        return replace(answer, tls="refused" if _refusal(answer.address, reply.code) == "rejected" else "unclear")
    tls = TlsStream(_PastClearText(stream), client_context(alpn=None), name)
    try:
        await tls.handshake()
    except NotSeen as unseen:
        return replace(answer, tls="refused" if unseen.reason is Reason.REFUSED_BY_TARGET else "unclear")
    with contextlib.suppress(NotSeen):
        await tls.write(b"QUIT\r\n")
    return replace(answer, tls="accepted", version=tls.version())


class _PastClearText:
    """The stream without reply lines that somebody put behind the 220: no client may heed them (RFC 3207 section 4.2)."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._in_tls = False

    async def read(self, limit: int = 65536) -> bytes:
        if self._in_tls:
            return await self._stream.read(limit)
        for _ in range(MAX_LINES):
            first = await self._stream.read(1)
            if not first.isdigit():
                self._in_tls = True
                return first
            await self._stream.read_line(MAX_LINE)
        raise NotSeen(Reason.MALFORMED, "clear text after STARTTLS")

    async def write(self, data: bytes) -> None:
        await self._stream.write(data)


async def _say(stream: Stream, command: str) -> _Reply:
    """Sends a command ("" for none) and reads one reply of at most 100 lines.

    Raises:
        NotSeen: as the stream does; MALFORMED for what is no SMTP reply, RESET when the server hangs up.
    """
    if command:
        await stream.write(command.encode("ascii") + b"\r\n")
    lines: list[str] = []
    while len(lines) < MAX_LINES:
        line = await stream.read_line(MAX_LINE)
        if not line:
            raise NotSeen(Reason.RESET, "the server hung up")
        match = _LINE.match(line.decode("latin-1"))
        if match is None:
            raise NotSeen(Reason.MALFORMED, "no SMTP reply")
        lines.append(match[3] or "")
        if match[2] != "-":
            return _Reply(int(match[1]), tuple(lines))
    raise NotSeen(Reason.MALFORMED, f"a reply of more than {MAX_LINES} lines")


async def _quit(stream: Stream) -> None:
    """Takes leave without waiting for the answer."""
    with contextlib.suppress(NotSeen):
        await stream.write(b"QUIT\r\n")


def _work(task: Task) -> tuple[str, str]:
    return task.name, str(task.params["ehlo"])


def _held(known: Sequence[SmtpFacts]) -> dict[str, SmtpAnswer]:
    """The answers of addresses that were really asked."""
    return {one.address: one for facts in known for one in facts.answers if one.state not in _NOT_ASKED}


def _left(task: Task, known: Sequence[SmtpFacts]) -> Task | None:
    held = _held(known)
    addresses = tuple(address for address in task.addresses if address not in held)
    params = {name: value for name, value in task.params.items() if name not in ("refused", "codes")}
    return replace(task, addresses=addresses, params=params) if addresses else None


def _joined(task: Task, known: Sequence[SmtpFacts]) -> SmtpFacts:
    """The task's own addresses, and those that may not be asked in its name."""
    answers = {one.address: one for facts in known for one in facts.answers} | _held(known)
    return SmtpFacts(task.name, (*(answers[address] for address in task.addresses), *_refused(task)))


def _refused(task: Task) -> list[SmtpAnswer]:
    """The addresses that the plan left out, each with the reason and the code of its refusal."""
    codes = task.params.get("codes", {})
    return [
        SmtpAnswer(address, reason, code=codes.get(address, ""))
        for address, reason in sorted(task.params.get("refused", {}).items())
    ]


PROBES = (Probe("smtp", SmtpFacts, ProbeClass.CLIENT, observe, deadline=60.0, parts=Parts(_work, _left, _joined)),)
