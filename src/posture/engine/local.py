"""Runs a plan's tasks in one asyncio loop and hands over each answer as it arrives.

    async for task, answer in run(tasks, probes, broker, stop=stop): ...

Every task gets exactly one answer, whatever happens. Assets take turns; equal work of several assets is done once;
an asset has a clock of its own that does not run while its probes wait for limits.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Hashable, Iterable, Mapping, Sequence
from itertools import chain, zip_longest

from posture.errors import PostureError
from posture.facts import Facts
from posture.model import Absent, Answer, NotSeen, NotThere, Observed, Reason, Unobserved
from posture.net.asset import ASSET_SECONDS, AssetContext
from posture.net.broker import Broker, BrokerDoor
from posture.probes.base import Probe
from posture.task import Task

logger = logging.getLogger(__name__)

# Most workers wait for a limit of some address; they cost little, and a slow address must not stop the others.
WORKERS = 256
# Beyond its own deadline a probe gets this long to end by itself.
GRACE_SECONDS = 2.0


async def run(
    tasks: Sequence[Task],
    probes: Mapping[str, Probe],
    broker: Broker,
    *,
    asset_deadline: float = ASSET_SECONDS,
    budget: float | None = None,
    workers: int = WORKERS,
    stop: asyncio.Event | None = None,
) -> AsyncGenerator[tuple[Task, Answer], None]:
    """Answers in the order they arrive; use with contextlib.aclosing when leaving early.

    Args:
        probes: by name, as tasks call them.
        asset_deadline: seconds of each asset's clock.
        budget: seconds for the whole run; what has not been answered then is Unobserved.
        workers: tasks under way at once.
        stop: when set, connections are closed and every task left is Unobserved(STOPPED).

    Raises:
        PostureError: something the operator must mend, such as an audit log that cannot be written.
    """
    engine = _Run(probes, broker, asset_deadline)
    engine.pending.extend(arrange(tasks))
    crew = [asyncio.create_task(engine.work()) for _ in range(min(workers, len(engine.pending)))]
    crew.append(asyncio.create_task(engine.halt_on(stop, budget)))
    try:
        for _ in tasks:
            result = await engine.results.get()
            if isinstance(result, PostureError):
                raise result
            yield result
    finally:
        for member in crew:
            member.cancel()
        await asyncio.gather(*crew, return_exceptions=True)


def arrange(tasks: Iterable[Task]) -> list[list[Task]]:
    """Groups of equal work in the order to do them: assets take turns, and of each asset first one task per address
    and port, which shows at once whether anything lives there; sweeps last."""
    groups: dict[Hashable, list[Task]] = {}
    for task in tasks:
        groups.setdefault(_work(task), []).append(task)
    by_asset: dict[Hashable, list[list[Task]]] = {}
    for group in groups.values():
        by_asset.setdefault(_asset(group[0]), []).append(group)
    turns = zip_longest(*(_liveness_first(groups) for groups in by_asset.values()))
    return [group for group in chain.from_iterable(turns) if group is not None]


def _liveness_first(groups: list[list[Task]]) -> list[list[Task]]:
    seen: set[Hashable] = set()
    ranks = []
    for group in groups:
        endpoint = (group[0].addresses, group[0].port)
        ranks.append(2 if endpoint[1] is None and endpoint[0] else int(endpoint in seen))
        seen.add(endpoint)
    return [group for _, group in sorted(zip(ranks, groups, strict=True), key=lambda ranked: ranked[0])]


def _work(task: Task) -> Hashable:
    """What makes two tasks the same work: all that reaches the wire, not whose it is."""
    params = json.dumps(dict(task.params), sort_keys=True)
    return (task.probe, task.probe_class, task.name, task.addresses, task.port, params)


def _asset(task: Task) -> Hashable:
    return (task.ministry, task.key)


class _Run:
    """What the workers of one run share."""

    def __init__(self, probes: Mapping[str, Probe], broker: Broker, asset_deadline: float) -> None:
        self.pending: deque[list[Task]] = deque()
        self.results: asyncio.Queue[tuple[Task, Answer] | PostureError] = asyncio.Queue()
        self._probes = probes
        self._broker = broker
        self._asset_deadline = asset_deadline
        self._assets: dict[Hashable, AssetContext] = {}
        self._running: dict[asyncio.Future[Facts], BrokerDoor] = {}
        self._cut_off: dict[asyncio.Future[Facts], NotSeen] = {}
        self._halted: tuple[Reason, str] | None = None

    async def work(self) -> None:
        """One worker: takes groups until none is left."""
        while self.pending:
            group = self.pending.popleft()
            try:
                await self._do(group)
            except PostureError as fault:
                self.results.put_nowait(fault)

    async def halt_on(self, stop: asyncio.Event | None, budget: float | None) -> None:
        """Waits for the stop signal or the end of the budget, then ends everything under way."""
        try:
            async with asyncio.timeout(budget):
                await (stop or asyncio.Event()).wait()
            self._halted = (Reason.STOPPED, "the run was stopped")
        except TimeoutError:
            self._halted = (Reason.DEADLINE, f"the run's budget of {budget:.0f} s was used up")
        for probe, door in self._running.items():
            self._cut_off[probe] = self._why(door)
            probe.cancel()
            door.close()

    async def _do(self, group: list[Task]) -> None:
        """Answers all tasks of a group with one piece of work. A refusal of ours is about one authority only."""
        answer: Answer | None = None
        for task in group:
            if answer is None or (isinstance(answer, Unobserved) and answer.code):
                answer = await self._answer(task)
            self.results.put_nowait((task, answer))

    async def _answer(self, task: Task) -> Answer:
        if self._halted:
            return self._unobserved(*self._halted)
        probe = self._probes.get(task.probe)
        if probe is None:
            return self._unobserved(Reason.NOT_RUN, f"there is no probe {task.probe!r}")
        asset = self._assets.setdefault(_asset(task), AssetContext(self._asset_deadline))
        door = self._broker.door(task, asset=asset, seconds=probe.deadline)
        try:
            facts = await self._bounded(probe.observe(task, door), door, probe.deadline)
        except NotThere as absent:
            return Absent(absent.cause, self._broker.clock(), absent.detail)
        except NotSeen as unseen:
            return self._unobserved(unseen.reason, unseen.detail, unseen.code)
        except TimeoutError:
            return self._unobserved(Reason.DEADLINE, f"{task.probe} did not end in time")
        except PostureError:
            raise
        except Exception as fault:  # the one broad except: a probe's bug costs its own answer, no other
            logger.exception("%s of %s failed", task.probe, task.asset)
            return self._unobserved(Reason.BUG, type(fault).__name__)
        finally:
            door.close()
        return Observed(facts, self._broker.clock())

    async def _bounded(self, observation: Awaitable[Facts], door: BrokerDoor, seconds: float) -> Facts:
        """The facts. The door's own deadlines end a probe that waits for the wire; this ends one that does not.

        Raises:
            NotSeen: the run was halted meanwhile.
            TimeoutError: the probe took longer than its deadline, waiting for limits not counted.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        probe = asyncio.ensure_future(observation)
        self._running[probe] = door
        try:
            while not probe.done():
                left = seconds + GRACE_SECONDS - (loop.time() - started - door.waited.elapsed)
                if left <= 0:
                    raise TimeoutError
                await asyncio.wait({probe}, timeout=left)
            if probe.cancelled():
                raise self._cut_off.pop(probe, None) or RuntimeError("the probe cancelled itself")
            return probe.result()
        finally:
            del self._running[probe]
            if not probe.done():
                probe.cancel()
                await asyncio.wait({probe}, timeout=GRACE_SECONDS)

    def _why(self, door: BrokerDoor) -> NotSeen:
        """Why a probe under way is cut off: one that only waits for a limit says so."""
        reason, detail = self._halted or (Reason.STOPPED, "")
        if reason is Reason.DEADLINE and door.waited.running and not door.clock.running:
            return NotSeen(Reason.RATE_LIMITED, f"{detail} while waiting for a turn")
        return NotSeen(reason, detail)

    def _unobserved(self, reason: Reason, detail: str, code: str | None = None) -> Unobserved:
        return Unobserved(reason, self._broker.clock(), detail, code)
