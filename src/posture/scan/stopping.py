"""The kill switch in a scan: nothing begins while everything is stopped, and a run under way ends within two seconds."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from posture.errors import NothingToScan
from posture.model import Answer, Reason, Unobserved
from posture.plan import Plan
from posture.scope import REVOKED, STOPPED, stopped
from posture.stop import Order, OrdersNow
from posture.store import Question

if TYPE_CHECKING:
    from posture.scan.interruption import Interruption

LOOK_SECONDS = 0.25
# So long those who await an answer of our resolver have to be cut off themselves, before it is.
HAND_OVER_SECONDS = 0.1


class Closing(Protocol):
    """What must end with everything else: our resolver."""

    async def aclose(self) -> None: ...


def nothing_because(order: Order) -> NothingToScan:
    """Everything is stopped, and nothing was sent to anybody."""
    refusal = stopped(order)
    return NothingToScan(f"nothing was sent: {refusal.code} {refusal.text}")


def must_not_be_stopped(orders: OrdersNow) -> None:
    """Refuses a run while everything is stopped.

    Raises:
        NothingToScan: with who stopped it, when and why.
    """
    if order := orders().everything():
        raise nothing_because(order)


@asynccontextmanager
async def watched(orders: OrdersNow, stop: Interruption, resolver: Closing) -> AsyncIterator[None]:
    """For the length of the block: an order to stop everything sets ``stop``, and ends what our resolver still asks."""

    async def watch() -> None:
        while (order := orders().everything()) is None:  # noqa: ASYNC110 - a file gives no event
            await asyncio.sleep(LOOK_SECONDS)
        stop.halt(order)
        await asyncio.sleep(HAND_OVER_SECONDS)
        await resolver.aclose()

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)


def is_stopped(answer: Answer | None) -> bool:
    """Whether the kill switch kept something from being asked; a signal has no code."""
    return isinstance(answer, Unobserved) and answer.reason is Reason.STOPPED and answer.code is not None


def what_was_stopped(
    plan: Plan, kept: Mapping[Question, Answer], cut: Mapping[Question, Answer], everything: Order | None
) -> tuple[str, ...]:
    """One line for each order that kept something of this run from being asked, with the assets it concerned.

    Args:
        kept: the answers on record.
        cut: what was stopped under way, even where an earlier answer is on record.
        everything: the order that ended the run, which may have come when nothing was left to ask.
    """
    if everything:
        barring = stopped(everything)
        asked = [(task.key, task.probe, task.subject) for task in plan.tasks]
        count = sum(question in kept and not is_stopped(kept[question]) for question in asked)
        return (f"{count} of {len(asked)} answers are kept: {barring.code} {barring.text}",)
    concerned: defaultdict[str, set[str]] = defaultdict(set)
    for (key, _, _), answer in (*kept.items(), *cut.items()):
        if isinstance(answer, Unobserved) and is_stopped(answer):
            concerned[f"{answer.code} {answer.detail}"].add(key.name)
    for refusal in plan.refusals:
        if refusal.code in (REVOKED, STOPPED):
            concerned[f"{refusal.code} {refusal.text}"].add(refusal.asset)
    return tuple(f"{_counted(names)}: {text}" for text, names in sorted(concerned.items()))


def _counted(names: set[str]) -> str:
    return next(iter(names)) if len(names) == 1 else f"{len(names)} assets"
