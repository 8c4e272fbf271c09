"""Runs a plan's tasks in one asyncio loop and hands over each answer as it arrives.

    async for task, answer in run(tasks, probes, broker, stop=stop): ...

Every task gets exactly one answer, whatever happens. Assets take turns; equal work of several assets is done once;
an asset has a clock of its own that does not run while its probes wait for limits.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Any

from posture.engine.sharing import SharedWork, work_of
from posture.errors import PostureError
from posture.facts import Facts
from posture.model import Absent, Answer, NotSeen, NotThere, Observed, Reason, Unobserved
from posture.net.asset import ASSET_SECONDS, AssetContext
from posture.net.broker import Broker, BrokerDoor
from posture.net.governor import RATE
from posture.probes.base import Probe
from posture.scope import stopped
from posture.stop import Order, Orders, OrdersNow, no_orders
from posture.task import Task

logger = logging.getLogger(__name__)
NO_PROBES: Mapping[str, Probe] = {}

# Most workers wait for a limit of some address; they cost little, and a slow address must not stop the others.
WORKERS = 256
# Of them so many at one address, which lets in two at a time: a silent one with many names must not hold them all.
AT_ONE_ADDRESS = 16
# Beyond its own deadline a probe gets this long to end by itself.
GRACE_SECONDS = 2.0
# The kill switch promises two seconds: so often it is looked at, and so long one that was cut off may take to end.
LOOK_SECONDS = 0.25
CUT_OFF_SECONDS = 1.0


async def run(
    tasks: Sequence[Task],
    probes: Mapping[str, Probe],
    broker: Broker,
    *,
    asset_deadline: float = ASSET_SECONDS,
    budget: float | None = None,
    workers: int = WORKERS,
    at_one_address: int = AT_ONE_ADDRESS,
    stop: asyncio.Event | None = None,
    orders: OrdersNow = no_orders,
) -> AsyncGenerator[tuple[Task, Answer], None]:
    """Answers in the order they arrive; use with contextlib.aclosing when leaving early.

    Args:
        probes: by name, as tasks call them.
        asset_deadline: seconds of each asset's clock.
        budget: seconds for the whole run; what has not been answered then is Unobserved.
        workers: tasks under way at once; ``at_one_address``: of them at the same one.
        stop: when set, connections are closed and every task left is Unobserved(STOPPED).
        orders: what the kill switch says now; what it names is ended while it runs, and not begun. An order to stop
            everything holds to the end of the run, others until they are lifted.

    Raises:
        PostureError: something the operator must mend, such as an audit log that cannot be written.
    """
    engine = _Run(probes, broker, asset_deadline, orders, at_one_address)
    engine.pending.extend(arrange(tasks, probes))
    duties = [lambda: engine.halt_on(stop, budget), *([engine.watch] if orders is not no_orders else [])]
    # Who watches is there before anybody works.
    crew = [asyncio.create_task(engine.on_duty(duty)) for duty in duties]
    crew += [asyncio.create_task(engine.work()) for _ in range(min(workers, len(engine.pending)))]
    try:
        for _ in tasks:
            result = await engine.results.get()
            if isinstance(result, Exception):
                raise result
            yield result
    finally:
        for member in crew:
            member.cancel()
        await asyncio.gather(*crew, return_exceptions=True)


def arrange(tasks: Iterable[Task], probes: Mapping[str, Probe] = NO_PROBES) -> list[list[Task]]:
    """Groups of equal work in the order to do them: assets take turns, and of each asset first one task per address
    and port, which shows at once whether anything lives there; sweeps late, and programs of others last."""
    groups: dict[Hashable, list[Task]] = {}
    for task in tasks:
        groups.setdefault(work_of(task, probes), []).append(task)
    by_asset: dict[Hashable, list[list[Task]]] = {}
    for group in groups.values():
        by_asset.setdefault(_asset(group[0]), []).append(group)
    turns = zip_longest(*(_liveness_first(groups, probes) for groups in by_asset.values()))
    return [group for group in chain.from_iterable(turns) if group is not None]


def _liveness_first(groups: list[list[Task]], probes: Mapping[str, Probe]) -> list[list[Task]]:
    seen: set[Hashable] = set()
    ranks = []
    for group in groups:
        endpoint = (group[0].addresses, group[0].port)
        rank = 2 if endpoint[1] is None and endpoint[0] else int(endpoint in seen)
        probe = probes.get(group[0].probe)
        ranks.append(3 if probe is not None and probe.deep else rank)
        seen.add(endpoint)
    return [group for _, group in sorted(zip(ranks, groups, strict=True), key=lambda ranked: ranked[0])]


def _place(group: list[Task]) -> Hashable:
    """The address, None for what asks our resolver only."""
    return next(iter(group[0].addresses), None)


def _asset(task: Task) -> Hashable:
    return (task.ministry, task.key)


@dataclass(slots=True, eq=False)
class _UnderWay:
    """A probe at work. ``cut``: why it was cut off."""

    task: Task
    door: BrokerDoor
    probe: asyncio.Future[Facts]
    cut: asyncio.Future[NotSeen] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def cut_off(self, why: NotSeen) -> None:
        """Ends it now: its connections are closed, whatever it waits for is cancelled. What is finished stays."""
        if not self.probe.done() and not self.cut.done():
            self.cut.set_result(why)
            self.probe.cancel()
            self.door.close()

    def named_in(self, orders: Orders) -> Order | None:
        """The order that names its authority, or an address that it talks to or is about to."""
        authorisations = [self.task.authorisation, *(authorisation for authorisation, _ in self.door.engaged)]
        return orders.about(authorisations, [address for _, address in self.door.engaged]) or _about(orders, self.task)


def _about(orders: Orders, task: Task) -> Order | None:
    """The order that leaves nothing of a task to be done."""
    own = [orders.about_address(address) for address in task.addresses]
    return orders.about([task.authorisation], [task.name]) or (own[0] if own and all(own) else None)


def _refused(order: Order) -> NotSeen:
    refusal = stopped(order)
    return NotSeen(refusal.reason, refusal.text, refusal.code)


class _Run:
    """What the workers of one run share."""

    def __init__(
        self,
        probes: Mapping[str, Probe],
        broker: Broker,
        asset_deadline: float,
        orders: OrdersNow = no_orders,
        at_one_address: int = AT_ONE_ADDRESS,
    ) -> None:
        self.pending: deque[list[Task]] = deque()
        self._at_one_address = at_one_address
        self._at: Counter[Hashable] = Counter()
        self._parked: defaultdict[Hashable, deque[list[Task]]] = defaultdict(deque)
        self.results: asyncio.Queue[tuple[Task, Answer] | Exception] = asyncio.Queue()
        self._probes = probes
        self._broker = broker
        self._asset_deadline = asset_deadline
        self._orders = orders
        self._assets: dict[Hashable, AssetContext] = {}
        self._under_way: set[_UnderWay] = set()
        self._halted: NotSeen | None = None

    async def work(self) -> None:
        """One worker: takes groups until none is left."""
        group = self._next()
        while group:
            try:
                await self._do(group)
            except Exception as fault:  # noqa: BLE001 - a worker that died would leave the run waiting for ever
                self.results.put_nowait(fault)
            group = self._next_at(_place(group)) or self._next()

    def _next(self) -> list[Task] | None:
        """The next group of an address that has not its share of workers yet; the others wait for one of these."""
        while self.pending:
            group = self.pending.popleft()
            place = _place(group)
            if place is None or self._at[place] < self._at_one_address:
                self._at[place] += 1
                return group
            self._parked[place].append(group)
        return None

    def _next_at(self, place: Hashable) -> list[Task] | None:
        """One that waits for a worker at this address, of which one has become free."""
        if parked := self._parked[place]:
            return parked.popleft()
        self._at[place] -= 1
        return None

    async def on_duty(self, duty: Callable[[], Awaitable[None]]) -> None:
        """Somebody without whom nothing may go on: should it fail, the run ends with its fault."""
        try:
            await duty()
        except Exception as fault:  # noqa: BLE001 - a kill switch that nobody looks at is worse than no run
            self.results.put_nowait(fault)

    async def halt_on(self, stop: asyncio.Event | None, budget: float | None) -> None:
        """Waits for the stop signal or the end of the budget, then ends everything under way."""
        try:
            async with asyncio.timeout(budget):
                await (stop or asyncio.Event()).wait()
        except TimeoutError:
            self._halt(NotSeen(Reason.DEADLINE, f"the run's budget of {budget:.0f} s was used up"))
            return
        order = self._orders().everything()
        self._halt(_refused(order) if order else NotSeen(Reason.STOPPED, "the run was stopped"))

    async def watch(self) -> None:
        """Looks at the kill switch again and again, and cuts off what it names."""
        while True:
            orders = self._orders()
            if everything := orders.everything():
                self._halt(_refused(everything))
                return
            for one in tuple(self._under_way) if orders.given else ():
                if order := one.named_in(orders):
                    one.cut_off(_refused(order))
            await asyncio.sleep(LOOK_SECONDS)

    def _halt(self, why: NotSeen) -> None:
        """Nothing begins any more, and everything under way ends."""
        self._halted = self._halted or why
        for one in tuple(self._under_way):
            one.cut_off(_why(self._halted, one.door))

    async def _do(self, group: list[Task]) -> None:
        """Answers all tasks of a group with one piece of work, as far as each task's own authority permits that."""
        shared = SharedWork(self._broker, self._probes.get(group[0].probe))
        for task in group:
            if barred := self._barred(task):
                self.results.put_nowait((task, self._unobserved(barred)))
                continue
            self.results.put_nowait((task, await self._answer(task, shared)))

    def _barred(self, task: Task) -> NotSeen | None:
        """Why a task must not begin."""
        order = None if self._halted else _about(self._orders(), task)
        if order and order.is_everything:
            self._halt(_refused(order))
        return self._halted or (_refused(order) if order else None)

    async def _answer(self, task: Task, shared: SharedWork) -> Answer:
        """The answer to a task: a bug costs its own one, no other."""
        try:
            left = shared.left(task)
            return await self._asked(task, left, shared) if isinstance(left, Task) else left
        except PostureError:
            raise
        except Exception as fault:  # noqa: BLE001 - as in _observed, where answers are shared and joined
            return self._bug(task, fault)

    async def _asked(self, task: Task, left: Task, shared: SharedWork) -> Answer:
        """The answer to a task, of which only ``left`` is still to be asked."""
        probe = self._probes.get(task.probe)
        if probe is None:
            return self._unobserved(NotSeen(Reason.NOT_RUN, f"there is no probe {task.probe!r}"))
        asset = self._assets.setdefault(_asset(task), AssetContext(self._asset_deadline))
        door = self._broker.door(left, asset=asset, seconds=probe.deadline)
        answer = await self._observed(left, probe, door)
        # What the kill switch took a part from is not half an answer.
        return shared.learnt(task, door, self._unobserved(door.stopped) if door.stopped else answer)

    async def _observed(self, task: Task, probe: Probe, door: BrokerDoor) -> Answer:
        try:
            facts = await self._bounded(task, probe, door)
        except NotThere as absent:
            return Absent(absent.cause, self._broker.clock(), absent.detail)
        except NotSeen as unseen:
            return self._unobserved(unseen)
        except TimeoutError:
            return self._unobserved(NotSeen(Reason.DEADLINE, f"{task.probe} did not end in time"))
        except PostureError:
            raise
        except MemoryError:
            return self._unobserved(NotSeen(Reason.VANTAGE_LIMITED, "this machine is out of memory"))
        except Exception as fault:  # noqa: BLE001 - the one broad except of the probes
            return self._bug(task, fault)
        finally:
            door.close()
        return Observed(facts, self._broker.clock())

    async def _bounded(self, task: Task, probe: Probe, door: BrokerDoor) -> Facts:
        """The facts. The door's own deadlines end a probe that waits for the wire; this ends one that does not.

        Raises:
            NotSeen: it was cut off.
            TimeoutError: the probe took longer than its deadline, waiting for limits not counted.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        one = _UnderWay(task, door, asyncio.ensure_future(probe.observe(task, door)))
        one.probe.add_done_callback(_looked_at)
        self._under_way.add(one)
        ends: set[asyncio.Future[Any]] = {one.probe, one.cut}
        try:
            while not one.probe.done() and not one.cut.done():
                left = probe.deadline + GRACE_SECONDS - (loop.time() - started - door.waited.elapsed)
                if left <= 0:
                    raise TimeoutError
                await asyncio.wait(ends, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if one.cut.done():
                raise one.cut.result()
            if one.probe.cancelled():
                raise self._halted or RuntimeError("the probe cancelled itself")
            return one.probe.result()
        finally:
            self._under_way.discard(one)
            if not one.probe.done():
                one.probe.cancel()
                await asyncio.wait({one.probe}, timeout=CUT_OFF_SECONDS if one.cut.done() else GRACE_SECONDS)

    def _bug(self, task: Task, fault: Exception) -> Answer:
        logger.error("%s of %s failed", task.probe, task.asset, exc_info=fault)
        return self._unobserved(NotSeen(Reason.BUG, type(fault).__name__))

    def _unobserved(self, unseen: NotSeen) -> Unobserved:
        return Unobserved(unseen.reason, self._broker.clock(), unseen.detail, unseen.code)


def _looked_at(probe: asyncio.Future[Facts]) -> None:
    """What a probe raised after it was cut off is nobody's concern."""
    if not probe.cancelled():
        probe.exception()


def _why(halted: NotSeen, door: BrokerDoor) -> NotSeen:
    """Why a probe under way is cut off: at the end of the budget one that only waits for a limit says so."""
    if halted.reason is Reason.DEADLINE and door.waited.running and not door.clock.running:
        return NotSeen(Reason.RATE_LIMITED, f"{halted.detail} while waiting for a turn. Scan again for the rest.", RATE)
    return halted
