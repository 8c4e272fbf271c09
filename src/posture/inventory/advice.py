"""What an inventory may be warned about: it can be used as it is, but perhaps not as its writer thinks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

from posture.errors import Problem
from posture.inventory.names import is_placeholder
from posture.inventory.reading import Problems, Table
from posture.inventory.records import Asset, Authorisation, Inventory


def advise(inventory: Inventory, root: Table, problems: Problems, at: datetime) -> None:
    """Adds the warnings INV-101 to INV-107 to ``problems``."""
    if is_placeholder(inventory.operator.contact):
        root.warn(
            "INV-104",
            ("operator", "contact") if root.has("operator") else "operator",
            "is empty or an example: whoever sees the scans must be able to ask somebody.",
            "Until it is real, only lab addresses are scanned.",
        )
    today = at.astimezone(ZoneInfo(inventory.state.timezone)).date()
    for index, ministry in enumerate(inventory.ministries):
        if not ministry.authorisations:
            root.warn(
                "INV-103",
                ("ministry", index),
                f"{ministry.code} has no authorisation: nothing of it is scanned.",
                'Name one: authorisation = ["..."].',
            )
    for index, table in enumerate(root.tables("authorisation")):
        authorisation = inventory.authorisations.get(str(table.values.get("id")))
        if authorisation is not None:
            _advise_on_authorisation(authorisation, ("authorisation", index), root, today)
    _advise_on_zones(inventory, problems)


def _advise_on_authorisation(authorisation: Authorisation, path: Sequence[str | int], root: Table, today: date) -> None:
    if authorisation.is_draft:
        root.warn(
            "INV-107",
            (*path, "reference"),
            f"{authorisation.id} is a draft: nothing is sent under it.",
            "Have the letter signed and write its number and date here.",
        )
    if authorisation.not_after < today:
        message = f"{authorisation.id} ended on {authorisation.not_after}: nothing is sent under it."
        root.warn("INV-101", (*path, "not_after"), message, "Ask the owner to renew it.")
    elif authorisation.not_before > today:
        message = f"{authorisation.id} begins on {authorisation.not_before}: nothing is sent before."
        root.warn("INV-102", (*path, "not_before"), message, "Wait, or correct the date.")


def _advise_on_zones(inventory: Inventory, problems: Problems) -> None:
    of_ministry = {
        ministry.code: [inventory.authorisations[each] for each in ministry.authorisations]
        for ministry in inventory.ministries
    }
    for asset in inventory.assets:
        authorisations = of_ministry[asset.ministry]
        if asset.kind == "address" or not authorisations:
            continue
        if not any(authorisation.covers_name(asset.name) for authorisation in authorisations):
            problems.warnings.append(_outside(asset, authorisations))


def _outside(asset: Asset, authorisations: Sequence[Authorisation]) -> Problem:
    names = ", ".join(authorisation.id for authorisation in authorisations)
    return Problem(
        "INV-105",
        asset.file,
        asset.line or None,
        "name",
        f"{asset.name} is in no zone of {names}, or excluded there: it is not scanned.",
        "Add its zone to the authorisation, if the owner agrees.",
        warning=True,
    )
