"""A mail exchanger that greets, may offer STARTTLS, and takes no mail (RFC 5321, RFC 3207)."""

from __future__ import annotations

from dataclasses import dataclass
from ssl import SSLContext

from posture.range.listening import Peer

_MOST_COMMANDS = 50


@dataclass(frozen=True, slots=True)
class MailExchanger:
    """``tls``: the context behind STARTTLS; None: there is no encryption to be had."""

    name: str
    tls: SSLContext | None = None

    async def serve(self, peer: Peer) -> None:
        encrypted = False
        await self._reply(peer, f"220 {self.name} ESMTP")
        for _ in range(_MOST_COMMANDS):
            verb = (await peer.line()).decode("latin-1").partition(" ")[0].upper()
            if peer.gone() and not verb:
                return
            if verb == "STARTTLS" and self.tls and not encrypted:
                await self._reply(peer, "220 2.0.0 Ready to start TLS")
                await peer.start_tls(self.tls)
                encrypted = True
                continue
            await self._reply(peer, *self._answer(verb, encrypted=encrypted))
            if verb == "QUIT":
                return
        await self._reply(peer, "421 4.7.0 Too many commands")

    def _answer(self, verb: str, *, encrypted: bool) -> tuple[str, ...]:
        match verb:
            case "EHLO":
                offered = ["STARTTLS"] if self.tls and not encrypted else []
                words = [self.name, "SIZE 26214400", "8BITMIME", *offered, "ENHANCEDSTATUSCODES"]
                return (*(f"250-{word}" for word in words[:-1]), f"250 {words[-1]}")
            case "HELO":
                return (f"250 {self.name}",)
            case "NOOP" | "RSET":
                return ("250 2.0.0 Ok",)
            case "QUIT":
                return ("221 2.0.0 Bye",)
            case "MAIL" | "RCPT" | "DATA":
                return ("554 5.7.1 This is a practice range: it takes no mail",)
            case _:
                return ("502 5.5.2 Command not recognized",)

    @staticmethod
    async def _reply(peer: Peer, *lines: str) -> None:
        await peer.say("".join(f"{line}\r\n" for line in lines).encode("latin-1"))
