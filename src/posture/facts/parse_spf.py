"""SPF records by the grammar of RFC 7208 section 12. Pure and total: any text gives a record or SpfError."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

VERSION = re.compile(r"v=spf1(?: |$)", re.IGNORECASE)
LOOKUP_TERMS = frozenset({"include", "a", "mx", "ptr", "exists", "redirect"})

_MACRO = r"(?:%\{[slodiphv](?:0{0,3}[1-9][0-9]{0,2})?r?[.\-+,/_=]*\}|%%|%_|%-)"
_MACRO_STRING = re.compile(rf"(?:{_MACRO}|[!-$&-~])*", re.IGNORECASE)
_ENDS_IN_MACRO = re.compile(rf"{_MACRO}\Z", re.IGNORECASE)
_TOPLABEL = re.compile(r"(?=.*[a-z-])[0-9a-z](?:[0-9a-z-]*[0-9a-z])?", re.IGNORECASE)
_TERM_MACRO = re.compile(r"%(?:\{([a-z])([0-9]*)(r?)([.\-+,/_=]*)\}|([%_-]))", re.IGNORECASE)
_MODIFIER = re.compile(r"([a-z][a-z0-9_.-]*)=(.*)", re.IGNORECASE | re.DOTALL)
_DIRECTIVE = re.compile(r"([+?~-]?)([a-z0-9_.-]+)(.*)", re.IGNORECASE | re.DOTALL)
_DUAL_CIDR = re.compile(r"(.*?)(?:/(0|[1-9][0-9]?))?(?://(0|[1-9][0-9]{0,2}))?", re.DOTALL)
_LITERALS = {"%": "%", "_": " ", "-": "%20"}


class SpfError(ValueError):
    """The record is no SPF: receivers answer permerror. ``term`` is the part at fault, ``why`` a stable word."""

    def __init__(self, term: str, why: str) -> None:
        super().__init__(f"{why}: {term}")
        self.term = term
        self.why = why


@dataclass(frozen=True, slots=True)
class Mechanism:
    """``qualifier`` is +, -, ~ or ?; ``domain`` the domain-spec as written, "" when left out; ``network`` of ip4 and ip6."""

    text: str
    qualifier: str
    name: str
    domain: str = ""
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None


@dataclass(frozen=True, slots=True)
class SpfRecord:
    """A record that parses. ``redirect`` and ``exp`` are domain-specs; ``unknown`` the names of other modifiers."""

    text: str
    mechanisms: tuple[Mechanism, ...]
    redirect: str = ""
    exp: str = ""
    unknown: tuple[str, ...] = ()

    @property
    def all(self) -> Mechanism | None:
        return next((mechanism for mechanism in self.mechanisms if mechanism.name == "all"), None)

    @property
    def evaluated(self) -> tuple[Mechanism, ...]:
        """The mechanisms a receiver can come to: those after ``all`` are never looked at (section 5.1)."""
        end = next((i for i, one in enumerate(self.mechanisms) if one.name == "all"), len(self.mechanisms))
        return self.mechanisms[: end + 1]

    @property
    def authorises_somebody(self) -> bool:
        """Whether some sender can get a pass from the record itself."""
        return any(mechanism.qualifier == "+" for mechanism in self.evaluated)


def is_spf(text: str) -> bool:
    """Whether a TXT record is an SPF record at all (section 4.5)."""
    return VERSION.match(text) is not None


def parse_spf(text: str) -> SpfRecord:
    """The record behind the text of one TXT record, its strings joined.

    Raises:
        SpfError: a receiver's permerror (section 4.6); the first term at fault.
    """
    if not is_spf(text):
        raise SpfError(text[:80], "version")
    mechanisms: list[Mechanism] = []
    modifiers: dict[str, str] = {}
    unknown: list[str] = []
    for term in text[len("v=spf1") :].split(" "):
        if modifier := _MODIFIER.fullmatch(term):
            name = modifier[1].lower()
            if name not in ("redirect", "exp"):
                if not _MACRO_STRING.fullmatch(modifier[2]):
                    raise SpfError(term, "syntax")
                unknown.append(name)
            elif name in modifiers:
                raise SpfError(term, "repeated")
            else:
                modifiers[name] = _domain_spec(modifier[2], term)
        elif term:
            mechanisms.append(_mechanism(term))
    return SpfRecord(
        text, tuple(mechanisms), modifiers.get("redirect", ""), modifiers.get("exp", ""), tuple(dict.fromkeys(unknown))
    )


def expand(domain_spec: str, domain: str) -> str | None:
    """The name a domain-spec stands for while ``domain`` is evaluated; None when it takes the sender to know.

    Of the macros only %{d} and the literals are known before a message arrives (section 7.2). An over-long name
    loses labels on the left (section 7.3).
    """
    if not domain_spec:
        return domain
    sender = False

    def value(match: re.Match[str]) -> str:
        nonlocal sender
        if match[5]:
            return _LITERALS[match[5]]
        if match[1].lower() != "d":
            sender = True
            return ""
        parts = re.split(f"[{re.escape(match[4] or '.')}]", domain)
        parts = parts[::-1] if match[3] else parts
        return ".".join(parts[-int(match[2]) :] if match[2] else parts)

    name = _TERM_MACRO.sub(value, domain_spec).removesuffix(".").lower()
    if sender:
        return None
    while len(name) > 253 and "." in name:
        name = name.partition(".")[2]
    return name


def _mechanism(term: str) -> Mechanism:
    match = _DIRECTIVE.fullmatch(term)
    if match is None:
        raise SpfError(term, "syntax")
    qualifier, name, rest = match[1] or "+", match[2].lower(), match[3]
    if name == "all":
        if rest:
            raise SpfError(term, "syntax")
        return Mechanism(term, qualifier, name)
    if name in ("ip4", "ip6"):
        return Mechanism(term, qualifier, name, network=_network(name, rest, term))
    if name in ("include", "exists"):
        if not rest.startswith(":"):
            raise SpfError(term, "syntax")
        return Mechanism(term, qualifier, name, _domain_spec(rest[1:], term))
    if name in ("a", "mx", "ptr"):
        return Mechanism(term, qualifier, name, _optional_domain(name, rest, term))
    raise SpfError(term, "unknown_mechanism")


def _network(name: str, rest: str, term: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """``:address[/length]``; bits beyond the length are allowed and ignored."""
    address, slash, length = rest[1:].partition("/")
    family = ipaddress.IPv4Network if name == "ip4" else ipaddress.IPv6Network
    good = rest.startswith(":") and "%" not in address and bool(address)
    if not good or (slash and not re.fullmatch(r"0|[1-9][0-9]{0,2}", length)):
        raise SpfError(term, "network")
    try:
        return family(f"{address}/{length}" if slash else address, strict=False)
    except ValueError as fault:
        raise SpfError(term, "network") from fault


def _optional_domain(name: str, rest: str, term: str) -> str:
    """``[:domain-spec][/length][//length]`` of a and mx, ``[:domain-spec]`` of ptr."""
    domain = rest
    if name != "ptr" and (match := _DUAL_CIDR.fullmatch(rest)):
        domain = match[1]
        if int(match[2] or 0) > 32 or int(match[3] or 0) > 128:
            raise SpfError(term, "network")
    if not domain:
        return ""
    if not domain.startswith(":"):
        raise SpfError(term, "syntax")
    return _domain_spec(domain[1:], term)


def _domain_spec(text: str, term: str) -> str:
    """A macro-string that ends in a macro or in a dot and a top label (section 7.1)."""
    _, dot, label = text.removesuffix(".").rpartition(".")
    ends_well = _ENDS_IN_MACRO.search(text) or (dot and _TOPLABEL.fullmatch(label))
    if not ends_well or not _MACRO_STRING.fullmatch(text):
        raise SpfError(term, "syntax")
    return text
