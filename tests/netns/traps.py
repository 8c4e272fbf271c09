"""An inventory full of traps, the servers behind it, and what may be sent at all, written down by hand.

No address here belongs to anybody's scan: all of it exists inside a closed network namespace only. ``.xa`` is a code
that ISO 3166 gives to nobody, so the contact below reaches nobody either and yet is no placeholder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from tests.netns.packets import Endpoint
from tests.netns.serving import Records, Site, World

CONTACT = "soc@cert.xa"
RESOLVER = "45.46.0.53"
METADATA = "169.254.169.254"
FOREIGN = "46.47.0.80"

# Redirect targets, each served by a host of its own. None of them may be followed.
REDIRECTS: Mapping[str, bytes] = {
    "meta-plain": b"http://169.254.169.254/latest/meta-data/",
    "meta-tls": b"https://169.254.169.254/",
    "meta-decimal": b"http://2852039166/",
    "meta-hex": b"http://0xa9fea9fe/",
    "meta-hex-parts": b"http://0xa9.0xfe.0xa9.0xfe/",
    "meta-octal": b"http://0251.0376.0251.0376/",
    "meta-short": b"http://169.254.43518/",
    "meta-mapped": b"http://[::ffff:169.254.169.254]/",
    "meta-mapped-hex": b"http://[::ffff:a9fe:a9fe]/",
    "meta-mapped-long": b"http://[0:0:0:0:0:ffff:a9fe:a9fe]/",
    "meta-nat64": b"http://[64:ff9b::a9fe:a9fe]/",
    "meta-six": b"http://[fd00:ec2::254]/",
    "meta-zone-id": b"http://[fe80::a9fe:a9fe%25lo]/",
    "meta-user": b"http://www.finance.gov.example@169.254.169.254/",
    "meta-user-port": b"http://www.finance.gov.example:80@169.254.169.254:80/",
    "meta-fragment": b"http://169.254.169.254#@www.finance.gov.example/",
    "meta-backslash": b"http://169.254.169.254\\@www.finance.gov.example/",
    "meta-slashes": b"//169.254.169.254/",
    "meta-backslashes": b"\\\\169.254.169.254\\",
    "meta-crlf": b"http://169.254.169.254/%0d%0aHost:%20www.finance.gov.example",
    "meta-crlf-host": b"http://www.finance.gov.example%0d%0a@169.254.169.254/",
    "meta-second-header": b"/here\r\nLocation: http://169.254.169.254/",
    "meta-dot": b"http://169.254.169.254./",
    "meta-wide": "http://\uff11\uff16\uff19\u3002\uff12\uff15\uff14\u3002\uff11\uff16\uff19\u3002\uff12\uff15\uff14/".encode(),
    "meta-tab": b"http://169.254.\t169.254/",
    "meta-name": b"http://meta.finance.gov.example/",
    "meta-alias": b"http://cname-meta.finance.gov.example/",
    "loop-plain": b"http://127.0.0.1/",
    "loop-short": b"http://127.1/",
    "loop-name": b"http://localhost:8080/",
    "loop-six": b"http://[::1]/",
    "loop-zero": b"http://0/",
    "loop-zeros": b"http://0.0.0.0:8080/",
    "far-address": b"http://46.47.0.80/",
    "far-name": b"https://www.elsewhere.example/",
    "far-suffix": b"https://www.finance.gov.example.elsewhere.example/",
    "far-ours": b"https://far.finance.gov.example/",
    "far-excluded": b"https://hr.finance.gov.example/",
    "far-rebound": b"http://rebound.finance.gov.example/",
    "port-metrics": b"http://www.finance.gov.example:8080/",
    "port-mail": b"http://www.finance.gov.example:22/",
    "scheme-file": b"file:///etc/passwd",
    "scheme-gopher": b"gopher://169.254.169.254:80/_GET",
}
# Names of assets and the addresses they resolve to; nothing may be sent to any of them.
SPECIAL: Mapping[str, tuple[str, ...]] = {
    "zero": ("0.0.0.0",),
    "ten": ("10.0.0.1",),
    "cgnat": ("100.64.0.1",),
    "alibaba": ("100.100.100.200",),
    "loopback": ("127.0.0.1",),
    "linklocal": ("169.254.1.1",),
    "metadata": (METADATA,),
    "private": ("172.16.0.1",),
    "assignments": ("192.0.0.8",),
    "documentation": ("192.0.2.1",),
    "private16": ("192.168.1.1",),
    "benchmark": ("198.18.0.1",),
    "multicast": ("224.0.0.251",),
    "reserved": ("240.0.0.1",),
    "broadcast": ("255.255.255.255",),
    "unspecified6": ("::",),
    "loopback6": ("::1",),
    "mapped6": ("::ffff:169.254.169.254",),
    "nat64": ("64:ff9b::a9fe:a9fe",),
    "metadata6": ("fd00:ec2::254",),
    "linklocal6": ("fe80::1",),
    "multicast6": ("ff02::fb",),
    "sixtofour": ("2002:a9fe:a9fe::1",),
    "teredo": ("2001:0:4136:e378:8000:63bf:5601:5601",),
}
# What of the finance ministry answers for itself; the rest of its networks is silent canaries.
WEB, WEB6 = "45.45.31.80", "2a0e:b100:1::80"
MIXED, MIXED_SPECIAL, BARE, BOXED, BLACKED, HEALTH = (
    "45.45.31.81",
    "45.45.31.82",
    "45.45.31.200",
    "45.45.40.1",
    "45.45.34.80",
    "45.45.32.80",
)
FINANCE_NS, FOREIGN_NS = "45.45.31.53", "46.47.0.53"
FINANCE_MX, MIXED_MX, FOREIGN_MX, HOSTED_MX = "45.45.31.25", "45.45.31.26", "46.47.0.25", "46.47.0.26"
HOSTED = "46.47.0.81"
REBOUND = "45.45.31.83"


def address_of(number: int) -> str:
    """Of the redirecting host so numbered, five to a /24 so that the limits of a neighbourhood are not met."""
    return f"45.45.{16 + number // 5}.{10 + number % 5}"


REDIRECTING = {name: address_of(number) for number, name in enumerate(REDIRECTS)}


def permitted(endpoint: Endpoint) -> bool:
    """Whether anything may be sent there, from the letters of the inventory below and from nothing else."""
    protocol, address, port = endpoint
    if address == RESOLVER:
        return port == 53
    if address in (FINANCE_NS, FOREIGN_NS):
        return port == 53
    if protocol != "tcp":
        return False
    if address in (FINANCE_MX, MIXED_MX, HOSTED_MX):
        return port == 25
    if address in (HOSTED, BLACKED, BOXED):
        return port in (80, 443)  # client only: no sweep, no old protocols
    own = {WEB, WEB6, MIXED, MIXED_SPECIAL, BARE, HEALTH, REBOUND, *REDIRECTING.values()}
    return address in own and port in (25, 53, 80, 443)


@dataclass(frozen=True, slots=True)
class Trap:
    """An asset of the inventory. ``codes``: the refusals that its findings must name; ``untouched``: nothing at all
    may be asked of it, so no control of TLS, web or services may have an outcome."""

    name: str
    addresses: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    untouched: bool = False
    extra: str = "ports = [80]"
    ministry: str = "finance"

    @property
    def toml(self) -> str:
        return f'[[ministry.asset]]\nname = "{self.name}"\n{self.extra}\n'


def _finance() -> Iterator[Trap]:
    zone = "finance.gov.example"
    yield Trap(zone, extra='kind = "zone"', codes=("E-SCOPE-020", "E-SCOPE-021"))
    yield Trap(f"www.{zone}", (WEB,), extra="ports = [80, 443, 8443, 3389]", codes=("E-SCOPE-024",))
    yield Trap(f"www6.{zone}", (WEB6,), extra="ports = [80, 443]")
    for name, address in REDIRECTING.items():
        yield Trap(f"{name}.{zone}", (address,))
    for name, addresses in SPECIAL.items():
        yield Trap(f"{name}.special.{zone}", addresses, ("E-SCOPE-021",), untouched=True)
    yield Trap(f"mixed.{zone}", (MIXED, FOREIGN), ("E-SCOPE-020",))
    yield Trap(f"mixed-special.{zone}", (MIXED_SPECIAL, METADATA), ("E-SCOPE-021",))
    yield Trap(f"far.{zone}", (FOREIGN,), ("E-SCOPE-020",), untouched=True)
    yield Trap(f"alias.{zone}", codes=("E-SCOPE-020",), untouched=True)
    yield Trap(f"cname-meta.{zone}", codes=("E-SCOPE-021",), untouched=True)
    yield Trap(f"hr.{zone}", (WEB,), ("E-SCOPE-012",), untouched=True)
    yield Trap(f"pay.hr.{zone}", (WEB,), ("E-SCOPE-012",), untouched=True)
    yield Trap(f"pinned.{zone}", extra='addresses = ["46.47.0.98"]', codes=("E-SCOPE-020",), untouched=True)
    yield Trap(f"rebinding.{zone}", codes=("E-SCOPE-021",), untouched=True)
    yield Trap(f"boxed.{zone}", (BOXED,), ("E-SCOPE-010",), extra="ports = [80, 443]")
    yield Trap("www.finance.gov.example.elsewhere.example", (FOREIGN,), ("E-SCOPE-012",), untouched=True)
    yield Trap(BARE, extra="ports = [80, 443]")
    yield Trap("46.47.0.99", codes=("E-SCOPE-020",), untouched=True, extra="ports = [80, 443]")
    yield Trap("169.254.169.253", codes=("E-SCOPE-021",), untouched=True, extra="ports = [80, 443]")


def _others() -> Iterator[Trap]:
    zone = "health.gov.example"
    yield Trap(zone, extra='kind = "zone"', ministry="health", codes=("E-SCOPE-020",))
    yield Trap(f"www.{zone}", (HEALTH,), ministry="health")
    yield Trap(f"hosted.{zone}", (HOSTED,), ("E-SCOPE-020",), ministry="health", extra="ports = [80, 443]")
    yield Trap(f"hosted-special.{zone}", (METADATA,), ("E-SCOPE-021",), untouched=True, ministry="health")
    ended = {"codes": ("E-SCOPE-003",), "untouched": True, "ministry": "ended"}
    yield Trap("www.ended.gov.example", ("45.45.33.80",), **ended)  # type: ignore[arg-type]
    yield Trap("ended.gov.example", extra='kind = "zone"', **ended)  # type: ignore[arg-type]
    extra = "ports = [80, 443]"
    yield Trap("www.works.gov.example", (BLACKED,), ("E-SCOPE-011",), ministry="works", extra=extra)
    yield Trap("www.draft.gov.example", ("45.45.35.80",), ("E-SCOPE-001",), untouched=True, ministry="draft")


TRAPS = (*_finance(), *_others())

# Answers that change: the first one is for the plan that is made before the scan.
REBINDING = {
    ("rebinding.finance.gov.example.", "A"): ((REBOUND,), (METADATA,), (FOREIGN,)),
    ("rebound.finance.gov.example.", "A"): ((REBOUND,), (METADATA,), (FOREIGN,)),
}


def records() -> Records:
    """The DNS of all of it: every name an absolute one."""
    found: dict[tuple[str, str], tuple[tuple[str, ...], ...]] = {
        (".", "SOA"): (("a.root.xa. hostmaster.xa. 1 7200 900 1209600 1",),),
        ("finance.gov.example.", "SOA"): (("ns1.finance.gov.example. h.gov.example. 1 7200 900 1209600 1",),),
        ("finance.gov.example.", "NS"): (
            (
                "ns1.finance.gov.example.",
                "ns.elsewhere.example.",
                "ns-meta.finance.gov.example.",
                "ns-loop.finance.gov.example.",
            ),
        ),
        ("finance.gov.example.", "MX"): (
            (
                "10 mail.finance.gov.example.",
                "20 mx.elsewhere.example.",
                "30 mx-meta.finance.gov.example.",
                "40 mx-mixed.finance.gov.example.",
                "50 169.254.169.254.",
            ),
        ),
        ("finance.gov.example.", "TXT"): (
            ('"v=spf1 include:_spf.elsewhere.example a:meta.finance.gov.example ~all"',),
        ),
        ("_spf.elsewhere.example.", "TXT"): (('"v=spf1 ip4:169.254.169.254 -all"',),),
        ("health.gov.example.", "NS"): (("ns.elsewhere.example.",),),
        ("health.gov.example.", "SOA"): (("ns.elsewhere.example. h.gov.example. 1 7200 900 1209600 1",),),
        ("health.gov.example.", "MX"): (("10 mx.cloud.example.",),),
        ("ended.gov.example.", "NS"): (("ns1.finance.gov.example.",),),
        ("ended.gov.example.", "MX"): (("10 mail.finance.gov.example.",),),
        ("alias.finance.gov.example.", "CNAME"): (("www.elsewhere.example.",),),
        ("cname-meta.finance.gov.example.", "CNAME"): (("meta.finance.gov.example.",),),
        **REBINDING,
    }
    hosts = {
        "ns1.finance.gov.example": (FINANCE_NS,),
        "ns.elsewhere.example": (FOREIGN_NS,),
        "ns-meta.finance.gov.example": (METADATA,),
        "ns-loop.finance.gov.example": ("127.0.0.53", "::1"),
        "mail.finance.gov.example": (FINANCE_MX,),
        "mx.elsewhere.example": (FOREIGN_MX,),
        "mx-meta.finance.gov.example": (METADATA, "10.0.0.25"),
        "mx-mixed.finance.gov.example": (MIXED_MX, FOREIGN_MX),
        "mx.cloud.example": (HOSTED_MX,),
        "www.elsewhere.example": (FOREIGN,),
        "meta.finance.gov.example": (METADATA,),
        **{trap.name: trap.addresses for trap in TRAPS if trap.addresses},
    }
    for name, addresses in hosts.items():
        for rdtype in ("A", "AAAA"):
            chosen = tuple(address for address in addresses if (":" in address) == (rdtype == "AAAA"))
            if chosen:
                found[f"{name}.", rdtype] = (chosen,)
    return found


# What a web site says elsewhere than in Location; nobody may go there either.
HINTS = (
    b"Refresh: 0; url=http://169.254.169.254/\r\nLink: <http://169.254.169.254/a.css>; rel=preload\r\n"
    b'Alt-Svc: h3="169.254.169.254:443"\r\nContent-Location: http://169.254.169.254/\r\n'
    b"Content-Security-Policy: default-src 'self'; report-uri http://169.254.169.254/\r\n"
)


def world() -> World:
    """The servers. Every port listened on is listened on at every address there is."""
    sites = {address: Site(to=REDIRECTS[name]) for name, address in REDIRECTING.items()}
    sites |= {address: Site(headers=HINTS) for address in (WEB, WEB6, MIXED_SPECIAL, BLACKED, BOXED, HOSTED, REBOUND)}
    sites[WEB] = Site(securitytxt_to=b"http://169.254.169.254/security.txt", headers=HINTS)
    sites[MIXED] = Site(securitytxt_to=b"https://46.47.0.80/security.txt")
    sites[HEALTH] = Site(to=b"https://hosted-special.health.gov.example/", securitytxt_to=b"//www.elsewhere.example/")
    ports = (21, 22, 25, 53, 80, 443, 3389, 8080, 8443)
    return World(
        records=records(),
        resolvers=frozenset({RESOLVER}),
        nameservers=frozenset({FINANCE_NS, FOREIGN_NS}),
        sites=sites,
        mail=frozenset({FINANCE_MX, MIXED_MX, HOSTED_MX}),
        listen=tuple((everywhere, port) for everywhere in ("0.0.0.0", "::") for port in ports),
        datagrams=(RESOLVER, FINANCE_NS, FOREIGN_NS, "0.0.0.0", "::"),
    )


def inventory(today: date) -> str:
    """The inventory, with its authorisations around ``today``."""
    span = f"not_before = {today - timedelta(days=30)}\nnot_after = {today + timedelta(days=30)}\n"
    past = f"not_before = {today - timedelta(days=60)}\nnot_after = {today - timedelta(days=2)}\n"
    classes = 'classes = ["passive", "client", "active"]\n'
    # Four an hour: mail exchangers are not what this is about, and waiting for their limit would take minutes.
    limits = "[authorisation.limits]\nsmtp_per_hour = 4\n"
    named = 'owner = "Owner"\nofficer = "Permanent Secretary"\n'
    letter = f'{named}reference = "Letter 1"\n'
    return "\n".join(
        [
            'format = "posture-inventory/1"',
            '[state]\ncode = "LC"\nname = "Saint Lucia"\ntimezone = "UTC"',
            f'[operator]\nname = "CERT"\ncontact = "{CONTACT}"',
            f'[[authorisation]]\nid = "finance-1"\n{letter}{span}{classes}zones = ["finance.gov.example"]\n'
            'exclude = ["hr.finance.gov.example"]\nports = ["25", "53", "80", "443"]\n'
            f'networks = ["45.45.16.0/20", "2a0e:b100:1::/48"]\n{limits}'
            '[[authorisation.third_party]]\nparty = "CloudCo"\nnetworks = ["45.45.40.0/28"]\nclasses = ["client"]\n'
            'reference = "ticket 1"\n',
            f'[[authorisation]]\nid = "health-1"\n{letter}{span}{classes}zones = ["health.gov.example"]\n'
            f'networks = ["45.45.32.0/24"]\nhosted_classes = ["client"]\n{limits}',
            f'[[authorisation]]\nid = "ended-1"\n{letter}{past}{classes}zones = ["ended.gov.example"]\n'
            'networks = ["45.45.33.0/24"]\n',
            f'[[authorisation]]\nid = "works-1"\n{letter}{span}{classes}zones = ["works.gov.example"]\n'
            'networks = ["45.45.34.0/24"]\n[[authorisation.blackout]]\nwhen = "Daily 00:00-24:00"\n'
            'classes = ["active", "intrusive"]\n',
            f'[[authorisation]]\nid = "draft-1"\n{named}reference = "DRAFT 1"\n{span}{classes}zones = ["draft.gov.example"]\n'
            'networks = ["45.45.35.0/24"]\n',
            *(
                f'[[ministry]]\ncode = "{ministry}"\nname = "{ministry}"\nauthorisation = ["{ministry}-1"]\n'
                + "".join(trap.toml for trap in TRAPS if trap.ministry == ministry)
                for ministry in ("finance", "health", "ended", "works", "draft")
            ),
        ]
    )
