"""What a web server answered to GET, hop by hop (RFC 9110)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from posture.facts.base import Facts

# Response headers worth keeping: policy headers only, no dates, no nonces, so that equal sites have equal facts.
KEPT_HEADERS = (
    "content-security-policy",
    "content-type",
    "location",
    "referrer-policy",
    "server",
    "strict-transport-security",
    "x-content-type-options",
    "x-frame-options",
)


@dataclass(frozen=True, slots=True)
class Hop:
    """One request and its response. ``headers`` are (lower-case name, value) pairs in the order received, kept
    ones only. Query strings and CSP nonces are left out: they differ every time and no rule needs them."""

    url: str
    status: int
    headers: tuple[tuple[str, str], ...] = ()

    def header(self, name: str) -> tuple[str, ...]:
        """All values of a header, in order."""
        return tuple(value for key, value in self.headers if key == name)


@dataclass(frozen=True, slots=True)
class HttpFacts(Facts):
    """GET / at one endpoint with the asset's name as Host, redirects followed inside the grant only.

    ``ended`` says why following stopped: "final" (not a redirect), "out_of_scope" (the next host is not
    ours to ask; the last hop's Location names it), "unseen" (a later hop gave no answer), "loop", "too_many".
    ``why`` is the reason word of an unseen hop, "closed" when its port is; ``code`` that of our refusal to ask it.
    ``certificate`` as first met on https at the scanned name: "trusted", "untrusted" or "" (plain http only); HSTS
    counts only on trusted ones.
    """

    TYPE: ClassVar[str] = "http"

    scheme: str
    hops: tuple[Hop, ...]
    ended: str
    certificate: str = ""
    why: str = ""
    code: str = ""

    @property
    def first(self) -> Hop:
        return self.hops[0]

    @property
    def final(self) -> Hop:
        return self.hops[-1]


@dataclass(frozen=True, slots=True)
class SecurityTxtFacts(Facts):
    """GET /.well-known/security.txt, then /security.txt when that gave none (RFC 9116 section 3).

    ``path`` is where a 200 came from, or "" when both answered otherwise; ``status`` the one that decides: that of
    ``path``, else the well-known place's unless it said 404 or 410, else the old place's.
    ``body`` is UTF-8 text, at most 32 kB. ``ended``, ``why`` and ``code`` as in HttpFacts.
    """

    TYPE: ClassVar[str] = "securitytxt"

    path: str
    status: int
    content_type: str = ""
    body: str = ""
    ended: str = "final"
    url: str = ""
    why: str = ""
    code: str = ""
