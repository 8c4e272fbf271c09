"""nmap as a child: the only arguments it is ever given, how many connections they make, and what its XML says.

Nothing of an inventory becomes an argument: targets are literal addresses and go to standard input, where nmap has no
options; everything else is a number. No scripts, no OS detection, no raw packets, no higher speed than the limits'.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from posture.inventory.records import Limits
from posture.net.child import FRAGILE_PORTS

RETRIES = 1
# Of the probes for versions only the most likely ones (nmap-service-probes: "rarity").
VERSION_INTENSITY = 2
MAX_XML_BYTES = 4 * 1024 * 1024
MAX_PORTS = 10_000
MAX_TEXT = 256
# While it waits for silent ports nmap asks one that answered every 1.25 s whether the line still works.
_PING_SECONDS = 1.25
_STATES = frozenset({"open", "closed", "filtered", "unfiltered", "open|filtered", "closed|filtered"})
_PORT_LISTS = ("ports", "sslports")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9._/+-]+")


def nmap_argv(
    binary: Path, ports: Sequence[int], limits: Limits, *, version: int, seconds: float, services: bool = False
) -> list[str]:
    """The argument list; targets are read from standard input (see :func:`nmap_targets`).

    Args:
        binary: nmap, by its absolute path.
        ports: TCP ports to connect to.
        version: 4 or 6, of the addresses.
        seconds: after which a host is given up.
        services: ask open ports what they are, too.

    Raises:
        ValueError: no path, no port, or something that is none.
    """
    if not binary.is_absolute():
        raise ValueError(f"nmap is started by its absolute path, not as {str(binary)!r}")
    if version not in (4, 6):
        raise ValueError(f"no version of IP: {version!r}")
    if not ports:
        raise ValueError("no port for nmap")
    fragile = ",".join(map(str, sorted(FRAGILE_PORTS)))
    argv = [str(binary), "-sT", "--unprivileged", "-Pn", "-n", *(["-6"] if version == 6 else [])]
    argv += ["-p", "T:" + ",".join(str(_port(port)) for port in ports), "--exclude-ports", f"T:{fragile},U:{fragile}"]
    argv += ["--max-parallelism", "1", "--max-rate", str(max(1, int(limits.new_connections_per_second)))]
    argv += ["--max-retries", str(RETRIES), "--host-timeout", f"{max(1, math.ceil(seconds))}s"]
    argv += ["-sV", "--version-intensity", str(VERSION_INTENSITY)] if services else []
    data = _data_folder(binary)
    argv += ["--datadir", str(data)] if data else []
    return [*argv, "--no-stylesheet", "-oX", "-", "-iL", "-"]


def nmap_targets(addresses: Iterable[str | IPv4Address | IPv6Address]) -> bytes:
    """Literal addresses for nmap's standard input, one a line.

    Raises:
        ValueError: none, or something that is no plain address: nmap would read a name, a range or a network.
    """
    literals = [_literal(address) for address in addresses]
    if not literals:
        raise ValueError("no address for nmap")
    return "".join(f"{literal}\n" for literal in literals).encode("ascii")


def nmap_connections(binary: Path, port: int, *, seconds: float, services: bool) -> int:
    """The most connections that one port of one address gets from these arguments.

    Raises:
        ValueError: nmap's table of probes is not where it should be, so that they cannot be counted.
    """
    scan = 1 + RETRIES + math.ceil(seconds / _PING_SECONDS)
    if not services:
        return scan
    data = _data_folder(binary)
    if data is None:
        raise ValueError(f"no nmap-service-probes beside {binary}: versions cannot be asked within a budget")
    table = (data / "nmap-service-probes").read_text("utf-8", "replace")
    # Each probe may take a connection of its own, and all of them a second time inside TLS.
    return scan + 2 * (1 + _probes_for(table, port))


def _probes_for(table: str, port: int) -> int:
    """How many TCP probes of nmap's table may be sent to a port: the likely ones, and those registered for it."""
    count, counted, tcp = 0, True, False
    for line in table.splitlines():
        word, _, rest = line.partition(" ")
        if word == "Probe":
            tcp, counted = rest.startswith("TCP "), False
        elif tcp and not counted:
            likely = word == "rarity" and int(rest) <= VERSION_INTENSITY
            if likely or (word in _PORT_LISTS and _lists(rest, port)):
                count, counted = count + 1, True
    return count


def _lists(ports: str, port: int) -> bool:
    for part in ports.split(","):
        first, _, last = part.strip().partition("-")
        if int(first) <= port <= int(last or first):
            return True
    return False


def _data_folder(binary: Path) -> Path | None:
    """nmap's own tables, so that none of another place is used."""
    folder = binary.resolve().parents[1] / "share" / "nmap"
    return folder if (folder / "nmap-service-probes").is_file() and _PLAIN_NAME.fullmatch(str(folder)) else None


def _port(port: object) -> int:
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
        raise ValueError(f"no port: {port!r}")
    if port in FRAGILE_PORTS:
        raise ValueError(f"nmap is never sent to port {port}")
    return port


def _literal(address: object) -> IPv4Address | IPv6Address:
    if not isinstance(address, str | IPv4Address | IPv6Address):
        raise ValueError(f"no address: {address!r}")  # noqa: TRY004 - one error for all that is no address
    literal = ip_address(address)
    if isinstance(literal, IPv6Address) and literal.scope_id is not None:
        raise ValueError(f"an address with a zone: {address!r}")
    return literal


