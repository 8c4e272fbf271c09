"""A network namespace in which every address in the world is local, with the kernel's counters of what is sent.

Any address can be served there and none leads outside: the way to all of them is the loopback device. A spare device
only carries a default route, so that the scanner believes in an IPv6 Internet.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab import need, need_root
from tests.netns.packets import Endpoint, Recording, read_recording

HERE = "45.46.0.1"
HERE_V6 = "2a0e:b100:ffff::1"
ROOT = Path(__file__).parents[2]
SCAN_SECONDS = 240.0  # a scan that takes longer hangs

_DEVICES = f"""
link set lo up
address add {HERE}/32 dev lo
address add {HERE_V6}/128 dev lo nodad
route add local default dev lo src {HERE}
route add local ::/0 dev lo src {HERE_V6}
link add spare0 type veth peer name spare1
link set spare0 up
link set spare1 up
route add default dev spare0
route add ::/0 dev spare0
"""
# A connection is one source port; datagrams are counted one by one. Answers of our own servers go the other way.
_RULES = """
table inet counting {
  set tcp4 { type ipv4_addr . inet_service; flags dynamic; size 65535; counter; }
  set tcp6 { type ipv6_addr . inet_service; flags dynamic; size 65535; counter; }
  set udp4 { type ipv4_addr . inet_service; flags dynamic; size 65535; counter; }
  set udp6 { type ipv6_addr . inet_service; flags dynamic; size 65535; counter; }
  counter syn { }
  counter datagram { }
  counter other { }
  chain output {
    type filter hook output priority 0; policy accept;
    tcp flags & (syn | ack) == syn counter name syn
    tcp flags & (syn | ack) == syn meta nfproto ipv4 add @tcp4 { ip daddr . tcp dport counter }
    tcp flags & (syn | ack) == syn meta nfproto ipv6 add @tcp6 { ip6 daddr . tcp dport counter }
    meta l4proto udp ct direction original counter name datagram
    meta l4proto udp ct direction original meta nfproto ipv4 add @udp4 { ip daddr . udp dport counter }
    meta l4proto udp ct direction original meta nfproto ipv6 add @udp6 { ip6 daddr . udp dport counter }
    meta l4proto != { tcp, udp, icmp, ipv6-icmp, igmp } counter name other
  }
}
"""


@dataclass(frozen=True, slots=True)
class Counted:
    """What the kernel counted: SYNs and datagrams by endpoint, and all in all."""

    syns: Mapping[Endpoint, int]
    datagrams: Mapping[Endpoint, int]
    totals: Mapping[str, int]

    @property
    def by_endpoint(self) -> Mapping[Endpoint, int]:
        return {**self.syns, **self.datagrams}


@dataclass(frozen=True, slots=True)
class Done:
    """A process that has ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace; made by :func:`namespace`."""

    name: str
    folder: Path

    def argv(self, *words: object) -> list[str]:
        """A command line inside."""
        return ["ip", "netns", "exec", self.name, *map(str, words)]

    def python(self, module: str, *words: object) -> list[str]:
        return self.argv(sys.executable, "-m", module, *words)

    def run(self, *words: object, seconds: float = SCAN_SECONDS, cwd: Path | None = None) -> Done:
        """Runs a command inside to its end."""
        done = subprocess.run(
            self.argv(*words), cwd=cwd or self.folder, env=environment(self.folder), capture_output=True, text=True,
            timeout=seconds, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def posture(self, *words: object) -> Done:
        """The console script of this very environment, as a person would start it."""
        return self.run(Path(sys.executable).with_name("posture"), *words)

    @contextmanager
    def process(self, argv: Sequence[str], ready: str = "ready") -> Iterator[subprocess.Popen[str]]:
        """A process inside that prints ``ready`` once it stands, for the length of the block; ended by SIGTERM."""
        process = subprocess.Popen(
            argv, cwd=ROOT, env=environment(self.folder), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            if ready:
                said = process.stdout.readline()
                assert said.strip() == ready, said + process.stdout.read()
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()

    @contextmanager
    def recorder(self) -> Iterator[Path]:
        """Records the packets of the block into a file; :func:`recorded` reads it afterwards."""
        path = self.folder / f"packets-{secrets.token_hex(4)}.txt"
        with self.process(self.python("tests.netns.recorder", path)):
            yield path

    def wait_for(self, address: str, port: int) -> None:
        """Returns once something accepts connections there."""
        code = (
            "import socket, sys, time\n"
            "while True:\n"
            "    try: sys.exit(socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1).close())\n"
            "    except OSError: time.sleep(0.05)\n"
        )
        done = self.run(sys.executable, "-c", code, address, port, seconds=20)
        assert done.code == 0, done.err

    def counted(self) -> Counted:
        """The kernel's counters since the namespace was made, or since :meth:`forget`."""
        ruleset = json.loads(_ip_netns("exec", self.name, "nft", "-j", "list", "table", "inet", "counting"))["nftables"]
        return read_counters(ruleset)

    def forget(self) -> None:
        """Sets all counters to nothing."""
        _rules(self.name)


def environment(folder: Path) -> dict[str, str]:
    """Nothing of the developer's own."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TZDIR") if name in os.environ}
    return {**kept, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "xdg"), "COLUMNS": "200"}


def recorded(path: Path) -> Recording:
    return read_recording(path.read_text("ascii").splitlines())


def read_counters(ruleset: Sequence[Mapping[str, Any]]) -> Counted:
    """Reads ``nft -j``: elements are {"elem": {"val": {"concat": [address, port]}, "counter": {...}}}."""
    syns: Counter[Endpoint] = Counter()
    datagrams: Counter[Endpoint] = Counter()
    for entry in ruleset:
        table = entry.get("set", {})
        for element in table.get("elem", ()):
            address, port = element["elem"]["val"]["concat"]
            packets = int(element["elem"]["counter"]["packets"])
            if table["name"].startswith("tcp"):
                syns[Endpoint("tcp", address, port)] += packets
            else:
                datagrams[Endpoint("udp", address, port)] += packets
    totals = {each["counter"]["name"]: int(each["counter"]["packets"]) for each in ruleset if "counter" in each}
    return Counted(syns, datagrams, totals)


@contextmanager
def namespace(folder: Path) -> Iterator[Namespace]:
    """A namespace of its own for the length of the block. Skips (or, where the lab is required, fails) without root."""
    need_root()
    need("ip", "iproute2")
    need("nft", "nftables")
    name = f"posture-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        _ip_netns("add", name)
    except subprocess.CalledProcessError as fault:
        _impossible(str(fault.stderr).strip())
    try:
        subprocess.run(
            ["ip", "-n", name, "-batch", "-"], input=_DEVICES, text=True, capture_output=True, check=True, timeout=30
        )
        _rules(name)
        yield Namespace(name, folder)
    finally:
        for process in _ip_netns("pids", name).split():
            os.kill(int(process), signal.SIGKILL)
        _ip_netns("delete", name)


def _impossible(why: str) -> None:
    message = f"no network namespace can be made here: {why}"
    if os.environ.get("POSTURE_LAB") == "required":
        pytest.fail(message)
    pytest.skip(message)


def _rules(name: str) -> None:
    text = f"add table inet counting\ndelete table inet counting\n{_RULES}"
    subprocess.run(
        ["ip", "netns", "exec", name, "nft", "-f", "-"],
        input=text,
        text=True,
        capture_output=True,
        check=True,
        timeout=30,
    )


def _ip_netns(*words: str) -> str:
    return subprocess.run(["ip", "netns", *words], capture_output=True, text=True, check=True, timeout=30).stdout
