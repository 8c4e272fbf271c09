"""A whole scan of 60 web servers on loopback: wall and CPU seconds, hosts per CPU second, connections per host, memory.

60 addresses 127.0.30.1 to .60 are served by one nginx (Debian package nginx-light or nginx; without it by one asyncio
process) with TLS 1.2 and 1.3 and a certificate of the practice range's authority, at one free port. ``posture range up``
gives the resolver, the trust store and the DNSSEC anchor. ``posture scan --lab -q`` runs as a process of its own, with
limits only a lab may have, on a new database, ROUNDS times; user + system time and peak resident set are wait4's, medians.
Connections are counted by the servers. Ports that serve nothing lead to a closed one. N other hosts: ``bench_scan.py N``.
Deadlines and the network cost nothing here: this measures the work of posture itself.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from measure import console_script, lab_inventory, median, run, say

from posture.probes.matrix import SWEEP_PORTS
from posture.range.certificates import Authority

HOSTS = 60
ROUNDS = 3
CODES = (0, 1, 3)  # done; findings; an asset without an answer
NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{status}; location / {{ stub_status; }} }}
  server {{
    {listen}
    ssl_certificate {folder}/chain.pem; ssl_certificate_key {folder}/key.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    add_header Strict-Transport-Security "max-age=31536000";
    location / {{ default_type text/html; return 200 "<!doctype html><title>Hello</title>"; }}
  }}
}}
"""
LIMITS = {
    "connections_per_address": 20,
    "new_connections_per_second": 500,
    "new_connections_burst": 1000,
    "sweep_pending": 200,
    "sweep_per_second": 2000,
    "prefix_per_second": 5000,
    "prefix_burst": 10000,
    "connections": 200,
}


@dataclass(frozen=True, slots=True)
class Lab:
    """Where things are: the servers' port, a port that is closed everywhere, and the count of connections."""

    folder: Path
    hosts: int
    port: int
    closed: int
    status: int

    def addresses(self) -> list[str]:
        return [f"127.0.30.{number}" for number in range(1, self.hosts + 1)]

    def connections(self) -> int:
        """How many the servers have accepted so far, without those that ask for this number."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.status}/") as answer:
            return int(answer.read().split()[7])


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("0.0.0.0", 0))  # free at every address
        return int(one.getsockname()[1])


# ---- the servers


@contextmanager
def servers(folder: Path, hosts: int) -> Iterator[Lab]:
    """One process that serves all hosts, until the block ends."""
    authority = Authority(datetime.now(UTC).replace(microsecond=0))
    credentials = authority.issue("*.bench.gov.example")
    (folder / "chain.pem").write_bytes(credentials.chain)
    (folder / "key.pem").write_bytes(credentials.key)
    (folder / "roots.pem").write_bytes(authority.root_pem)
    with socket.socket() as held:
        held.bind(("0.0.0.0", 0))  # bound and never listening: a closed port
        lab = Lab(folder, hosts, free_port(), held.getsockname()[1], free_port())
        nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
        command = nginx_command(nginx, lab) if nginx else own_command(lab)
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as child:
            try:
                until(lambda: lab.connections() >= 0, child)
                print(f"  served by {'nginx' if nginx else 'asyncio'}")
                yield lab
            finally:
                child.terminate()


def nginx_command(nginx: str, lab: Lab) -> list[str]:
    listen = "\n    ".join(f"listen {address}:{lab.port} ssl;" for address in lab.addresses())
    text = NGINX.format(folder=lab.folder, status=lab.status, listen=listen)
    (lab.folder / "nginx.conf").write_text(text, "utf-8")
    return [nginx, "-p", str(lab.folder), "-c", str(lab.folder / "nginx.conf"), "-e", str(lab.folder / "error.log")]


def own_command(lab: Lab) -> list[str]:
    return [sys.executable, __file__, "--serve", str(lab.folder), str(lab.hosts), str(lab.port), str(lab.status)]


async def serve(lab: Lab) -> None:
    """The servers where there is no nginx. The count is nginx's stub_status, as far as it is read."""
    accepted = 0
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(lab.folder / "chain.pem", lab.folder / "key.pem")

    async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(reader, writer, "<!doctype html><title>Hello</title>")

    async def status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(reader, writer, f"Active connections: 1\nserver accepts handled requests\n {accepted} 0 0\n")

    def counted() -> asyncio.Protocol:
        nonlocal accepted
        accepted += 1
        reader = asyncio.StreamReader()
        return asyncio.StreamReaderProtocol(reader, hello)

    loop = asyncio.get_running_loop()
    # The protocol is made before the handshake: one that fails counts too.
    for address in lab.addresses():
        await loop.create_server(counted, address, lab.port, ssl=context)
    server = await asyncio.start_server(status, "127.0.0.1", lab.status)
    await server.serve_forever()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: str) -> None:
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return
    finally:
        writer.close()


