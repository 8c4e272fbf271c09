"""``posture inventory export``: the assets as a sheet to edit, or the whole inventory as one TOML file.

Imported again, a sheet gives the same assets; the TOML is the inventory's own text with the rows of its sheets in it.
"""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from posture.errors import PostureError, UsageError
from posture.inventory.columns import COLUMNS
from posture.inventory.load import load_with
from posture.inventory.reading import Table
from posture.inventory.records import Asset, Inventory, Port

FORMATS = ("csv", "xlsx", "toml")
NONE = "none"  # a list that is there and empty
NOTES = (
    ("ministry", "the code of a ministry of the inventory"),
    ("name", "the host, zone or address; a URL becomes its host name"),
    ("kind", "host, zone or address; left out: address if it is one, else host"),
    ("roles", "web, mail, nameserver, api; several by spaces"),
    ("criticality", "1 low, 2 normal (left out), 3 vital"),
    (
        "ports",
        'declared open: "80 443 8443/https 161/udp"; left out: the default of the kind; none: nothing should be open',
    ),
    ("addresses", "pinned instead of resolved; several by spaces"),
    ("mail", "zones only: sends, receives; left out: inferred; none: parked"),
    ("dkim_selectors", "zones only; several by spaces"),
    ("internal", "yes: not meant for the public"),
)


def cells_of(asset: Asset) -> dict[str, str]:
    """The row of an asset. Read again it is the same asset."""
    return {
        "ministry": asset.ministry,
        "name": asset.name,
        "kind": asset.kind,
        "roles": " ".join(asset.roles),
        "criticality": "" if asset.criticality == 2 else str(asset.criticality),
        "ports": _listed(None if asset.ports is None else [port_text(port) for port in asset.ports]),
        "addresses": " ".join(asset.addresses),
        "mail": _listed(asset.mail),
        "dkim_selectors": " ".join(asset.dkim_selectors),
        "internal": "yes" if asset.internal else "",
    }


def port_text(port: Port) -> str:
    """``443``, ``8443/https``, ``161/udp``."""
    if port.service:
        return f"{port.number}/{port.service}"
    return str(port.number) if port.protocol == "tcp" else f"{port.number}/{port.protocol}"


def _listed(values: Sequence[str] | None) -> str:
    return "" if values is None else " ".join(values) or NONE


