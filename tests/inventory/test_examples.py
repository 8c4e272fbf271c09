"""The shipped examples are what they say."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from posture.inventory import load_inventory
from posture.inventory.columns import COLUMNS

EXAMPLES = Path(__file__).parents[2] / "inventories"
SOURCES = Path(__file__).parents[2] / "src" / "posture" / "inventory"


@pytest.mark.parametrize("code", ["LC", "DM", "GD", "VC"])
def test_examples_load_with_no_warning_but_the_placeholder_contact(code: str) -> None:
    inventory, warnings = load_inventory(EXAMPLES / f"{code.lower()}.toml", at=datetime(2026, 6, 1, tzinfo=UTC))

    assert inventory.state.code == code
    assert inventory.assets
    assert [warning.code for warning in warnings] == ["INV-104"]


def test_every_example_belongs_to_a_state() -> None:
    assert {path.name for path in EXAMPLES.glob("*.toml")} == {"lc.toml", "dm.toml", "gd.toml", "vc.toml"}


def test_the_readme_explains_every_column_and_every_code() -> None:
    readme = (EXAMPLES / "README.md").read_text("utf-8")
    used = {code for path in SOURCES.glob("*.py") for code in re.findall(r"INV-\d{3}", path.read_text("utf-8"))}

    assert all(f"| `{column}` |" in readme for column in COLUMNS)
    assert used == set(re.findall(r"^\| (INV-\d{3}) \|", readme, re.MULTILINE))
