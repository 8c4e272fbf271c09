"""What will be asked of whom, under whose authority. Sends nothing but DNS questions to our own resolver.

    Inventory + Scope + policy + selection --> Plan(tasks, settled, refusals)

Every name is resolved once, here; each address is decided by the scope; what may not or cannot be asked is *settled*:
an answer known before any packet (a refusal of ours, a name that does not exist, a port nobody declared).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from posture.checks import Control
from posture.inventory.records import Asset, Inventory
from posture.model import AssetKey, Reason, Unobserved
from posture.net.decisions import Decider
from posture.plan.asset import AssetPlanner, Terms
from posture.plan.following import FOLLOWS, OF_ASSETS
from posture.plan.selection import Selection, check_selection
from posture.plan.settled import Refused, Settled
from posture.policy import Policy
from posture.probes.base import Resolver
from posture.scanned import Scanned
from posture.task import Task

SPECIAL = "E-SCOPE-021"  # the refusal that means "a special-purpose address"

__all__ = ["FOLLOWS", "Plan", "Refused", "Selection", "Settled", "make_plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole plan.

    ``providers``: asset -> subject -> who must mend what is found there, when it is not the ministry. ``notes`` are
    remarks for the reader (hosted names, an inside view of the DNS).
    """

    tasks: tuple[Task, ...]
    settled: tuple[Settled, ...]
    refusals: tuple[Refused, ...]
    controls: tuple[Control, ...]
    assets: tuple[Asset, ...]
    notes: tuple[str, ...] = ()
    providers: Mapping[AssetKey, Mapping[str, str]] = field(default_factory=dict)

    def questions(self) -> Iterator[tuple[AssetKey, str, str]]:
        """Every (asset, probe, subject), also those settled without a packet."""
        yield from dict.fromkeys(
            [(task.key, task.probe, task.subject) for task in self.tasks]
            + [(settled.key, settled.probe, settled.subject) for settled in self.settled]
        )

    def document(self) -> dict[str, object]:
        """``posture-plan/1``: one row per task and address."""
        return {
            "schema": "posture-plan/1",
            "tasks": _distinct(row for task in self.tasks if FOLLOWS not in task.params for row in _task_rows(task)),
            "refusals": _distinct(
                {
                    "asset": refusal.asset,
                    "class": str(refusal.probe_class),
                    "address": refusal.address,
                    "code": refusal.code,
                    "text": Scanned(refusal.text),
                }
                for refusal in self.refusals
            ),
            "notes": list(map(Scanned, self.notes)),
        }


def _distinct(rows: Iterable[dict[str, object]]) -> list[dict[str, object]]:
    """Each row once: several questions to one place under one authority are one line to the reader."""
    return list({tuple(row.values()): row for row in rows}.values())


def _task_rows(task: Task) -> Iterator[dict[str, object]]:
    ports: Sequence[int | None] = task.params.get("ports") or (task.port,)
    for address in task.addresses or (None,):
        for port in ports:
            yield {
                "ministry": task.ministry,
                "asset": task.asset,
                "check": task.check,
                "class": str(task.probe_class),
                "address": address,
                "port": port,
                "authorisation": task.authorisation,
            }


async def make_plan(
    inventory: Inventory,
    scope: Decider,
    resolver: Resolver,
    policy: Policy,
    selection: Selection,
    at: datetime,
) -> Plan:
    """The plan of a run at a time.

    Args:
        scope: decides every question, as it will when the plan is carried out.
        resolver: our own resolver; the only thing that is asked here.
        at: when authorisations are decided (UTC).

    Raises:
        UsageError: a selector that matches nothing.
    """
    check_selection(selection, inventory, policy)
    controls = selection.chosen_controls(policy)
    checks = _check_of_probes(controls)
    if selection.ministries or selection.assets:
        checks.pop(OF_ASSETS, None)  # a run of some assets has not seen who else uses their keys
    shared = Terms(inventory, scope, resolver, checks, selection.classes, at, selection.deep, selection.all_suites)
    assets = tuple(asset for asset in inventory.assets if selection.wants(asset))
    planners = [AssetPlanner(shared, asset) for asset in assets]
    await asyncio.gather(*(planner.plan() for planner in planners))
    return Plan(
        tasks=tuple(task for planner in planners for task in planner.tasks),
        settled=tuple(settled for planner in planners for settled in planner.settled),
        refusals=tuple(dict.fromkeys(refusal for planner in planners for refusal in planner.refusals)),
        controls=controls,
        assets=assets,
        notes=_notes(planners),
        providers={planner.asset.key: planner.providers for planner in planners if planner.providers},
    )


def _notes(planners: Sequence[AssetPlanner]) -> tuple[str, ...]:
    """Remarks for the reader: names hosted elsewhere, a view from inside."""
    notes = []
    judged = [planner for planner in planners if planner.hosted is not None]
    elsewhere = sum(bool(planner.hosted) for planner in judged)
    if elsewhere:
        notes.append(
            f"{elsewhere} of {len(judged)} names are hosted elsewhere: DNS facts only; "
            'to look as a browser would: hosted_classes = ["client"]'
        )
    unresolved = sorted({p.asset.name for p in planners for settled in p.settled if _is_unanswered(settled)})
    if unresolved:
        notes.append(
            f"{len(unresolved)} names could not be looked up now ({', '.join(unresolved[:3])}): what stands on them is "
            "not in this plan. 'posture doctor' looks at the resolver."
        )
    inside = {p.asset.name for p in planners for refusal in p.refusals if refusal.code == SPECIAL}
    if inside:
        notes.append(
            f"{len(inside)} names resolve to special-purpose addresses ({', '.join(sorted(inside)[:3])}): "
            "you look from inside. Scan from outside, or use --resolver with a public one."
        )
    return tuple(notes)


def _is_unanswered(settled: Settled) -> bool:
    """Our resolver gave no usable answer about the name, which is not our own refusal to ask."""
    answer = settled.answer
    return isinstance(answer, Unobserved) and answer.code is None and answer.reason is not Reason.NOT_RUN


def _check_of_probes(controls: Sequence[Control]) -> dict[str, str]:
    """Probe name -> family of the first control that needs it; probes that nobody needs are left out."""
    checks: dict[str, str] = {}
    for control in controls:
        for need in control.rule.needs:
            checks.setdefault(need.TYPE, control.family)
    return checks
