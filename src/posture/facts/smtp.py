"""What a mail exchanger said on port 25 (RFC 5321, RFC 3207)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from posture.facts.base import Facts

# Firewalls that "fix up" SMTP overwrite what they do not know: XXXXXXXA where STARTTLS stood. Nor has any keyword controls.
_MASKED = re.compile(r"X{6,}[A-Z]?(?: .*)?|.*[\x00-\x08\x0a-\x1f\x7f].*", re.DOTALL)


def is_masked(line: str) -> bool:
    """Whether a line of an EHLO reply, without its code, has been overwritten by something on the path."""
    return _MASKED.fullmatch(line) is not None


@dataclass(frozen=True, slots=True)
class SmtpAnswer:
    """One address of an MX.

    ``state``: "greeted" (a 220 greeting and a 250 to EHLO), "closed" (RST), "rejected" (a 5xx greeting or EHLO), or a
    word of posture.model.Reason: "temporary" (4xx), "timeout", "reset", "malformed", "vantage_limited", ...
    ``extensions``: EHLO keywords, upper case, sorted. ``starttls``: "offered", "not_offered" (after a complete
    250 EHLO reply), "masked" (something on the path overwrote a keyword) or "unclear". ``tls``: "accepted",
    "refused" (alert or 5xx to STARTTLS), "unclear" or "" (not tried); ``version`` the TLS version agreed. ``code``: of
    our own refusal to ask, or "".
    """

    address: str
    state: str
    extensions: tuple[str, ...] = ()
    starttls: str = "unclear"
    tls: str = ""
    version: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class SmtpFacts(Facts):
    """One mail exchanger: every granted address was tried once."""

    TYPE: ClassVar[str] = "smtp"

    name: str
    answers: tuple[SmtpAnswer, ...]
