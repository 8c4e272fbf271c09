"""How a fault is seen from any machine, and the settings that mend it: mending.toml of a family, and one finding's own line.

What a line is filled in with comes from the inventory, from tables of ours or, for a mail exchanger, from the DNS: a name that
is not plainly one, a suite or a curve that no table knows, gives no line at all, because lines are made to be pasted in a shell.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from ipaddress import ip_address
from typing import Any

from posture.facts.groups import WITHDRAWN
from posture.facts.suites import openssl_name
from posture.model import parse_endpoint

# In the order in which settings are shown. Who may mend what: what is spoken on ports of the web, and of mail.
SERVERS = {
    "nginx": "nginx",
    "apache": "Apache",
    "haproxy": "HAProxy",
    "windows": "IIS and Exchange",
    "iis": "IIS",
    "postfix": "Postfix",
    "exchange": "Exchange",
}
_MAIL = frozenset({"postfix", "exchange", "windows"})
_STARTTLS = {21: "ftp", 25: "smtp", 110: "pop3", 143: "imap", 389: "ldap", 587: "smtp", 5222: "xmpp", 5432: "postgres"}
_MAIL_PORTS = frozenset({25, 110, 143, 465, 587, 993, 995})
_VERSIONS = {"TLS 1.0": "-tls1", "TLS 1.1": "-tls1_1", "TLS 1.2": "-tls1_2", "TLS 1.3": "-tls1_3"}
_NAME = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII
)
_CURVES = {name for name, _ in WITHDRAWN.values()}


@dataclass(frozen=True, slots=True)
class Mending:
    """``see``: a template of shell lines; ``shows``: what they print where the fault is; ``settings``: server -> lines."""

    see: str = ""
    shows: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)

    def settings_for(self, *, web: bool, mail: bool) -> Mapping[str, str]:
        """Those for servers of the web, of mail, or of both, by the servers' names, in the order in which they are shown."""
        return {
            SERVERS[server]: self.settings[server]
            for server in SERVERS
            if server in self.settings
            and ((mail and server in _MAIL) or (web and server not in ("postfix", "exchange")))
        }


NOT_SAID = Mending()


def mending_of(family: str) -> Mapping[str, Mending]:
    """mending.toml of a family, by control; nothing where the family has none."""
    path = resources.files(f"posture.checks.{family}").joinpath("mending.toml")
    if not path.is_file():
        return {}
    return {
        control: Mending(
            entry.get("see", "").strip(),
            entry.get("shows", ""),
            {server: entry[server].strip() for server in SERVERS if server in entry},
        )
        for control, entry in tomllib.loads(path.read_text("utf-8")).items()
    }


@dataclass(frozen=True, slots=True)
class Place:
    """Where a finding stands, as a client reaches it. ``host`` is an address, or a mail exchanger's name."""

    name: str
    host: str
    port: int

    @property
    def is_mail(self) -> bool:
        return self.port in _MAIL_PORTS


def place_of(asset: str, subject: str, args: Mapping[str, Any]) -> Place | None:
    """The place behind a subject of the TLS family; None where there is no single one, or no plain name."""
    if subject.startswith("mx:"):
        exchanger, _, digits = subject.removeprefix("mx:").rpartition(":")
        plain = _NAME.fullmatch(exchanger) and digits.isascii() and digits.isdecimal()
        return Place(exchanger, exchanger, int(digits)) if plain else None
    if not _NAME.fullmatch(asset) and not _is_address(asset):
        return None
    if not subject:
        addresses = [one for one in args.get("without", ()) if _is_address(one)]
        return Place(asset, addresses[0], 443) if addresses else None
    try:
        address, port, _ = parse_endpoint(subject)
    except ValueError:
        return None
    return Place(asset, address, port)


def line_of(mending: Mending, asset: str, subject: str, args: Mapping[str, Any]) -> str:
    """The shell line that shows one finding, or "" where none can be given."""
    place = place_of(asset, subject, args)
    if place is None or not mending.see:
        return ""
    try:
        return mending.see.format_map(_filled(place, args))
    except KeyError:  # it needs what this finding does not tell
        return ""


def shows_of(mending: Mending, args: Mapping[str, Any]) -> str:
    """What the line prints where the fault is."""
    try:
        return mending.shows.format_map(_chosen(args))
    except KeyError:
        return ""


def _filled(place: Place, args: Mapping[str, Any]) -> dict[str, str]:
    bracketed = f"[{place.host}]" if ":" in place.host else place.host
    by_name = not _is_address(place.name)
    starttls = f" -starttls {_STARTTLS[place.port]}" if place.port in _STARTTLS else ""
    sni = f" -servername {place.name}" if by_name else " -noservername"
    authority = place.name if place.port in (80, 443) else f"{place.name}:{place.port}"
    return _chosen(args) | {
        "asked": f"openssl s_client -connect {bracketed}:{place.port}{sni}{starttls}",
        "host": f"-6 {place.host}" if ":" in place.host else place.host,
        "port": str(place.port),
        "name": place.name,
        "authority": authority,
        "resolve": f"--resolve {place.name}:{place.port}:{bracketed}" if by_name else "",
    }


def _chosen(args: Mapping[str, Any]) -> dict[str, str]:
    """What a line asks for, as far as the finding names it: the oldest version, one suite, one curve."""
    versions = sorted(one for one in args.get("protocols", ()) if one in _VERSIONS)
    suites = [found for one in args.get("suites", ()) if (found := openssl_name(str(one)))]
    curves = [one for one in args.get("curves", ()) if one in _CURVES]
    options = {"version": [_VERSIONS[one] for one in versions], "cipher": suites, "curve": curves}
    return {key: values[0] for key, values in options.items() if values}


def _is_address(text: object) -> bool:
    try:
        ip_address(str(text))
    except ValueError:
        return False
    return True
