"""What a scan of the range needs on disk: inventory, sheet, configuration, trust store and trust anchor."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path

from posture.inventory.records import LabPort
from posture.range.layout import (
    CONTACT,
    ENTRIES,
    MINISTRIES,
    NETWORK,
    OPERATOR,
    STATE_CODE,
    STATE_NAME,
    TIMEZONE,
    Entry,
    Ministry,
)
from posture.range.lessons import Lesson

_IN_A_SHEET = "health"  # this ministry's assets come as a CSV sheet, to show that it works
_COLUMNS = ("name", "kind", "roles", "criticality", "ports", "mail")

# A loopback range needs no politeness; only ``lab = true`` may raise these.
_LIMITS = {
    "connections_per_address": 20,
    "new_connections_per_second": 500,
    "new_connections_burst": 1000,
    "sweep_pending": 200,
    "sweep_per_second": 2000,
    "prefix_per_second": 5000,
    "prefix_burst": 10000,
    "dns_per_second": 1000,
    "dns_burst": 2000,
    "smtp_per_minute": 600,
    "smtp_per_hour": 6000,
    "connections": 200,
}


def write_files(
    directory: Path,
    *,
    resolver: tuple[str, int],
    root_pem: bytes,
    trust_anchor: str,
    lab_ports: Sequence[LabPort],
    today: date,
    lesson: Lesson | None,
) -> Path:
    """Writes the files of one range and returns the inventory's path (see PracticeRange.write).

    Raises:
        OSError: the directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    entries = [entry for entry in ENTRIES if lesson is None or entry.name in lesson.assets]
    in_sheet = [entry for entry in entries if entry.ministry == _IN_A_SHEET]
    files = {
        "inventory.toml": _inventory(entries, lab_ports, today),
        "posture.toml": _configuration(resolver),
        "ca.pem": root_pem.decode("ascii"),
        "root-anchor.txt": trust_anchor,
        f"{_IN_A_SHEET}.csv": _sheet(in_sheet),
    }
    if lesson is not None:
        files["LESSON.md"] = lesson.markdown()
    for name, text in files.items():
        (directory / name).write_text(text, "utf-8", newline="\n")
    return (directory / "inventory.toml").absolute()


def _configuration(resolver: tuple[str, int]) -> str:
    address, port = resolver
    return (
        "# Written by the practice range; paths are relative to this file.\n"
        'inventory = "inventory.toml"\n'
        'db = "posture.db"\n'
        f'resolver = "{address}:{port}"\n'
        'ca_file = "ca.pem"\n'
        'trust_anchor = "root-anchor.txt"\n'
    )


def _inventory(entries: Sequence[Entry], lab_ports: Sequence[LabPort], today: date) -> str:
    ports = sorted({port.port for port in lab_ports})
    blocks = [
        "# The practice range, as an inventory. Every server is on this machine; scan it with --lab.\n",
        'format = "posture-inventory/1"\n\n',
        _table("state", code=STATE_CODE, name=STATE_NAME, timezone=TIMEZONE),
        _table("operator", name=OPERATOR, contact=CONTACT),
        *(_authorisation(ministry, ports, today) for ministry in MINISTRIES),
        *(_ministry(ministry, entries) for ministry in MINISTRIES),
        "# Where the range's servers really listen. Findings, plan and audit speak of `port`; ports that serve\n"
        "# nothing lead to a closed one, so that nothing else on this machine is asked.\n",
        *(_table("[lab_port]", address=p.address, port=p.port, to=p.to, proto=p.protocol) for p in lab_ports),
    ]
    return "".join(blocks)


def _authorisation(ministry: Ministry, ports: Sequence[int], today: date) -> str:
    consent = _table(
        "[authorisation]",
        id=ministry.authorisation,
        owner=ministry.name,
        officer=ministry.officer,
        basis="consent",
        reference=ministry.reference,
        not_before=today - timedelta(days=30),
        not_after=today + timedelta(days=335),
        classes=["passive", "client", "active"],
        zones=ministry.zones,
        networks=[NETWORK],
        ports=[str(port) for port in ports],
        lab=True,
    )
    return consent + _table("authorisation.limits", **_LIMITS)


def _ministry(ministry: Ministry, entries: Iterable[Entry]) -> str:
    head = {
        "code": ministry.code,
        "name": ministry.name,
        "authorisation": [ministry.authorisation],
        "sector": ministry.sector,
    }
    if ministry.code == _IN_A_SHEET:
        return _table("[ministry]", **head, assets=f"{_IN_A_SHEET}.csv")
    own = (entry for entry in entries if entry.ministry == ministry.code)
    return _table("[ministry]", **head) + "".join(_asset(entry) for entry in own)


def _asset(entry: Entry) -> str:
    fields: dict[str, object] = {"name": entry.name, "kind": entry.kind, "criticality": entry.criticality}
    optional = {"roles": entry.roles or None, "ports": entry.ports, "mail": entry.mail}
    fields |= {key: value for key, value in optional.items() if value is not None}
    return f"# {entry.note}\n{_table('[ministry.asset]', **fields)}"


def _table(header: str, /, **fields: object) -> str:
    """A TOML table and an empty line; a header in brackets of its own makes it an array's next element."""
    return "\n".join([f"[{header}]", *(f"{key} = {_value(value)}" for key, value in fields.items()), "", ""])


def _value(value: object) -> str:
    """A TOML value: JSON's notation is TOML's for strings, integers, booleans and arrays of these."""
    return value.isoformat() if isinstance(value, date) else json.dumps(value, ensure_ascii=True)


def _sheet(entries: Sequence[Entry]) -> str:
    """A companion sheet: an empty cell is left out, ``none`` is an empty list, lists by space."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for entry in entries:
        writer.writerow(
            (
                entry.name,
                entry.kind,
                _cell(entry.roles or None),
                entry.criticality,
                _cell(entry.ports),
                _cell(entry.mail),
            )
        )
    return text.getvalue()


def _cell(values: tuple[object, ...] | None) -> str:
    if values is None:
        return ""
    return " ".join(map(str, values)) or "none"
