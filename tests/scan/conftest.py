"""One unchanged range for the tests that only scan it, and an inventory of it for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.range.standing import Standing, standing_range


@pytest.fixture(scope="session")
def standing() -> Iterator[Standing]:
    with standing_range() as one:
        yield one


@pytest.fixture
def inventory(standing: Standing, tmp_path: Path) -> Path:
    return standing.practice.write(tmp_path)
