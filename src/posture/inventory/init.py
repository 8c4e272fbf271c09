"""``posture init``: a first inventory, a configuration, and the letter of consent that says the same in plain words."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

from posture.errors import PostureError, UsageError
from posture.inventory.names import parse_contact, parse_name
from posture.inventory.reading import CONTROL, Fault
from posture.inventory.records import DRAFT, State

# Names and time zones of the States that the examples serve; any other gets its code and UTC, to be filled in.
STATES = {
    "LC": State("LC", "Saint Lucia", "America/St_Lucia"),
    "DM": State("DM", "Dominica", "America/Dominica"),
    "GD": State("GD", "Grenada", "America/Grenada"),
    "VC": State("VC", "Saint Vincent and the Grenadines", "America/St_Vincent"),
}
BASES = ("own", "consent")
FILES = ("inventory.toml", "posture.toml", "consent-letter.md")


@dataclass(frozen=True, slots=True)
class _Terms:
    """What the three files say alike."""

    state: State
    names: tuple[str, ...]
    owner: str
    contact: str
    basis: str
    not_before: date
    not_after: date

    @property
    def identifier(self) -> str:
        return f"{self.state.code.lower()}-{self.not_before.year}-001"

    @property
    def ministry(self) -> str:
        """A code from the first domain, else from the owner: ``finance``."""
        start = self.names[0].partition(".")[0] if self.names else self.owner.lower()
        return re.sub("[^a-z0-9]+", "-", start).strip("-")[:40] or "ministry"


def init_directory(
    directory: Path,
    names: Sequence[str],
    owner: str = "",
    contact: str = "",
    basis: str = "consent",
    state_code: str = "ZZ",
    at: datetime | None = None,
) -> tuple[Path, ...]:
    """Writes inventory.toml, posture.toml and consent-letter.md; with basis "own" the inventory is ready to scan.

    Args:
        names: domains that the owner runs; each becomes a zone with role web.
        at: the day that the authorisation begins; it ends a year later. Default now.

    Raises:
        UsageError: a file is there already; a bad name, contact, basis or code; basis "own" without name or contact.
        PostureError: the files cannot be written.
    """
    terms = _terms(names, owner, contact, basis, state_code, at or datetime.now(UTC))
    texts = {
        "inventory.toml": _inventory(terms),
        "posture.toml": _template("posture.toml"),
        "consent-letter.md": _letter(terms),
    }
    there = [name for name in FILES if (directory / name).exists()]
    if there:
        raise UsageError(f"{directory} already has {', '.join(there)}; nothing was written. Choose another folder.")
    paths = tuple(directory / name for name in FILES)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path in paths:
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(texts[path.name])
    except OSError as fault:
        raise PostureError(f"cannot write in {directory}: {fault.strerror}. Choose another folder.") from None
    return paths


def _terms(names: Sequence[str], owner: str, contact: str, basis: str, state_code: str, at: datetime) -> _Terms:
    if basis not in BASES:
        raise UsageError(f"--basis {basis!r}: choose own (your own systems) or consent (somebody else's).")
    if basis == "own" and not (names and contact):
        raise UsageError("--basis own needs --name DOMAIN and --contact ADDR: it is ready to scan at once. Add them.")
    code = state_code.upper()
    if not re.fullmatch("[A-Z]{2}", code):
        raise UsageError(f"--state {state_code!r}: write the two letters of ISO 3166-1, such as LC.")
    if CONTROL.search(owner):
        raise UsageError("--owner contains a control character. Type it again.")
    try:
        domains = tuple(dict.fromkeys(parse_name(name) for name in names))
        whom = parse_contact(contact)
    except Fault as fault:
        raise UsageError(f"a --name or --contact {fault.message} {fault.next}") from None
    state = STATES.get(code, State(code, code, "UTC"))
    today = at.astimezone(ZoneInfo(state.timezone)).date()
    return _Terms(state, domains, owner.strip() or "the owner", whom, basis, today, _a_year_on(today))


def _a_year_on(day: date) -> date:
    try:
        return day.replace(year=day.year + 1)
    except ValueError:  # 29 February
        return day.replace(year=day.year + 1, day=28)


def _inventory(terms: _Terms) -> str:
    is_own = terms.basis == "own"
    reference = "our own systems" if is_own else f"{DRAFT}: fill in the number and date of the signed letter"
    zones = "".join(
        f'\n[[ministry.asset]]\nname = {_quoted(name)}\nkind = "zone"\nroles = ["web"]\n' for name in terms.names
    )
    return _filled(
        _template("inventory.toml"),
        {
            "code": _quoted(terms.state.code),
            "state": _quoted(terms.state.name),
            "timezone": _quoted(terms.state.timezone),
            "operator": _quoted(terms.owner if is_own else ""),
            "contact": _quoted(terms.contact),
            "id": _quoted(terms.identifier),
            "owner": _quoted(terms.owner),
            "basis": _quoted(terms.basis),
            "reference": _quoted(reference),
            "not_before": terms.not_before.isoformat(),
            "not_after": terms.not_after.isoformat(),
            "zones": f"[{', '.join(map(_quoted, terms.names))}]",
            "ministry": _quoted(terms.ministry),
            "assets": zones,
        },
    )


def _letter(terms: _Terms) -> str:
    return _filled(
        _template("consent-letter.md"),
        {
            "id": terms.identifier,
            "owner": terms.owner,
            "state": terms.state.name,
            "contact": terms.contact or "____________________",
            "not_before": f"{terms.not_before:%d %B %Y}".lstrip("0"),
            "not_after": f"{terms.not_after:%d %B %Y}".lstrip("0"),
            "timezone": terms.state.timezone,
            "zones": "\n".join(f"- `{name}` and every name below it" for name in terms.names)
            or "- ____________________ and every name below it",
        },
    )


def _template(name: str) -> str:
    return (files("posture.inventory") / "templates" / name).read_text("utf-8")


def _filled(template: str, values: dict[str, str]) -> str:
    """Replaces each ``@key@`` once, in one pass: a value is never looked into."""
    return re.sub("@([a-z_]+)@", lambda match: values[match[1]], template)


def _quoted(text: str) -> str:
    """A TOML basic string; JSON's escapes are a subset of TOML's."""
    return json.dumps(text, ensure_ascii=False)
