"""Baselines as data: which controls are scored, thresholds with the dates from which they hold."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from posture.errors import PolicyError

DEFAULT = "oecs-baseline/2026.2"


@dataclass(frozen=True, slots=True)
class Policy:
    """A baseline. ``thresholds`` maps a name to (valid_from, value) rows, oldest first."""

    name: str
    version: str
    controls: tuple[str, ...]
    thresholds: Mapping[str, tuple[tuple[date, int], ...]]
    body: str

    @property
    def id(self) -> str:
        """``oecs-baseline/2026.1``."""
        return f"{self.name}/{self.version}"

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical body; part of every judgement's key."""
        return hashlib.sha256(self.body.encode()).hexdigest()

    def number(self, name: str, at: datetime) -> int:
        """The value of a threshold in force at a time.

        Raises:
            PolicyError: the baseline does not set it for that time.
        """
        rows = [value for valid_from, value in self.thresholds.get(name, ()) if valid_from <= at.date()]
        if not rows:
            raise PolicyError(f"policy {self.id} sets no threshold {name!r} at {at:%Y-%m-%d}. Add it to [thresholds].")
        return rows[-1]


def load_policy(name_or_path: str = DEFAULT) -> Policy:
    """A shipped baseline by name (``oecs-baseline/2026.1``) or one from a TOML file.

    Raises:
        PolicyError: no such baseline, or the file is not one.
    """
    shipped = resources.files("posture.policy") / (name_or_path.replace("/", "-") + ".toml")
    try:
        text = shipped.read_text("utf-8") if shipped.is_file() else Path(name_or_path).read_text("utf-8")
        return _parse(tomllib.loads(text))
    except FileNotFoundError as fault:
        raise PolicyError(f"no policy {name_or_path!r}. Name a file, or one of the shipped: {DEFAULT}.") from fault
    except (tomllib.TOMLDecodeError, KeyError, TypeError, OSError) as fault:
        raise PolicyError(f"policy {name_or_path!r} cannot be used: {fault}. Compare it with {DEFAULT}.") from fault


def parse_policy(body: str) -> Policy:
    """A policy from the canonical body kept in the history."""
    return _parse(json.loads(body))


def _parse(document: dict[str, Any]) -> Policy:
    body = json.dumps(document, sort_keys=True, separators=(",", ":"), default=str)
    thresholds = {
        name: tuple(sorted((date.fromisoformat(str(row["from"])), int(row["value"])) for row in rows))
        for name, rows in document["thresholds"].items()
    }
    return Policy(document["name"], document["version"], tuple(document["controls"]), thresholds, body)
