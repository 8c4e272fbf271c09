"""A district of loopback: good servers and hostile ones side by side in a process of their own, and an inventory of them.

    with district(folder, good=8, hostile=("http.gzip_bomb", ...)) as inventory: ...

``posture scan INVENTORY --lab`` finds beside it a posture.toml with the district's resolver and trust store. Names, TLS,
web, mail and services are all asked for; what no asset can lead to (a hostile resolver) is met in tests/hostile/meeting.py.
Run as a script it is the server process: ``python -m tests.hostile.district GOOD HOSTILE...``.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import dns.message

from posture.probes.matrix import SWEEP_PORTS
from posture.range.listening import Peer, TcpPort
from tests.lab import hostile_certificates as certificates
from tests.lab.hostile import HOSTILE
from tests.net.dnsd import answer, name_server, nodata, nxdomain

ROOT = Path(__file__).parents[2]
# The port at which each kind of hostile server is met; web servers in TLS as well.
PORT_OF = {"tls": 443, "cert": 443, "chain": 443, "http": 80, "smtp": 25, "dns": 53, "dnstcp": 53, "banner": 3306}
LIMITS = {
    "connections_per_address": 4,
    "new_connections_per_second": 500,
    "new_connections_burst": 1000,
    "sweep_pending": 100,
    "sweep_per_second": 1000,
    "prefix_per_second": 5000,
    "prefix_burst": 10000,
    "smtp_per_minute": 600,
    "smtp_per_hour": 6000,
    "connections": 400,
}
_PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nStrict-Transport-Security: max-age=31536000\r\nConnection: close\r\n\r\nhello"
_SOA = ". 300 IN SOA a.root.example. hostmaster.root.example. 1 7200 900 1209600 300"
Place = dict[str, Any]  # {"name", "address", "ports": {port: number}}


@contextmanager
def district(folder: Path, *, good: int, hostile: Sequence[str] = ()) -> Iterator[Path]:
    """The inventory's path, while the servers stand. Nothing about the good ones depends on the hostile ones."""
    command = [sys.executable, "-m", "tests.hostile.district", str(good), *hostile]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        try:
            assert child.stdout
            ready = child.stdout.readline()
            assert ready, "the servers did not stand"
            (folder / "places.json").write_text(ready, "utf-8")
            yield write_inventory(folder, json.loads(ready))
        finally:
            assert child.stdin
            child.stdin.close()  # that is the sign to leave


def without_hostile(inventory: Path) -> Path:
    """Another inventory, in a folder of its own, of the same district's good servers alone."""
    places = json.loads(inventory.with_name("places.json").read_text("utf-8"))
    places["servers"] = [place for place in places["servers"] if place["name"].startswith("good")]
    folder = inventory.with_name("good")
    folder.mkdir()
    return write_inventory(folder, places)


def write_inventory(folder: Path, places: Mapping[str, Any]) -> Path:
    (folder / "roots.pem").write_text(places["roots"], "utf-8")
    (folder / "posture.toml").write_text(
        f'resolver = "127.0.0.1:{places["resolver"]}"\nca_file = "roots.pem"\n', "utf-8"
    )
    assets, ports = [], []
    for place in places["servers"]:
        assets.append(_asset(place))
        usual = {*SWEEP_PORTS, *PORT_OF.values()}
        leads = {port: place["ports"].get(str(port), places["closed"]) for port in sorted(usual)}
        ports += [
            f'[[lab_port]]\naddress = "{place["address"]}"\nport = {port}\nto = {to}\nproto = "both"\n'
            for port, to in leads.items()
        ]
    path = folder / "inventory.toml"
    path.write_text(_HEAD.format(**_dates(), limits=_toml(LIMITS)) + "".join(assets) + "".join(ports), "utf-8")
    return path


def _asset(place: Place) -> str:
    port = PORT_OF[place["name"].partition(".")[0]] if "." in place["name"] else 443
    name = host_of(place["name"])
    if port in (25, 53):
        return f'[[ministry.asset]]\nname = "{name}"\nkind = "zone"\n'
    declared = "[80, 443]" if port in (80, 443) else f"[{port}]"
    return f'[[ministry.asset]]\nname = "{name}"\naddresses = ["{place["address"]}"]\nports = {declared}\n'


def host_of(name: str) -> str:
    return f"{name.replace('.', '-').replace('_', '-')}.{certificates.ZONE}"


def _dates() -> dict[str, date]:
    return {"start": date.today() - timedelta(days=30), "end": date.today() + timedelta(days=300)}


def _toml(values: Mapping[str, int]) -> str:
    return "\n".join(f"{key} = {value}" for key, value in values.items())


_HEAD = """\
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
zones = ["hostile.gov.example"]
networks = ["127.0.22.0/24"]
ports = ["1-65535"]
lab = true
[authorisation.limits]
{limits}
[[ministry]]
code = "lab"
name = "Lab"
authorisation = ["lab"]
"""


# ---- the server process


async def stand(good: int, hostile: Sequence[str]) -> None:
    """Says on one line of stdout where everything is, and stays until stdin ends."""
    numbers = count(1)
    closed = TcpPort("127.0.22.250")
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(_good(f"good{n}", f"127.0.22.{next(numbers)}")) for n in range(good)]
        servers += [await stack.enter_async_context(_hostile(name, f"127.0.22.{next(numbers)}")) for name in hostile]
        zones = {host_of(each["name"]): each["address"] for each in servers if {"25", "53"} & each["ports"].keys()}
        resolver = await stack.enter_async_context(name_server(lambda query, _tcp: _resolve(zones, query)))
        where = {
            "servers": servers,
            "closed": closed.number,
            "resolver": resolver.port,
            "roots": certificates.root_pem().decode(),
        }
        print(json.dumps(where), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await closed.release()


@asynccontextmanager
async def _good(name: str, address: str) -> AsyncIterator[Place]:
    web, secure = TcpPort(address), TcpPort(address)
    web.open(_page)
    secure.open(_page, tls=certificates.context("cert.a_thousand_names"))
    yield {"name": name, "address": address, "ports": {"80": web.number, "443": secure.number}}
    await web.release()
    await secure.release()


async def _page(peer: Peer) -> None:
    await peer.read()
    await peer.say(_PAGE)


@asynccontextmanager
async def _hostile(name: str, address: str) -> AsyncIterator[Place]:
    kind = name.partition(".")[0]
    async with AsyncExitStack() as stack:
        _, number = await stack.enter_async_context(HOSTILE[name](address))
        ports = {str(PORT_OF[kind]): number}
        if kind == "http":
            secured = certificates.context("cert.a_thousand_names")
            _, ports["443"] = await stack.enter_async_context(HOSTILE[name](address, tls=secured))
        yield {"name": name, "address": address, "ports": ports}


def _resolve(zones: Mapping[str, str], query: dns.message.Message) -> dns.message.Message:
    """The district's DNS: each zone's mail exchanger and name server is itself."""
    name, _, rdtype = str(query.question[0]).split()
    if name == ".":
        return answer(query, _SOA) if rdtype == "SOA" else nodata(query)
    zone = name.rstrip(".")
    if zone not in zones:
        return nxdomain(query)
    data = {"A": zones[zone], "MX": f"10 {zone}.", "NS": f"{zone}.", "SOA": f"{zone}. soc.{zone}. 1 2 3 4 5"}.get(
        rdtype
    )
    return answer(query, f"{zone}. 300 IN {rdtype} {data}") if data else nodata(query)


if __name__ == "__main__":
    asyncio.run(stand(int(sys.argv[1]), sys.argv[2:]))
