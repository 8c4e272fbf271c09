"""What the DNS said. A lookup that got no usable answer is no fact: its probe is Unobserved.

Names are lower case, without the last dot, in A-label form. Records are sorted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from posture.facts.base import Facts

# How a host name inside a record resolved. "silent": no usable answer for that name (time-out, SERVFAIL).
RESOLVED = "resolved"
NXDOMAIN = "nxdomain"
NODATA = "nodata"
CNAME = "cname"
SILENT = "silent"


@dataclass(frozen=True, slots=True)
class HostAddresses:
    """A host name from an NS or MX record and where it points. ``status`` is one of the words above."""

    name: str
    status: str
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DelegationFacts(Facts):
    """The NS set of a zone and the addresses of its servers, by our resolver."""

    TYPE: ClassVar[str] = "delegation"

    servers: tuple[HostAddresses, ...]


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """One address of a name server, asked for the zone's SOA with RD=0.

    ``udp`` and ``tcp`` are one of: "authoritative", "not_authoritative", "refused", "servfail", "closed"
    (ICMP unreachable or RST), "timeout", "reset", "malformed", "vantage_limited" (this machine has no way there).
    ``tries`` counts the UDP questions until an answer.
    """

    address: str
    udp: str
    tcp: str
    tries: int = 1


@dataclass(frozen=True, slots=True)
class NameserverFacts(Facts):
    """One name server of a zone. ``status`` says how its name resolved; silent addresses stay in the list."""

    TYPE: ClassVar[str] = "nameserver"

    name: str
    status: str
    answers: tuple[ServerAnswer, ...]


@dataclass(frozen=True, slots=True)
class AxfrAnswer:
    """One address of a name server, asked for the zone.

    ``answer``: "transferred", "soa_only" (the SOA and nothing else), "refused" (REFUSED, NOTAUTH, NOTIMP, no records,
    or a clean close), "servfail", "closed", "timeout", "reset", "malformed" or "vantage_limited". ``digest`` is
    "" when the zone went on past our caps. ``code``: of our own refusal to ask, or "".
    """

    address: str
    answer: str
    records: int = 0
    digest: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class AxfrFacts(Facts):
    """A zone transfer asked of one name server (RFC 5936). Of a transferred zone only count and digest are kept."""

    TYPE: ClassVar[str] = "axfr"

    name: str
    answers: tuple[AxfrAnswer, ...]


@dataclass(frozen=True, slots=True)
class DnssecFacts(Facts):
    """DNSKEY at the zone and DS at its parent, asked with DO and CD (RFC 4034).

    ``keys`` are (flags, algorithm, key tag); ``ds`` are (key tag, algorithm, digest type).
    ``zone`` is the apex of the zone that holds the domain, and is what was asked about; ``parent`` the closest zone
    above it; ``parent_signed`` whether that has DNSKEY records. ``cds``: a CDS record exists (RFC 7344), asked only
    when there are keys and no DS.
    """

    TYPE: ClassVar[str] = "dnssec"

    keys: tuple[tuple[int, int, int], ...]
    ds: tuple[tuple[int, int, int], ...]
    parent: str
    parent_signed: bool
    cds: bool = False
    zone: str = ""


@dataclass(frozen=True, slots=True)
class CaaRecord:
    """One CAA property (RFC 8659 section 4)."""

    flags: int
    tag: str
    value: str


@dataclass(frozen=True, slots=True)
class CaaFacts(Facts):
    """The CAA set found by climbing the tree (RFC 8659 section 3); ``found_at`` is "" when there is none."""

    TYPE: ClassVar[str] = "caa"

    found_at: str
    records: tuple[CaaRecord, ...]
    climbed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MxRecord:
    """One MX and where its name points. A null MX (RFC 7505) has name ""; an address literal keeps its text."""

    preference: int
    host: HostAddresses


@dataclass(frozen=True, slots=True)
class MxFacts(Facts):
    """The MX set of a domain. ``status``: "records", "nodata" or "nxdomain". ``has_address``: the domain's
    own A or AAAA exists, which is the implicit MX when there is none (RFC 5321 section 5.1)."""

    TYPE: ClassVar[str] = "mx"

    status: str
    records: tuple[MxRecord, ...]
    has_address: bool = False

    @property
    def null(self) -> bool:
        """A null MX and nothing else."""
        return len(self.records) == 1 and self.records[0].host.name == ""


@dataclass(frozen=True, slots=True)
class SpfLookup:
    """One DNS question that evaluating the record costs (RFC 7208 section 4.6.4), in worst-case order.

    ``term`` is the mechanism or modifier as written; ``domain`` the name asked; ``by`` the domain whose record
    holds the term. ``status``: "answer", "void" (NXDOMAIN or NODATA), "macro" (needs the sender: not asked),
    "silent" (no usable answer), "loop", "malformed" (no name that can be asked for) or "skipped" (past the walk's
    limits). ``records``: the SPF records of an include or redirect target. ``names``: how many exchangers an mx
    mechanism named.
    """

    by: str
    term: str
    domain: str
    status: str
    records: tuple[str, ...] = ()
    names: int = 0


@dataclass(frozen=True, slots=True)
class SpfFacts(Facts):
    """All TXT records of the domain that are SPF records, strings joined, and the walk of the single one.

    ``type99``: the retired SPF record type exists; asked only when there is no TXT record (RFC 7208 section 3.1).
    """

    TYPE: ClassVar[str] = "spf"

    records: tuple[str, ...]
    lookups: tuple[SpfLookup, ...] = ()
    type99: bool = False


@dataclass(frozen=True, slots=True)
class DmarcStep:
    """One query of the tree walk: the name asked (without "_dmarc.") and the TXT records there that look like DMARC.

    ``status``: "answer", or "silent" for a parent that did not answer although the domain's own record decides.
    """

    domain: str
    records: tuple[str, ...]
    status: str = "answer"


@dataclass(frozen=True, slots=True)
class DmarcFacts(Facts):
    """The tree walk of RFC 9989 section 4.10 from the domain upwards, at most 8 queries, in order asked."""

    TYPE: ClassVar[str] = "dmarc"

    steps: tuple[DmarcStep, ...]
