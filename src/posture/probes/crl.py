"""Lists of revoked certificates, fetched where the grant allows it: what they say of one certificate.

Task: follows a handshake of ``tls``. Params ``leaf`` and ``others`` (the chain, DER in base64), ``at`` (RFC 3339),
``urls`` to fetch from, ``lists`` of what files of the operator's said already (fields of RevocationList), ``weak_key`` as in
CrlFacts.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime

from cryptography import x509

from posture.facts import CrlFacts
from posture.facts.certificate import FETCHED, RevocationList
from posture.facts.parse_crl import MALFORMED, ListReading, load, read_list
from posture.facts.parse_x509 import Malformed, certificate
from posture.model import NotSeen, NotThere, ProbeClass, Reason
from posture.probes.base import Door, Probe
from posture.task import Task

# One certificate names one or two places; beyond that somebody wants us to fetch.
MOST_URLS = 4
# What one answer of HTTP may hold; the lists of authorities of a State are far smaller.
MOST_BYTES = 262_144


async def observe(task: Task, door: Door) -> CrlFacts:
    """Never raises NotThere or NotSeen: what became of each place stands in the facts."""
    der = base64.b64decode(task.params["leaf"])
    on_file = [RevocationList(**one) for one in task.params.get("lists", ())]
    fetched = [await _fetched(task, door, url, der) for url in task.params.get("urls", ())[:MOST_URLS]]
    lists = tuple(sorted([*on_file, *fetched], key=lambda one: (one.url, one.source)))
    return CrlFacts(hashlib.sha256(der).hexdigest(), lists, task.params.get("weak_key", ""))


async def _fetched(task: Task, door: Door, url: str, der: bytes) -> RevocationList:
    try:
        response = await door.get(url, body_limit=MOST_BYTES)
    except NotThere as absent:
        return RevocationList(url, FETCHED, str(Reason.REFUSED_BY_TARGET), reason=str(absent.cause))
    except NotSeen as unseen:
        return RevocationList(url, FETCHED, str(unseen.reason), code=unseen.code or "")
    if response.status != 200:
        return RevocationList(url, FETCHED, str(Reason.REFUSED_BY_TARGET), status=response.status)
    if len(response.body) >= MOST_BYTES:
        return RevocationList(url, FETCHED, str(Reason.TRUNCATED))
    return seen_as(url, FETCHED, _read(task, url, der, response.body))


def _read(task: Task, url: str, der: bytes, body: bytes) -> ListReading:
    try:
        others = _readable(task.params.get("others", ()))
        at = datetime.fromisoformat(task.params["at"])
        return read_list(load(body), url, certificate(der), others, at)
    except ValueError:
        return ListReading(MALFORMED)


def _readable(coded: list[str]) -> list[x509.Certificate]:
    found = []
    for one in coded:
        try:
            found.append(certificate(base64.b64decode(one)))
        except Malformed:
            continue
    return found


def seen_as(url: str, source: str, reading: ListReading) -> RevocationList:
    """A reading as facts hold it."""
    since = f"{reading.revoked_at:%Y-%m-%dT%H:%M:%SZ}" if reading.revoked_at else ""
    return RevocationList(url, source, reading.word, since, reading.reason)


PROBE = Probe("crl", CrlFacts, ProbeClass.CLIENT, observe)
