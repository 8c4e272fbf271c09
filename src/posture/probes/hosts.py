"""Where the host names inside NS and MX records point, and the text of TXT records: shared by the DNS probes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Any

from posture.facts.dns import CNAME, NODATA, NXDOMAIN, RESOLVED, SILENT, HostAddresses
from posture.model import NotSeen, Reason
from posture.probes.base import Reply, Resolver

MAX_HOSTS = 20
MAX_ADDRESSES = 20
MAX_TEXT = 16_384  # characters of one TXT record; the longest honest ones have a tenth of it

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def name_of(target: Any) -> str:
    """A dnspython name as facts write it: lower case, without the last dot, "" for the root."""
    text: str = target.canonicalize().to_text(omit_final_dot=True)
    return "" if text == "." else text


async def resolve_host(resolver: Resolver, name: str) -> HostAddresses:
    """A and AAAA of one host. No answer for both is the status "silent", so that one host never hides the others."""
    answers = await asyncio.gather(resolver.ask(name, "A"), resolver.ask(name, "AAAA"), return_exceptions=True)
    replies: list[Reply] = []
    for answer in answers:
        if isinstance(answer, Reply):
            replies.append(answer)
        elif not isinstance(answer, NotSeen):
            raise answer
    addresses = tuple(sorted({record.address for reply in replies for record in reply.records})[:MAX_ADDRESSES])
    if any(reply.chain for reply in replies):
        return HostAddresses(name, CNAME, addresses)
    if addresses:
        return HostAddresses(name, RESOLVED, addresses)
    if any(reply.status == "nxdomain" for reply in replies):
        return HostAddresses(name, NXDOMAIN)
    return HostAddresses(name, NODATA if len(replies) == len(answers) else SILENT)


async def resolve_hosts(resolver: Resolver, names: Iterable[str]) -> dict[str, HostAddresses]:
    """At most 20 hosts at once, by name."""
    wanted = sorted(set(names))[:MAX_HOSTS]
    hosts = await asyncio.gather(*(resolve_host(resolver, name) for name in wanted))
    return dict(zip(wanted, hosts, strict=True))


async def texts(resolver: Resolver, name: str) -> tuple[Reply, tuple[str, ...]]:
    """The TXT records of a name, the strings of each joined without spaces (RFC 7208 section 3.3).

    Bytes beyond ASCII become the characters of ISO 8859-1 and control characters U+FFFD: no grammar here has either.

    Raises:
        NotSeen: as the resolver does; MALFORMED for a record of more than 16,384 bytes.
    """
    reply = await resolver.ask(name, "TXT")
    return reply, tuple(sorted(_text(record) for record in reply.records))


def _text(record: Any) -> str:
    joined = b"".join(record.strings)
    if len(joined) > MAX_TEXT:
        raise NotSeen(Reason.MALFORMED, f"a TXT record of {len(joined)} bytes")
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", joined.decode("latin-1"))