def until(ready: Callable[[], bool], child: subprocess.Popen[bytes]) -> None:
    """Tries until the servers answer."""
    while child.poll() is None:
        try:
            if ready():
                return
        except OSError:
            continue
    sys.exit(f"the servers ended at once with {child.returncode}")


# ---- the scan


@contextmanager
def practice_range(folder: Path) -> Iterator[str]:
    """A practice range for its resolver and DNSSEC anchor; gives its posture.toml's text."""
    command = [console_script("posture"), "range", "up"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder) as child:
        try:
            assert child.stdout
            ready = next((line for line in child.stdout if line.startswith("READY ")), "")
            if not ready:
                sys.exit("posture range up did not get ready")
            path = Path(ready.removeprefix("READY ").strip())
            anchor = path.with_name("root-anchor.txt").read_text("utf-8")
            (folder / "root-anchor.txt").write_text(anchor, "utf-8")
            yield path.with_name("posture.toml").read_text("utf-8")
        finally:
            child.terminate()


def write_inventory(lab: Lab, configuration: str) -> Path:
    ports = sorted({*SWEEP_PORTS, 80, 443})
    text = lab_inventory("127.0.30.0/24", ports, LIMITS)
    for number, address in enumerate(lab.addresses(), 1):
        text += f'[[ministry.asset]]\nname = "h{number}.bench.gov.example"\naddresses = ["{address}"]\n'
        text += 'kind = "host"\nroles = ["web"]\nports = [443]\n'
    for address in lab.addresses():
        for port in ports:
            to = lab.port if port == 443 else lab.closed
            text += f'[[lab_port]]\naddress = "{address}"\nport = {port}\nto = {to}\nproto = "tcp"\n'
    path = lab.folder / "inventory.toml"
    path.write_text(text, "utf-8")
    (lab.folder / "posture.toml").write_text(configuration.replace('"ca.pem"', '"roots.pem"'), "utf-8")
    return path


def main(hosts: int = HOSTS) -> int:
    print(f"bench_scan: {hosts} loopback hosts, medians of {ROUNDS} scans, each on a new database")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with servers(folder, hosts) as lab, practice_range(folder) as configuration:
            path = write_inventory(lab, configuration)
            costs, counts = [], []
            for number in range(ROUNDS):
                before = lab.connections()
                database = str(folder / f"{number}.db")
                costs.append(run([console_script("posture"), "scan", str(path), "--lab", "-q", "--db", database]))
                counts.append(lab.connections() - before - 1)
                if costs[-1].code not in CODES:
                    sys.exit(f"the scan ended with {costs[-1].code}: {costs[-1].output}")
    cpu = median(cost.cpu for cost in costs)
    say("wall", f"{median(cost.wall for cost in costs):.1f} s")
    say("CPU (user + system)", f"{cpu:.1f} s")
    say("hosts per CPU second", f"{hosts / cpu:.1f}")
    say("connections per host, accepted by the server", f"{median(counts) / hosts:.1f}")
    say("peak resident set", f"{median(cost.peak for cost in costs):.0f} MB")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        asyncio.run(serve(Lab(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), 0, int(sys.argv[5]))))
    else:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else HOSTS))