def sheet_csv(assets: Iterable[Asset]) -> bytes:
    """UTF-8 with a byte order mark, which spreadsheets need; lines end in CR LF (RFC 4180)."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(map(cells_of, assets))
    return text.getvalue().encode("utf-8-sig")


def sheet_xlsx(assets: Iterable[Asset]) -> bytes:
    from posture.inventory.workbook import write_sheet  # only for this

    return write_sheet(COLUMNS, map(cells_of, assets), NOTES)


def export_inventory(path: Path, form: str, ministries: Sequence[str] = ()) -> bytes:
    """What the file is to hold.

    Args:
        path: the inventory.
        form: csv, xlsx or toml.
        ministries: only their assets; not with toml, which is the whole inventory.

    Raises:
        InventoryError: every fault of the inventory.
        UsageError: no such form or ministry, or a TOML that cannot be rewritten by a program.
    """
    inventory, _, root = load_with(path, Path.read_bytes)
    known = [ministry.code for ministry in inventory.ministries]
    if unknown := [code for code in ministries if code not in known]:
        raise UsageError(f"no ministry {', '.join(map(repr, unknown))}. Choose from: {', '.join(sorted(known))}.")
    if form == "toml":
        if ministries:
            raise UsageError("a TOML export is the whole inventory. Leave --ministry out, or export a sheet.")
        return _toml(inventory, root)
    assets = [asset for asset in inventory.assets if not ministries or asset.ministry in ministries]
    if form not in FORMATS:
        raise UsageError(f"no format {form!r}. Choose from: {', '.join(FORMATS)}.")
    return sheet_xlsx(assets) if form == "xlsx" else sheet_csv(assets)


# ---- one TOML file


def _toml(inventory: Inventory, root: Table) -> bytes:
    content = inventory.path.read_bytes()
    lines = content.decode("utf-8-sig").replace("\r\n", "\n").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    starts = _sections(root)
    dropped: set[int] = set()
    added: dict[int, str] = {}  # after this line
    for index, ministry in enumerate(inventory.ministries):
        named = root.source.line(("ministry", index, "assets"))
        if not root.values["ministry"][index].get("assets") or named is None:
            continue
        header = root.source.line(("ministry", index)) or 0
        mine = [one for one in inventory.assets if one.ministry == ministry.code and one.file != str(inventory.path)]
        dropped.add(named)
        end = min((start for start in starts if start > max(header, named)), default=len(lines) + 1) - 1
        added[end] = added.get(end, "") + "".join(map(_table, mine))
    text = "".join(
        ("" if number in dropped else line) + added.get(number, "") for number, line in enumerate(lines, 1)
    ).encode()
    _must_be_the_same(inventory, text)
    return text


def _sections(root: Table) -> list[int]:
    """The lines on which the tables of the top begin."""
    found = [root.source.line((name,)) for name in ("state", "operator")]
    for name in ("authorisation", "ministry", "lab_port"):
        found += [root.source.line((name, index)) for index in range(len(root.values.get(name, ())))]
    return sorted(line for line in found if line is not None)


def _table(asset: Asset) -> str:
    fields: list[tuple[str, object]] = [("name", asset.name), ("kind", asset.kind)]
    fields += [("roles", list(asset.roles))] if asset.roles else []
    fields += [("criticality", asset.criticality)] if asset.criticality != 2 else []
    fields += [("ports", [port_text(port) for port in asset.ports])] if asset.ports is not None else []
    fields += [("internal", True)] if asset.internal else []
    fields += [("addresses", list(asset.addresses))] if asset.addresses else []
    fields += [("mail", list(asset.mail))] if asset.mail is not None else []
    fields += [("dkim_selectors", list(asset.dkim_selectors))] if asset.dkim_selectors else []
    body = "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in fields)
    return f"\n[[ministry.asset]]\n{body}"


def _must_be_the_same(inventory: Inventory, text: bytes) -> None:
    """The text is read again before anybody sees it. Raises UsageError."""

    def read_file(path: Path) -> bytes:
        return text if path == inventory.path else path.read_bytes()

    try:
        again = load_with(inventory.path, read_file)[0]
        same = _plain(again) == _plain(inventory)
    except PostureError:
        same = False
    if not same:
        raise UsageError(
            f"{inventory.path} is written in a way that a program cannot take apart. Export a sheet instead: --out FILE.csv."
        )


def _plain(inventory: Inventory) -> Mapping[str, object]:
    assets = {(one.ministry, one.key): replace(one, file="", line=0) for one in inventory.assets}
    return {
        "state": inventory.state,
        "operator": inventory.operator,
        "authorisations": inventory.authorisations,
        "ministries": inventory.ministries,
        "assets": assets,
        "lab": inventory.lab_ports,
    }


# ---- the file


def own_files(path: Path) -> set[Path]:
    """The inventory and its companion sheets. Raises InventoryError."""
    _, _, root = load_with(path, Path.read_bytes)
    sheets = [str(each.get("assets", "")) for each in root.values.get("ministry", ())]
    return {path.resolve(), *((path.parent / sheet).resolve() for sheet in sheets if sheet)}


def write_whole(path: Path, content: bytes, *, force: bool) -> None:
    """Writes a file, whole or not at all.

    Args:
        force: a file of that name may be replaced.

    Raises:
        UsageError: there is a file, and no force; or no such folder.
        PostureError: it cannot be written.
    """
    if path.exists() and not force:
        raise UsageError(f"{path} is there already; nothing was written. Name another file, or add --force.")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"no folder {path.parent}. Make it, or name another file.")
    try:
        handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.", suffix=".part")
        part = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            part.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as fault:
        raise PostureError(f"{path} cannot be written: {fault.strerror}. Name a file elsewhere.") from fault
