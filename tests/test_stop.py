"""The kill switch's file: whatever is in its place, somebody meant to stop; and no order is lost, or read as less."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posture.errors import StoreError, UsageError
from posture.model import ProbeClass, Reason
from posture.scope import Grant, Refusal, Scope
from posture.stop import Order, Orders, StopFile, document, parse, spelt
from tests.test_scope import BASE, HOST, NOON, OWN, ZONE, scope_of

AT = datetime(2026, 11, 24, 14, 2, tzinfo=UTC)
ALL = Order("DoS complaint 12", "root", AT)
ONE = Order("revoked", "ana", AT, authorisation="lc-2026-001")
PLACE = Order("printer", "ana", AT, address="198.51.100.7")


@pytest.fixture
def file(tmp_path: Path) -> StopFile:
    return StopFile(tmp_path / "posture.db")


def everything(file: StopFile) -> str:
    """Why everything is stopped; fails when it is not."""
    order = file.orders().everything()
    assert order is not None
    return order.reason


# ---- giving orders and taking them back


def test_without_a_file_nothing_is_stopped(file: StopFile) -> None:
    assert file.orders() == Orders()
    assert file.orders().about(["lc-2026-001"], ["198.51.100.7"]) is None


def test_orders_add_up_and_are_read_by_another_process(file: StopFile) -> None:
    file.add(ONE)
    file.add(PLACE)

    assert StopFile(file.path.with_suffix("")).orders().given == (ONE, PLACE)
    assert json.loads(file.path.read_bytes())["schema"] == "posture-stop/1"
    assert file.path.stat().st_mode & 0o044 == 0o044  # whoever scans may read it
    assert list(file.path.parent.iterdir()) == [file.path]


def test_an_order_about_the_same_thing_renews_it(file: StopFile) -> None:
    file.add(ONE)
    file.add(Order("again", "eve", AT, authorisation="lc-2026-001"))

    assert [order.reason for order in file.orders().given] == ["again"]


def test_an_order_is_lifted_by_what_it_names(file: StopFile) -> None:
    file.add(ALL, ONE, PLACE)

    assert file.lift(address="198.51.100.8") == ()
    assert file.lift(authorisation="lc-2026-001") == (ONE,)
    assert file.orders().given == (ALL, PLACE)
    assert file.lift() == (ALL, PLACE)
    assert not file.path.exists()
    assert file.lift() == ()


def test_orders_given_at_the_same_time_are_all_kept(file: StopFile) -> None:
    script = (
        "import sys; from pathlib import Path; from posture.stop import Order, StopFile;"
        "[StopFile(Path(sys.argv[1])).add(Order('r', authorisation=f'{sys.argv[2]}-{n}')) for n in range(25)]"
    )
    database = file.path.with_suffix("")
    writers = [subprocess.Popen([sys.executable, "-c", script, str(database), str(n)]) for n in range(4)]

    assert [writer.wait(60) for writer in writers] == [0] * 4
    assert len(file.orders().given) == 100


def test_a_change_in_place_is_seen_even_within_one_tick_of_the_clock(file: StopFile) -> None:
    first = document(Orders((Order("a", authorisation="lc-1"),)))
    second = document(Orders((Order("a", authorisation="lc-2"),)))
    file.path.write_bytes(first)
    times = (file.path.stat().st_atime_ns, file.path.stat().st_mtime_ns)
    assert file.orders().about_authorisation("lc-1")
    file.path.write_bytes(second)
    os.utime(file.path, ns=times)

    assert file.orders().about_authorisation("lc-2")


# ---- fail closed: whatever is in its place


@pytest.mark.parametrize(
    "content",
    [
        b"stop",
        b"",
        b"\xff\xfe\x00",
        b"\x1b]0;owned\x07",
        b"[" * 100_000,
        b"x" * 2_000_000,
        b"null",
        b"7",
        b"[]",
        b'"posture-stop/1"',
        b'{"schema": "posture-stop/2", "orders": []}',
        b'{"schema": "posture-stop/1"}',
        b'{"schema": "posture-stop/1", "orders": []}',
        b'{"schema": "posture-stop/1", "orders": {"a": 1}}',
        b'{"schema": "posture-stop/1", "orders": ["all"]}',
        b'{"schema": "posture-stop/1", "orders": [{"reason": "no more is said"}]}',
    ],
    ids=lambda content: ascii(content[:44]),
)
def test_any_other_content_stops_everything(content: bytes, file: StopFile) -> None:
    file.path.write_bytes(content)

    assert len(everything(file)) <= 300


@pytest.mark.parametrize(
    "change",
    [
        {"authorisation": ""},
        {"authorisation": 7},
        {"address": "www.finance.gov.example"},
        {"address": "198.51.100.0/24"},
        {"address": "fe80::1%eth0"},
        {"address": ""},
        {"at": "yesterday"},
        {"at": 7},
        {"reason": ["x"]},
    ],
    ids=str,
)
def test_an_order_that_names_nothing_recognisable_stops_everything(change: dict[str, object], file: StopFile) -> None:
    row = {"reason": "r", "by": "b", "at": None, "authorisation": None, "address": "198.51.100.7", **change}
    file.path.write_text(json.dumps({"schema": "posture-stop/1", "orders": [row]}))

    everything(file)


def test_a_folder_in_its_place_stops_everything_and_is_removed_by_hand(file: StopFile) -> None:
    file.path.mkdir()

    assert "cannot be read" in everything(file)
    with pytest.raises(StoreError, match="stops everything already"):
        file.add(ALL)
    with pytest.raises(StoreError, match="Remove it by hand"):
        file.lift()
    everything(file)


def test_a_link_that_leads_nowhere_stops_everything_until_it_is_lifted(file: StopFile) -> None:
    file.path.symlink_to("nowhere")

    assert "cannot be read" in everything(file)
    assert len(file.lift()) == 1
    assert file.orders().given == ()


def test_a_link_in_a_circle_stops_everything(file: StopFile) -> None:
    file.path.symlink_to(file.path.name)

    assert "cannot be read" in everything(file)


def test_a_link_is_followed_each_time(file: StopFile, tmp_path: Path) -> None:
    elsewhere = tmp_path / "orders"
    elsewhere.write_bytes(document(Orders((ONE,))))
    file.path.symlink_to(elsewhere)
    assert file.orders().given == (ONE,)
    elsewhere.unlink()

    assert "cannot be read" in everything(file)


def test_a_pipe_in_its_place_stops_everything_and_keeps_nobody_waiting(file: StopFile) -> None:
    os.mkfifo(file.path)

    assert [everything(file) for _ in range(3)] == ["the stop file cannot be read: it is no plain file"] * 3


def test_reading_leaves_no_descriptor_open(file: StopFile) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        file.path.mkdir()
        file.orders()
        file.path.rmdir()
        file.path.write_text("stop")
        file.orders()
        file.path.unlink()

    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_stops_everything(file: StopFile) -> None:
    file.path.write_bytes(document(Orders((ONE,))))
    file.path.chmod(0)

    assert "cannot be read" in everything(file)


def test_where_nothing_can_be_written_the_next_step_needs_no_command(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="Write anything into that file by any means"):
        StopFile(tmp_path / "no" / "such" / "folder.db").add(ALL)


@given(st.binary(max_size=300))
def test_no_content_raises_or_bars_nothing(content: bytes) -> None:
    assert parse(content).given


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
MOMENT = st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)).map(lambda at: at.replace(microsecond=0))
ADDRESS = st.ip_addresses().map(str).filter(lambda text: "%" not in text)
ORDERS = st.lists(
    st.builds(Order, TEXT, TEXT, st.none() | MOMENT, st.none() | TEXT, st.none() | ADDRESS), min_size=1, max_size=5
).map(lambda orders: Orders(tuple(orders)))


@given(ORDERS)
def test_what_is_written_is_read_again(orders: Orders) -> None:
    assert parse(document(orders)) == orders


# ---- addresses in any spelling


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("198.51.100.7", "198.51.100.7"),
        (" 198.51.100.7 ", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:DB8:0:0::0007", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
    ],
)
def test_an_address_has_one_spelling(typed: str, address: str) -> None:
    assert spelt(typed) == address


@pytest.mark.parametrize(
    "typed", ["www.finance.gov.example", "", "198.51.100.0/24", "198.51.100.007", "198.51.100.7:443", "fe80::1%eth0"]
)
def test_what_is_no_address_says_to_give_one(typed: str) -> None:
    with pytest.raises(UsageError, match="Give one address"):
        spelt(typed)


def test_an_address_is_barred_in_every_spelling() -> None:
    orders = Orders((Order("r", address="198.51.100.7"), Order("r", address="2001:db8::7")))

    assert orders.about_address("::ffff:198.51.100.7")
    assert orders.about_address("2001:0DB8::0007")
    assert orders.about_address("198.51.100.8") is None
    assert orders.about_address("www.finance.gov.example") is None


# ---- no decision is a grant when an order bars it

V4 = [f"8.8.8.{n}" for n in range(4)]
V6 = [f"2600:8::{n}" for n in range(4)]
SPELLINGS = st.sampled_from([*V4, *V6, *(f"::ffff:{v4}" for v4 in V4), *(ip_address(v6).exploded for v6 in V6)])
GIVEN = st.lists(
    st.builds(
        Order,
        st.just("r"),
        authorisation=st.none() | st.sampled_from(["lc-1", "lc-2", "lc-9"]),
        address=st.none() | SPELLINGS,
    ),
    max_size=4,
).map(lambda orders: Orders(tuple(orders)))


def barred(orders: Orders, grant: Grant, address: str) -> bool:
    """Slow and obvious."""
    number = ip_address(address)
    for order in orders.given:
        if order.authorisation is None and order.address is None:
            return True
        if order.authorisation is not None and order.authorisation == grant.authorisation:
            return True
        if order.address is not None:
            named = ip_address(order.address)
            if (getattr(named, "ipv4_mapped", None) or named) == (getattr(number, "ipv4_mapped", None) or number):
                return True
    return False


def two(orders: Orders) -> Scope:
    """A ministry under two authorisations that both cover its host."""
    inventory = scope_of(BASE, replace(BASE, id="lc-2"))._inventory
    return Scope(inventory, lab=False, orders=lambda: orders)


def decided(
    scope: Scope, address: str, name: str = HOST, probe_class: ProbeClass = ProbeClass.CLIENT
) -> Grant | Refusal:
    return scope.decide(
        ministry="finance", name=name, address=address, port=443, protocol="tcp", probe_class=probe_class, at=NOON
    )


@given(GIVEN, st.sampled_from([*V4, *V6]))
def test_no_decision_is_a_grant_when_an_order_bars_it(orders: Orders, address: str) -> None:
    free, outcome = decided(two(Orders()), address), decided(two(orders), address)
    assert isinstance(free, Grant)

    if isinstance(outcome, Grant):
        assert not barred(orders, outcome, address)
    else:
        assert outcome.reason is Reason.STOPPED
        assert outcome.code in ("E-SCOPE-040", "E-SCOPE-041")
        # And nothing is refused that no order bars, under either authorisation.
        others = [Grant(name, free.probe_class, "networks", free.limits) for name in ("lc-1", "lc-2")]
        assert all(barred(orders, other, address) for other in others)


def test_what_is_stopped_says_so_beside_an_authorisation_that_covers_something_else() -> None:
    other = replace(BASE, id="lc-2", zones=("elsewhere.gov.example",), networks=())
    inventory = scope_of(BASE, other)._inventory
    outcome = decided(Scope(inventory, lab=False, orders=lambda: Orders((Order("r", authorisation="lc-1"),))), OWN)

    assert isinstance(outcome, Refusal)
    assert (outcome.code, outcome.reason) == ("E-SCOPE-040", Reason.STOPPED)


def test_a_refusal_says_who_stopped_what_when_and_why() -> None:
    outcome = decided(two(Orders((ALL,))), OWN, ZONE)

    assert isinstance(outcome, Refusal)
    assert outcome.code == "E-SCOPE-041"
    assert 'everything was stopped by root at 2026-11-24 14:02 UTC ("DoS complaint 12")' in outcome.text
