"""Baselines as data: which controls are scored, thresholds with the dates from which they hold, and outcomes that differ.

A baseline that ``extends`` a shipped one is that one with its own thresholds, verdicts and controls in their place; what is
judged by, hashed and kept in the history is the whole, so that it reads the same when the one below it has moved on.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from posture.errors import PolicyError
from posture.model import Outcome

DEFAULT = "oecs-baseline/2026.2"
# What a baseline may make of a rule's word; whether there was anything to judge, or to see, is not for it to say.
_GRADES = frozenset({Outcome.PASS, Outcome.WARN, Outcome.FAIL, Outcome.INFO})
_KEYS = frozenset({"name", "version", "extends", "controls", "thresholds", "verdicts"})


@dataclass(frozen=True, slots=True)
class Policy:
    """A baseline. ``thresholds`` maps a name to (valid_from, value) rows, oldest first.

    ``verdicts`` maps a control to what this baseline makes of its tags, where that is not what the catalogue says.
    """

    name: str
    version: str
    controls: tuple[str, ...]
    thresholds: Mapping[str, tuple[tuple[date, int], ...]]
    body: str
    verdicts: Mapping[str, Mapping[str, Outcome]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """``oecs-baseline/2026.1``."""
        return f"{self.name}/{self.version}"

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical body; part of every judgement's key."""
        return hashlib.sha256(self.body.encode()).hexdigest()

    def outcome(self, control: str, tag: str, usual: Outcome) -> Outcome:
        """What this baseline makes of a rule's word; ``usual`` is what the catalogue makes of it."""
        return self.verdicts.get(control, {}).get(tag, usual)

    def number(self, name: str, at: datetime) -> int:
        """The value of a threshold in force at a time.

        Raises:
            PolicyError: the baseline does not set it for that time.
        """
        rows = [value for valid_from, value in self.thresholds.get(name, ()) if valid_from <= at.date()]
        if not rows:
            raise PolicyError(f"policy {self.id} sets no threshold {name!r} at {at:%Y-%m-%d}. Add it to [thresholds].")
        return rows[-1]


def shipped_policies() -> tuple[str, ...]:
    """The names of the baselines that come with posture."""
    found = []
    for file in sorted(resources.files("posture.policy").iterdir(), key=lambda one: one.name):
        if file.name.endswith(".toml"):
            document = tomllib.loads(file.read_text("utf-8"))
            found.append(f"{document['name']}/{document['version']}")
    return tuple(found)


def load_policy(name_or_path: str = DEFAULT) -> Policy:
    """A shipped baseline by name (``oecs-baseline/2026.1``; ``nl-2025``, which is in one version) or one from a TOML file.

    Raises:
        PolicyError: no such baseline, or the file is not one.
    """
    try:
        return _parse(_whole(_document(name_or_path)))
    except FileNotFoundError as fault:
        shipped = ", ".join(shipped_policies())
        raise PolicyError(f"no policy {name_or_path!r}. Name a file, or one of the shipped: {shipped}.") from fault
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, AttributeError, OSError) as fault:
        detail = f"it has no {fault}" if isinstance(fault, KeyError) else str(fault)
        raise PolicyError(f"policy {name_or_path!r} cannot be used: {detail}. Compare it with {DEFAULT}.") from fault


def parse_policy(body: str) -> Policy:
    """A policy from the canonical body kept in the history."""
    return _parse(json.loads(body))


def _document(name_or_path: str) -> dict[str, Any]:
    shipped = resources.files("posture.policy") / (name_or_path.replace("/", "-") + ".toml")
    if shipped.is_file():
        return tomllib.loads(shipped.read_text("utf-8"))
    of_name = [one for one in shipped_policies() if one.partition("/")[0] == name_or_path]
    if len(of_name) == 1:
        return _document(of_name[0])
    return tomllib.loads(Path(name_or_path).read_text("utf-8"))


def _whole(document: dict[str, Any]) -> dict[str, Any]:
    """With what it extends, which extends nothing itself: one step, so that a reader finds every value in two files."""
    if strange := sorted(document.keys() - _KEYS):
        raise ValueError(f"it holds {', '.join(strange)}, which means nothing in a policy")
    below = document.pop("extends", None)
    if below is None:
        return document
    if below not in shipped_policies():
        raise ValueError(f"it extends {below!r}, which is not among the shipped: {', '.join(shipped_policies())}")
    base = _document(below)
    if "extends" in base:
        raise ValueError(f"it extends {below}, which extends {base['extends']}. Extend that one")
    verdicts = base.get("verdicts", {})
    own = document.get("verdicts", {})
    merged = {control: verdicts.get(control, {}) | own.get(control, {}) for control in sorted({*verdicts, *own})}
    return {
        **base,
        **document,
        "thresholds": base["thresholds"] | document.get("thresholds", {}),
        **({"verdicts": merged} if merged else {}),
    }


def _parse(document: dict[str, Any]) -> Policy:
    body = json.dumps(document, sort_keys=True, separators=(",", ":"), default=str)
    thresholds = {
        name: tuple(sorted((date.fromisoformat(str(row["from"])), int(row["value"])) for row in rows))
        for name, rows in document["thresholds"].items()
    }
    verdicts = {
        control: {tag: _grade(control, tag, value) for tag, value in tags.items()}
        for control, tags in document.get("verdicts", {}).items()
    }
    return Policy(document["name"], document["version"], tuple(document["controls"]), thresholds, body, verdicts)


def _grade(control: str, tag: str, value: object) -> Outcome:
    if not isinstance(value, str) or value not in _GRADES:
        raise ValueError(f"verdicts.{control}.{tag} is {value!r}, not one of {', '.join(sorted(_GRADES))}")
    return Outcome(value)
