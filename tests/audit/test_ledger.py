"""What a trail saw of the ledger is its last word of it, and no text inside a record can pass for one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from posture.audit.ledger import Reached, ledger_reached
from tests.audit import Desk


def test_the_last_record_of_a_ledger_counts(desk: Desk) -> None:
    for size, root in ((1, b"\x01"), (2, b"\x02" * 32)):
        with desk.scan(f"R-{size}") as trail:
            desk.ask(trail, 2)
            trail.sealed(size, root)
    with desk.scan("R-3") as trail:  # one that sealed nothing
        desk.ask(trail)

    assert ledger_reached(desk.path) == Reached(2, "02" * 32)


def test_no_name_of_an_asset_passes_for_a_record(desk: Desk) -> None:
    with desk.scan() as trail:
        trail.sealed(3, b"\x03")
        desk.ask(trail, asset='x","kind":"ledger","size":9,"root":"09')

    assert ledger_reached(desk.path) == Reached(3, "03")


def test_a_trail_without_one_says_nothing(desk: Desk) -> None:
    with desk.scan() as trail:
        desk.ask(trail)

    assert ledger_reached(desk.path) is None
    assert ledger_reached(desk.path.with_name("nosuch")) is None
    assert ledger_reached(desk.path.parent) is None


@pytest.mark.parametrize(
    "line",
    [
        b'{"seq":1,"at":"2026-11-24T00:00:00.000Z","kind":"ledger","size":"many","root":"00"}',
        b'{"seq":1,"at":"2026-11-24T00:00:00.000Z","kind":"ledger","root":"00"}',
        b'{"seq":1,"at":"2026-11-24T00:00:00.000Z","kind":"ledger","size":' + b"[" * 200_000,
        b'["kind":"ledger"',
        b'"kind":"ledger"' + os.urandom(64),
    ],
    ids=["no number", "no size", "too deep", "cut", "noise"],
)
def test_a_record_that_cannot_be_read_says_nothing(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "trail"
    path.write_bytes(line + b"\n")

    assert ledger_reached(path) is None
