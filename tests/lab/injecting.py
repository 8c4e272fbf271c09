"""A State whose every server says what hurts readers: names, records, certificates, headers, greetings, banners.

    with injecting_state(folder) as inventory: ...        posture scan INVENTORY --lab

All of it stands at one loopback address, for the length of the block, on a loop of its own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.CAA
import dns.rdtypes.ANY.MX
import dns.rdtypes.ANY.NS
import dns.rdtypes.ANY.TXT
import dns.rdtypes.IN.A
import dns.rrset

from posture.probes.matrix import SWEEP_PORTS
from posture.range.listening import Conversation, Peer, TcpPort
from tests.lab import hostile_certificates as certificates
from tests.lab.misbehaviour import INJECTION, says, stays
from tests.net.dnsd import answer, name_server, nodata

ADDRESS = "127.0.22.2"
ZONE, WWW, MAIL = "evil.gov.example", "www.evil.gov.example", "mail.evil.gov.example"
PATIENCE = 30.0
_ZONE = dns.name.from_text(ZONE)
_LABEL = dns.name.Name((b"\x1b[31m<script>alert(1)</script>",)) + _ZONE
_ALIAS = dns.name.Name((b"\x1b]0;=cmd|' /C calc'!A0",)) + _ZONE
_IN = dns.rdataclass.IN
# dnspython's classes of records, which have no types of their own.
_A: Any = dns.rdtypes.IN.A.A
_CAA: Any = dns.rdtypes.ANY.CAA.CAA
_MX: Any = dns.rdtypes.ANY.MX.MX
_NS: Any = dns.rdtypes.ANY.NS.NS
_TXT: Any = dns.rdtypes.ANY.TXT.TXT
_SMTP = stays(
    b"220 " + INJECTION + b"\r\n", b"250-" + INJECTION[:40] + b"\r\n250 X-" + INJECTION[:40] + b"\r\n", wait=False
)
_BANNER = stays(INJECTION + b"\r\n", wait=False)
_LIMITS = """[authorisation.limits]
connections_per_address = 20
new_connections_per_second = 500
new_connections_burst = 1000
sweep_pending = 200
sweep_per_second = 2000
prefix_per_second = 5000
prefix_burst = 10000
dns_per_second = 1000
dns_burst = 2000
smtp_per_minute = 600
smtp_per_hour = 6000
connections = 200
"""


def _records(name: dns.name.Name, kind: dns.rdatatype.RdataType) -> list[dns.rdata.Rdata]:
    if kind == dns.rdatatype.A:
        return [_A(_IN, kind, ADDRESS)]
    if kind == dns.rdatatype.TXT and name.labels[0] == b"_dmarc":
        return [_TXT(_IN, kind, [b"v=DMARC1; p=" + INJECTION[:100], INJECTION[100:]])]
    if name != _ZONE:
        return []
    if kind == dns.rdatatype.TXT:
        return [_TXT(_IN, kind, [b"v=spf1 a:" + INJECTION[:100], INJECTION[100:]])]
    if kind == dns.rdatatype.MX:
        hosts = (dns.name.from_text(MAIL), _LABEL, _ALIAS)
        return [_MX(_IN, kind, 10, host) for host in hosts]
    if kind == dns.rdatatype.NS:
        return [_NS(_IN, kind, host) for host in (_LABEL, _ALIAS)]
    if kind == dns.rdatatype.CAA:
        return [_CAA(_IN, kind, 128, b"tag", INJECTION)]
    return []


def _resolver(query: dns.message.Message, _tcp: bool) -> dns.message.Message:
    (question,) = query.question
    if question.name == dns.name.root:
        if question.rdtype == dns.rdatatype.SOA:
            return answer(query, ". 300 IN SOA a.root.example. hostmaster.root.example. 1 7200 900 1209600 300")
        return nodata(query)
    records = _records(question.name, question.rdtype)
    if not records:
        return nodata(query)
    reply = answer(query)
    reply.answer.append(dns.rrset.from_rdata_list(question.name, 60, records))
    return reply


async def _site(peer: Peer) -> None:
    asked = await peer.read()
    body, kind = (INJECTION, b'text/html"><script>alert(1)</script>')
    if b"security.txt" in asked:
        body, kind = b"Contact: mailto:" + INJECTION + b"\nExpires: <script>\n", b'text/plain; charset="><b>'
    head = b"HTTP/1.1 200 <script>\r\nServer: =cmd|' /C calc'!A0<script>\r\nContent-Type: " + kind
    await peer.say(
        head + b'\r\nStrict-Transport-Security: max-age="<b>"\r\nContent-Length: %d\r\n\r\n' % len(body) + body
    )


_REDIRECT = says(
    b'HTTP/1.1 302 <b>\r\nLocation: http://www.evil.gov.example/"><script>alert(1)</script>\r\nContent-Length: 0\r\n\r\n'
)
_CONVERSATIONS: dict[int, Conversation] = {
    80: _REDIRECT,
    443: _site,
    25: _SMTP,
    21: _BANNER,
    22: _BANNER,
    23: _BANNER,
    3306: _BANNER,
    6379: says(b"-ERR " + INJECTION + b"\r\n"),
}


@contextmanager
def injecting_state(folder: Path) -> Iterator[Path]:
    """Writes inventory.toml and posture.toml; yields the inventory's path while the servers stand."""
    up: Future[tuple[int, dict[int, int]]] = Future()
    stopped: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def stand() -> None:
        async with AsyncExitStack() as stack:
            resolver = await stack.enter_async_context(name_server(_resolver))
            leads = {}
            for number, conversation in _CONVERSATIONS.items():
                port = TcpPort(ADDRESS)
                port.open(conversation, tls=certificates.context("cert.injecting_subject") if number == 443 else None)
                stack.push_async_callback(port.release)
                leads[number] = port.number
            closed = TcpPort(ADDRESS)
            stack.push_async_callback(closed.release)
            event = asyncio.Event()
            stopped.append((asyncio.get_running_loop(), event))
            up.set_result((resolver.port, {**leads, 0: closed.number}))
            await event.wait()

    thread = threading.Thread(target=lambda: asyncio.run(stand()), name="injecting state")
    thread.start()
    try:
        number, leads = up.result(PATIENCE)
        try:
            yield _write(folder, number, leads)
        finally:
            loop, event = stopped[0]
            loop.call_soon_threadsafe(event.set)
    finally:
        thread.join(PATIENCE)


