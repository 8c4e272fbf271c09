"""DMARC records by RFC 9989 sections 4.7 and 4.8. Pure and total: any text gives a record or DmarcError."""

from __future__ import annotations

import re
from dataclasses import dataclass

POLICIES = ("none", "quarantine", "reject")
KNOWN = frozenset({"v", "p", "sp", "np", "psd", "t", "rua", "ruf", "fo", "adkim", "aspf"})
REMOVED = frozenset({"pct", "rf", "ri"})  # RFC 9989 removed what RFC 7489 had; both ignore unknown tags

_VERSION = re.compile(r"v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|$)")
_RESEMBLES = re.compile(r"\bv\s*=\s*['\"]?dmarc|(?:^|;)\s*p\s*=", re.IGNORECASE)
_SIZE = re.compile(r"![0-9]+[kmgt]?$", re.IGNORECASE)
_URI = re.compile(r"(?:mailto:[^\s@,;!]+@[^\s@,;!]+|(?!mailto:)[a-z][a-z0-9+.-]*:[^\s,;!]+)", re.IGNORECASE)


class DmarcError(ValueError):
    """No DMARC record: ``v=DMARC1`` is not its first tag, so receivers discard it."""


@dataclass(frozen=True, slots=True)
class DmarcRecord:
    """A record in force. Policies are lower case words, or None when absent or not one of POLICIES.

    ``rua`` holds the syntactically valid URIs without size suffix. ``invalid`` names policy tags (p, sp, np) with a
    value that is none; ``ignored`` the tags and fragments that receivers ignore; ``removed`` tags of RFC 7489 that
    RFC 9989 took out; ``sized`` whether a URI carries the obsolete ``!size``; ``percentage`` the value of pct.
    """

    text: str
    p: str | None
    sp: str | None
    np: str | None
    psd: str
    testing: bool
    rua: tuple[str, ...]
    invalid: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    sized: bool = False
    percentage: int | None = None

    @property
    def usable(self) -> bool:
        """False when receivers apply no DMARC at all: no valid p, or an invalid sp or np, and nobody to report to."""
        return bool(self.rua) or (self.p is not None and not self.invalid)

    @property
    def policy(self) -> str:
        """p as receivers read it: ``none`` when p, sp or np is missing or wrong (section 4.7)."""
        return self.p if self.p is not None and not self.invalid else "none"

    @property
    def subdomain_policy(self) -> str:
        """sp, or else p."""
        return self.sp if self.sp is not None and not self.invalid else self.policy

    @property
    def nonexistent_policy(self) -> str:
        """np, or else sp, or else p."""
        return self.np if self.np is not None and not self.invalid else self.subdomain_policy

    def effective(self, policy: str) -> str:
        """One of its policies as it is applied: ``t=y`` takes it one step down."""
        return POLICIES[max(0, POLICIES.index(policy) - 1)] if self.testing else policy


def is_dmarc(text: str) -> bool:
    """Whether a TXT record begins as a DMARC record must; the value is case-sensitive."""
    return _VERSION.match(text) is not None


def resembles_dmarc(text: str) -> bool:
    """Whether somebody seems to have meant a DMARC record; a wildcard's other TXT records do not."""
    return _RESEMBLES.search(text) is not None


def parse_dmarc(text: str) -> DmarcRecord:
    """The record behind one TXT record, its strings joined.

    Raises:
        DmarcError: the record is discarded by receivers.
    """
    if not is_dmarc(text):
        raise DmarcError(text[:80])
    tags: dict[str, str] = {}
    ignored: list[str] = []
    for part in filter(None, map(str.strip, text.split(";"))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        name = name.lower()
        if not equals or name in tags or name not in KNOWN | REMOVED:
            ignored.append(name if equals else part)
        else:
            tags[name] = value
    policies = {name: tags[name].lower() for name in ("p", "sp", "np") if name in tags}
    reports = [uri.strip() for uri in tags.get("rua", "").split(",")]
    percentage = tags.get("pct", "")
    return DmarcRecord(
        text=text,
        p=_policy(policies.get("p")),
        sp=_policy(policies.get("sp")),
        np=_policy(policies.get("np")),
        psd=psd if (psd := tags.get("psd", "u").lower()) in ("y", "n") else "u",
        testing=tags.get("t", "n").lower() == "y",
        rua=tuple(bare for uri in reports if _URI.fullmatch(bare := _SIZE.sub("", uri))),
        invalid=tuple(name for name, value in policies.items() if value not in POLICIES),
        ignored=tuple(ignored),
        removed=tuple(sorted(REMOVED & set(tags))),
        sized=any(_SIZE.search(uri) for uri in reports),
        percentage=int(percentage) if re.fullmatch(r"[0-9]{1,3}", percentage) else None,
    )


def _policy(value: str | None) -> str | None:
    return value if value in POLICIES else None
