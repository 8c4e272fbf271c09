"""``posture scan --check tls`` on the whole lab says what is planted there: no false pass, no false fail, nothing left open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from posture.checks.catalogue import catalogue
from tests.oracles.tls.conftest import given
from tests.oracles.tls.lab import Standing, servers
from tests.oracles.tls.scanning import Outcomes, outcomes, scan

pytestmark = pytest.mark.xdist_group("the lab of TLS servers")

FAMILY = {control for control in catalogue() if control.startswith("tls.")}


@pytest.fixture(scope="module")
def findings(standing: Mapping[str, Standing], tmp_path_factory: pytest.TempPathFactory) -> Sequence[Mapping[str, Any]]:
    return scan(tmp_path_factory.mktemp("truth") / "scan", standing)


@pytest.fixture(scope="module")
def found(findings: Sequence[Mapping[str, Any]], standing: Mapping[str, Standing]) -> Outcomes:
    return outcomes(findings, standing)


@pytest.mark.parametrize("name", servers())
def test_a_server_is_judged_as_it_was_set_up(name: str, found: Outcomes, standing: Mapping[str, Standing]) -> None:
    given(standing, name)
    said = {control: outcome for (server, control), outcome in found.items() if server == name}
    expected = {
        control: outcome for control, outcome in servers()[name].expected.items() if outcome and control in FAMILY
    }

    assert said == expected


def test_there_is_one_finding_for_each_control_of_a_server(findings: Sequence[Mapping[str, Any]]) -> None:
    keys = [(one["asset"], one["control"]) for one in findings if one["control"].startswith("tls.")]

    assert len(keys) == len(set(keys))


def test_the_table_speaks_of_every_control_and_of_every_outcome_that_servers_can_show() -> None:
    planted = {(control, outcome) for one in servers().values() for control, outcome in one.expected.items()}

    assert all(set(one.expected) >= FAMILY for one in servers().values())
    assert {control for control, outcome in planted if outcome in ("fail", "warn")} >= {
        control for control in FAMILY if control.startswith(("tls.protocol.", "tls.cipher.", "tls.kex."))
    }
