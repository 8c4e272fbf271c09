"""Reading a whole inventory: one TOML file and the sheets it names."""

from __future__ import annotations

import hashlib
import zoneinfo
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from posture.errors import InventoryError, Problem
from posture.inventory.advice import advise
from posture.inventory.assets import read_asset
from posture.inventory.authority import parse_id, read_authorisation
from posture.inventory.columns import Row, read_rows, values_of
from posture.inventory.names import parse_address, parse_contact
from posture.inventory.reading import Fault, Problems, SheetSource, Table, meant, read_toml
from posture.inventory.records import Asset, Authorisation, Inventory, LabPort, Ministry, Operator, State

FORMAT = "posture-inventory/1"
ReadFile = Callable[[Path], bytes]


def load_inventory(path: Path, *, at: datetime | None = None) -> tuple[Inventory, tuple[Problem, ...]]:
    """The inventory and its warnings.

    Args:
        at: when authorisations are looked at for the warnings; default now.

    Raises:
        InventoryError: all problems of the file and its sheets.
    """
    inventory, warnings, _ = load_with(path, Path.read_bytes, at)
    return inventory, warnings


def load_with(
    path: Path, read_file: ReadFile, at: datetime | None = None
) -> tuple[Inventory, tuple[Problem, ...], Table]:
    """As :func:`load_inventory`, with another way to read files; also returns the TOML's top table, for its lines."""
    problems = Problems()
    loader = _Loader(path, read_file, problems)
    content = _read(path, read_file, problems)
    root = None if content is None else read_toml(content, str(path), problems)
    if content is None or root is None:
        raise InventoryError(problems.errors)
    inventory = loader.inventory(root, content)
    if problems.errors:
        raise InventoryError(
            sorted(problems.errors, key=lambda each: (each.file != str(path), each.file, each.line or 0))
        )
    advise(inventory, root, problems, at or datetime.now(UTC))
    return inventory, tuple(problems.warnings), root


def summary(inventory: Inventory) -> str:
    """``2 ministries, 23 assets (12 host, 11 zone), 2 authorisations``."""
    kinds = Counter(asset.kind for asset in inventory.assets)
    detail = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return (
        f"{_counted(len(inventory.ministries), 'ministry', 'ministries')}, "
        f"{_counted(len(inventory.assets), 'asset', 'assets')}{f' ({detail})' if detail else ''}, "
        f"{_counted(len(inventory.authorisations), 'authorisation', 'authorisations')}"
    )


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _read(path: Path, read_file: ReadFile, problems: Problems) -> bytes | None:
    try:
        return read_file(path)
    except FileNotFoundError:
        message, advice = "does not exist.", "Name another file, or start one: posture init DIR."
    except OSError as fault:
        message, advice = f"cannot be read: {fault.strerror}.", "Check its permissions."
    except ValueError:
        message, advice = "is not a file name.", "Name a file."
    problems.errors.append(Problem("INV-001", str(path), None, "", message, advice))
    return None


