"""security.txt (RFC 9116). Pure and total: any text in, what it says out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

# Nothing in it can match the same blanks twice: a line may be 32 kB of them, and all other conversations wait meanwhile.
_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9-]*):(.*)")
# RFC 3339 section 5.6; a leap second is more than anyone needs here.
_DATE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_SIGNED = "-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE = "-----BEGIN PGP SIGNATURE-----"


@dataclass(frozen=True, slots=True)
class SecurityTxt:
    """The fields that are judged. ``expires`` is UTC; None when it is missing, repeated or no date."""

    contacts: tuple[str, ...]
    canonical: tuple[str, ...]
    expires: datetime | None
    signed: bool


def parse(text: str) -> SecurityTxt:
    """The fields of a file; lines that are none are passed over (RFC 9116 section 4)."""
    lines = text.removeprefix("\ufeff").splitlines()
    signed = bool(lines) and lines[0].strip() == _SIGNED
    fields = [
        (found[1].lower(), value)
        for line in (_cleartext(lines) if signed else lines)
        if (found := _FIELD.match(line)) and (value := found[2].strip())
    ]
    dates = [value for name, value in fields if name == "expires"]
    return SecurityTxt(
        contacts=tuple(value for name, value in fields if name == "contact" and ":" in value),
        canonical=tuple(value for name, value in fields if name == "canonical"),
        expires=_date(dates[0]) if len(dates) == 1 else None,
        signed=signed,
    )


def _cleartext(lines: list[str]) -> list[str]:
    """What an OpenPGP cleartext signature covers (RFC 9580 section 7): between its headers and the signature."""
    start = next((number + 1 for number, line in enumerate(lines) if not line.strip()), len(lines))
    end = next((number for number, line in enumerate(lines) if line.strip() == _SIGNATURE), len(lines))
    return [line.removeprefix("- ") for line in lines[start:end]]


def _date(value: str) -> datetime | None:
    if not _DATE.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value.upper().replace(" ", "T")).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
