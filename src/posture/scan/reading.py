"""What is read back from the history after a scan: the state, the drift, the report for the site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from posture import history
from posture.checks import catalogue
from posture.config import Config
from posture.errors import UsageError
from posture.exempted import exempted, exemptions_now
from posture.inventory.records import Asset, Inventory, Ministry, Operator, State
from posture.ledger.log import checkpoint_of
from posture.model import AssetKey
from posture.policy import Policy, load_policy, parse_policy
from posture.report import Report, Rescored, assemble, narrow
from posture.rescoring import recorded_scores, score_under
from posture.store import RunRecord, Store
from posture.store.authority import authority_of
from posture.store.database import is_there
from posture.store.exemptions import exemptions_of
from posture.store.quiet import silent_controls
from posture.trend import trends_until


def drift_document(db: Path, before: str, after: str, *, vantage: str | None = None) -> dict[str, Any]:
    """``posture-drift/1`` between two runs of a database."""
    with Store.open(db, write=False) as store:
        return history.compare(store, before, after, vantage=vantage)


def gone_silent(config: Config) -> tuple[str, ...]:
    """What to say of controls that nobody answers any more; () without a history.

    Raises:
        UsageError, StoreError: there is one, and it cannot be read.
    """
    if not is_there(config.db):
        return ()
    with Store.open(config.db, write=False) as store:
        last = history.latest_closed(store)
        found = () if last is None else silent_controls(store.reader, last, config.silent_runs)
    return tuple(one.sentence for one in found)


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


def _who_is_who(store: Store, run: RunRecord, path: Path, today: Inventory | None, *, then: bool) -> Inventory:
    """Today's inventory; or the run's own, with the names of the State and the operator from today's."""
    if today is not None and not then:
        return today
    known = remembered(store, run, path)
    if today is None or today.state.code != run.state_code:
        return known
    return replace(known, state=replace(today.state, timezone=run.timezone), operator=today.operator)


def _theirs(store: Store, run: RunRecord, inventory: Inventory, ministries: Sequence[str]) -> set[AssetKey]:
    """All that is some ministries', now or by that run. Raises UsageError: no such ministry."""
    known = {ministry.code for ministry in inventory.ministries}
    if unknown := [code for code in ministries if code not in known]:
        raise UsageError(f"no ministry {', '.join(map(repr, unknown))}. Choose from: {', '.join(sorted(known))}.")
    theirs = {asset.key for asset in inventory.assets if asset.ministry in ministries}
    return theirs | set(store.reader.inventory(run.number, ministries))


def _part(inventory: Inventory, ministries: Sequence[str]) -> Inventory:
    return replace(
        inventory,
        ministries=tuple(one for one in inventory.ministries if one.code in ministries),
        assets=tuple(asset for asset in inventory.assets if asset.ministry in ministries),
    )


def _rescored(store: Store, before: str, last: RunRecord, policy: Policy) -> Rescored | None:
    """The run before under the rules of the last; None when both were judged alike."""
    earlier = history.resolve_run(store, before)
    if earlier.judgement == last.judgement:
        return None
    told = {name: row.tenths for name, row in recorded_scores(store, earlier).items()}
    return Rescored(score_under(store, earlier, policy), told)


def report_of(
    config: Config,
    inventory: Inventory | None,
    *,
    run: str | None = None,
    at: str | None = None,
    vantage: str | None = None,
    ministries: Sequence[str] = (),
) -> Report:
    """The report of the current state, of the state at a time, or of one run, compared with the complete run before.

    Args:
        inventory: None where there is no such file: then who is who is as the last run knew it.
        at: a date (its end, in the State's time zone) or a time: the state as it was known then, under the policy
            and with the ministries, assets and criticality of that time's run. Deadlines count to that time. The
            weights of the controls are this release's.
        ministries: nothing of any other is read, nor is in the report: see :func:`posture.report.narrow`.

    Raises:
        UsageError: no such database, run or ministry, both a run and a time, or nothing has been scanned yet.
    """
    now = datetime.now(UTC)
    with Store.open(config.db, write=False) as store:
        entries = exemptions_now(config) if run is None and at is None else None
        last = history.shown_run(store, run=run, at=at, vantage=vantage)
        if last is None:
            raise UsageError(f"{config.db} holds no finished run yet. Scan first: posture scan.")
        inventory = _who_is_who(store, last, config.inventory, inventory, then=at is not None)
        only = _theirs(store, last, inventory, ministries) if ministries else None
        inventory = inventory if only is None else _part(inventory, ministries)
        document = history.state(store, run=run, at=at, vantage=vantage, exemptions=entries, now=now, only=only)
        drift = history.latest_drift(store, until=last, ministries=ministries) if run is None else None
        before = history.state_after(store, history.resolve_run(store, drift["from"]["id"]), only) if drift else None
        recorded = store.reader.policy(last)
        rescored = _rescored(store, drift["from"]["id"], last, recorded) if drift else None
        authorities = authority_of(store.connection, last.number)
        recorded_entries = exemptions_of(store.connection, last.number)
        signed = checkpoint_of(store.connection, last)
        trends = trends_until(store, last, ministries)
        silent = (
            () if ministries else tuple(one.sentence for one in silent_controls(store.reader, last, config.silent_runs))
        )
    then = min(history.bounds(at, last.timezone)[1], now) if at else last.end if run else now
    listed = exempted(recorded_entries if entries is None else entries, document["findings"], then, last.timezone)
    report = assemble(
        inventory,
        document,
        parse_policy(recorded.body) if recorded else load_policy(),
        catalogue(),
        now,
        as_of=None if at is None else then,
        drift_document=drift,
        previous=before["findings"] if before else None,
        rescored=rescored,
        authorities=authorities,
        exemptions=listed["exemptions"],
    )
    report = replace(report, checkpoint=signed.note if signed else "", trends=trends, silent_controls=silent)
    return narrow(report, ministries)
