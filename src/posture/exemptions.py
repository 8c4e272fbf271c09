"""Exemptions: findings that somebody accepts for a time, in writing. The operator's file, and what it says of a finding.

An exemption stands beside what was found and changes nothing of it: the outcome is shown as it is and the score counts it.
It never hides an unknown. Only open findings (warn, fail) have something to accept.

    format = "posture-exemptions/1"

    [[exemption]]
    id = "EX-2026-001"
    control = "tls.protocol.legacy"       # an id, or a glob such as "tls.*"
    asset = "tax.finance.gov.example"
    subject = ""                          # optional: this endpoint, exchanger or address alone
    rationale = "The till terminals speak nothing newer; they are replaced in May."
    approver = "Permanent Secretary"
    approved = 2026-11-01
    expires = 2027-05-31                  # its last day, in the State's time zone; at most 400 days on
    reference = "Letter MF/ICT/2026/77"   # optional
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from posture.errors import ExemptionError, Problem
from posture.inventory.authority import parse_id
from posture.inventory.names import is_address, parse_address, parse_name
from posture.inventory.reading import Fault, Problems, Table, meant, read_toml
from posture.model import AssetKey, Outcome

FORMAT = "posture-exemptions/1"
FILE = "exemptions.toml"  # beside the inventory, unless the configuration names another
LONGEST = timedelta(days=400)
ENDING = timedelta(days=30)  # before its last day an exemption is listed as ending
STATES = ("in_force", "ending", "future", "expired")


@dataclass(frozen=True, slots=True)
class Exemption:
    """One entry. ``control`` is a glob; ``subject`` "" stands for every subject; ``expires`` is the last day."""

    id: str
    control: str
    asset: str
    subject: str
    rationale: str
    approver: str
    approved: date
    expires: date
    reference: str = ""

    def covers(self, asset: str, control: str, subject: str) -> bool:
        return asset == self.asset and fnmatchcase(control, self.control) and self.subject in ("", subject)

    def state(self, today: date) -> str:
        """Among ``STATES``; one that is ending is still in force."""
        if today < self.approved:
            return "future"
        if today > self.expires:
            return "expired"
        return "ending" if self.expires - today <= ENDING else "in_force"

    @property
    def words(self) -> str:
        """What stands beside a finding."""
        return f"{self.id} until {self.expires:%Y-%m-%d}: {self.rationale}"


@dataclass(frozen=True, slots=True)
class InForce:
    """Exemptions as of a day of the State."""

    entries: tuple[Exemption, ...]
    today: date

    @classmethod
    def at(cls, entries: Iterable[Exemption], at: datetime, timezone: str) -> InForce:
        return cls(tuple(entries), at.astimezone(ZoneInfo(timezone)).date())

    def beside(self, asset: AssetKey, control: str, subject: str, outcome: Outcome) -> Exemption | None:
        """The exemption of an open finding that lasts longest; None for others, and when none is in force."""
        if not outcome.is_open:
            return None
        found = [
            one
            for one in self.entries
            if one.covers(asset.name, control, subject) and one.state(self.today) in ("in_force", "ending")
        ]
        return max(found, key=lambda one: (one.expires, one.id), default=None)


def exemption_body(exemption: Exemption) -> str:
    """As canonical JSON, for the history."""
    return json.dumps(asdict(exemption), sort_keys=True, separators=(",", ":"), default=date.isoformat)


def exemption_from(body: str) -> Exemption:
    """Inverse of :func:`exemption_body`."""
    fields: dict[str, Any] = json.loads(body)
    days = {name: date.fromisoformat(fields[name]) for name in ("approved", "expires")}
    return Exemption(**{**fields, **days})


def load_exemptions(path: Path, controls: Collection[str]) -> tuple[Exemption, ...]:
    """The entries of a file.

    Args:
        controls: the ids of the catalogue; a glob that matches none of them is a mistake.

    Raises:
        ExemptionError: all problems of the file, with line and field.
    """
    problems = Problems()
    root = _root(path, problems)
    if root is None:
        raise ExemptionError(problems.errors)
    if root.text("format", required=True) not in (FORMAT, ""):
        root.error("EXM-002", "format", f"is not {FORMAT!r}.", f'Write format = "{FORMAT}".')
    lines: dict[str, int | None] = {}
    found = [entry for table in root.tables("exemption") if (entry := _entry(table, controls, lines)) is not None]
    root.finish()
    if problems.errors:
        raise ExemptionError(sorted(problems.errors, key=lambda one: one.line or 0))
    return tuple(found)


def _root(path: Path, problems: Problems) -> Table | None:
    try:
        content = path.read_bytes()
    except OSError as fault:
        message = f"cannot be read: {fault.strerror}."
        problems.errors.append(
            Problem("EXM-001", str(path), None, "", message, "Name another file: exemptions in posture.toml.")
        )
        return None
    return read_toml(content, str(path), problems)


def _entry(table: Table, controls: Collection[str], lines: dict[str, int | None]) -> Exemption | None:
    """None when a part of it cannot be used; the problems say which."""
    before = len(table.problems.errors)
    identifier = table.parsed("id", parse_id, required=True) or ""
    control = table.parsed("control", lambda text: _glob(text, controls), required=True) or ""
    asset = table.parsed("asset", _asset, required=True) or ""
    subject = table.text("subject")
    rationale, approver = (table.text(name, required=True) for name in ("rationale", "approver"))
    approved, expires = table.day("approved"), table.day("expires")
    reference = table.text("reference")
    table.finish()
    if identifier in lines:
        table.error(
            "EXM-015",
            "id",
            f"{identifier!r} stands twice, first in line {lines[identifier]}.",
            "Give each an id of its own.",
        )
    elif identifier:
        lines[identifier] = table.line("id")
    if approved and expires:
        _check_days(table, approved, expires)
    if len(table.problems.errors) > before or approved is None or expires is None:
        return None
    return Exemption(identifier, control, asset, subject, rationale, approver, approved, expires, reference)


def _check_days(table: Table, approved: date, expires: date) -> None:
    if expires < approved:
        table.error(
            "EXM-022", "expires", f"is before {approved:%Y-%m-%d}, when it was approved.", "Correct one of the two."
        )
    elif expires - approved > LONGEST:
        table.error(
            "EXM-022",
            "expires",
            f"is {(expires - approved).days} days after it was approved; {LONGEST.days} is the longest.",
            "Choose an earlier day, and approve it again when that has come.",
        )


def _glob(text: str, controls: Collection[str]) -> str:
    if any(fnmatchcase(name, text) for name in controls):
        return text
    raise Fault(
        "EXM-020", f"matches no control: {text[:80]!r}.{meant(text, controls)}", "'posture controls' lists the ids."
    )


def _asset(text: str) -> str:
    """Spelled as the inventory's own names."""
    return parse_address(text) if is_address(text) else parse_name(text)


def remarks(entries: Sequence[Exemption], today: date) -> tuple[str, ...]:
    """What whoever scans should know: which have ended, and which are about to."""
    found = []
    for one in entries:
        state = one.state(today)
        where = f"{one.id} ({one.control} on {one.asset})"
        if state == "expired":
            found.append(
                f"exemption {where} ended on {one.expires:%Y-%m-%d} and has no effect; renew it, or take it out"
            )
        elif state == "ending":
            days = (one.expires - today).days
            left = "today" if not days else f"in {days} day{'' if days == 1 else 's'}"
            found.append(f"exemption {where} ends {left}, on {one.expires:%Y-%m-%d}")
    return tuple(found)
