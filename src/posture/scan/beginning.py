"""How a run begins: the terms it is recorded with, and the run to record in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import posture
from posture import history
from posture.errors import UsageError
from posture.plan import Plan
from posture.scan.terms import Terms, authorisation_digest, declared
from posture.store import AssetEntry, OpenRun, RunStart, Store
from posture.store.database import check_space

TOOL = f"posture {posture.__version__}"


def why_nothing(plan: Plan) -> str:
    reasons = sorted({f"{refusal.code} {refusal.text}" for refusal in plan.refusals})
    shown = "\n  ".join(reasons[:5])
    return f"nothing in scope may be asked; nothing was sent. 'posture plan' lists every refusal.\n  {shown}".rstrip()


def entries_of(store: Store, terms: Terms, plan: Plan) -> tuple[AssetEntry, ...]:
    """The whole inventory; of assets that this run leaves out, who mends what is known from the run before."""
    last = history.latest_closed(store, terms.config.vantage)
    before = store.reader.entries(last.number) if last else {}
    known = {key: entry.providers for key, entry in before.items()}
    planned = {asset.key for asset in plan.assets}
    return tuple(
        AssetEntry(
            asset.ministry, declared(asset), (plan.providers if asset.key in planned else known).get(asset.key, {})
        )
        for asset in terms.inventory.assets
    )


def start_of(terms: Terms, plan: Plan, entries: tuple[AssetEntry, ...], at: datetime) -> RunStart:
    inventory, selection = terms.inventory, terms.selection
    chosen = {
        "ministries": list(selection.ministries),
        "assets": list(selection.assets),
        "checks": list(selection.checks),
        "controls": list(selection.controls),
    }
    return RunStart(
        started_at=at,
        state=inventory.state.code,
        timezone=inventory.state.timezone,
        tool=TOOL,
        policy=terms.policy,
        controls=tuple(control.id for control in plan.controls),
        inventory_digest=inventory.digest,
        authorisation_digest=authorisation_digest(inventory),
        ministries={ministry.code: ministry.name for ministry in inventory.ministries},
        assets=entries,
        planned=tuple(plan.questions()),
        vantage=terms.config.vantage,
        selectors={name: values for name, values in chosen.items() if values},
        reference=terms.reference,
        lab=terms.lab,
        authorities=terms.permitted,
        named={ministry.code: ministry.authorisations for ministry in inventory.ministries},
        exemptions=terms.exemptions,
    )


def open_run(store: Store, start: RunStart, resume: bool, seal: Callable[[Store], object]) -> OpenRun:
    """The run to record in: a new one, or with ``resume`` the one that was interrupted, which else is closed and sealed.

    Raises:
        StoreError: the disk is too small for what is left to ask.
        UsageError: the interrupted run was on other terms.
    """
    leftover = store.leftover(start.vantage) if resume else None
    if leftover is None:
        return store.begin(start, seal=seal)
    if changed := leftover.differs_from(start):
        raise UsageError(
            f"{leftover.run.id} cannot be resumed: {', '.join(changed)} changed since it began. "
            "Scan without --resume: what it found is kept."
        )
    check_space(store.path, len(leftover.planned() - leftover.done()))
    return leftover
