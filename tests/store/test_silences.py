"""What an asset did not tell: one text for all of it, and each question with its own run and time again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from posture.model import AssetKey, Reason
from posture.store import Store
from posture.store.silences import Miss, begun_with, ended_with, misses, missing_at, pack, unpack
from tests.store import ADDRESS, HTTPS, SITE, World, silence, tls
from tests.store.keeping import SECOND

START = "2026-11-01T02:00:00Z"
SWEEP, FIRST, OTHER = ("ports", ADDRESS), ("tls", HTTPS), ("tls", SECOND)


def miss(second: int, since: int = 3, reason: str = "timeout") -> Miss:
    return Miss(reason, None, "no answer", "lc-2026-001", since, f"2026-11-01T02:00:{second:02}Z")


@pytest.mark.parametrize(
    ("missing", "seconds"),
    [
        ({SWEEP: miss(7), FIRST: miss(7)}, "7"),
        ({SWEEP: miss(7), FIRST: miss(9, reason="reset"), OTHER: miss(7)}, "[7,9,7]"),
        ({SWEEP: miss(1, since=1), FIRST: miss(9)}, "9"),
        ({SWEEP: miss(1, since=1), FIRST: miss(2, since=2)}, "0"),
    ],
)
def test_each_question_comes_back_as_it_was(missing: dict[tuple[str, str], Miss], seconds: str) -> None:
    text, packed = pack(missing, 3, START)
    assert packed == seconds
    assert unpack(text, 3, packed, START) == missing


def test_the_same_silence_on_another_day_is_the_same_text() -> None:
    later = {question: Miss("timeout", None, "", None, 9, "2026-11-09T02:00:05Z") for question in (SWEEP, FIRST)}
    first = {question: Miss("timeout", None, "", None, 1, "2026-11-01T02:00:05Z") for question in (SWEEP, FIRST)}
    assert pack(later, 9, "2026-11-09T02:00:00Z") == pack(first, 1, START)


@pytest.mark.parametrize("text", ["local", "[]", '{"asked":[]}', '{"asked":[["tls","",7]],"why":[]}'])
def test_what_is_none_of_its_texts_is_refused(text: str) -> None:
    with pytest.raises((ValueError, LookupError)):
        unpack(text, 1, "0", START)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Five days of one site: all silent; the same; one answers; that one is silent again, for another reason; all answer."""
    world = World(tmp_path / "posture.db")
    for first, sweep in (
        (silence(), silence()),
        (silence(), silence()),
        (tls("good"), silence()),
        (silence(Reason.TEMPORARY, "4xx"), silence()),
        (tls("good"), tls("closed")),
    ):
        world.scan({(SITE, *FIRST): first, (SITE, *SWEEP): sweep})
    with world.open(write=False) as opened:
        yield opened


def test_intervals_go_by_question_whatever_else_changes(store: Store) -> None:
    vantage = store.reader.texts.known("local")
    found = [(one.probe, one.miss.since, one.until, one.miss.reason) for one in misses(store.connection, vantage)]
    told = [("ports", 1, 5, "timeout"), ("tls", 1, 3, "timeout"), ("tls", 4, 5, "temporary")]
    assert sorted(found) == told
    query = "SELECT probe, from_run, to_run, reason FROM miss ORDER BY probe, from_run"
    assert store.connection.execute(query).fetchall() == told  # for whoever reads with another program
    assert store.connection.execute("SELECT count(*) FROM silence").fetchone() == (3,)


def test_a_run_tells_what_it_was_the_first_to_miss_and_what_it_heard_again(store: Store) -> None:
    vantage, connection = store.reader.texts.known("local"), store.connection
    begun = {run: [one.probe for one in begun_with(connection, vantage, run)] for run in range(1, 6)}
    assert begun == {1: ["ports", "tls"], 2: [], 3: [], 4: ["tls"], 5: []}
    ended = {run: [one.probe for one in ended_with(connection, vantage, run)] for run in range(1, 6)}
    assert ended == {1: [], 2: [], 3: ["tls"], 4: [], 5: ["ports", "tls"]}


def test_what_is_missing_as_of_a_run_says_since_when(store: Store) -> None:
    vantage = store.reader.texts.known("local")
    (_, missing), *more = missing_at(store.connection, vantage, 4)
    assert not more
    assert {question[0]: (one.since, one.at[:10]) for question, one in missing.items()} == {
        "ports": (1, "2026-11-01"),
        "tls": (4, "2026-11-04"),
    }
    assert list(missing_at(store.connection, vantage)) == []
    looked = store.reader.misses(store.reader.run(4), [AssetKey(SITE.name, SITE.kind)])
    assert looked[SITE]["ports", ADDRESS].since == 1


def test_its_text_is_json(store: Store) -> None:
    query = "SELECT value FROM silence JOIN text_value ON text_value.id = said_id WHERE from_run = 1"
    (text,) = store.connection.execute(query).fetchone()
    assert json.loads(text) == {
        "asked": [["ports", ADDRESS, 0], ["tls", HTTPS, 0]],
        "why": [["timeout", None, "no answer", "lc-2026-001"]],
    }
