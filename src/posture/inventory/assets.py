"""Reading one asset, from a TOML table or the row of a sheet: the same keys, the same rules."""

from __future__ import annotations

from posture.inventory.names import is_address, parse_address, parse_asset_name, parse_selector
from posture.inventory.reading import Table
from posture.inventory.records import Asset, Port
from posture.inventory.schedule import parse_port

KINDS = ("host", "zone", "address")
ROLES = ("web", "mail", "nameserver", "api")
MAIL = ("sends", "receives")


def read_asset(table: Table, ministry: str) -> Asset | None:
    """One asset; None when it has no usable name (the problems are noted)."""
    name = table.parsed("name", parse_asset_name, required=True)
    kind = _kind(table, name)
    roles = table.choices("roles", ROLES) or ()
    criticality = table.integer("criticality", 2, low=1, high=3)
    ports = table.items("ports", parse_port, numbers=True)
    internal = table.boolean("internal")
    addresses = table.items("addresses", parse_address) or ()
    mail = table.choices("mail", MAIL)
    selectors = table.items("dkim_selectors", parse_selector) or ()
    table.finish()
    if ports is not None:
        ports = _ports_once(table, ports)
    if kind != "zone":
        _only_for_zones(table, {"mail": mail or (), "dkim_selectors": selectors})
        mail = None
    if kind == "address" and addresses:
        table.error("INV-028", "addresses", "is set although the asset is an address itself.", "Delete it.")
    if name is None:
        return None
    return Asset(
        name=name,
        kind=kind,
        ministry=ministry,
        roles=roles,
        criticality=criticality,
        ports=ports,
        internal=internal,
        addresses=addresses,
        mail=mail,
        dkim_selectors=selectors,
        file=table.source.file,
        line=table.line("name") or 0,
    )


def _kind(table: Table, name: str | None) -> str:
    numeric = name is not None and is_address(name)
    kind = table.choice("kind", KINDS, "address" if numeric else "host")
    if name is not None and numeric != (kind == "address"):
        what = "an address" if numeric else "a name"
        table.error(
            "INV-028",
            "kind",
            f"is {kind!r}, but {name} is {what}.",
            "Delete the key: addresses and hosts are told apart by themselves.",
        )
    return kind


def _only_for_zones(table: Table, values: dict[str, tuple[str, ...]]) -> None:
    for key, value in values.items():
        if value:
            table.error(
                "INV-028",
                key,
                "belongs to zones: mail is judged at the domain, not at a host.",
                'Move it to the asset with kind = "zone".',
            )


def _ports_once(table: Table, ports: tuple[Port, ...]) -> tuple[Port, ...]:
    """Refuses a port that is declared as two things."""
    seen: dict[tuple[int, str], Port] = {}
    for port in ports:
        other = seen.setdefault((port.number, port.protocol), port)
        if other is not port:
            table.error("INV-026", "ports", f"declare {port.number} twice, as different services.", "Keep one of them.")
    return tuple(seen.values())
