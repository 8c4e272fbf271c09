"""Ctrl-C keeps what is finished, and --resume goes on from there."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from posture.errors import UsageError
from posture.plan import Selection
from posture.scan import Ended, Terms
from tests.lab import free_port
from tests.scan.wiring import PHARMACY, PORTAL, RECORDS, Watch, runs_of, scanned, state_of, terms_of

pytestmark = pytest.mark.xdist_group("scans of the range")
ASSETS = Selection(assets=(PORTAL, PHARMACY, RECORDS))


def after(count: int, number: signal.Signals = signal.SIGINT) -> Callable[[int], None]:
    """Sends this process a signal, once, when so many answers have arrived."""

    def act(answers: int) -> None:
        if answers == count:
            os.kill(os.getpid(), number)

    return act


def interrupted(terms: Terms, count: int = 3, number: signal.Signals = signal.SIGINT) -> tuple[Watch, Ended]:
    watch = Watch(after(count, number))
    return watch, scanned(terms, watch)


@pytest.fixture
def terms(inventory: Path) -> Terms:
    return terms_of(inventory, ASSETS)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_scan_early(terms: Terms, number: signal.Signals, code: int) -> None:
    watch, ended = interrupted(terms, number=number)

    assert ended.exit_code(None) == code
    assert (ended.signal, ended.drift, ended.silent) == (number, None, ())
    assert ended.notes[0].startswith("interrupted: ")
    assert watch.ends == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_resume_asks_only_what_was_not_answered(terms: Terms) -> None:
    first, _ = interrupted(terms)
    second = Watch()
    ended = scanned(terms, second, resume=True)
    everything = set(first.asked[0])
    rest = set(second.asked[0])
    kept = everything - rest

    assert rest < everything
    assert len(kept) >= 3
    assert all(getattr(first.answers[question], "reason", None) != "stopped" for question in kept)
    assert (ended.run["state"], ended.exit_code(None)) == ("complete", 0)
    assert [run["state"] for run in runs_of(terms)] == ["complete"]


def test_a_resumed_run_finds_what_an_undisturbed_one_finds(terms: Terms, tmp_path: Path, inventory: Path) -> None:
    interrupted(terms)
    scanned(terms, resume=True)
    other = terms_of(inventory, ASSETS, db=tmp_path / "other.db")
    scanned(other)

    def told(one: Terms) -> Counter[tuple[str, ...]]:
        return Counter((row["asset"], row["control"], row["subject"], row["outcome"]) for row in state_of(one))

    assert told(terms) == told(other)


def test_interrupted_twice_nothing_is_asked_again(terms: Terms) -> None:
    watches = [interrupted(terms)[0], Watch(after(3)), Watch()]
    for watch in watches[1:]:
        scanned(terms, watch, resume=True)
    asked = [set(watch.asked[0]) for watch in watches]

    assert asked[0] > asked[1] > asked[2]


def test_without_resume_the_leftover_is_kept_as_a_partial_run(terms: Terms) -> None:
    interrupted(terms)
    watch = Watch()
    scanned(terms, watch)

    assert [run["state"] for run in runs_of(terms)] == ["complete", "partial"]
    assert {question for asked in watch.asked for question in asked} == set(watch.answers)
    partial = state_of(terms, run=runs_of(terms)[1]["id"])
    assert any(row["outcome"] != "unknown" for row in partial)


def test_resume_without_a_leftover_starts_a_run(terms: Terms) -> None:
    watch = Watch()
    ended = scanned(terms, watch, resume=True)

    assert ended.run["state"] == "complete"
    assert watch.asked[0]


def test_resume_on_other_terms_is_refused_and_the_leftover_stays(terms: Terms, inventory: Path) -> None:
    interrupted(terms)
    with pytest.raises(UsageError, match="cannot be resumed: selectors changed"):
        scanned(terms_of(inventory, Selection(assets=(PORTAL,))), resume=True)
    inventory.write_text(inventory.read_text("utf-8") + "# changed\n", "utf-8")
    with pytest.raises(UsageError, match="cannot be resumed: inventory changed"):
        scanned(terms_of(inventory, ASSETS), resume=True)

    assert [run["state"] for run in runs_of(terms)] == ["running"]


def test_a_quarantined_run_does_not_swallow_the_interrupted_one(terms: Terms, inventory: Path) -> None:
    interrupted(terms)
    ended = scanned(terms_of(inventory, ASSETS, resolver=("127.0.0.1", free_port())), resume=True)

    assert ended.exit_code(None) == 3
    assert [run["state"] for run in runs_of(terms)] == ["quarantined", "partial"]
    assert any(row["outcome"] != "unknown" for row in state_of(terms, run=runs_of(terms)[1]["id"]))
