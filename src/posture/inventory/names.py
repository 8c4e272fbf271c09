"""The spelling of names, addresses and networks: one spelling for each thing, everything odd refused.

Names become lower-case A-labels without a trailing dot (RFC 5890, UTS #46); they are letters, digits and hyphens.
Addresses are dotted quads or RFC 5952 text. All parsers raise Fault.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Address, ip_address, ip_network

import idna

from posture.inventory.reading import Fault
from posture.inventory.records import Network

MAX_NAME = 253  # RFC 1035, section 2.3.4, without the trailing dot
PLACEHOLDER_TLDS = frozenset({"example", "test", "invalid", "localhost"})
PLACEHOLDER_DOMAINS = frozenset({"example.com", "example.net", "example.org"})
WIDEST_V4, WIDEST_V6 = 8, 24
_LDH_NAME = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMERIC = re.compile(r"(?:0x[0-9a-f]*|\d+)", re.IGNORECASE)
_SELECTOR = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*")


def is_address(text: str) -> bool:
    """Whether ``text`` is an address in an ordinary spelling."""
    try:
        parse_address(text)
    except Fault:
        return False
    return True


def parse_address(text: str) -> str:
    """One address in its canonical text.

    Raises:
        Fault: INV-012, an odd spelling (octal, hexadecimal, one number, zone id, brackets, IPv4 inside IPv6).
    """
    advice = "Write 198.51.100.7 or 2001:db8::7, nothing around it."
    if "%" in text:
        raise Fault(
            "INV-012", f"has a zone id: {text!r}.", "Only addresses that mean the same everywhere can be scanned."
        )
    try:
        address = ip_address(text)
    except ValueError:
        raise Fault("INV-012", f"is not an address in its ordinary spelling: {text!r}.", advice) from None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        raise Fault("INV-012", f"is an IPv4 address inside IPv6: {text!r}.", f"Write {address.ipv4_mapped}.")
    return str(address)


def parse_name(text: str) -> str:
    """A host or zone name.

    Raises:
        Fault: INV-010 to INV-014.
    """
    _refuse_lookalikes(text)
    name = text.rstrip(".").lower() if text.endswith(".") and not text.endswith("..") else text.lower()
    if not name.isascii() or "xn--" in name:
        name = _a_labels(name)
    _refuse_numbers(name, text)
    if len(name) > MAX_NAME:
        raise Fault("INV-010", f"is longer than {MAX_NAME} characters.", "Check the name.")
    if not _LDH_NAME.fullmatch(name):
        raise Fault("INV-010", _what_is_wrong(name, text), "Write a name such as www.finance.gov.example.")
    return name


def parse_asset_name(text: str) -> str:
    """A name, or an address."""
    return parse_address(text) if is_address(text) else parse_name(text)


def _refuse_lookalikes(text: str) -> None:
    if text.startswith("-"):
        raise Fault(
            "INV-011", f"starts with a hyphen, like an option of a program: {text[:80]!r}.", "Correct the name."
        )
    if "://" in text or "/" in text:
        raise Fault(
            "INV-014",
            f"is a URL or a network, not a name: {text[:80]!r}.",
            "Write the host name alone, or let 'posture inventory import' take it out of the URL.",
        )
    if "*" in text:
        raise Fault(
            "INV-013", f"is a wildcard: {text[:80]!r}.", 'List the names; a zone is kind = "zone", without "*.".'
        )
    if "%" in text or ":" in text or text.startswith("["):
        raise Fault(
            "INV-012",
            f"looks like an address in an odd spelling, or a name with a port: {text[:80]!r}.",
            "Write the name or the plain address; ports have a key of their own.",
        )


def _refuse_numbers(name: str, text: str) -> None:
    """What some program would read as an IPv4 address: 0x7f000001, 2130706433, 0177.0.0.1, 127.1."""
    if _NUMERIC.fullmatch(name.rpartition(".")[2]):
        raise Fault(
            "INV-012",
            f"is read by some programs as an IPv4 address in an odd spelling: {text[:80]!r}.",
            "Write addresses as four decimal numbers: 198.51.100.7.",
        )


def _a_labels(name: str) -> str:
    if len(name) > 4 * MAX_NAME:
        raise Fault("INV-010", f"is longer than {MAX_NAME} characters.", "Check the name.")
    try:
        return idna.encode(name, uts46=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as fault:
        raise Fault("INV-010", f"is not a valid internationalised name: {fault}.", "Check its letters.") from None


def _what_is_wrong(name: str, text: str) -> str:
    if not name or ".." in name or name.startswith(".") or name.endswith("."):
        return f"has an empty label: {text[:80]!r}."
    if any(len(label) > 63 for label in name.split(".")):
        return "has a label longer than 63 characters."
    if "_" in name:
        return f"has an underscore, which no host or zone has: {text[:80]!r}."
    if "." not in name:
        return f"has one label only: {text[:80]!r}."
    return f"is not a host name of letters, digits and inner hyphens: {text[:80]!r}."


def parse_network(text: str) -> Network:
    """A network in CIDR form, or one address.

    Raises:
        Fault: INV-021, host bits set or wider than /8 (IPv6: /24); INV-012, an odd spelling.
    """
    address, slash, length = text.partition("/")
    if (slash and not (length.isascii() and length.isdigit())) or not is_address(address):
        raise Fault("INV-012", f"is not a network: {text[:80]!r}.", "Write 198.51.100.0/24 or 2001:db8:40::/48.")
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise Fault("INV-012", f"has a wrong prefix length: {text[:80]!r}.", "Write 198.51.100.0/24.") from None
    widest = WIDEST_V4 if isinstance(network, IPv4Network) else WIDEST_V6
    if network.prefixlen < widest:
        raise Fault(
            "INV-021",
            f"{text} is wider than /{widest}: no owner has that many addresses.",
            "List the networks that the owner really holds.",
        )
    if str(network.network_address) != parse_address(address):
        raise Fault("INV-021", f"{text} has bits set outside its prefix.", f"Write {network}, if that is meant.")
    return network


def parse_selector(text: str) -> str:
    """A DKIM selector (RFC 6376, section 3.1), lower case."""
    selector = text.lower()
    if not _SELECTOR.fullmatch(selector) or len(selector) > 200:
        raise Fault("INV-010", f"is not a DKIM selector: {text[:80]!r}.", 'Write it as in "s=" of a DKIM signature.')
    return selector


def parse_contact(text: str) -> str:
    """Whom to ask about a scan: goes into User-Agent and EHLO, so plain ASCII; an e-mail address is best. May be empty.

    Raises:
        Fault: INV-006, or that of a faulty domain.
    """
    if not text.isascii() or not text.isprintable():
        raise Fault("INV-006", "is not plain ASCII.", "Write an e-mail address, such as soc@cert.example.")
    user, at, domain = text.rpartition("@")
    if at and (not user or " " in text or "://" in text):
        raise Fault("INV-006", f"is not an e-mail address: {text[:80]!r}.", "Write it as soc@cert.example.")
    return f"{user}@{parse_name(domain)}" if at else text


def is_placeholder(contact: str) -> bool:
    """Whether a contact is empty or under a name set aside for examples (RFC 2606, RFC 6761)."""
    host = contact.partition("://")[2] or contact
    host = host.rpartition("@")[2].partition("/")[0].partition(":")[0].rstrip(".").lower()
    labels = host.split(".")
    return not contact or labels[-1] in PLACEHOLDER_TLDS or ".".join(labels[-2:]) in PLACEHOLDER_DOMAINS
