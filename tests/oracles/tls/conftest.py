"""The lab, started once, and what everybody says of it, asked once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from tests.oracles.tls import gnutls, openssl, sslscan, sslyze
from tests.oracles.tls.lab import Standing, lab
from tests.oracles.tls.opinions import Opinion, ask, ours

# The ordinary run takes a few servers that tell most; `nox -s oracles` takes all.
SAMPLE = (
    *("nginx-dual", "nginx-legacy", "nginx-early-data", "openssl-null", "gnutls-unsafe", "java-ssl3"),
    "dovecot-imaps",
)
ALL = os.environ.get("POSTURE_ORACLES") == "all"
AT_ONCE = 2

Opinions = Mapping[str, Opinion]
T = TypeVar("T")


@pytest.fixture(scope="package")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Standing]]:
    """All servers."""
    with lab(tmp_path_factory.mktemp("lab")) as servers:
        yield servers


@pytest.fixture(scope="package")
def asked(standing: Mapping[str, Standing]) -> Mapping[str, Standing]:
    """Those that are compared."""
    return {name: one for name, one in standing.items() if ALL or name in SAMPLE}


@pytest.fixture(scope="package")
def of_ours(asked: Mapping[str, Standing]) -> Opinions:
    return {name: ours(ask(one)) for name, one in asked.items()}


@pytest.fixture(scope="package")
def of_others(
    asked: Mapping[str, Standing], of_ours: Opinions, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Opinions]:
    """By oracle and server."""
    reports = tmp_path_factory.mktemp("sslyze")
    oracles = {
        "sslyze": lambda one: sslyze.opinion(sslyze.run(one, reports / f"{one.server.name}.json")),
        "openssl": lambda one: openssl.opinion(one, of_ours[one.server.name]),
        "gnutls": gnutls.opinion,
        "sslscan": sslscan.opinion,
    }
    found: dict[str, Opinions] = {}
    for oracle, opinion in oracles.items():
        with ThreadPoolExecutor(AT_ONCE) as pool, contextlib.suppress(pytest.skip.Exception):
            found[oracle] = dict(zip(asked, pool.map(opinion, asked.values()), strict=True))
    return found


def given(found: Mapping[str, T], name: str) -> T:
    """What is there by that name; skips the test when its program is missing (see tests/lab)."""
    if name not in found:
        pytest.skip(f"{name} is not here: see `nox -s tests` for what to install")
    return found[name]