class NmapXmlError(ValueError):
    """What came is no report of nmap, or none that may be read."""


@dataclass(frozen=True, slots=True)
class PortReport:
    """What nmap says of a port. The texts are the scanned system's own words or guesses from them, cut at 256 characters.

    ``confidence`` 0 to 10; ``method`` is "table" (from the port number alone) or "probed"; ``tunnel`` "ssl" or "".
    """

    address: str
    port: int
    protocol: str
    state: str
    service: str = ""
    product: str = ""
    version: str = ""
    extra: str = ""
    tunnel: str = ""
    method: str = ""
    confidence: int = 0
    cpe: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NmapReport:
    """``gave_up``: hosts that nmap left before it was done (--host-timeout); of them nothing is known."""

    ports: tuple[PortReport, ...]
    gave_up: tuple[str, ...] = ()


def parse_nmap_xml(document: bytes) -> NmapReport:
    """The report of a finished nmap (-oX).

    Raises:
        NmapXmlError: too large, not XML, cut off, not finished, with entities or a document type beyond nmap's plain
            one, or with a value that cannot be.
    """
    if len(document) > MAX_XML_BYTES:
        raise NmapXmlError(f"more than {MAX_XML_BYTES} bytes of XML")
    reading = _Reading()
    parser = expat.ParserCreate("utf-8")
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.StartDoctypeDeclHandler = reading.document_type
    parser.EntityDeclHandler = reading.entity
    parser.StartElementHandler = reading.begins
    parser.EndElementHandler = reading.ends
    parser.CharacterDataHandler = reading.text
    try:
        parser.Parse(document, True)
    except NmapXmlError:
        raise
    except (expat.ExpatError, ValueError) as fault:
        raise NmapXmlError(f"no report of nmap: {fault}") from fault
    if not reading.finished:
        raise NmapXmlError("nmap did not finish")
    return NmapReport(tuple(reading.reports), tuple(reading.gave_up))


class _Reading:
    """What has been read so far; expat calls the methods."""

    def __init__(self) -> None:
        self.reports: list[PortReport] = []
        self.gave_up: list[str] = []
        self.finished = False
        self._path: list[str] = []
        self._address = ""
        self._timed_out = False
        self._port: dict[str, str] = {}
        self._state = ""
        self._service: dict[str, str] = {}
        self._cpe: list[str] = []

    def document_type(self, name: str, system: str | None, public: str | None, internal: int) -> None:
        if name != "nmaprun" or system is not None or public is not None or internal:
            raise NmapXmlError("a document type that nmap does not write")

    def entity(self, *_declaration: object) -> NoReturn:
        raise NmapXmlError("an entity")

    def begins(self, name: str, attributes: dict[str, str]) -> None:
        if not self._path and name != "nmaprun":
            raise NmapXmlError(f"a document of {name[:40]!r}")
        if len(self._path) >= 32:
            raise NmapXmlError("nested too deeply")
        self._path.append(name)
        match "/".join(self._path[1:]):
            case "host":
                self._address, self._timed_out = "", attributes.get("timedout") == "true"
            case "host/address" if attributes.get("addrtype") in ("ipv4", "ipv6"):
                self._address = _address(attributes.get("addr"))
            case "host/ports/port":
                self._port, self._state, self._service, self._cpe = attributes, "", {}, []
            case "host/ports/port/state":
                self._state = attributes.get("state", "")
            case "host/ports/port/service":
                self._service = attributes
            case "host/ports/port/service/cpe":
                self._cpe.append("")
            case "runstats/finished":
                self.finished = attributes.get("exit") == "success"

    def text(self, data: str) -> None:
        if self._path[-1] == "cpe" and self._cpe:
            self._cpe[-1] = (self._cpe[-1] + data)[:MAX_TEXT]

    def ends(self, _name: str) -> None:
        place = "/".join(self._path[1:])
        self._path.pop()
        if place == "host/ports/port":
            self.reports.append(self._report())
            if len(self.reports) > MAX_PORTS:
                raise NmapXmlError(f"more than {MAX_PORTS} ports")
        elif place == "host" and self._timed_out:
            self.gave_up.append(self._address)

    def _report(self) -> PortReport:
        if not self._address:
            raise NmapXmlError("a port of no address")
        if self._state not in _STATES or self._port.get("protocol") not in ("tcp", "udp"):
            raise NmapXmlError("a port in no state that nmap knows")
        said = {name: value[:MAX_TEXT] for name, value in self._service.items()}
        return PortReport(
            address=self._address,
            port=_number(self._port.get("portid"), 65535),
            protocol=self._port["protocol"],
            state=self._state,
            service=said.get("name", ""),
            product=said.get("product", ""),
            version=said.get("version", ""),
            extra=said.get("extrainfo", ""),
            tunnel=said.get("tunnel", ""),
            method=said.get("method", ""),
            confidence=_number(said.get("conf", "0"), 10),
            cpe=tuple(self._cpe[:16]),
        )


def _number(text: str | None, most: int) -> int:
    if text is None or not re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) or int(text) > most:
        raise NmapXmlError(f"no number up to {most}: {(text or '')[:20]!r}")
    return int(text)


def _address(text: str | None) -> str:
    try:
        return str(_literal(text))
    except ValueError as fault:
        raise NmapXmlError(f"no address: {(text or '')[:60]!r}") from fault
