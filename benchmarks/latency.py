"""A laboratory with a round-trip time: two network namespaces, a delay between them, and web servers on the far side.

``with Lab(folder, hosts=200, rtt=0.040) as lab: lab.run(command)``. Needs root, nginx, nftables, iproute2 and gcc (Debian:
nginx-light nftables iproute2 gcc libc6-dev). Nothing leads out of the two namespaces. Addresses are of RFC 2544's network for
benchmarks: 198.18.1.N hosts (hostN.bench.gov.example), 198.18.5.N accept and say one byte a second, 198.18.6.N accept and
say nothing, 198.18.9.N lose every packet. Connections are counted where they arrive.

The hosts are of ten kinds, in turn: four of today with RSA or ECDSA certificates, TLS 1.2 only with either, static RSA only,
TLS 1.0 to 1.2 with whatever OpenSSL still has, an expired certificate, one that vouches for itself.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from posture.range.certificates import Authority, self_signed

HERE = Path(__file__).resolve().parent
ECDHE = "ECDHE+AESGCM:ECDHE+CHACHA20"
OLD = "ssl_protocols TLSv1 TLSv1.1 TLSv1.2; ssl_ciphers ALL:!aNULL:@SECLEVEL=0;"
TODAY = f"ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers {ECDHE};"
TLS12 = f"ssl_protocols TLSv1.2; ssl_ciphers {ECDHE};"
STATIC = "ssl_protocols TLSv1.2; ssl_ciphers AES128-SHA:AES256-SHA:AES128-GCM-SHA256:AES256-GCM-SHA384;"
KINDS = ("modern", "modern", "modern", "modern-ec", "tls12", "tls12-ec", "static", "old", "expired", "self-signed")
SETTINGS = {"tls12": TLS12, "tls12-ec": TLS12, "static": STATIC, "old": OLD}
RULES = """
table inet lab {
  counter arrived { }
  chain input {
    type filter hook input priority 0
    iifname != "delay0" accept
    ip daddr 198.18.9.0/24 drop
    tcp flags & (syn | ack) == syn counter name arrived
  }
}
"""


def kind_of(number: int) -> str:
    return KINDS[number % len(KINDS)]


@dataclass(frozen=True, slots=True)
class Ran:
    """One command in the near namespace. Seconds; ``peak``: MB of the whole tree of processes at its largest."""

    wall: float
    cpu: float
    peak: float
    connections: int
    code: int
    output: str


class Lab:
    """See the module. ``rtt`` in seconds; 0: no delay, though the packets still go through the link."""

    def __init__(self, folder: Path, hosts: int = 200, rtt: float = 0.040) -> None:
        self.folder, self.hosts, self.rtt = folder, hosts, rtt
        mark = secrets.token_hex(3)
        self.near, self.far = f"near-{mark}", f"far-{mark}"
        self._children: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            sys.exit("the latency lab makes network namespaces: run it as root, or in a container.")
        for program in ("nginx", "nft", "ip", "gcc"):
            if not shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin"):
                sys.exit(f"{program} is missing: apt-get install nginx-light nftables iproute2 gcc libc6-dev")
        try:
            self._up()
        except BaseException:
            self._down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._down()

    def name(self, number: int) -> str:
        return f"host{number}.bench.gov.example"

    def address(self, number: int) -> str:
        return f"198.18.1.{number}"

    def argv(self, command: Sequence[str]) -> list[str]:
        """The same command inside the near namespace."""
        return ["ip", "netns", "exec", self.near, *command]

    def run(self, command: Sequence[str], seconds: float = 600.0) -> Ran:
        """Runs a command in the near namespace to its end, or its limit."""
        before, start = self.arrived(), time.monotonic()
        with subprocess.Popen(
            self.argv(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        ) as child:
            peak = Peak(child.pid)
            errors: list[str] = []
            reading = threading.Thread(target=lambda: errors.append(child.stderr.read() if child.stderr else ""))
            limit = threading.Timer(seconds, child.kill)
            for helper in (peak, reading, limit):
                helper.start()
            output = child.stdout.read() if child.stdout else ""
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            limit.cancel()
            peak.end()
            reading.join()
        wall = time.monotonic() - start
        cpu = used.ru_utime + used.ru_stime
        text = output if output.strip() else "".join(errors)
        return Ran(wall, cpu, peak.largest, self.arrived() - before, child.returncode, text)

    def practice_range(self) -> str:
        """Starts a practice range in the near namespace for its resolver and DNSSEC anchor; gives its posture.toml's text."""
        posture = str(Path(sys.executable).with_name("posture"))
        child = subprocess.Popen(
            self.argv([posture, "range", "up"]),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=self.folder,
        )
        self._children.append(child)
        ready = next((line for line in child.stdout or () if line.startswith("READY ")), "")
        if not ready:
            sys.exit("posture range up did not get ready")
        path = Path(ready.removeprefix("READY ").strip())
        (self.folder / "root-anchor.txt").write_bytes(path.with_name("root-anchor.txt").read_bytes())
        return path.with_name("posture.toml").read_text("utf-8").replace('"ca.pem"', '"roots.pem"')

    # ---- up and down

    def _up(self) -> None:
        for space in (self.near, self.far):
            _do("ip", "netns", "add", space)
            _do("ip", "-n", space, "link", "set", "lo", "up")
        link = self.folder / "delay"
        _do("gcc", "-O2", "-o", str(link), str(HERE / "delay.c"))
        self._start([str(link), self.near, self.far, str(int(self.rtt * 500_000))])
        for space, own, other in ((self.near, "198.19.0.1", "198.19.0.2"), (self.far, "198.19.0.2", "198.19.0.1")):
            _do("ip", "-n", space, "address", "add", f"{own}/30", "dev", "delay0")
            _do("ip", "-n", space, "link", "set", "delay0", "up", "txqueuelen", "20000")
            _do("ip", "-n", space, "route", "add", "default", "via", other)
        _do("ip", "-n", self.far, "route", "add", "local", "198.18.0.0/16", "dev", "lo")
        for setting in ("net.core.somaxconn=8192", "net.ipv4.tcp_max_syn_backlog=8192", "net.ipv4.ip_nonlocal_bind=1"):
            _do("ip", "netns", "exec", self.far, "sysctl", "-qw", setting)
        for setting in ("net.ipv4.ip_local_port_range=10000 65000", "net.ipv4.tcp_tw_reuse=1"):
            _do("ip", "netns", "exec", self.near, "sysctl", "-qw", setting)
        rules = self.folder / "rules.nft"
        rules.write_text(RULES)
        _do("ip", "netns", "exec", self.far, "nft", "-f", str(rules))
        self._servers()

    def _servers(self) -> None:
        authority = Authority(datetime.now(UTC).replace(microsecond=0))
        (self.folder / "roots.pem").write_bytes(authority.root_pem)
        blocks = []
        for number in range(1, self.hosts + 1):
            kind, name = kind_of(number), self.name(number)
            if kind == "self-signed":
                credentials = self_signed(name, datetime.now(UTC).replace(microsecond=0))
            else:
                credentials = authority.issue(name, lapsed=kind == "expired", rsa=not kind.endswith("-ec"))
            chain, key = self.folder / f"{number}.pem", self.folder / f"{number}.key"
            chain.write_bytes(credentials.chain)
            key.write_bytes(credentials.key)
            address = self.address(number)
            blocks.append(
                f"server {{ listen {address}:443 ssl; listen {address}:80; server_name {name};"
                f" ssl_certificate {chain}; ssl_certificate_key {key}; {SETTINGS.get(kind, TODAY)} return 200 'ok'; }}"
            )
        paths = " ".join(
            f"{one}_temp_path {self.folder}/{one};" for one in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        configuration = self.folder / "nginx.conf"
        configuration.write_text(
            f"daemon off; worker_processes 1; pid {self.folder}/nginx.pid; events {{ worker_connections 8000; }}\n"
            f"http {{ access_log off; ssl_session_cache off; server_names_hash_max_size 4096; {paths}\n"
            + "\n".join(blocks)
            + "\n}\n"
        )
        log = str(self.folder / "error.log")
        self._start(
            ["nginx", "-e", log, "-p", str(self.folder), "-c", str(configuration)], inside=self.far, ready=False
        )
        self._start([sys.executable, __file__, "--idle"], inside=self.far)
        for _ in range(200):
            probe = ["ip", "netns", "exec", self.far, "bash", "-c", f"exec 3<>/dev/tcp/{self.address(self.hosts)}/443"]
            if subprocess.run(probe, check=False, capture_output=True).returncode == 0:
                return
            time.sleep(0.05)
        sys.exit(f"nginx did not start: {(self.folder / 'error.log').read_text('utf-8')}")

    def _start(self, command: list[str], inside: str = "", *, ready: bool = True) -> None:
        argv = ["ip", "netns", "exec", inside, *command] if inside else command
        child = subprocess.Popen(argv, stdout=subprocess.PIPE if ready else subprocess.DEVNULL, text=True)
        self._children.append(child)
        if ready and child.stdout and child.stdout.readline().strip() != "ready":
            sys.exit(f"{' '.join(argv)} did not get ready")

    def _down(self) -> None:
        for child in reversed(self._children):
            child.terminate()
            child.wait()
            if child.stdout:
                child.stdout.close()
        for space in (self.near, self.far):
            subprocess.run(["ip", "netns", "delete", space], check=False, capture_output=True)

    def arrived(self) -> int:
        """Connections that have reached the far side so far."""
        command = ["ip", "netns", "exec", self.far, "nft", "list", "counters"]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = re.search(r"packets (\d+)", told)
        return int(found[1]) if found else 0


class Peak(threading.Thread):
    """Looks at a tree of processes ten times a second; ``largest``: MB of resident memory at its largest."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.root, self.largest, self._ended = root, 0.0, threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.1):
            self.largest = max(self.largest, sum(map(_resident, _tree(self.root))))

    def end(self) -> None:
        self._ended.set()
        self.join()


def _tree(root: int) -> list[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
    found = [root]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def _resident(process: int) -> float:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _do(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")


async def _idle() -> None:
    """40 servers that say nothing, and 40 that say a byte a second inside one long record."""

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)
        writer.close()

    async def dripping(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"\x16\x03\x03\x40\x00")
            while True:
                writer.write(b"\x02")
                await writer.drain()
                await asyncio.sleep(1)
        except OSError:
            writer.close()

    for number in range(1, 41):
        await asyncio.start_server(silent, f"198.18.6.{number}", 443)
        await asyncio.start_server(dripping, f"198.18.5.{number}", 443)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__" and sys.argv[1:] == ["--idle"]:
    asyncio.run(_idle())
