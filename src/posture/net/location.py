"""URLs as a scanned system may write them: read strictly, because a lenient reader is led to 169.254.169.254."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from posture.model import NotSeen, Reason

MAX_URL = 2048
_PRINTABLE = re.compile(r"[!-\[\]-~]+")  # no white space, no control character, no backslash
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Location:
    """An http or https URL without fragment. ``host``: a lower-case name without last dot, or a canonical address."""

    url: str
    scheme: str
    host: str
    port: int


def parse_url(url: str) -> Location:
    """Reads a URL.

    Raises:
        NotSeen: OUT_OF_SCOPE with code E-SCOPE-022 for anything but http(s) to a plain host name or address.
    """
    if len(url) > MAX_URL or not _PRINTABLE.fullmatch(url):
        raise _refused(url, "it is too long or has characters that no URL may have")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as fault:
        raise _refused(url, "it is no URL") from fault
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        raise _refused(url, "it is neither http nor https")
    if "@" in parts.netloc:
        raise _refused(url, "it carries a user name")
    host = _host(url, (parts.hostname or "").removesuffix("."))
    port = _DEFAULT_PORTS[scheme] if port is None else port
    shown = f"[{host}]" if ":" in host else host
    netloc = shown if port == _DEFAULT_PORTS[scheme] else f"{shown}:{port}"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Location(f"{scheme}://{netloc}{target}", scheme, host, port)


def _host(url: str, host: str) -> str:
    """RFC 1123 names, dotted-quad IPv4 and IPv6; an IPv4 address inside IPv6 counts as what it is."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        labels = host.split(".")
        if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
            raise _refused(url, "its host is not a name") from None
        if _NUMBER.fullmatch(labels[-1]):
            raise _refused(url, "its host is an address in an odd spelling") from None
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            raise _refused(url, "its address is bound to an interface")
        return str(address.ipv4_mapped or address)
    return str(address)


def _refused(url: str, why: str) -> NotSeen:
    return NotSeen(Reason.OUT_OF_SCOPE, f"{url[:200]!r} not followed: {why}. Nothing was sent.", "E-SCOPE-022")
