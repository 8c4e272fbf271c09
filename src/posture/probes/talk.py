"""A conversation on one connection: ask, and listen until something is recognised or there is nothing more to hear."""

from __future__ import annotations

import asyncio

from posture.facts.parse_service import Reader, Recognised
from posture.model import NotSeen, Reason
from posture.probes.base import Stream

HEAR_BYTES = 4096
LINE_BYTES = 2048
REPLY_LINES = 100


class Talk:
    """Keeps what was heard, so that a protocol recognised in it can go on from there.

    Args:
        stream: an open connection.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._unread = b""
        self.heard = b""
        self.ended = False

    async def say(self, words: bytes) -> None:
        await self._stream.write(words)

    async def listen(self, read: Reader) -> Recognised | None:
        """Reads until ``read`` recognises what was heard since the last question; None when it never does.

        Raises:
            NotSeen: the connection broke or fell silent before anything at all was heard.
        """
        start = len(self.heard)
        while len(self.heard) - start < HEAR_BYTES:
            try:
                more = await self._hear()
            except NotSeen:
                if len(self.heard) == start:
                    raise
                return None
            if known := read(self.heard[start:]):
                return known
            if not more:
                return None
        return None

    async def ask(self, question: bytes, read: Reader) -> Recognised | None:
        """Says ``question`` and listens for the answer. Our own words that come back are nobody's answer."""

        def answer(data: bytes) -> Recognised | None:
            return None if data[: len(question)] == question[: len(data)] else read(data)

        await self.say(question)
        return await self.listen(answer)

    async def greeting(self, read: Reader, seconds: float) -> Recognised | None:
        """What the other side says of its own accord; None when it says nothing, or nothing known, in time."""
        try:
            async with asyncio.timeout(seconds):
                return await self.listen(read)
        except TimeoutError:
            return None
        except NotSeen as unseen:
            if unseen.reason is Reason.TIMEOUT:
                return None
            raise

    async def reply(self) -> tuple[int, tuple[str, ...]]:
        """One reply of FTP or SMTP, of several lines perhaps: its code and texts (RFC 959 section 4.2).

        Raises:
            NotSeen: MALFORMED, TRUNCATED, or what the connection met.
        """
        lines: list[str] = []
        code = ""
        while len(lines) < REPLY_LINES:
            line = (await self._line()).rstrip(b"\r\n").decode("latin-1")
            code = code or line[:3]
            if not (code.isascii() and code.isdigit() and len(code) == 3):
                raise NotSeen(Reason.MALFORMED, "not a reply")
            lines.append(line)
            if line[:3] == code and line[3:4] != "-":
                return int(code), tuple(lines)
        raise NotSeen(Reason.MALFORMED, f"a reply of more than {REPLY_LINES} lines")

    async def _line(self) -> bytes:
        while b"\n" not in self._unread:
            if len(self._unread) > LINE_BYTES:
                raise NotSeen(Reason.MALFORMED, f"a line of more than {LINE_BYTES} bytes")
            if not await self._hear():
                raise NotSeen(Reason.TRUNCATED, "the connection ended in the middle of a reply")
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    async def _hear(self) -> bytes:
        more = await self._stream.read(HEAR_BYTES)
        self.ended = not more
        self.heard += more
        self._unread += more
        return more
