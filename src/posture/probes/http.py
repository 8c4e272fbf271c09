"""GET / as a browser would, redirects followed hop by hop inside the grant.

Task: subject the endpoint, ``name`` the host, ``addresses[0]`` where it is asked, params ``scheme`` (http or https).
"""

from __future__ import annotations

from dataclasses import dataclass

from posture.facts.http import KEPT_HEADERS, Hop, HttpFacts
from posture.facts.parse_http import host_of, redirect_target, split_url, steady, without_query
from posture.model import NotSeen, NotThere, ProbeClass
from posture.probes.base import Door, Probe, Response
from posture.task import Task

MOST_HOPS = 10
CLOSED = "closed"
_USUAL = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Followed:
    """A chain of hops: ``last`` is the response it ended with, ``ended`` and ``why`` as in HttpFacts."""

    hops: tuple[Hop, ...]
    last: Response
    ended: str
    why: str = ""
    certificate: str = ""


def start_url(task: Task, scheme: str, path: str = "/") -> str:
    """The URL of a path at the task's endpoint; the port is written only when it is not the scheme's own."""
    host = f"[{task.name}]" if ":" in task.name else task.name
    port = "" if task.port in (None, _USUAL[scheme]) else f":{task.port}"
    return f"{scheme}://{host}{port}{path}"


async def follow(task: Task, door: Door, url: str, *, body_limit: int = 0) -> Followed:
    """GET and its redirects, at most ten hops.

    The task's own name stays at the task's address; other hosts are the door's to decide.

    Raises:
        NotThere, NotSeen: the first hop; what happens later is in ``ended``.
    """
    response = await _get(task, door, url, body_limit)
    hops = [_hop(response, url)]
    asked = {url}
    certificate = _certificate(task, url, response, "")
    while (target := redirect_target(_raw_hop(response, url))) is not None:
        ended, why = _may_go_on(target, asked, len(hops)), ""
        if not ended:
            asked.add(target)
            try:
                response = await _get(task, door, target, body_limit)
            except NotThere:
                ended, why = "unseen", CLOSED
            except NotSeen as unseen:
                ended, why = ("out_of_scope", unseen.reason) if unseen.code else ("unseen", unseen.reason)
        if ended:
            return Followed(tuple(hops), response, ended, why, certificate)
        url = target
        hops.append(_hop(response, url))
        certificate = _certificate(task, url, response, certificate)
    return Followed(tuple(hops), response, "final", "", certificate)


def _may_go_on(target: str, asked: set[str], count: int) -> str:
    if target in asked:
        return "loop"
    return "too_many" if count >= MOST_HOPS else ""


async def _get(task: Task, door: Door, url: str, body_limit: int) -> Response:
    """The same name stays at the address whose endpoint is looked at."""
    own = host_of(url) == task.name.lower().rstrip(".") and bool(task.addresses)
    return await door.get(url, address=task.addresses[0] if own else None, body_limit=body_limit)


def _certificate(task: Task, url: str, response: Response, before: str) -> str:
    """Of the first https hop at the task's own name."""
    parts = split_url(url)
    if before or parts is None or parts.scheme != "https" or host_of(url) != task.name.lower().rstrip("."):
        return before
    return "trusted" if response.verified else "untrusted"


def _raw_hop(response: Response, url: str) -> Hop:
    return Hop(url, response.status, response.headers)


def _hop(response: Response, url: str) -> Hop:
    """What is kept of a response."""
    kept = tuple((name, steady(name, value)) for name, value in response.headers if name in KEPT_HEADERS)
    return Hop(without_query(url), response.status, kept)


async def observe(task: Task, door: Door) -> HttpFacts:
    """Raises NotThere (the port is closed) and NotSeen for the first hop."""
    scheme = str(task.params["scheme"])
    seen = await follow(task, door, start_url(task, scheme))
    return HttpFacts(scheme, seen.hops, seen.ended, seen.certificate, seen.why)


PROBE = Probe("http", HttpFacts, ProbeClass.CLIENT, observe, deadline=60.0)