def _write(folder: Path, resolver: int, leads: dict[int, int]) -> Path:
    today = date.today()
    ports = sorted({*SWEEP_PORTS, 25, 53, 80, 443})
    text = f"""format = "posture-inventory/1"
[state]
code = "ZZ"
name = "Example Islands"
timezone = "UTC"
[operator]
name = "CERT"
contact = "soc@cert.example"
[[authorisation]]
id = "zz-evil"
owner = "Ministry"
officer = "Secretary"
basis = "consent"
reference = "Letter 1"
not_before = {today - timedelta(days=3)}
not_after = {today + timedelta(days=30)}
classes = ["passive", "client", "active"]
zones = ["{ZONE}"]
networks = ["{ADDRESS}/32"]
ports = {[str(port) for port in ports]}
lab = true
{_LIMITS}
[[ministry]]
code = "evil"
name = "Ministry"
authorisation = "zz-evil"
[[ministry.asset]]
name = "{ZONE}"
kind = "zone"
[[ministry.asset]]
name = "{WWW}"
ports = [80, 443]
[[ministry.asset]]
name = "{MAIL}"
ports = [25]
"""
    for port in ports:
        text += (
            f'[[lab_port]]\naddress = "{ADDRESS}"\nport = {port}\nto = {leads.get(port, leads[0])}\nproto = "both"\n'
        )
    inventory = folder / "inventory.toml"
    inventory.write_text(text, "utf-8")
    (folder / "posture.toml").write_text(
        f'inventory = "inventory.toml"\ndb = "posture.db"\nresolver = "127.0.0.1:{resolver}"\n', "utf-8"
    )
    return inventory
