"""Fifty hosts, fifty zones, two shared mail exchangers and two shared name servers, for counting how politely they are asked."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

from tests.netns.serving import Records, World
from tests.netns.traps import CONTACT, RESOLVER

NAME_SERVERS = ("45.45.80.53", "45.45.81.53")
HOUR_MX, MINUTE_MX = "45.45.80.25", "45.45.81.25"
# (seconds ago, how many): four more in this hour; and six, but only one of them before ten seconds have passed.
EARLIER = {HOUR_MX: ((2000, 6), (1900, 6), (1800, 4)), MINUTE_MX: ((1900, 5), (1800, 4), (50, 5))}
CROWDED = 14  # of the hosts stand in one /24
# All good hosts are nginx; the last two share one address.
GOOD = tuple(f"45.45.64.{10 + n}" if n < CROWDED else f"45.45.{65 + n % 6}.{10 + n}" for n in range(39))
GOOD_V6 = ("2a0e:b100:2::10", "2a0e:b100:2::11", "2a0e:b100:2:f00::10")
TARPITS = ("45.45.72.10", "45.45.72.11", "45.45.73.10")
RESETTING = ("45.45.74.10", "45.45.74.11", "45.45.75.10")
HANGING_UP = ("45.45.76.10",)
SHARED = GOOD[0]
HOSTS = {
    f"w{number:02}.gov.example": address
    for number, address in enumerate((*GOOD, *GOOD_V6, *TARPITS, *RESETTING, *HANGING_UP, SHARED))
}
ZONES = tuple(f"z{number:02}.gov.example" for number in range(50))
WITH_MAIL = {zone: "mx1" if number < 10 else "mx2" for number, zone in enumerate(ZONES[:12])}


def _records() -> Records:
    found: dict[tuple[str, str], tuple[tuple[str, ...], ...]] = {
        (".", "SOA"): (("a.root.xa. hostmaster.xa. 1 7200 900 1209600 1",),),
        ("ns1.gov.example.", "A"): ((NAME_SERVERS[0],),),
        ("ns2.gov.example.", "A"): ((NAME_SERVERS[1],),),
        ("mx1.gov.example.", "A"): ((HOUR_MX,),),
        ("mx2.gov.example.", "A"): ((MINUTE_MX,),),
    }
    for name, address in HOSTS.items():
        found[f"{name}.", "AAAA" if ":" in address else "A"] = ((address,),)
    for zone in ZONES:
        found[f"{zone}.", "SOA"] = (("ns1.gov.example. h.gov.example. 1 7200 900 1209600 1",),)
        found[f"{zone}.", "NS"] = (("ns1.gov.example.", "ns2.gov.example."),)
    for zone, exchanger in WITH_MAIL.items():
        found[f"{zone}.", "MX"] = ((f"10 {exchanger}.gov.example.",),)
    return found


def world() -> World:
    """All servers but nginx."""
    odd = tuple((address, port) for address in (*TARPITS, *RESETTING) for port in (80, 443))
    mail = tuple((address, 25) for address in (HOUR_MX, MINUTE_MX))
    return World(
        records=_records(),
        resolvers=frozenset({RESOLVER}),
        nameservers=frozenset(NAME_SERVERS),
        mail=frozenset({HOUR_MX, MINUTE_MX}),
        tarpits=frozenset(TARPITS),
        resetting=frozenset(RESETTING),
        listen=(*odd, *mail, *((address, 53) for address in (RESOLVER, *NAME_SERVERS))),
        datagrams=(RESOLVER, *NAME_SERVERS),
    )


def nginx(folder: Path) -> str:
    """The configuration of one nginx that is every good host by one wildcard listen; the odd ones' own are nearer. One
    of them takes every request and hangs up without a word.
    """
    temporary = "".join(
        f"{word}_temp_path {folder}/{word};" for word in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    listen = "".join(
        f"listen {where}:{port}{kind} reuseport backlog=4096;"
        for where in ("0.0.0.0", "[::]")
        for port, kind in ((80, ""), (443, " ssl"))
    )
    return (
        f"user root; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; worker_processes 1;\n"
        "events { worker_connections 2048; }\n"
        f"http {{ access_log off; {temporary} keepalive_timeout 5s;\n"
        f"server {{ {listen} ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.pem;"
        f' location / {{ if ($server_addr = {HANGING_UP[0]}) {{ return 444; }} return 200 "a page"; }} }} }}\n'
    )


def inventory(today: date) -> str:
    """Everything of one ministry, under one authorisation that leaves all limits at their defaults."""
    hosts = "".join(f'[[ministry.asset]]\nname = "{name}"\nports = [80, 443]\n' for name in HOSTS)
    zones = "".join(f'[[ministry.asset]]\nname = "{zone}"\nkind = "zone"\n' for zone in ZONES)
    return (
        'format = "posture-inventory/1"\n'
        '[state]\ncode = "LC"\nname = "Saint Lucia"\ntimezone = "America/St_Lucia"\n'
        f'[operator]\nname = "CERT"\ncontact = "{CONTACT}"\n'
        '[[authorisation]]\nid = "all-1"\nowner = "Owner"\nreference = "Letter 1"\n'
        f"not_before = {today - timedelta(days=30)}\nnot_after = {today + timedelta(days=30)}\n"
        'classes = ["passive", "client", "active"]\nzones = ["gov.example"]\n'
        'networks = ["45.45.64.0/19", "2a0e:b100:2::/48"]\nports = ["1-65535"]\n'
        f'[[ministry]]\ncode = "all"\nname = "All"\nauthorisation = ["all-1"]\n{hosts}{zones}'
    )
