"""A ledger that somebody made disappear, or that is only not written yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from posture.ledger.log import last_checkpoint, seal
from posture.ledger.note import open_note
from tests.ledger.attacking import FINANCE, HEALTH, Sealed, four_days
from tests.store import HTTPS, T0, tls


@pytest.fixture
def history(tmp_path: Path) -> Sealed:
    return four_days(tmp_path)


WIPED = ("DELETE FROM log_entry", "DELETE FROM leaf", "DELETE FROM checkpoint")


@pytest.mark.parametrize("statements", [WIPED, ("PRAGMA user_version = 2",)])
def test_a_ledger_that_is_gone_is_missed_by_who_saw_it(history: Sealed, statements: tuple[str, ...]) -> None:
    with history.world.open(write=False) as store:
        seen = last_checkpoint(store.connection)
    assert seen is not None
    history.tamper(*statements)

    assert any("its end was cut off" in fault for fault in history.check(kept=open_note(seen.note)).faults)
    assert any("its end was cut off" in fault for fault in history.check(reached=(seen.size, seen.root.hex())).faults)
    assert any("signed by nobody" in fault for fault in history.check(signer=history.key.public.fingerprint).faults)


def test_a_leftover_is_sealed_when_the_next_run_begins(history: Sealed) -> None:
    world = history.world
    with world.open() as store:
        store.begin(world.start({}, (FINANCE, HEALTH))).settle(FINANCE.key, "tls", HTTPS, tls("five"))
    world.day += 1
    with world.open() as store:
        store.begin(world.start({}, (FINANCE, HEALTH)), seal=lambda store: seal(store, history.key, T0))

    found = history.check()
    assert (found.faults, found.unsigned, found.entries, found.checkpoints) == ([], [], 5, 5)