@dataclass(slots=True)
class _Loader:
    """What the parts of one inventory share while it is read. ``claimed`` tells who has an asset already."""

    path: Path
    read_file: ReadFile
    problems: Problems
    sheets: list[bytes] = field(default_factory=list)
    claimed: dict[tuple[str, str], Asset] = field(default_factory=dict)

    def inventory(self, root: Table, content: bytes) -> Inventory:
        if root.text("format", required=True) not in (FORMAT, ""):
            root.error("INV-002", "format", f"is not {FORMAT!r}.", f'Write format = "{FORMAT}".')
        state = _state(root)
        operator = _operator(root.table("operator"))
        authorisations, ids = self._authorisations(root)
        ministries: list[Ministry] = []
        assets: list[Asset] = []
        for table in root.tables("ministry"):
            ministry = self._ministry(table, ids, ministries)
            assets += self._assets(table, ministry.code)
            ministries.append(ministry)
        lab_ports = _lab_ports(root, authorisations.values())
        root.finish()
        digest = hashlib.sha256(b"".join([content, *self.sheets])).hexdigest()
        return Inventory(
            self.path,
            state,
            operator,
            authorisations,
            tuple(ministries),
            tuple(assets),
            lab_ports,
            digest,
        )

    def _authorisations(self, root: Table) -> tuple[dict[str, Authorisation], dict[str, int | None]]:
        """The usable ones, and the line of every id, so that a faulty one is not called unknown as well."""
        usable: dict[str, Authorisation] = {}
        lines: dict[str, int | None] = {}
        for table in root.tables("authorisation"):
            identifier = table.values.get("id")
            if isinstance(identifier, str):
                _once(table, "id", identifier, lines)
            authorisation = read_authorisation(table, self.path.parent)
            if authorisation is not None:
                usable.setdefault(authorisation.id, authorisation)
        return usable, lines

    def _ministry(self, table: Table, ids: dict[str, int | None], before: Sequence[Ministry]) -> Ministry:
        code = table.parsed("code", parse_id, required=True) or ""
        name = table.text("name", code)
        authorisations = table.items("authorisation", parse_id, single=True) or ()
        contact, sector = table.text("contact"), table.text("sector")
        if code and any(other.code.lower() == code.lower() for other in before):
            table.error("INV-015", "code", f"{code!r} stands twice.", "Give each ministry a code of its own.")
        for identifier in authorisations:
            if identifier not in ids:
                table.error(
                    "INV-020",
                    "authorisation",
                    f"{identifier!r} is not the id of an [[authorisation]].{meant(identifier, ids)}",
                    "Correct it, or add the authorisation.",
                )
        return Ministry(code, name, authorisations, contact, sector)

    def _assets(self, table: Table, ministry: str) -> list[Asset]:
        """The assets of a ministry: its own tables, then the rows of its sheet."""
        tables = list(table.tables("asset"))
        sheet = table.text("assets")
        table.finish()
        if sheet:
            tables += self._sheet(table, sheet, ministry)
        found = []
        for each in tables:
            asset = read_asset(each, ministry)
            if asset is not None and self._claim(each, asset):
                found.append(asset)
        return found

    def _sheet(self, table: Table, sheet: str, ministry: str) -> list[Table]:
        path = self.path.parent / sheet
        source = SheetSource(str(path))
        try:
            content = self.read_file(path)
        except (OSError, ValueError) as fault:
            words = getattr(fault, "strerror", None) or "not a file name"
            advice = "Sheets are looked for beside the inventory. Correct the name."
            table.error("INV-030", "assets", f"{sheet!r} cannot be read: {words}.", advice)
            return []
        self.sheets.append(content)
        rows = read_rows(content, source, self.problems, {})
        return [
            Table(values_of(row.cells), (row.line,), source, self.problems)
            for row in rows
            if self._is_of(row, ministry, source)
        ]

    def _is_of(self, row: Row, ministry: str, source: SheetSource) -> bool:
        other = row.cells.get("ministry", "")
        if other in ("", ministry):
            return True
        advice = f"Leave the cell empty, or move the row: this is the sheet of {ministry!r}."
        self.problems.error("INV-020", source, (row.line, "ministry"), f"is {other[:80]!r}.", advice)
        return False

    def _claim(self, table: Table, asset: Asset) -> bool:
        """Whether nobody had this (name, kind) before."""
        first = self.claimed.setdefault((asset.name, asset.kind), asset)
        if first is asset:
            return True
        place = f"line {first.line}" if first.file == asset.file else f"{first.file}:{first.line}"
        owner = "" if first.ministry == asset.ministry else f" (ministry {first.ministry})"
        table.error(
            "INV-015",
            "name",
            f"{asset.name} ({asset.kind}) stands here and in {place}{owner}.",
            "Keep one of the two.",
        )
        return False


def _once(table: Table, key: str, value: str, lines: dict[str, int | None]) -> None:
    if value in lines:
        message = f"{value[:80]!r} stands twice, first in line {lines[value]}."
        table.error("INV-015", key, message, "Give each authorisation an id of its own.")
    lines.setdefault(value, table.line(key))


def _state(root: Table) -> State:
    table = root.table("state")
    if not root.has("state"):
        root.error("INV-004", "state", "is missing.", "Add [state] with code, name and timezone.")
        return State("ZZ", "", "UTC")
    code = table.parsed("code", _country, required=True) or "ZZ"
    name = table.text("name", code)
    timezone = table.parsed("timezone", _timezone, required=True) or "UTC"
    table.finish()
    return State(code, name, timezone)


def _country(text: str) -> str:
    if len(text) == 2 and text.isascii() and text.isalpha() and text.isupper():
        return text
    raise Fault("INV-006", f"is {text[:20]!r}.", "Write the two capital letters of ISO 3166-1, such as LC.")


def _timezone(text: str) -> str:
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        close = meant(text, {name.lower(): name for name in zoneinfo.available_timezones()}.values())
        message = f"is not a time zone: {text[:60]!r}.{close}"
        raise Fault("INV-023", message, 'Write an IANA name, such as "America/St_Lucia".') from None
    return text


def _operator(table: Table) -> Operator:
    name = table.text("name")
    contact = table.parsed("contact", parse_contact) or ""
    url = table.text("url")
    if url and not url.startswith(("https://", "http://")):
        table.error("INV-006", "url", "is not a web address.", 'Start it with "https://".')
    table.finish()
    return Operator(name, contact, url)


def _lab_ports(root: Table, authorisations: Iterable[Authorisation]) -> tuple[LabPort, ...]:
    networks = [network for each in authorisations if each.lab for network in each.networks]
    found: dict[tuple[str, int, str], LabPort] = {}
    for table in root.tables("lab_port"):
        address = table.parsed("address", parse_address, required=True)
        port, to = (table.integer(key, 0, low=1, high=65535) for key in ("port", "to"))
        for key in ("port", "to"):
            if not table.has(key):
                table.error("INV-004", key, "is missing.", f"Add a line: {key} = ...")
        protocol = table.choice("proto", ("tcp", "udp", "both"), "tcp")
        table.finish()
        if address is None:
            continue
        if not any(ip_address(address) in network for network in networks):
            table.error(
                "INV-027",
                "address",
                f"{address} is in no network of an authorisation with lab = true.",
                "Add it to one, or delete the [[lab_port]].",
            )
        for each in ("tcp", "udp") if protocol == "both" else (protocol,):
            if (address, port, each) in found:
                table.error("INV-015", "port", f"{address} port {port}/{each} stands twice.", "Keep one of the two.")
            found[address, port, each] = LabPort(address, port, to, each)
    return tuple(found.values())
