"""A small inventory as text, and ways to load one that is changed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from posture.errors import InventoryError, Problem
from posture.inventory import Inventory, load_inventory

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)
GOOD = """\
format = "posture-inventory/1"

[state]
code = "LC"
name = "Saint Lucia"
timezone = "America/St_Lucia"

[operator]
name = "CERT-LC"
contact = "soc@cert.lc"

[[authorisation]]
id = "lc-2026-001"
owner = "Ministry of Finance"
reference = "Letter 41"
not_before = 2026-01-01
not_after = 2026-12-31
classes = ["passive", "client"]
zones = ["finance.gov.example"]

[[ministry]]
code = "finance"
name = "Ministry of Finance"
authorisation = ["lc-2026-001"]
"""


def write(folder: Path, text: str = GOOD, **sheets: str) -> Path:
    """Writes inventory.toml, and each sheet as NAME.csv."""
    for name, content in sheets.items():
        (folder / f"{name}.csv").write_text(content, "utf-8", newline="")
    path = folder / "inventory.toml"
    path.write_text(text, "utf-8", newline="")
    return path


def with_asset(keys: str) -> str:
    return f"{GOOD}\n[[ministry.asset]]\n{keys}\n"


def load(folder: Path, text: str = GOOD, **sheets: str) -> tuple[Inventory, tuple[Problem, ...]]:
    return load_inventory(write(folder, text, **sheets), at=AT)


def problems_of(folder: Path, text: str, **sheets: str) -> tuple[Problem, ...]:
    with pytest.raises(InventoryError) as caught:
        load(folder, text, **sheets)
    return caught.value.problems


def only_problem(folder: Path, text: str, **sheets: str) -> Problem:
    problems = problems_of(folder, text, **sheets)
    assert len(problems) == 1, problems
    return problems[0]
