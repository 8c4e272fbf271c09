"""Services that have no business on the internet: a data store, a Telnet log-in, an FTP server; and a silent one.

They look like the real thing from the outside, know nothing and keep nothing.
"""

from __future__ import annotations

from posture.range.listening import Peer

_MOST_COMMANDS = 100

_REDIS_INFO = (
    "# Server\r\nredis_version:6.0.16\r\nredis_mode:standalone\r\nos:Linux x86_64\r\ntcp_port:6379\r\n"
    "# Clients\r\nconnected_clients:1\r\n# Keyspace\r\ndb0:keys=48210,expires=0,avg_ttl=0\r\n"
)


async def redis(peer: Peer) -> None:
    """Redis without a password: PING and INFO are answered, inline or as an array (RESP2)."""
    for _ in range(_MOST_COMMANDS):
        words = await _redis_command(peer)
        if words is None:
            return
        if words:
            await peer.say(_redis_answer(words))
        if words[:1] == ["QUIT"]:
            return


async def _redis_command(peer: Peer) -> list[str] | None:
    """The words of the next command, the first in upper case; None at the end or on a protocol error."""
    first = (await peer.line()).decode("latin-1")
    if peer.gone() and not first:
        return None
    if not first.startswith("*"):
        words = first.split()
    else:
        words = []
        for _ in range(min(int(first[1:]), 16)):
            length = (await peer.line()).decode("latin-1")
            if not length.startswith("$"):
                await peer.say(b"-ERR Protocol error: expected '$'\r\n")
                return None
            words.append((await peer.read_exactly(int(length[1:]) + 2))[:-2].decode("latin-1"))
    return [word.upper() if place == 0 else word for place, word in enumerate(words)]


def _redis_answer(words: list[str]) -> bytes:
    match words[0]:
        case "PING":
            return b"+PONG\r\n"
        case "QUIT":
            return b"+OK\r\n"
        case "INFO":
            return f"${len(_REDIS_INFO)}\r\n{_REDIS_INFO}\r\n".encode()
        case "DBSIZE":
            return b":48210\r\n"
        case _:
            return b"-ERR unknown command\r\n"


async def telnet(peer: Peer) -> None:
    """Option negotiation (RFC 854), a banner and a log-in that never succeeds."""
    do_terminal_type, do_speed, will_echo = b"\xff\xfd\x18", b"\xff\xfd\x20", b"\xff\xfb\x01"
    await peer.say(do_terminal_type + do_speed + will_echo)
    await peer.say(b"\r\nStock control terminal\r\nlogin: ")
    for _ in range(3):
        if not await peer.line() and peer.gone():
            return
        await peer.say(b"Password: ")
        if not await peer.line() and peer.gone():
            return
        await peer.say(b"\r\nLogin incorrect\r\nlogin: ")


async def ftp(peer: Peer) -> None:
    """FTP in clear text: a password is wanted before any encryption, and there is none (RFC 959, no RFC 4217)."""
    answers = {
        "USER": "331 Please specify the password.",
        "PASS": "530 Login incorrect.",
        "FEAT": "211-Features:\r\n EPRT\r\n EPSV\r\n MDTM\r\n PASV\r\n SIZE\r\n211 End",
        "SYST": "215 UNIX Type: L8",
        "AUTH": "530 Please login with USER and PASS.",
        "QUIT": "221 Goodbye.",
    }
    await peer.say(b"220 (vsFTPd 3.0.3)\r\n")
    for _ in range(_MOST_COMMANDS):
        verb = (await peer.line()).decode("latin-1").partition(" ")[0].upper()
        if peer.gone() and not verb:
            return
        await peer.say((answers.get(verb, "530 Please login with USER and PASS.") + "\r\n").encode("latin-1"))
        if verb == "QUIT":
            return


async def tarpit(peer: Peer) -> None:
    """Takes whatever comes and never answers."""
    while await peer.read(65536):
        pass
