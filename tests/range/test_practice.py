"""The range as a whole: started, changed, written down, and gone without a trace."""

from __future__ import annotations

import asyncio
import csv
import gc
import socket
import threading
import tomllib
from pathlib import Path

import pytest

from posture.errors import UsageError
from posture.inventory.load import load_inventory
from posture.inventory.records import LabPort, Limits
from posture.model import Outcome
from posture.policy import load_policy
from posture.range import LESSONS, PracticeRange, lesson, serve_forever
from posture.range.layout import ENTRIES, truth
from posture.range.listening import TcpPort
from posture.range.practice import CLOSED_LATER, OPENED_LATER
from tests.range.standing import standing_range


def can_connect(where: tuple[str, int]) -> bool:
    try:
        socket.create_connection(where, timeout=10).close()
    except ConnectionRefusedError:
        return False
    return True


def test_the_change_closes_one_port_and_opens_another_behind_the_same_numbers() -> None:
    with standing_range() as standing:
        closing, opening = standing.dialled(*CLOSED_LATER), standing.dialled(*OPENED_LATER)
        mapped = {(p.address, p.to) for p in standing.practice.lab_ports}
        before = (can_connect(closing), can_connect(opening))
        standing.change()
        after = (can_connect(closing), can_connect(opening))
        standing.change()
        again = (can_connect(closing), can_connect(opening))

        assert (before, after, again) == ((True, False), (False, True), (False, True))
        assert {closing, opening} <= mapped


def test_the_change_cuts_conversations_of_the_closed_port() -> None:
    with standing_range() as standing, socket.create_connection(standing.dialled(*CLOSED_LATER), timeout=10) as client:
        client.sendall(b"PING\r\n")
        assert client.recv(100) == b"+PONG\r\n"
        standing.change()
        try:
            heard = client.recv(100)
        except ConnectionResetError:
            heard = b""
        assert heard == b""


def test_two_ranges_stand_at_the_same_time() -> None:
    async def both() -> set[tuple[str, int]]:
        async with PracticeRange() as first, PracticeRange() as second:
            return {(p.address, p.to) for p in first.lab_ports} & {(p.address, p.to) for p in second.lab_ports}

    assert asyncio.run(both()) == set()


def test_nothing_is_left_after_leaving_not_even_under_open_connections() -> None:
    before = threading.active_count()

    async def visit() -> list[tuple[str, int]]:
        async with PracticeRange() as practice:
            talking = [
                await asyncio.open_connection(*practice.dialled("hospital.health.gov.example", 443)),
                await asyncio.open_connection(*practice.dialled("portal.finance.gov.example", 443)),
                await asyncio.open_connection(*practice.dialled("records.health.gov.example", 6379)),
            ]
            numbers = [(p.address, p.to) for p in practice.lab_ports]
        for _, writer in talking:
            writer.close()
        return numbers

    assert not any(can_connect(where) for where in set(asyncio.run(visit())))
    gc.collect()  # a socket left open would warn now
    assert threading.active_count() == before


def test_nothing_listens_outside_loopback() -> None:
    with pytest.raises(ValueError, match="loopback"):
        TcpPort("198.51.100.7")


def test_the_files_are_complete_and_point_at_each_other(tmp_path: Path) -> None:
    async def written() -> Path:
        async with PracticeRange() as practice:
            return practice.write(tmp_path / "new" / "range")

    path = asyncio.run(written())
    inventory = tomllib.loads(path.read_text("utf-8"))
    settings = tomllib.loads((path.parent / "posture.toml").read_text("utf-8"))

    assert path.is_absolute()
    assert inventory["format"] == "posture-inventory/1"
    assert set(settings) == {"inventory", "db", "resolver", "ca_file", "trust_anchor"}
    assert all((path.parent / settings[key]).is_file() for key in ("inventory", "ca_file", "trust_anchor"))
    assert not (path.parent / settings["db"]).exists()
    for authorisation in inventory["authorisation"]:
        assert authorisation["lab"] is True
        assert set(authorisation["limits"]) == set(Limits.names())
        assert {str(p["port"]) for p in inventory["lab_port"]} == set(authorisation["ports"])
    with (path.parent / "health.csv").open(encoding="utf-8", newline="") as sheet:
        in_sheet = {row["name"] for row in csv.DictReader(sheet)}
    in_toml = {asset["name"] for ministry in inventory["ministry"] for asset in ministry.get("asset", ())}
    assert in_sheet | in_toml == {entry.name for entry in ENTRIES}
    assert not in_sheet & in_toml


