"""GET / as a browser would, redirects followed hop by hop inside the grant.

Task: subject the endpoint, ``name`` the host, ``addresses[0]`` where it is asked, params ``scheme`` (http or https).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from posture.facts.http import KEPT_HEADERS, Hop, HttpFacts
from posture.facts.parse_http import host_of, redirect_target, split_url, steady, without_query
from posture.model import AbsentCause, NotSeen, NotThere, ProbeClass, Reason
from posture.net.broker import BUSY
from posture.probes.base import Door, Probe, Response
from posture.task import Task

MOST_HOPS = 10
# A single hiccup is forgiven; a server that lets only some connections through is not to be believed.
MOST_RECOVERIES = 1
CLOSED = "closed"
_USUAL = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Followed:
    """A chain of hops: ``last`` is the response it ended with, ``ended``, ``why`` and ``code`` as in HttpFacts."""

    hops: tuple[Hop, ...]
    last: Response
    ended: str
    why: str = ""
    certificate: str = ""
    code: str = ""


def start_url(task: Task, scheme: str, path: str = "/") -> str:
    """The URL of a path at the task's endpoint; the port is written only when it is not the scheme's own."""
    host = f"[{task.name}]" if ":" in task.name else task.name
    port = "" if task.port in (None, _USUAL[scheme]) else f":{task.port}"
    return f"{scheme}://{host}{port}{path}"


@dataclass(slots=True)
class Visitor:
    """Who makes the requests of one probe: again after a pause, when a server pushes us away."""

    task: Task
    door: Door
    _answered: set[tuple[str, int]] = field(default_factory=set)
    _recoveries: int = 0

    async def get(self, url: str, body_limit: int) -> Response:
        """One GET, or two. The task's own name stays at the task's address; other hosts are the door's to decide.

        Raises:
            NotThere, NotSeen: as the door does; RATE_LIMITED when the server said 429 or 503 twice, or answered before
                and turns us away now.
        """
        place = _place(url)
        try:
            response = await self._once(url, body_limit)
            if response.status not in BUSY:
                self._answered.add(place)
                return response
        except (NotSeen, NotThere) as fault:
            if not self._is_push(fault, place):
                raise
        if self._is_own(url):
            self.door.throttled(self.task.addresses[0])
        return await self._again(url, body_limit, place)

    async def _again(self, url: str, body_limit: int, place: tuple[str, int]) -> Response:
        try:
            response = await self._once(url, body_limit)
        except (NotSeen, NotThere) as fault:
            if place in self._answered and self._is_push(fault, place):
                raise _throttled(place, "answered before, and turns us away now") from fault
            raise
        if response.status in BUSY:
            raise _throttled(place, f"said {response.status} twice")
        self._recoveries += place in self._answered
        if self._recoveries > MOST_RECOVERIES:
            raise _throttled(place, "answers only after pauses")
        self._answered.add(place)
        return response

    def _is_push(self, fault: NotSeen | NotThere, place: tuple[str, int]) -> bool:
        """A reset always is; silence and a closed port are where there was an answer before."""
        if isinstance(fault, NotThere):
            return fault.cause is AbsentCause.CLOSED and place in self._answered
        return fault.reason is Reason.RESET or (fault.reason is Reason.TIMEOUT and place in self._answered)

    def _is_own(self, url: str) -> bool:
        return host_of(url) == self.task.name.lower().rstrip(".") and bool(self.task.addresses)

    async def _once(self, url: str, body_limit: int) -> Response:
        own = self._is_own(url)
        return await self.door.get(url, address=self.task.addresses[0] if own else None, body_limit=body_limit)


def _place(url: str) -> tuple[str, int]:
    parts = split_url(url)
    return (host_of(url), (parts.port or _USUAL.get(parts.scheme, 0)) if parts else 0)


def _throttled(place: tuple[str, int], what: str) -> NotSeen:
    return NotSeen(Reason.RATE_LIMITED, f"port {place[1]} of {place[0]} {what}")


async def follow(visitor: Visitor, url: str, *, body_limit: int = 0) -> Followed:
    """GET and its redirects, at most ten hops.

    Raises:
        NotThere, NotSeen: the first hop; RATE_LIMITED on any. What else happens later is in ``ended``.
    """
    task = visitor.task
    response = await visitor.get(url, body_limit)
    hops = [_hop(response, url)]
    asked = {url}
    certificate = _certificate(task, url, response, "")
    while (target := redirect_target(_raw_hop(response, url))) is not None:
        ended, why, code = _may_go_on(target, asked, len(hops)), "", ""
        if not ended:
            asked.add(target)
            try:
                response = await visitor.get(target, body_limit)
            except NotThere:
                ended, why = "unseen", CLOSED
            except NotSeen as unseen:
                if unseen.reason is Reason.RATE_LIMITED:
                    raise
                ended, why, code = "out_of_scope" if unseen.code else "unseen", unseen.reason, unseen.code or ""
        if ended:
            return Followed(tuple(hops), response, ended, why, certificate, code)
        url = target
        hops.append(_hop(response, url))
        certificate = _certificate(task, url, response, certificate)
    return Followed(tuple(hops), response, "final", "", certificate)


def _may_go_on(target: str, asked: set[str], count: int) -> str:
    if target in asked:
        return "loop"
    return "too_many" if count >= MOST_HOPS else ""


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
    seen = await follow(Visitor(task, door), start_url(task, scheme))
    return HttpFacts(scheme, seen.hops, seen.ended, seen.certificate, seen.why, seen.code)


PROBE = Probe("http", HttpFacts, ProbeClass.CLIENT, observe, deadline=60.0)
