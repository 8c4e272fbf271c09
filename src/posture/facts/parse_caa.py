"""The value of a CAA issue or issuewild property by RFC 8659 section 4.2. Pure and total."""

from __future__ import annotations

import re
from dataclasses import dataclass

# RFC 8659, RFC 9495 and the Baseline Requirements' contact properties, the registry of 2026.
KNOWN_TAGS = frozenset({"issue", "issuewild", "iodef", "issuemail", "issuevmc", "contactemail", "contactphone"})
CRITICAL = 128

_LABEL = r"[0-9a-z](?:[0-9a-z-]*[0-9a-z])?"
_ISSUER = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)
_PARAMETER = re.compile(r"([0-9a-z](?:[0-9a-z-]*[0-9a-z])?)[ \t]*=[ \t]*([!-:<-~]*)", re.IGNORECASE)


class CaaError(ValueError):
    """Not an issuer: certificate authorities read it as "nobody may issue"."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """``domain`` of the certificate authority, lower case; "" forbids every one. ``parameters`` as (tag, value)."""

    domain: str
    parameters: tuple[tuple[str, str], ...] = ()


def parse_issuer(value: str) -> Issuer:
    """The issuer of an issue, issuewild or issuemail property.

    Raises:
        CaaError: the value does not follow the grammar.
    """
    domain, *rest = (part.strip(" \t") for part in value.split(";"))
    if domain and not _ISSUER.fullmatch(domain):
        raise CaaError(value[:80])
    parameters = []
    for part in rest:
        if not part and part is rest[-1]:
            continue
        match = _PARAMETER.fullmatch(part)
        if match is None:
            raise CaaError(value[:80])
        parameters.append((match[1].lower(), match[2]))
    return Issuer(domain.lower(), tuple(parameters))
