"""``posture-exempted/1``: the exemptions, which are in force, and beside how many open findings each of them stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from posture.checks import catalogue
from posture.config import Config
from posture.exemptions import FILE, STATES, Exemption, InForce, load_exemptions
from posture.model import AssetKey, Outcome
from posture.store import Store, stamp
from posture.store.choice import resolve_run
from posture.store.exemptions import exemptions_of

Row = dict[str, Any]


def exemptions_file(config: Config) -> Path | None:
    """The operator's file: the configured one, else the one beside the inventory; None when there is none."""
    if config.exemptions is not None:
        return config.exemptions
    beside = config.inventory.with_name(FILE)
    return beside if beside.is_file() else None


def exemptions_now(config: Config) -> tuple[Exemption, ...] | None:
    """What the operator's file says today; None when there is none. Raises ExemptionError."""
    path = exemptions_file(config)
    return None if path is None else load_exemptions(path, catalogue().keys())


def accepted_in(store: Store, run: str) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a row of ``posture-drift/1`` is of a finding that was exempted when a run ended."""
    record = resolve_run(store, run)
    entries = InForce.at(exemptions_of(store.connection, record.number), record.end, record.timezone)

    def is_accepted(row: Mapping[str, Any]) -> bool:
        asset = AssetKey(row["asset"], row["asset_kind"])
        return entries.beside(asset, row["control"], row["subject"], Outcome(row["after"] or "pass")) is not None

    return is_accepted


def exempted(
    entries: Iterable[Exemption],
    rows: Sequence[Mapping[str, Any]],
    at: datetime,
    timezone: str,
    *,
    run: str | None = None,
    file: Path | None = None,
) -> Row:
    """The document: those that end soonest first, those that have no effect last.

    Args:
        rows: of ``posture-findings/1``, to count what each exemption covers.
        at: its days are those of ``timezone``.
        run: whose file it was; ``file``: where it is today.
    """
    today = at.astimezone(ZoneInfo(timezone)).date()
    found = [exemption_row(one, rows, today) for one in entries]
    order = {"ending": 0, "in_force": 1, "future": 2, "expired": 3}
    return {
        "schema": "posture-exempted/1",
        "at": stamp(at),
        "run": run,
        "file": None if file is None else str(file),
        "exemptions": sorted(found, key=lambda row: (order[row["state"]], row["expires"], row["id"])),
    }


def exemption_row(one: Exemption, rows: Iterable[Mapping[str, Any]], today: date) -> Row:
    """One exemption, with how long it lasts and how much it covers."""
    state = one.state(today)
    assert state in STATES
    return {
        "id": one.id,
        "state": state,
        "days_left": (one.expires - today).days,
        "control": one.control,
        "asset": one.asset,
        "subject": one.subject,
        "rationale": one.rationale,
        "approver": one.approver,
        "approved": f"{one.approved:%Y-%m-%d}",
        "expires": f"{one.expires:%Y-%m-%d}",
        "reference": one.reference,
        "findings": sum(
            Outcome(row["outcome"]).is_open and one.covers(row["asset"], row["control"], row["subject"]) for row in rows
        ),
    }
