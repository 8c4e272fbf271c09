"""Every connection of a real scan is on record, and no scan goes without a trail."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from posture.audit import Head, trail_path
from posture.audit.verify import survey
from posture.errors import AuditError, ConfigurationError, NothingToScan
from posture.keys import key_path, load_key
from posture.net import tcp, udp
from posture.plan import Selection
from posture.scan import Terms
from posture.stop import Order, StopFile
from posture.store import Store
from posture.store.trail import last_head
from tests.range.standing import Standing
from tests.scan.wiring import PHARMACY, PORTAL, RECORDS, Watch, runs_of, scanned, terms_of

pytestmark = pytest.mark.xdist_group("scans of the range")
ASSETS = Selection(assets=(PORTAL, PHARMACY, RECORDS))


@pytest.fixture
def terms(inventory: Path) -> Terms:
    return terms_of(inventory, ASSETS)


def records(terms: Terms) -> list[dict[str, Any]]:
    return [json.loads(line) for line in trail_path(terms.config.db).read_bytes().splitlines()]


def remembered(terms: Terms) -> Head | None:
    with Store.open(terms.config.db, write=False) as store:
        head = last_head(store.connection)
    return Head(*head) if head else None


def sent(found: list[dict[str, Any]]) -> Counter[tuple[str, int, str]]:
    """What may have been dialled, by (address, port, protocol)."""
    allowed = [each for each in found if each["kind"] == "decision" and each["allowed"] and each["connections"]]
    return Counter((each["address"], each["port"], each["protocol"]) for each in allowed)


def test_the_trail_has_every_connection_and_no_other(
    terms: Terms, standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted where sockets are dialled; the trail's port is the one spoken of, the dialled one the range's."""
    dialled: Counter[tuple[str, int, str]] = Counter()
    real_dial, real_exchange = tcp.dial, udp.exchange

    async def dial(address: str, port: int, *rest: Any, **options: Any) -> Any:
        dialled[address, port, "tcp"] += 1
        return await real_dial(address, port, *rest, **options)

    async def exchange(address: str, port: int, *rest: Any, **options: Any) -> Any:
        dialled[address, port, "udp"] += 1
        return await real_exchange(address, port, *rest, **options)

    monkeypatch.setattr(tcp, "dial", dial)
    monkeypatch.setattr(udp, "exchange", exchange)
    scanned(terms)
    assert terms.config.resolver
    ours = {(*terms.config.resolver, "udp"), (*terms.config.resolver, "tcp")}
    to = {
        (port.address, port.port, protocol): port.to
        for port in terms.inventory.lab_ports
        for protocol in (("tcp", "udp") if port.protocol == "both" else (port.protocol,))
    }
    told: Counter[tuple[str, int, str]] = Counter()
    for (address, port, protocol), count in sent(records(terms)).items():
        told[address, to.get((address, port, protocol), port), protocol] += count

    assert sum(told.values()) > 50
    assert {key: count for key, count in dialled.items() if key not in ours} == dict(told)


def test_a_scan_begins_with_its_letters_and_resolver_and_ends_signed(terms: Terms) -> None:
    watch = Watch()
    ended = scanned(terms, watch)
    found = records(terms)
    key = load_key(key_path(terms.config.db))
    begin, last = found[0], found[-1]

    assert begin["kind"] == "start"
    assert begin["run"] == ended.run["id"]
    assert {each["id"] for each in begin["authorisations"]} == set(terms.inventory.authorisations)
    assert all(len(each["sha256"]) == 64 and each["owner"] for each in begin["authorisations"])
    assert begin["uid"] == os.getuid()
    endpoints = [(each["purpose"], each["address"], each["port"], each["protocol"]) for each in found[1:3]]
    assert terms.config.resolver
    assert endpoints == [("resolver", *terms.config.resolver, "udp"), ("resolver", *terms.config.resolver, "tcp")]
    assert {each["run"] for each in found if each["kind"] == "decision"} == {ended.run["id"]}
    assert [each["kind"] for each in found[-2:]] == ["end", "checkpoint"]
    assert found[-2]["state"] == "complete"
    assert remembered(terms) == Head(last["seq"], last["hash"])
    assert f"made the operator's key {key.path}: {key.public.fingerprint}" in watch.remarks
    with trail_path(terms.config.db).open("rb") as stream:
        whole = survey(stream, remembered=remembered(terms), signer=key.public.fingerprint)
    assert (whole.open, whole.runs) == (0, [ended.run["id"]])


def test_the_second_scan_uses_the_same_key_and_chain(terms: Terms) -> None:
    scanned(terms)
    watch = Watch()
    scanned(terms, watch)
    with trail_path(terms.config.db).open("rb") as stream:
        whole = survey(stream, remembered=remembered(terms))

    assert len(whole.runs) == 2
    assert not any("key" in remark for remark in watch.remarks)


