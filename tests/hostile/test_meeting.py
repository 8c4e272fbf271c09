"""Each hostile server is met by the real engine, broker, probes and rules: it ends, rightly, and decides nothing by silence."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

import pytest

from posture.facts import encode
from posture.model import Observed, Outcome, Reason, Unobserved
from tests.hostile.expected import OF_KIND, ROWS
from tests.hostile.meeting import ASSET_SECONDS, Met, meet
from tests.lab.hostile import HOSTILE

pytestmark = pytest.mark.xdist_group("hostile")

# All are met at the same time, so that the wall is that of the slowest, and of two busy cores.
GUARD_SECONDS = 15 * ASSET_SECONDS
LONGEST_FACTS = 400_000  # bytes of canonical JSON: a chain of 100 kB in base64, and a long list besides


@pytest.fixture(scope="session")
def met() -> dict[str, Met]:
    """All of them, met once."""

    async def together() -> dict[str, Met]:
        async with asyncio.timeout(GUARD_SECONDS):
            return await meet(HOSTILE)

    return asyncio.run(together())


def test_every_behaviour_has_a_row_and_there_are_enough_of_them() -> None:
    assert set(ROWS) == set(HOSTILE)
    assert len(ROWS) >= 60


@pytest.mark.parametrize("name", sorted(ROWS))
def test_why_nothing_was_seen(met: dict[str, Met], name: str) -> None:
    """Only reasons that the row names; and at least one of them, where it names any."""
    answers = met[name].answers.values()
    seen = {answer.reason for answer in answers if isinstance(answer, Unobserved)}
    seen |= {finding.reason for finding in met[name].findings if finding.reason}
    seen.discard(Reason.NOT_RUN)  # what only deep scans ask, nobody asked here

    assert Reason.BUG not in seen
    assert seen <= ROWS[name].allowed
    assert bool(seen) or not ROWS[name].reasons


@pytest.mark.parametrize("name", sorted(ROWS))
def test_nothing_is_decided_by_silence(met: dict[str, Met], name: str) -> None:
    """Pass, warn and fail only where the row names something that the server said."""
    decided = {
        f"{finding.control}={finding.outcome}"
        for finding in met[name].findings
        if finding.outcome not in (Outcome.UNKNOWN, Outcome.NOT_APPLICABLE)
    }
    may = set(ROWS[name].decided.split()) | set(OF_KIND[name.partition(".")[0]].split())

    assert decided <= may
    assert met[name].findings


@pytest.mark.parametrize("name", sorted(name for name, row in ROWS.items() if row.decided and not row.may_be_late))
def test_what_a_server_did_say_is_heard(met: dict[str, Met], name: str) -> None:
    """A suite in which everything is unknown would prove nothing."""
    decided = {f"{finding.control}={finding.outcome}" for finding in met[name].findings}

    assert decided & set(ROWS[name].decided.split())


@pytest.mark.parametrize("name", sorted(ROWS))
def test_facts_stay_small_and_end_as_plain_text(met: dict[str, Met], name: str) -> None:
    """However much was sent; and what is kept are JSON's own characters, lone surrogates never."""
    for answer in met[name].answers.values():
        if isinstance(answer, Observed):
            assert len(encode(answer.facts)) <= LONGEST_FACTS
            for text in _texts(answer.facts):
                text.encode("utf-8")
        else:
            assert len(answer.detail) <= 1000


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _texts(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _texts(getattr(value, field.name))
