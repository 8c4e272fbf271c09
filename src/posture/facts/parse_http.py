"""Parsers of the response headers and files that rules judge. Pure and total: any text in, a value or None out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

from posture.facts.http import Hop
from posture.model import Reason

REDIRECTS = frozenset({301, 302, 303, 307, 308})
PERMANENT = frozenset({301, 308})

_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_HSTS_DIRECTIVE = re.compile(rf'\s*({_WORD})\s*(?:=\s*({_WORD}|"(?:[^"\\]|\\.)*")\s*)?')
_NONCE = re.compile(r"'nonce-[^']*'")


def split_url(url: str) -> SplitResult | None:
    """The parts of an absolute http or https URL; None for anything else."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return None
    return parts if usable else None


def host_of(url: str) -> str:
    """The host name of a URL, lower case without a final dot; "" when there is none."""
    parts = split_url(url)
    return (parts.hostname or "").rstrip(".") if parts else ""


def redirect_target(hop: Hop) -> str | None:
    """Where a hop sends us, absolute (RFC 9110 section 15.4); None when it is no redirect or leads nowhere usable."""
    if hop.status not in REDIRECTS:
        return None
    for location in hop.header("location")[:1]:
        try:
            target = urljoin(hop.url, location.strip())
        except ValueError:
            return None
        return target if split_url(target) else None
    return None


def steady(name: str, value: str) -> str:
    """A header value without what differs in every response: CSP nonces, and the query of a redirect target."""
    if name == "content-security-policy":
        return _NONCE.sub("'nonce-'", value)
    return without_query(value) if name == "location" else value


def without_query(url: str) -> str:
    return re.split(r"[?#]", url, maxsplit=1)[0]


def declined(status: int) -> Reason | None:
    """Why a final status shows no page: a refusal or an error of the server; None for 2xx."""
    if 200 <= status < 300:
        return None
    return Reason.TEMPORARY if status >= 500 else Reason.REFUSED_BY_TARGET


def lost(ended: str, why: str) -> Reason | None:
    """Why following redirects led to no answer (``ended`` and ``why`` of HttpFacts); None when it ended with one."""
    if ended == "final":
        return None
    if ended == "out_of_scope":
        return Reason(why) if why else Reason.OUT_OF_SCOPE
    if ended == "unseen":
        return Reason.REFUSED_BY_TARGET if why in ("", "closed") else Reason(why)
    return Reason.MALFORMED  # a loop, or no end


@dataclass(frozen=True, slots=True)
class Hsts:
    """One Strict-Transport-Security value: ``max_age`` in seconds, and the directives that are flags."""

    max_age: int
    include_subdomains: bool = False
    preload: bool = False


def parse_hsts(value: str) -> Hsts | None:
    """A Strict-Transport-Security value; None when a browser ignores it (RFC 6797 section 6.1)."""
    directives: dict[str, str | None] = {}
    position = 0
    while position <= len(value):
        if found := _HSTS_DIRECTIVE.match(value, position):
            name = found[1].lower()
            if name in directives:
                return None
            directives[name] = found[2]
            position = found.end()
        else:
            position += len(value[position:]) - len(value[position:].lstrip())
        if value[position : position + 1] not in ("", ";"):
            return None
        position += 1
    seconds = (directives.get("max-age") or "").strip('"')
    if not (seconds.isascii() and seconds.isdigit()) or directives.get("includesubdomains") is not None:
        return None
    return Hsts(int(seconds[:12]), "includesubdomains" in directives, "preload" in directives)


def hsts_max_age(value: str) -> int | None:
    """``max-age`` in seconds of one Strict-Transport-Security value; None when a browser ignores it."""
    found = parse_hsts(value)
    return None if found is None else found.max_age


def nosniff(values: Iterable[str]) -> bool:
    """X-Content-Type-Options: the first element of the list counts (Fetch, "determine nosniff")."""
    return ",".join(values).split(",", 1)[0].strip().lower() == "nosniff"


def frames_restricted(policies: Iterable[str], options: Iterable[str]) -> bool:
    """Whether other sites may not put the page into a frame.

    ``frame-ancestors`` of any policy restricts, and where it stands X-Frame-Options is ignored (CSP 3 section 6.4.2);
    a wildcard or a bare scheme restricts nothing.
    """
    sources = [found for policy in ",".join(policies).split(",") if (found := _frame_ancestors(policy)) is not None]
    if sources:
        return any(not {"*", "http:", "https:"} & set(words) for words in sources)
    values = {value.strip().lower() for value in ",".join(options).split(",")}
    return len(values) == 1 and values <= {"deny", "sameorigin"}


def _frame_ancestors(policy: str) -> list[str] | None:
    for directive in policy.split(";"):
        words = directive.lower().split()
        if words[:1] == ["frame-ancestors"]:
            return words[1:]
    return None


_REFERRER_POLICIES = frozenset(
    {
        "no-referrer",
        "no-referrer-when-downgrade",
        "origin",
        "origin-when-cross-origin",
        "same-origin",
        "strict-origin",
        "strict-origin-when-cross-origin",
        "unsafe-url",
    }
)


def referrer_policy(values: Iterable[str]) -> str:
    """The last word that browsers know (W3C Referrer Policy section 8.1); "" when there is none."""
    words = [word.strip().lower() for word in ",".join(values).split(",")]
    return next((word for word in reversed(words) if word in _REFERRER_POLICIES), "")