def test_a_resumed_run_goes_on_under_its_own_id(terms: Terms) -> None:
    first = scanned(terms, Watch(lambda count: os.kill(os.getpid(), signal.SIGINT) if count == 3 else None))
    second = scanned(terms, resume=True)
    found = records(terms)

    assert first.run["id"] == second.run["id"]
    assert [each["run"] for each in found if each["kind"] == "start"] == [first.run["id"]] * 2
    assert [each["state"] for each in found if each["kind"] == "end"] == ["interrupted", "complete"]


def test_a_scan_that_finds_nothing_in_scope_is_on_record_too(inventory: Path) -> None:
    terms = terms_of(inventory, Selection(assets=(RECORDS,)))
    StopFile(terms.config.db).add(*(Order("complaint", authorisation=each) for each in terms.inventory.authorisations))
    with pytest.raises(NothingToScan, match="nothing was sent"):
        scanned(terms)

    assert not sent(records(terms))
    assert records(terms)[-2]["state"] == "nothing"
    refused = {(each["asset"], each["code"]) for each in records(terms) if each["kind"] == "decision"}
    assert refused == {(RECORDS, "E-SCOPE-040")}


def test_what_planning_refused_is_on_record_under_its_code(terms: Terms) -> None:
    (finance,) = terms.inventory.ministry("finance").authorisations
    StopFile(terms.config.db).add(Order("complaint", authorisation=finance))
    ended = scanned(terms)
    refused = [each for each in records(terms) if each["kind"] == "decision" and not each["allowed"]]
    planned = [each for each in refused if each["asset"] == PORTAL]

    # Nobody asked, so nothing but planning can have written these.
    assert {each["probe"] for each in planned} >= {"tls", "http", "ports"}
    assert {(each["code"], each["authorisation"], each["run"]) for each in planned} == {
        ("E-SCOPE-040", finance, ended.run["id"])
    }
    assert {each["traffic"] for each in planned if each["probe"] == "ports"} == {"sweep"}
    assert [each["kind"] for each in records(terms)].index("decision") > 2  # after the start and the resolver


def test_a_stop_order_that_a_run_met_is_on_record(terms: Terms) -> None:
    def act(count: int) -> None:
        if count == 3:
            StopFile(terms.config.db).add(Order("complaint", "ps"))

    ended = scanned(terms, Watch(act))
    (order,) = [each for each in records(terms) if each["kind"] == "order"]

    assert ended.run["state"] == "stopped"
    assert (order["reason"], order["by"], order["run"]) == ("complaint", "ps", ended.run["id"])
    assert records(terms)[-2]["state"] == "stopped"


@pytest.mark.parametrize("where", [0, 5, -1])
def test_a_changed_trail_sends_nothing(terms: Terms, where: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scanned(terms)
    path = trail_path(terms.config.db)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[where] = lines[where].replace(b"2026", b"2025", 1)
    path.write_bytes(b"".join(lines))
    before = path.read_bytes()

    async def never(*_: object, **__: object) -> None:
        raise AssertionError("something was sent")

    monkeypatch.setattr(tcp, "dial", never)
    monkeypatch.setattr(udp, "exchange", never)
    with pytest.raises(AuditError, match="E-AUDIT-001") as caught:
        scanned(terms)
    assert caught.value.exit_code == 4
    assert path.read_bytes() == before
    assert len(runs_of(terms)) == 1


def test_a_trail_that_was_moved_away_is_remarked_and_followed(terms: Terms, tmp_path: Path) -> None:
    scanned(terms)
    last, path = remembered(terms), trail_path(terms.config.db)
    assert last
    path.rename(tmp_path / "kept")
    watch = Watch()
    scanned(terms, watch)

    assert records(terms)[0]["previous"] == last._asdict()
    assert any(f"a new one goes on from record {last.seq}" in remark for remark in watch.remarks)


def test_a_key_that_others_may_read_sends_nothing(terms: Terms) -> None:
    scanned(terms)
    key_path(terms.config.db).chmod(0o644)

    with pytest.raises(ConfigurationError, match="may be read by others"):
        scanned(terms)


def test_a_trail_that_fails_in_mid_run_ends_it_and_the_run_can_be_resumed(
    terms: Terms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full for the trail after some answers: they are kept, and with room again the run goes on."""
    path, watch, write = trail_path(terms.config.db), Watch(), os.write

    def full(file: int, data: bytes) -> int:
        if len(watch.answers) >= 3 and Path(f"/proc/self/fd/{file}").readlink() == path:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(AuditError, match=r"No space left on device\. The run ended there") as caught:
            scanned(terms, watch)
    assert caught.value.exit_code == 5
    assert [run["state"] for run in runs_of(terms)] == ["running"]
    resumed = scanned(terms, second := Watch(), resume=True)

    assert resumed.run["state"] == "complete"
    assert len(watch.answers) >= 3
    assert not set(watch.answers) & set(second.asked[0])
    with path.open("rb") as stream:
        whole = survey(stream, remembered=remembered(terms))
    assert whole.runs == [resumed.run["id"]] * 2
