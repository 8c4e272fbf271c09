"""Years judged in several processes: the same rows, one writer, and nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from posture.errors import PostureError, StoreError
from posture.policy import Policy
from posture.store import Store
from posture.store.health import check
from posture.store.rejudging import rejudge, runs_of, terms_of
from posture.store.walking import WORTH_IT, Asset, processes_for, started, walk_in_processes
from tests.store.test_asset_years import dated, rows
from tests.store.test_year import year

ASSETS, DAYS = 60, 6


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "posture.db"
    year.write(made, year.Size(assets=ASSETS, ministries=6, days=DAYS))
    return made


@pytest.fixture
def another() -> Policy:
    return dated(tls_hsts_max_age_pass=[("2020-01-01", 99_999_999)])


def all_assets(store: Store) -> list[Asset]:
    bits = {asset: bit for bit, asset in store.reader.bits().items()}
    return [(number, asset, bits[asset]) for number, asset in store.reader.assets().items()]


def children() -> set[int]:
    mine = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    names = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in mine}
    return {child for child, name in names.items() if b"spawn_main" in name}


def test_in_processes_as_in_this_one(path: Path, another: Policy, tmp_path: Path) -> None:
    twin = tmp_path / "twin.db"
    twin.write_bytes(path.read_bytes())
    seen: list[tuple[int, int]] = []
    with Store.open(path, write=True) as store:
        there = rejudge(store, another, "local", processes=2, progress=lambda *at: seen.append(at))
        in_two = rows(store)
    with Store.open(twin, write=True) as store:
        assert rejudge(store, another, "local", processes=0) == there
        assert rows(store) == in_two
    assert len(in_two) > 40 * ASSETS
    assert seen == [(number, ASSETS) for number in range(1, ASSETS + 1)]
    assert children() == set()


@pytest.mark.parametrize("again", range(3))
def test_killed_while_it_sends_or_before_it_was_told_anything(path: Path, another: Policy, again: int) -> None:
    """What it should have read, and what it sends, is more than a pipe holds: nobody waits for the rest."""
    with Store.open(path, write=True) as store:
        workers = started(path, 2)
        os.kill(workers[again % 2].process.pid or 0, signal.SIGKILL)
        terms = terms_of(store, store.connection, another, 0, "local", runs_of(store, "local"), 0)
        with pytest.raises(StoreError, match="was killed"):
            list(
                walk_in_processes(
                    workers, replace(terms, codes=dict.fromkeys(range(10**6), "x" * 9)), all_assets(store)
                )
            )
    assert children() == set()


def test_killed_in_the_middle_of_what_it_sends(path: Path, another: Policy) -> None:
    with Store.open(path, write=True) as store:
        workers = started(path, 2)
        terms = terms_of(store, store.connection, another, 0, "local", runs_of(store, "local"), 0)
        first, second = workers
        first.send(terms)
        first.send(all_assets(store) * 8)
        assert first.pipe.poll(240)  # what follows the beginning does not fit into the pipe
        os.kill(first.process.pid or 0, signal.SIGKILL)
        with pytest.raises(StoreError, match="was killed"):
            first.receive()
        first.end()
        second.end()
    assert children() == set()


def test_where_the_system_starts_no_process_this_one_judges(path: Path) -> None:
    script = (
        "import os, resource; from pathlib import Path\n"
        "from posture.store import Store; from posture.store.rejudging import rejudge\n"
        "from tests.store.test_asset_years import dated; from tests.store.test_walking import children\n"
        f"with Store.open(Path({str(path)!r}), write=True) as store:\n"
        "    most = max(map(int, os.listdir('/proc/self/fd'))) + 2\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # one more is opened, two are a pipe\n"
        "    rejudge(store, dated(), 'local', processes=2, progress=lambda *_: print(len(children())))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[2], check=True, capture_output=True, timeout=120
    )
    assert done.stdout.split() == [b"0"] * ASSETS
    with Store.open(path, write=False) as store:
        assert len(rows(store)) > 40 * ASSETS


def test_what_a_process_cannot_read_is_said(path: Path, another: Policy, tmp_path: Path) -> None:
    with Store.open(path, write=True) as store:
        elsewhere = tmp_path / "not.db"
        elsewhere.write_text("no database at all, but a text that is as long as the head of one would be" * 9)
        workers = started(elsewhere, 1)
        terms = terms_of(store, store.connection, another, 0, "local", runs_of(store, "local"), 0)
        with pytest.raises(PostureError, match=r"not\.db"):
            list(walk_in_processes(workers, terms, all_assets(store)))
    assert children() == set()


def test_a_process_that_is_killed_leaves_the_history_as_it_was(path: Path, another: Policy) -> None:
    def kill(done: int, _every: int) -> None:
        if done == 1:
            os.kill(min(children()), signal.SIGKILL)

    with Store.open(path, write=True) as store:
        with pytest.raises(StoreError, match=r"was killed.*Try again"):
            rejudge(store, another, "local", processes=1, progress=kill)
        assert rows(store) == []
    assert children() == set()
    assert check(path).sound
    with Store.open(path, write=True) as store:
        assert rejudge(store, another, "local", processes=1).added > 40 * ASSETS


def test_processes_end_with_the_one_that_writes(path: Path) -> None:
    """kill -9 of that one."""
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from posture.store import Store; from posture.store.rejudging import rejudge\n"
        "from tests.store.test_asset_years import dated; from tests.store.test_walking import children\n"
        "def die(done, every):\n"
        "    print(*children(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        f"with Store.open(Path({str(path)!r}), write=True) as store:\n"
        "    rejudge(store, dated(), 'local', processes=2, progress=die)\n"
    )
    # Output ends when the last process that holds it has ended.
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[2], check=False, capture_output=True, timeout=120
    )
    assert done.returncode == -signal.SIGKILL
    assert len(done.stdout.split()) == 2
    with Store.open(path, write=False) as store:
        assert rows(store) == []


def test_only_a_large_history_is_worth_processes() -> None:
    assert processes_for(10, 365) == 0
    cores = len(os.sched_getaffinity(0))
    assert processes_for(WORTH_IT, 1) == (min(cores, 4) if cores > 1 else 0)
