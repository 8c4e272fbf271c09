"""A web server of a few pages (HTTP/1.1, one request a connection)."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus

from posture.range.listening import Peer

_MOST_HEADERS = 100

GOOD_HEADERS = (
    ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'"),
)


@dataclass(frozen=True, slots=True)
class Page:
    body: str
    content_type: str = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Site:
    """What is served. With ``redirect`` every path leads there (301); else ``pages`` by path, and 404."""

    pages: dict[str, Page] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()
    redirect: str = ""
    server: str = "Example-Web"

    async def serve(self, peer: Peer) -> None:
        """Answers one GET or HEAD."""
        words = (await peer.line()).decode("latin-1").split()
        for _ in range(_MOST_HEADERS):
            if not await peer.line():
                break
        if peer.gone() and not words:
            return
        if len(words) != 3 or not words[2].startswith("HTTP/"):
            await self._reply(peer, HTTPStatus.BAD_REQUEST, Page("Bad request\n", "text/plain"))
        elif words[0] not in ("GET", "HEAD"):
            await self._reply(peer, HTTPStatus.NOT_IMPLEMENTED, Page("Not implemented\n", "text/plain"))
        elif self.redirect:
            await self._reply(peer, HTTPStatus.MOVED_PERMANENTLY, Page(""), (("Location", self.redirect),))
        else:
            page = self.pages.get(words[1].partition("?")[0])
            status = HTTPStatus.OK if page else HTTPStatus.NOT_FOUND
            await self._reply(peer, status, page or Page("Not found\n", "text/plain"), head=words[0] == "HEAD")

    async def _reply(
        self,
        peer: Peer,
        status: HTTPStatus,
        page: Page,
        extra: tuple[tuple[str, str], ...] = (),
        *,
        head: bool = False,
    ) -> None:
        body = page.body.encode()
        headers = (
            ("Server", self.server),
            ("Content-Type", page.content_type),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
            *self.headers,
            *extra,
        )
        lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in headers)]
        await peer.say(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (b"" if head else body))


def welcome(title: str, text: str) -> Page:
    """A friendly front page."""
    return Page(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>'
        f"<body><h1>{title}</h1><p>{text}</p></body></html>\n"
    )


def security_txt(host: str, contact: str, expires: str) -> Page:
    """RFC 9116; ``expires`` in RFC 3339 form."""
    lines = (
        f"Contact: mailto:{contact}",
        f"Expires: {expires}",
        "Preferred-Languages: en",
        f"Canonical: https://{host}/.well-known/security.txt",
    )
    return Page("\r\n".join(lines) + "\r\n", "text/plain; charset=utf-8")
