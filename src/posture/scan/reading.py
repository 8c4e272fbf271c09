"""What is read back from the history after a scan: the state, the drift, the report for the site."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from posture import history
from posture.checks import catalogue
from posture.config import Config
from posture.errors import UsageError
from posture.inventory.records import Asset, Inventory, Ministry, Operator, State
from posture.policy import load_policy, parse_policy
from posture.report import Report, assemble
from posture.store import RunRecord, Store
from posture.store.authority import authority_of


def drift_document(db: Path, before: str, after: str, *, vantage: str | None = None) -> dict[str, Any]:
    """``posture-drift/1`` between two runs of a database."""
    with Store.open(db, write=False) as store:
        return history.compare(store, before, after, vantage=vantage)


def remembered(store: Store, run: RunRecord, path: Path) -> Inventory:
    """The inventory as a run knew it: ministries and assets, without addresses, authorisations or an operator."""
    names, entries = store.reader.ministries(run.state_code), store.reader.entries(run.number)
    assets = tuple(
        Asset(key.name, key.kind, entry.ministry, entry.declared.roles, entry.declared.criticality)
        for key, entry in sorted(entries.items())
    )
    present = {asset.ministry for asset in assets}
    return Inventory(
        path=path,
        state=State(run.state_code, run.state_code, run.timezone),
        operator=Operator("", ""),
        authorisations={},
        ministries=tuple(Ministry(code, name, ()) for code, name in names.items() if code in present),
        assets=assets,
    )


def report_of(
    config: Config,
    inventory: Inventory | None,
    *,
    run: str | None = None,
    vantage: str | None = None,
) -> Report:
    """The report of the current state, or of one run, compared with the complete run before.

    Args:
        inventory: None where there is no such file: then who is who is as the last run knew it.

    Raises:
        UsageError: no such database or run, or nothing has been scanned yet.
    """
    with Store.open(config.db, write=False) as store:
        document = history.state(store, run=run, vantage=vantage)
        if document["run"] is None:
            raise UsageError(f"{config.db} holds no finished run yet. Scan first: posture scan.")
        drift = history.latest_drift(store, vantage) if run is None else None
        before = history.state(store, at=drift["from"]["ended_at"], vantage=vantage) if drift else None
        last = history.resolve_run(store, document["run"]["id"])
        recorded = store.reader.policy(last)
        inventory = inventory or remembered(store, last, config.inventory)
        authorities = authority_of(store.connection, last.number)
    return assemble(
        inventory,
        document,
        parse_policy(recorded.body) if recorded else load_policy(),
        catalogue(),
        datetime.now(UTC),
        drift_document=drift,
        previous=before["findings"] if before else None,
        authorities=authorities,
    )
