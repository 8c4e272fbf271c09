"""Before a ban in the midst of a scan nothing is known, and nothing is said: never "refused", and no pass."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.oracles.tls.bans import banning
from tests.oracles.tls.conftest import ALL, given
from tests.oracles.tls.lab import Standing
from tests.oracles.tls.opinions import observed, ours
from tests.oracles.tls.scanning import outcomes, scan
from tests.oracles.tls.threads import standing as resting

pytestmark = pytest.mark.xdist_group("the lab of TLS servers")

BEHIND = "nginx-legacy"  # much to find, and much to miss
PATIENCE = 0.15  # of one read, in seconds; the server is on this machine
LATE = 10_000


async def seen_through(one: Standing, most: int) -> dict[str, object]:
    async with banning(one.place, {"127.0.0.1": most}) as ports:
        return dict(ours(await observed(one, ("127.0.0.1", ports["127.0.0.1"]), PATIENCE)))


@pytest.mark.parametrize("most", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55])
def test_what_is_said_of_a_server_that_bans_is_true(most: int, standing: Mapping[str, Standing]) -> None:
    one = given(standing, BEHIND)
    whole = asyncio.run(seen_through(one, LATE))
    said = asyncio.run(seen_through(one, most))

    assert {question: value for question, value in said.items() if whole.get(question) != value} == {}


def test_without_a_ban_the_guard_is_not_noticed(standing: Mapping[str, Standing]) -> None:
    whole = asyncio.run(seen_through(given(standing, BEHIND), LATE))

    assert whole["speaks TLS 1.0"] is True
    assert whole["speaks SSL 3.0"] is False
    assert isinstance(whole["suites TLS 1.2"], list)
    assert len(whole["suites TLS 1.2"]) > 20


@pytest.mark.skipif(not ALL, reason="takes a minute of time-outs: nox -s oracles")
def test_a_scan_of_servers_that_ban_passes_nothing_that_fails(standing: Mapping[str, Standing], tmp_path: Path) -> None:
    one = given(standing, BEHIND)
    after = {f"127.0.41.{200 + number}": most for number, most in enumerate((1, 4, 9, 14))}
    with resting(banning(one.place, after)) as ports:
        banned = {
            f"banned-after-{most}": replace(
                one, server=replace(one.server, name=f"banned-after-{most}"), place=(address, ports[address])
            )
            for address, most in after.items()
        }
        found = outcomes(scan(tmp_path / "scan", banned), banned)

    said = {key: outcome for key, outcome in found.items() if outcome != "unknown"}
    assert {key: outcome for key, outcome in said.items() if outcome != one.server.expected[key[1]]} == {}
    assert found["banned-after-4", "tls.protocol.ssl"] == "unknown"
    assert found["banned-after-1", "tls.protocol.legacy"] == "unknown"
