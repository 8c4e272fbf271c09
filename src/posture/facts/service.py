"""Which ports of an address answered, and what they said first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from posture.facts.base import Facts

OPEN = "open"
CLOSED = "closed"
FILTERED = "filtered"
UNASKED = "unasked"  # a stop, a limit or a deadline came first


@dataclass(frozen=True, slots=True)
class PortAnswer:
    """One TCP port.

    ``state``: open, closed (RST), filtered (silence, twice a second apart) or unasked. ``service`` is what the
    protocol itself proved ("telnet", "rdp", "smb", "ftp", "mysql", "postgresql", "mssql", "redis", "mongodb",
    "elasticsearch", "memcached", "smtp", "ssh", "http", "tls", ...) or "" when nothing was recognised: a port
    number is never evidence. ``access``: "open" (a data command was answered without a log-in), "login"
    (credentials wanted), "denied" (our address is not allowed), "tls_required", "tls_optional", "clear", "nla" and
    "no_nla" (RDP with and without network level authentication), "smb1" (SMB 1 spoken) or "" (not established).
    ``heard``: the first bytes, as printable ASCII with \\xNN escapes, at most 200 characters; parts that
    change with every connection (salts, clocks) are left out. ``why``: the reason word (posture.model.Reason) when
    the port is unasked, or open and not recognised.
    """

    port: int
    state: str
    service: str = ""
    access: str = ""
    heard: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class PortsFacts(Facts):
    """The sweep of one address over the authorised part of the port matrix; ``ports`` sorted by number.

    ``alive``: the host answered (open or RST) on at least one port, so that silence elsewhere means "not
    reachable from this vantage" and not "no idea".
    """

    TYPE: ClassVar[str] = "ports"

    address: str
    ports: tuple[PortAnswer, ...]
    alive: bool
