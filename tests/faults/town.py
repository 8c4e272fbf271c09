"""The smallest scan that still asks everything once: a town of one zone, which is its own web, mail and name server.

    with town(folder) as inventory: ...

``posture scan INVENTORY --lab`` finds beside it a posture.toml with the town's resolver and trust store. Few ports are
authorised, and the limits are so wide that nothing waits for them. Run as a script it is the server process.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dns.flags
import dns.message

from posture.range.certificates import Authority
from posture.range.listening import Peer, TcpPort, bind_both
from posture.range.mail import MailExchanger
from tests.net.dnsd import answer, nodata, nxdomain

ROOT = Path(__file__).parents[2]
NAME = "town.gov.example"
ADDRESS = "127.0.0.1"
PORTS = (22, 25, 53, 80, 443, 3306)
_SOA = f"{NAME}. 300 IN SOA {NAME}. soc.{NAME}. 1 7200 900 1209600 300"
_PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nStrict-Transport-Security: max-age=31536000\r\nConnection: close\r\n\r\nhello"
_RECORDS = {
    (NAME, "A"): ADDRESS,
    (NAME, "MX"): f"10 {NAME}.",
    (NAME, "NS"): f"{NAME}.",
    (NAME, "SOA"): _SOA.split(None, 4)[4],
    (NAME, "TXT"): '"v=spf1 mx -all"',
    (f"_dmarc.{NAME}", "TXT"): '"v=DMARC1; p=reject"',
}


@contextmanager
def town(folder: Path) -> Iterator[Path]:
    """The inventory's path, while the servers stand."""
    command = [sys.executable, "-m", "tests.faults.town"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        try:
            assert child.stdout
            ready = child.stdout.readline()
            assert ready, "the servers did not stand"
            yield write_inventory(folder, json.loads(ready))
        finally:
            assert child.stdin
            child.stdin.close()  # that is the sign to leave


def write_inventory(folder: Path, where: Mapping[str, Any]) -> Path:
    (folder / "roots.pem").write_text(where["roots"], "utf-8")
    (folder / "posture.toml").write_text(
        f'resolver = "{ADDRESS}:{where["ports"]["53"]}"\nca_file = "roots.pem"\n', "utf-8"
    )
    leads = [
        f'[[lab_port]]\naddress = "{ADDRESS}"\nport = {port}\nto = {to}\nproto = "both"\n'
        for port, to in where["ports"].items()
    ]
    today = date.today()
    span = {"start": today - timedelta(days=30), "end": today + timedelta(days=300)}
    path = folder / "inventory.toml"
    path.write_text(_INVENTORY.format(**span, name=NAME, ports=json.dumps(list(where["ports"]))) + "".join(leads))
    return path


_INVENTORY = """\
format = "posture-inventory/1"
[state]
code = "ZZ"
name = "Example Islands"
timezone = "UTC"
[operator]
name = "Lab"
contact = "soc@cert.gov.example"
[[authorisation]]
id = "lab"
owner = "Lab"
officer = "Lab"
basis = "own"
reference = "loopback"
not_before = {start}
not_after = {end}
classes = ["passive", "client", "active"]
zones = ["{name}"]
networks = ["127.0.0.0/24"]
ports = {ports}
lab = true
[authorisation.limits]
connections_per_address = 4
new_connections_per_second = 500
new_connections_burst = 1000
sweep_per_second = 1000
smtp_per_minute = 600
smtp_per_hour = 6000
[[ministry]]
code = "lab"
name = "Lab"
authorisation = ["lab"]
[[ministry.asset]]
name = "{name}"
kind = "zone"
roles = ["web", "mail", "nameserver"]
ports = [80, 443]
"""


# ---- the server process


async def stand() -> None:
    """Says on one line of stdout where everything is, and stays until stdin ends."""
    authority = Authority(datetime.now(UTC))
    tls = _context(authority)
    doors = {port: TcpPort(ADDRESS) for port in PORTS if port != 53}
    doors[25].open(MailExchanger(NAME, tls).serve)
    doors[80].open(_page)
    doors[443].open(_page, tls=tls)
    doors[53], _ = await bind_both(ADDRESS, _answer)
    doors[53].open(_dns)
    ports = {port: door.number for port, door in doors.items()}
    print(json.dumps({"ports": ports, "roots": authority.root_pem.decode("ascii")}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def _context(authority: Authority) -> ssl.SSLContext:
    leaf = authority.issue(NAME)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # one version, one suite: a short list to find out
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    with tempfile.NamedTemporaryFile() as file:
        file.write(leaf.chain + leaf.key)
        file.flush()
        context.load_cert_chain(file.name)
    return context


async def _page(peer: Peer) -> None:
    await peer.read()
    await peer.say(_PAGE)


async def _dns(peer: Peer) -> None:
    """One question over TCP; what is too long for one is no DNS."""
    length = int.from_bytes(await peer.read_exactly(2))
    if length <= 512:
        reply = _answer(await peer.read_exactly(length))
        await peer.say(len(reply).to_bytes(2) + reply)


def _answer(wire: bytes) -> bytes:
    return _resolve(dns.message.from_wire(wire)).to_wire()


def _resolve(query: dns.message.Message) -> dns.message.Message:
    name, _, rdtype = str(query.question[0]).split()
    if name == ".":
        root = ". 300 IN SOA a.root.example. hostmaster.root.example. 1 7200 900 1209600 300"
        return answer(query, root) if rdtype == "SOA" else nodata(query)
    key = (name.rstrip(".").lower(), rdtype)
    if data := _RECORDS.get(key):
        return answer(query, f"{name} 300 IN {rdtype} {data}", flags=dns.flags.AA)
    known = any(key[0] == owner for owner, _ in _RECORDS)
    return nodata(query) if known else nxdomain(query)


if __name__ == "__main__":
    asyncio.run(stand())