@pytest.mark.parametrize("number", [None, *(one.number for one in LESSONS)])
def test_the_inventory_loads_and_only_its_example_contact_is_remarked_on(tmp_path: Path, number: int | None) -> None:
    async def written() -> tuple[Path, tuple[LabPort, ...]]:
        async with PracticeRange() as practice:
            chosen = None if number is None else lesson(number)
            return practice.write(tmp_path, lesson=chosen), practice.lab_ports

    path, lab_ports = asyncio.run(written())
    loaded, warnings = load_inventory(path)

    expected = {(e.name, e.kind) for e in ENTRIES if number is None or e.name in lesson(number).assets}
    assert [warning.field.rpartition(".")[2] for warning in warnings] == ["contact"]  # it is an example's
    assert {(asset.name, asset.kind) for asset in loaded.assets} == expected
    assert {(p.address, p.port, p.to) for p in loaded.lab_ports} == {(p.address, p.port, p.to) for p in lab_ports}
    assert {authorisation.limits.connections for authorisation in loaded.authorisations.values()} == {200}


def test_every_truth_is_about_an_asset_and_a_control_that_exist() -> None:
    names, controls = {entry.name for entry in ENTRIES}, set(load_policy().controls)

    for changed in (False, True):
        planted = truth(changed=changed)
        assert {fact.asset for fact in planted} <= names
        assert {fact.control for fact in planted} <= controls
        assert {fact.outcome for fact in planted} <= set(Outcome)
        assert len({fact[:3] for fact in planted}) == len(planted)


def test_a_truth_is_about_one_control_of_one_asset() -> None:
    opened = next(fact for fact in truth(changed=True) if fact.subject == "*:23/tcp" and fact.asset == OPENED_LATER[0])

    assert opened.speaks_of(opened.asset, opened.control, "127.0.20.11:23/tcp")
    assert not opened.speaks_of(opened.asset, opened.control, "127.0.20.11:2323/tcp")
    assert not opened.speaks_of("tax.finance.gov.example", opened.control, "127.0.20.11:23/tcp")


def test_the_range_lists_its_servers() -> None:
    names = PracticeRange().names

    assert len(names) == len(set(names)) == 16


def test_the_change_is_one_thing_mended_and_one_thing_broken() -> None:
    def failing(changed: bool) -> set[tuple[str, str]]:
        return {(fact.asset, fact.control) for fact in truth(changed=changed) if fact.outcome == "fail"}

    mended, broken = failing(False) - failing(True), failing(True) - failing(False)

    assert {asset for asset, _ in mended} == {CLOSED_LATER[0]}
    assert {asset for asset, _ in broken} == {OPENED_LATER[0]}


@pytest.mark.parametrize("number", [one.number for one in LESSONS])
def test_a_lesson_is_written_with_its_assets_only(tmp_path: Path, number: int) -> None:
    """serve_forever says when it is ready, and stops when it is cancelled."""

    async def until_ready() -> Path:
        ready: asyncio.Future[Path] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve_forever(tmp_path, number, ready.set_result))
        path = await asyncio.wait_for(ready, 30)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        return path

    path = asyncio.run(until_ready())
    text = (tmp_path / "LESSON.md").read_text("utf-8")
    inventory = path.read_text("utf-8") + (tmp_path / "health.csv").read_text("utf-8")

    assert text.startswith(f"# Lesson {number}: ")
    for entry in ENTRIES:
        listed = f'name = "{entry.name}"' in inventory or f"\n{entry.name}," in inventory
        assert listed == (entry.name in lesson(number).assets)


def test_an_unknown_lesson_names_the_lessons_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no lesson 9.*1 Certificates"):
        asyncio.run(serve_forever(tmp_path, 9, print))
    assert list(tmp_path.iterdir()) == []


def test_every_asset_of_a_lesson_exists_and_every_fault_is_taught() -> None:
    names = {entry.name for entry in ENTRIES}
    taught = {name for one in LESSONS for name in one.assets}
    faulty = {fact.asset for fact in truth(changed=False) if fact.outcome == "fail"}

    assert taught <= names
    assert faulty <= taught
