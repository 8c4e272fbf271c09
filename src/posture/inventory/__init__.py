"""TOML and sheets -> Inventory: all problems at once, each with file, line of the key, field, and what to do."""

from __future__ import annotations

from posture.inventory.load import load_inventory, summary
from posture.inventory.records import Inventory

__all__ = ["Inventory", "load_inventory", "summary"]
