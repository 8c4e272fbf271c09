"""Programs of others send nothing outside their grants either, keep to their budget, and die by a stop order.

In these scans nmap goes with the sweep, and sslyze with all its commands at once with HTTPS (tests/children.py).
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from tests.lab import need
from tests.net.processes import below
from tests.netns import traps
from tests.netns.comparing import Allow, Comparison, Trail, compare
from tests.netns.namespace import ROOT, Counted, Done, Namespace, namespace, recorded
from tests.netns.packets import Endpoint, Recording, Sent
from tests.netns.test_traps import RESOLVER, furnish, stray, survey_of, trail_of

pytestmark = pytest.mark.xdist_group("namespace of children")
WEB, SECURE = Endpoint("tcp", traps.WEB, 80), Endpoint("tcp", traps.WEB, 443)
SWEPT = (traps.WEB, traps.MIXED, traps.MIXED_SPECIAL)
ASSETS = tuple(
    f"{name}.finance.gov.example"
    for name in ("www", "mixed", "mixed-special", "far", "metadata.special", "hr", "boxed")
)
STOP_SECONDS = 2.0


@dataclass(frozen=True)
class Visit:
    """What a scan with children did."""

    scan: Done
    counted: Counted
    recording: Recording
    trail: Trail

    @property
    def outwards(self) -> list[Sent]:
        """All but what a child said to its proxy."""
        return [sent for sent in self.recording.sent if not is_proxy(sent.endpoint)]

    @property
    def compared(self) -> Comparison:
        return compare(self.outwards, self.trail)

    def budgets(self) -> dict[Endpoint, int]:
        """By endpoint, as the records of children say."""
        found: Counter[Endpoint] = Counter()
        for allow in self.children():
            found[allow.endpoint] += allow.connections
        return found

    def children(self) -> list[Allow]:
        return [allow for allow in self.trail.allows if allow.traffic == "child"]

    def of_children(self, endpoint: Endpoint) -> int:
        """Connections to an endpoint that no record of one connection of our own speaks of."""
        own = sum(allow.connections for allow in self.trail.allows if allow.endpoint == endpoint)
        return sum(sent.endpoint == endpoint for sent in self.recording.connections) - (own - self.budgets()[endpoint])


def words(children: str, folder: Path, *assets: str) -> list[object]:
    """The command line of a scan with these children."""
    chosen = [word for asset in assets for word in ("--asset", asset)]
    where = ["scan", folder / "inventory.toml", "--db", folder / "posture.db", "--resolver", traps.RESOLVER]
    return [sys.executable, "-m", "tests.children", children, *where, *chosen]


@contextmanager
def standing(folder: Path) -> Iterator[Namespace]:
    need("nmap", "nmap")
    furnish(folder)
    with namespace(folder) as inside, inside.process(inside.python("tests.netns.serving", "tests.netns.traps", folder)):
        yield inside


def visited(folder: Path, children: str, *assets: str) -> Visit:
    with standing(folder) as inside, inside.recorder() as packets:
        scan = inside.run(*words(children, folder, *assets), cwd=ROOT)
        counted = inside.counted()
    return Visit(scan, counted, recorded(packets), trail_of(folder))


def is_proxy(endpoint: Endpoint) -> bool:
    """Our own on loopback, at a port that the kernel chose; at those of the traps there are canaries."""
    return endpoint.address == "127.0.0.1" and endpoint.port not in {port for _, port in traps.world().listen}


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Visit:
    folder = tmp_path_factory.mktemp("children")
    made = visited(folder, "everywhere,sslyze", *ASSETS)
    found = survey_of(folder)
    assert (found.open, found.tears, found.loose) == (0, 0, b"")
    return made


def test_no_packet_of_a_child_leaves_outside_the_grants(visit: Visit) -> None:
    assert visit.scan.code == 3, visit.scan.err  # an authorisation has ended
    assert [each for each in stray(visit.counted) if not each.partition(" x ")[2].startswith("127.0.0.1:")] == []
    assert {sent.endpoint.address for sent in visit.outwards}.isdisjoint({traps.FOREIGN, traps.METADATA, "127.0.0.1"})
    assert visit.counted.totals["other"] == 0
    assert visit.recording.dropped == 0
    assert visit.recording.by_endpoint == visit.counted.by_endpoint


def test_every_packet_has_its_record_and_every_record_its_packet(visit: Visit) -> None:
    compared = visit.compared

    assert compared.uncovered == ()
    assert compared.unused == ()
    assert visit.trail.own == RESOLVER


def test_nmap_keeps_to_the_budget_of_its_record(visit: Visit) -> None:
    assert sorted(visit.budgets()) == sorted(Endpoint("tcp", address, 80) for address in SWEPT)
    for endpoint, budget in visit.budgets().items():
        assert 2 <= visit.of_children(endpoint) <= budget
    assert {child.end for child in visit.children()} == {"closed"}


def test_every_connection_of_sslyze_has_a_record_of_its_own(visit: Visit) -> None:
    of_http = [
        allow
        for allow in visit.trail.allows
        if (allow.endpoint, allow.traffic, allow.probe) == (SECURE, "connection", "http")
    ]

    assert len(of_http) > 10  # our own probe makes one
    assert {allow.connections for allow in of_http} == {1}


@pytest.mark.parametrize(("child", "endpoint"), [("astray", Endpoint("tcp", traps.FOREIGN, 80)), ("wasteful", WEB)])
def test_the_proof_can_fail(tmp_path: Path, child: str, endpoint: Endpoint) -> None:
    """A child that goes where nobody granted it, or makes more connections than its record speaks of, is found."""
    made = visited(tmp_path, child, ASSETS[0])

    assert {sent.endpoint for sent in made.compared.uncovered} == {endpoint}


def test_a_stop_order_kills_a_child_within_two_seconds(tmp_path: Path) -> None:
    with standing(tmp_path) as inside, inside.recorder() as packets:
        with inside.process(inside.argv(*words("nmap", tmp_path, ASSETS[0])), ready="") as scan:
            until(lambda: is_granted(tmp_path) and any(map(is_nmap, below(scan.pid))))
            stop = inside.posture("stop", "--reason", "complaint 12")
            said, _ = scan.communicate(timeout=60)
            code = scan.returncode
        left = [command for command in below() if is_nmap(command)]
    ordered = (tmp_path / "posture.db.stop").stat().st_mtime
    trail = trail_of(tmp_path)
    recording = recorded(packets)

    assert stop.code == 0, stop.err
    assert (code, left) == (3, []), said
    assert "complaint 12" in said
    assert [child.end for child in trail.allows if child.traffic == "child"] == ["stopped"]
    assert max(sent.at for sent in recording.sent) < ordered + STOP_SECONDS
    assert compare(recording.sent, trail).uncovered == ()
    assert ended_at(tmp_path) < ordered + STOP_SECONDS


def is_nmap(command: list[str]) -> bool:
    return command[0] == "/usr/bin/nmap"


def is_granted(folder: Path) -> bool:
    path = folder / "posture.db.audit.jsonl"
    return path.exists() and any(allow.traffic == "child" for allow in trail_of(folder).allows)


def ended_at(folder: Path) -> float:
    """When the child's end was written down."""
    trail = [json.loads(line) for line in (folder / "posture.db.audit.jsonl").read_text("ascii").splitlines()]
    child = next(each["seq"] for each in trail if each["kind"] == "decision" and each["traffic"] == "child")
    return next(
        datetime.fromisoformat(each["at"]).timestamp()
        for each in trail
        if each["kind"] == "close" and each["of"] == child
    )


def until(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not there():
        assert time.monotonic() < end, "nmap was not started"
        time.sleep(0.05)
