"""The shipped catalogue: controls.toml of every family, joined with the rules that judge them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib import import_module, resources
from string import Formatter
from typing import Any

from posture.checks.mending import NOT_SAID, Mending, mending_of
from posture.checks.rule import Rule
from posture.model import Kind, Outcome, ProbeClass, Severity

# In the order in which a reader meets them. The name is the package and the --check selector.
FAMILIES = ("tls", "dns", "email", "services", "web")


@dataclass(frozen=True, slots=True)
class Tag:
    """One thing a rule may say. ``text`` is a str.format template over the verdict's args.

    ``also``: a second sentence, said when the verdict has the args for it.
    """

    name: str
    outcome: Outcome
    text: str
    also: str = ""

    def sentence(self, args: Mapping[str, Any]) -> str:
        """The finding in plain words; lists are joined by commas."""
        text = f"{self.text} {self.also}" if self.also and _fields(self.also) <= args.keys() else self.text
        if "{" not in text:
            return text
        shown = {key: _plain(value) for key, value in args.items()}
        return text.format_map(shown)


@dataclass(frozen=True, slots=True)
class Control:
    """One row of the catalogue. ``subject`` is asset, endpoint, mx, ns or ports (one finding per bad port)."""

    id: str
    family: str
    title: str
    severity: Severity
    kind: Kind
    probe_class: ProbeClass
    subject: str
    observed: str
    passes: str
    warns: str
    fails: str
    sources: str
    false_positives: str
    meaning: str
    remedy: str
    mapping: Mapping[str, str]
    tags: Mapping[str, Tag]
    rule: Rule
    mending: Mending = NOT_SAID


@lru_cache(maxsize=64)
def _fields(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name}


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    return value


@cache
def catalogue() -> Mapping[str, Control]:
    """All built controls by id, in reading order.

    Raises:
        ValueError: a rule without an entry, or an entry without a rule (a bug of ours; a house test finds it).
    """
    controls: dict[str, Control] = {}
    for family in FAMILIES:
        package = import_module(f"posture.checks.{family}")
        rules = {rule.control: rule for rule in package.RULES}
        text = resources.files(f"posture.checks.{family}").joinpath("controls.toml").read_text("utf-8")
        mending = dict(mending_of(family))
        for entry in tomllib.loads(text)["control"]:
            made = _control(family, entry, rules.pop(entry["id"], None))
            controls[made.id] = replace(made, mending=mending.pop(made.id, NOT_SAID))
        if rules or mending:
            raise ValueError(f"without an entry in {family}/controls.toml: {sorted({*rules, *mending})}")
    return controls


def _control(family: str, entry: Mapping[str, Any], rule: Rule | None) -> Control:
    if rule is None:
        raise ValueError(f"{family}/controls.toml has {entry['id']}, which no rule judges")
    return Control(
        id=entry["id"],
        family=family,
        title=entry["title"],
        severity=Severity(entry["severity"]),
        kind=Kind(entry["kind"]),
        probe_class=ProbeClass(entry["class"]),
        subject=entry["subject"],
        observed=entry["observed"],
        passes=entry["pass"],
        warns=entry.get("warn", ""),
        fails=entry.get("fail", ""),
        sources=entry["sources"],
        false_positives=entry["false_positives"],
        meaning=entry["meaning"],
        remedy=entry["remedy"],
        mapping=entry["mapping"],
        tags={
            name: Tag(name, Outcome(tag["outcome"]), tag["text"], entry.get("also", ""))
            for name, tag in entry["tags"].items()
        },
        rule=rule,
    )
