"""The TLS verdict of many servers at a round-trip time of 40 ms, in turns with sslyze: wall, CPU, memory, connections, truth.

``posture scan --check tls`` of 200 hosts (which also asks for their pages and judges 34 controls) against sslyze's certificate
and cipher-suite commands at the best of its settings that the command line has: four processes of 50 hosts each, five
connections a server and ten servers at a time in each. Every host's versions and suites are compared by name. Then one host
against ``nmap --script ssl-enum-ciphers``; then 10 lost, 10 silent and 10 dripping servers among 40 live ones; then 200 hosts
without a delay, for the work alone.

Medians of ROUNDS rounds in turns. Needs what latency.py needs, sslyze (it comes with posture) and nmap. ``bench_tls.py N
ROUNDS``: other numbers. Ends with 1 when a goal is missed.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
import zlib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from latency import Lab, Peak, Ran, kind_of
from measure import console_script, lab_inventory, median, say

HOSTS, ROUNDS = 200, 5
PEERS = 4
LIMITS = {"prefix_per_second": 100_000, "prefix_burst": 100_000, "connections": 1000}
COMMANDS = ("--certinfo", "--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3")
VERSIONS = {
    "ssl_2_0": "SSL 2.0", "ssl_3_0": "SSL 3.0", "tls_1_0": "TLS 1.0", "tls_1_1": "TLS 1.1", "tls_1_2": "TLS 1.2",
    "tls_1_3": "TLS 1.3",
}  # fmt: skip
Suites = dict[str, dict[str, frozenset[str]]]  # address -> version -> names


@dataclass
class Goals:
    missed: int = 0

    def at_most(self, what: str, value: float, goal: float, unit: str = "") -> None:
        say(what, f"{value:.3g}{unit}", f"at most {goal:.3g}{unit}")
        self.missed += value > goal

    def at_least(self, what: str, value: float, goal: float, unit: str = "") -> None:
        say(what, f"{value:.3g}{unit}", f"at least {goal:.3g}{unit}")
        self.missed += value < goal


def inventory(hosts: dict[str, str], path: Path) -> Path:
    """hosts: name -> address."""
    text = lab_inventory("198.18.0.0/16", (80, 443), LIMITS)
    for name, address in hosts.items():
        text += f'[[ministry.asset]]\nname = "{name}"\naddresses = ["{address}"]\nkind = "host"\nroles = ["web"]\nports = [443]\n'
    path.write_text(text, "utf-8")
    return path


def scan(lab: Lab, path: Path, database: Path) -> Ran:
    database.unlink(missing_ok=True)
    ran = lab.run(
        [console_script("posture"), "scan", str(path), "--lab", "-q", "--check", "tls", "--db", str(database)]
    )
    if ran.code not in (0, 1, 3):
        sys.exit(f"the scan ended with {ran.code}: {ran.output}")
    return ran


def seen_by_us(database: Path) -> Suites:
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "SELECT subject.value, facts.probe, blob.data FROM facts JOIN blob ON blob.id = facts.blob_id"
            " JOIN text_value AS subject ON subject.id = facts.subject_id WHERE facts.probe IN ('tls', 'tls_legacy')"
        ).fetchall()
    found: Suites = {}
    for subject, _, data in rows:
        told = json.loads(zlib.decompress(data))
        versions = found.setdefault(subject.partition(":")[0], {})
        for answer in told.get("data", told)["versions"]:
            names = versions.get(answer["version"], frozenset()) | frozenset(answer.get("suites", ()))
            versions[answer["version"]] = names
    return found


def sslyze(lab: Lab, numbers: range) -> tuple[Ran, Suites]:
    """Several processes at once, each with its share."""
    files = [lab.folder / f"sslyze-{part}.json" for part in range(PEERS)]
    children = []
    before, start = lab.arrived(), time.monotonic()
    for part, file in enumerate(files):
        targets = [f"{lab.name(n)}:443{{{lab.address(n)}}}" for n in numbers if n % PEERS == part]
        command = [
            sys.executable,
            "-m",
            "sslyze",
            *COMMANDS,
            "--mozilla_config=disable",
            "--json_out",
            str(file),
            *targets,
        ]
        children.append(subprocess.Popen(lab.argv(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    peaks = [Peak(child.pid) for child in children]
    for peak in peaks:
        peak.start()
    cpu, code = 0.0, 0
    for child in children:
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        cpu, code = cpu + used.ru_utime + used.ru_stime, code or child.returncode
    wall = time.monotonic() - start
    for peak in peaks:
        peak.end()
    found: Suites = {}
    for file in files:
        for result in json.loads(file.read_text("utf-8"))["server_scan_results"]:
            if result["scan_result"] is None:
                continue
            told = {key: result["scan_result"][f"{key}_cipher_suites"]["result"] or {} for key in VERSIONS}
            found[result["server_location"]["ip_address"]] = {
                VERSIONS[key]: frozenset(one["cipher_suite"]["name"] for one in said.get("accepted_cipher_suites", ()))
                for key, said in told.items()
            }
    return Ran(wall, cpu, sum(peak.largest for peak in peaks), lab.arrived() - before, code, ""), found


def differences(lab: Lab, ours: Suites, theirs: Suites, numbers: range) -> list[str]:
    found = []
    for number in numbers:
        address = lab.address(number)
        for version in VERSIONS.values():
            mine, other = (
                ours.get(address, {}).get(version, frozenset()),
                theirs.get(address, {}).get(version, frozenset()),
            )
            if mine != other:
                found.append(f"{address} ({kind_of(number)}) {version}: {sorted(mine ^ other)}")
    return found


def crowd(goals: Goals, folder: Path, hosts: int, rounds: int) -> None:
    numbers = range(1, hosts + 1)
    with Lab(folder, hosts) as lab:
        (folder / "posture.toml").write_text(lab.practice_range(), "utf-8")
        path = inventory({lab.name(n): lab.address(n) for n in numbers}, folder / "all.toml")
        one = inventory({lab.name(1): lab.address(1)}, folder / "one.toml")
        live = {lab.name(n): lab.address(n) for n in range(1, min(hosts, 40) + 1)}
        bad = {f"bad{n}-{part}.bench.gov.example": f"198.18.{part}.{n}" for part in (5, 6, 9) for n in range(1, 11)}
        some, mixed = inventory(live, folder / "live.toml"), inventory(live | bad, folder / "mixed.toml")
        ours, theirs, single, nmaps, alone, among = [], [], [], [], [], []
        for _ in range(rounds):
            ours.append(scan(lab, path, folder / "all.db"))
            ran, said = sslyze(lab, numbers)
            theirs.append(ran)
            single.append(scan(lab, one, folder / "one.db"))
            nmaps.append(
                lab.run(["nmap", "-n", "-Pn", "-p", "443", "--script", "ssl-enum-ciphers,ssl-cert", lab.address(1)])
            )
            alone.append(scan(lab, some, folder / "live.db"))
            among.append(scan(lab, mixed, folder / "mixed.db"))
        wrong = differences(lab, seen_by_us(folder / "all.db"), said, numbers)
    mine, peer = _median(ours), _median(theirs)
    say("posture, wall", f"{mine.wall:.1f} s")
    say("posture, CPU", f"{mine.cpu:.1f} s")
    say("posture, peak memory", f"{mine.peak:.0f} MB")
    say("posture, connections a host (pages included)", f"{mine.connections / hosts:.1f}")
    say("sslyze, wall", f"{peer.wall:.1f} s")
    say("sslyze, CPU", f"{peer.cpu:.1f} s")
    say("sslyze, peak memory", f"{peer.peak:.0f} MB")
    say("sslyze, connections a host", f"{peer.connections / hosts:.1f}")
    goals.at_most("wall, of sslyze's", mine.wall / peer.wall, 1 / 8)
    goals.at_most("CPU, of sslyze's", mine.cpu / peer.cpu, 1 / 15)
    goals.at_most("peak memory, of sslyze's", mine.peak / peer.peak, 1 / 5)
    goals.at_most("versions or suites that differ", len(wrong), 0)
    for line in wrong[:20]:
        print(f"    {line}")
    goals.at_most("one host, wall, of nmap's", _median(single).wall / _median(nmaps).wall, 1)
    extra = _median(among).wall - _median(alone).wall
    say("40 live ones, wall", f"{_median(alone).wall:.1f} s")
    goals.at_most("30 bad ones among them add", extra, 10.0, " s")


def floor(_goals: Goals, folder: Path, hosts: int, rounds: int) -> None:
    """Hosts per core-second with no delay. One host's cost is taken off: it is what any command costs."""
    with Lab(folder, hosts, rtt=0.0) as lab:
        (folder / "posture.toml").write_text(lab.practice_range(), "utf-8")
        path = inventory({lab.name(n): lab.address(n) for n in range(1, hosts + 1)}, folder / "all.toml")
        one = inventory({lab.name(1): lab.address(1)}, folder / "one.toml")
        whole, start = [], []
        for _ in range(rounds):
            whole.append(scan(lab, path, folder / "all.db"))
            start.append(scan(lab, one, folder / "one.db"))
    cpu = _median(whole).cpu - _median(start).cpu
    say("hosts per core-second, whole scan, no delay", f"{(hosts - 1) / cpu:.0f}")


def _median(runs: list[Ran]) -> Ran:
    fields = ("wall", "cpu", "peak", "connections")
    return Ran(*(median([getattr(run, name) for run in runs]) for name in fields), 0, "")


def main(hosts: int = HOSTS, rounds: int = ROUNDS) -> int:
    print(f"bench_tls: {hosts} hosts, round-trip time 40 ms, medians of {rounds} rounds in turns")
    goals = Goals()
    for part in (crowd, floor):
        with tempfile.TemporaryDirectory() as made:
            part(goals, Path(made), hosts, rounds)
    return 1 if goals.missed else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
