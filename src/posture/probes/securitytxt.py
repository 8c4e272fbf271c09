"""GET /.well-known/security.txt, then the place it had before RFC 9116 (section 3)."""

from __future__ import annotations

from posture.facts import SecurityTxtFacts
from posture.facts.parse_securitytxt import parse
from posture.model import ProbeClass
from posture.probes.base import Door, Probe
from posture.probes.http import Followed, Visitor, follow, start_url
from posture.task import Task

WELL_KNOWN = "/.well-known/security.txt"
FORMER = "/security.txt"
BODY_BYTES = 32_768
GONE = frozenset({404, 410})


async def observe(task: Task, door: Door) -> SecurityTxtFacts:
    """Raises NotThere (port 443 is closed) and NotSeen for the first request."""
    visitor = Visitor(task, door)
    first = await follow(visitor, start_url(task, "https", WELL_KNOWN), body_limit=BODY_BYTES)
    if first.ended != "final" or _is_text(first) or not _is_none(first):
        return _facts(first, WELL_KNOWN)
    second = await follow(visitor, start_url(task, "https", FORMER), body_limit=BODY_BYTES)
    if second.ended == "final" and (_is_text(second) or first.last.status in GONE):
        return _facts(second, FORMER)
    return _facts(first, WELL_KNOWN)


def _is_text(seen: Followed) -> bool:
    return seen.last.status == 200 and _content_type(seen).startswith("text/plain")


def _is_none(seen: Followed) -> bool:
    """Whether the place clearly holds no file: gone, or a page that the site gives for everything."""
    return seen.last.status in GONE or (seen.last.status == 200 and not _is_text(seen))


def _content_type(seen: Followed) -> str:
    return next(iter(seen.last.header("content-type")), "").strip().lower()


def _body(seen: Followed) -> str:
    """Kept when it is text, or reads like the file under a wrong type; an ordinary page is not kept."""
    text = seen.last.body[:BODY_BYTES].decode("utf-8", "replace")
    return text if _is_text(seen) or parse(text).contacts else ""


def _facts(seen: Followed, path: str) -> SecurityTxtFacts:
    found = seen.ended == "final" and seen.last.status == 200
    return SecurityTxtFacts(
        path=path if found else "",
        status=seen.last.status,
        content_type=_content_type(seen)[:200],
        body=_body(seen) if found else "",
        ended=seen.ended,
        url=seen.hops[-1].url,
        why=seen.why,
        code=seen.code,
    )


PROBE = Probe("securitytxt", SecurityTxtFacts, ProbeClass.CLIENT, observe, deadline=60.0)
