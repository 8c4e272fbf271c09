"""One unchanged range for all tests that only look."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.range.standing import Standing, standing_range


@pytest.fixture(scope="session")
def standing() -> Iterator[Standing]:
    with standing_range() as one:
        yield one
