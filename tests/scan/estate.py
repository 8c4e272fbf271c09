"""Real servers under one name and address, an inventory of them, and a resolver that knows the name."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import dns.message

from tests.net.dnsd import answer, name_server, nodata, nxdomain
from tests.scan.wiring import only_the_root

ZONE, HOST, ADDRESS = "gov.example", "mail.gov.example", "127.0.0.1"
_RECORDS = {
    (HOST, "A"): ADDRESS,
    (ZONE, "MX"): f"10 {HOST}.",
    (ZONE, "NS"): f"{HOST}.",
    (ZONE, "SOA"): f"{HOST}. soc.{ZONE}. 1 7200 900 1209600 300",
    (ZONE, "TXT"): '"v=spf1 mx -all"',
}

# Somebody else's permission, under which nothing is asked: a port of the lab has to be in somebody's network.
_PROVIDER = """\
[[authorisation]]
id = "zz-provider"
owner = "Provider"
officer = "Engineer"
basis = "own"
reference = "none"
not_before = {start}
not_after = {end}
classes = ["passive"]
zones = ["provider.example"]
networks = ["{address}/32"]
ports = ["443"]
lab = true
[[ministry]]
code = "provider"
name = "Provider"
authorisation = "zz-provider"
"""


def _resolve(query: dns.message.Message, tcp: bool) -> dns.message.Message:
    question = query.question[0]
    name, kind = str(question.name).rstrip(".").lower(), question.rdtype.name
    if not name:
        return only_the_root(query, tcp)
    if data := _RECORDS.get((name, kind)):
        return answer(query, f"{name}. 300 IN {kind} {data}")
    return nodata(query) if any(known == name for known, _ in _RECORDS) else nxdomain(query)


@contextmanager
def resolver() -> Iterator[int]:
    """A name server for the length of the block, in a thread of its own; its port."""
    up: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = Future()

    async def stand() -> None:
        async with name_server(_resolve) as server:
            over = asyncio.Event()
            up.set_result((asyncio.get_running_loop(), over, server.port))
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(stand()))
    thread.start()
    loop, over, port = up.result(10)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()


def write_inventory(
    folder: Path,
    leads: Mapping[int, int],
    *,
    resolver_port: int,
    roots: Path,
    declared: Sequence[int],
    authorised: Sequence[int],
    hosted: bool = False,
) -> Path:
    """The zone, and its mail host with the ports ``declared``.

    Args:
        leads: a port -> where something listens for it.
        hosted: the machine is somebody else's, so that only what any client does is granted.
    """
    where = 'networks = []\nhosted_classes = ["client"]' if hosted else f'networks = ["{ADDRESS}/32"]'
    (folder / "posture.toml").write_text(f'resolver = "127.0.0.1:{resolver_port}"\nca_file = "{roots}"\n', "utf-8")
    today = date.today()
    text = f"""format = "posture-inventory/1"
[state]
code = "ZZ"
name = "Example Islands"
timezone = "UTC"
[operator]
name = "CERT"
contact = "soc@cert.example"
[[authorisation]]
id = "zz-mail"
owner = "Ministry"
officer = "Secretary"
basis = "consent"
reference = "Letter 1"
not_before = {today - timedelta(days=3)}
not_after = {today + timedelta(days=30)}
classes = ["passive", "client", "active"]
zones = ["{ZONE}"]
{where}
ports = {json.dumps([str(port) for port in authorised])}
lab = true
[authorisation.limits]
connections_per_address = 8
new_connections_per_second = 500
new_connections_burst = 1000
smtp_per_minute = 60
smtp_per_hour = 600
[[ministry]]
code = "mail"
name = "Ministry"
authorisation = "zz-mail"
[[ministry.asset]]
name = "{ZONE}"
kind = "zone"
[[ministry.asset]]
name = "{HOST}"
ports = {list(declared)}
"""
    if hosted:
        text += _PROVIDER.format(start=today - timedelta(days=3), end=today + timedelta(days=30), address=ADDRESS)
    text += "".join(
        f'[[lab_port]]\naddress = "{ADDRESS}"\nport = {port}\nto = {to}\nproto = "tcp"\n' for port, to in leads.items()
    )
    path = folder / "inventory.toml"
    path.write_text(text, "utf-8")
    return path
