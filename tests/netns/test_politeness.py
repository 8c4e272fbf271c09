"""Fifty hosts and fifty zones are scanned politely: counted on the wire, by the limits that README promises."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from posture.range.certificates import self_signed
from posture.store import Store
from tests.lab import need
from tests.netns import crowd
from tests.netns.comparing import Comparison, compare, read_trail
from tests.netns.namespace import Counted, Done, namespace, recorded
from tests.netns.packets import Endpoint, Excess, Recording, Sent, excesses, most_open, most_within, prefix_of
from tests.netns.traps import RESOLVER

pytestmark = pytest.mark.xdist_group("namespace of a crowd")
MINUTE, HOUR = 60.0, 3600.0
# A turn is given, and a moment later its packet is on the wire: so late on a busy machine.
DELAY = 0.05
SECOND_SCAN = ("--asset", "z00.gov.example", "--asset", "z10.gov.example", "--asset", "w01.gov.example")


@dataclass(frozen=True)
class Visit:
    """Two scans one after the other, with one database and one trail. ``between``: Unix time; ``earlier``: when mail
    exchangers were connected to before."""

    first: Done
    second: Done
    between: float
    counted: Counted
    recording: Recording
    compared: Comparison
    earlier: dict[str, list[float]]

    def under(self, *traffic: str) -> list[Sent]:
        return sorted(self.compared.under(*traffic), key=lambda sent: sent.at)

    def mail(self, address: str) -> list[float]:
        endpoint = Endpoint("tcp", address, 25)
        return [sent.at for sent in self.recording.connections if sent.endpoint == endpoint]


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Visit:
    folder = tmp_path_factory.mktemp("crowd")
    leaf = self_signed("w00.gov.example", datetime.now(UTC))
    (folder / "server.pem").write_bytes(leaf.chain + leaf.key)
    (folder / "inventory.toml").write_text(crowd.inventory(datetime.now(UTC).date()), "utf-8")
    (folder / "nginx.conf").write_text(crowd.nginx(folder), "utf-8")
    nginx = need("nginx", "nginx-light")
    earlier = remember(folder / "posture.db")
    with (
        namespace(folder) as inside,
        inside.process(inside.argv(nginx, "-c", folder / "nginx.conf", "-p", folder), ready=""),
        inside.process(inside.python("tests.netns.serving", "tests.netns.crowd", folder)),
    ):
        inside.wait_for(crowd.GOOD[0], 443)
        inside.forget()
        with inside.recorder() as packets:
            first = inside.posture("scan", "inventory.toml", "--resolver", RESOLVER)
            between = time.time()
            second = inside.posture("scan", "inventory.toml", "--resolver", RESOLVER, *SECOND_SCAN)
            counted = inside.counted()
    recording = recorded(packets)
    trail = read_trail((folder / "posture.db.audit.jsonl").read_text("ascii").splitlines())
    return Visit(first, second, between, counted, recording, compare(recording.sent, trail), earlier)


def remember(db: Path) -> dict[str, list[float]]:
    """A history in which the mail exchangers were connected to lately, as scans of the last hour leave it."""
    Store.open(db, write=True).close()
    now = time.time()
    rows = [(address, now - age, count) for address, entries in crowd.EARLIER.items() for age, count in entries]
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.executemany("INSERT INTO contact (kind, address, at, count) VALUES ('smtp', ?, ?, ?)", rows)
    earlier: defaultdict[str, list[float]] = defaultdict(list)
    for address, at, count in rows:
        earlier[address] += [at] * count
    return earlier


def address_of(sent: Sent) -> str:
    return sent.endpoint.address


def prefix_around(sent: Sent) -> str:
    return prefix_of(sent.endpoint.address)


def too_fast(sent: Sequence[Sent], key: Callable[[Sent], str], burst: float, rate: float) -> list[Excess]:
    return list(excesses(sent, key, burst=burst, rate=rate, slack=max(1.0, rate * DELAY)))


def by_address(sent: Sequence[Sent]) -> dict[str, list[Sent]]:
    found = defaultdict(list)
    for each in sent:
        found[each.endpoint.address].append(each)
    return found


def test_both_scans_end_and_all_of_them_is_on_record(visit: Visit) -> None:
    # 3: of a host that resets whatever is said nothing may have answered.
    assert visit.first.code in (0, 3), visit.first.err
    assert visit.second.code == 0, visit.second.err
    assert visit.compared.uncovered == ()
    assert visit.compared.unused == ()
    assert visit.recording.dropped == 0
    assert visit.recording.by_endpoint == visit.counted.by_endpoint
    assert not visit.recording.resent


def test_enough_was_sent_to_meet_every_limit(visit: Visit) -> None:
    """More than any burst allows, so that a scan without limits would show."""
    connections, swept, datagrams = (by_address(visit.under(kind)) for kind in ("connection", "sweep", "datagram"))
    crowded = [sent for sent in visit.under("connection", "sweep") if prefix_around(sent) == prefix_of(crowd.SHARED)]

    assert len(connections) > len(crowd.GOOD)
    assert len(connections[crowd.GOOD[1]]) > 20
    assert len(swept[crowd.GOOD[1]]) > 2 * 20
    assert len(datagrams[crowd.NAME_SERVERS[0]]) > 40
    assert len(crowded) > 4 * 200


def test_new_connections_to_an_address(visit: Visit) -> None:
    assert too_fast(visit.under("connection", "child"), address_of, 20, 10) == []


def test_the_sweep_of_an_address(visit: Visit) -> None:
    assert too_fast(visit.under("sweep"), address_of, 20, 50) == []


def test_new_connections_to_a_neighbourhood(visit: Visit) -> None:
    assert too_fast(visit.under("connection", "sweep", "child"), prefix_around, 200, 100) == []


def test_datagrams_to_a_name_server(visit: Visit) -> None:
    datagrams = visit.under("datagram")

    assert len(datagrams) >= 2 * len(crowd.ZONES)
    assert too_fast(datagrams, address_of, 40, 20) == []


def test_established_connections(visit: Visit) -> None:
    most = {address: most_open(sent) for address, sent in by_address(visit.under("connection", "child")).items()}

    assert max(most.values()) == 2, most
    assert most_open(visit.recording.connections) <= 200


@pytest.mark.parametrize("address", crowd.EARLIER)
def test_mail_exchangers_by_the_minute_and_the_hour_over_processes(visit: Visit, address: str) -> None:
    times = sorted([*visit.earlier[address], *visit.mail(address)])

    assert visit.mail(address)
    assert most_within(times, MINUTE) <= 6
    assert most_within(times, HOUR) == 20  # all that may be is used, and not one more


def test_a_second_scan_does_not_go_where_the_hour_is_used_up(visit: Visit) -> None:
    assert [at for address in crowd.EARLIER for at in visit.mail(address) if at > visit.between] == []
    assert any(sent.at > visit.between for sent in visit.under("connection"))


def test_what_is_shared_is_asked_once(visit: Visit) -> None:
    heard: defaultdict[str, Counter[int]] = defaultdict(Counter)
    silent: Counter[Endpoint] = Counter()
    for sent, allow in visit.compared.matched:
        if allow.traffic == "sweep" and sent.at < visit.between:
            if allow.end == "filtered":
                silent[sent.endpoint] += 1
            else:
                heard[sent.endpoint.address][sent.endpoint.port] += 1
    again = {address: ports.total() - len(ports) for address, ports in heard.items()}

    assert len(heard[crowd.SHARED]) > 40
    # A port is looked at once more here and there, to see whether an address that falls silent still answers.
    assert max(again.values()) <= 3
    assert max(silent.values(), default=0) <= 2
