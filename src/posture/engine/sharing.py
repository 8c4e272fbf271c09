"""One piece of work for several tasks: a mail exchanger, a name server or an address is asked once in a run.

What one task learnt serves another only if that one's own authority would have permitted each thing that was sent for
it; this is decided anew, and the trail gets a record of it, of no connection. When in doubt the work is done again.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from posture.model import Answer, Observed, Unobserved
from posture.net.broker import Broker, BrokerDoor
from posture.net.decisions import Request
from posture.net.governor import RATE
from posture.probes.base import Probe
from posture.task import Task

# On whose behalf a server is asked: decides whether it may be, and does not reach the wire.
BEHALF = frozenset({"mx_of", "nameserver_of"})


def work_of(task: Task, probes: Mapping[str, Probe]) -> Hashable:
    """What makes two tasks the same work, or parts of one: all that reaches the wire, not whose it is."""
    probe = probes.get(task.probe)
    if probe is not None and probe.parts is not None:
        return (task.probe, task.probe_class, probe.parts.work(task))
    params = json.dumps({name: value for name, value in task.params.items() if name not in BEHALF}, sort_keys=True)
    return (task.probe, task.probe_class, task.name, task.addresses, task.port, params)


@dataclass(frozen=True, slots=True)
class _Done:
    """A task that was answered, and the door it was answered through; ``spent``: its asset had no more to ask with."""

    door: BrokerDoor
    answer: Answer
    spent: bool


@dataclass(slots=True)
class SharedWork:
    """The answers of one group of tasks, in the order of its tasks.

    Args:
        probe: of all its tasks; None when there is no such probe.
    """

    broker: Broker
    probe: Probe | None
    _done: list[_Done] = field(default_factory=list)
    _parts: list[Any] = field(default_factory=list)

    def left(self, task: Task) -> Task | Answer:
        """What of a task has to be asked: nothing, then its answer is returned; all of it; or some parts."""
        self._parts = []
        for done in self._done:
            is_parts = self.probe is not None and self.probe.parts is not None and isinstance(done.answer, Observed)
            if not (is_parts or _is_about_both(done, task)) or not self.broker.leans(task, _requests(done.door, task)):
                continue
            if not is_parts:
                return done.answer
            assert isinstance(done.answer, Observed)
            self._parts.append(done.answer.facts)
        if not self._parts or self.probe is None or self.probe.parts is None:
            return task
        rest = self.probe.parts.left(task, self._parts)
        return rest or Observed(self.probe.parts.joined(task, self._parts), self.broker.clock())

    def learnt(self, task: Task, door: BrokerDoor, answer: Answer) -> Answer:
        """The answer to a task of which ``answer`` is that to what was left."""
        self._done.append(_Done(door, answer, door.asset_is_spent))
        if self._parts and self.probe and self.probe.parts and isinstance(answer, Observed):
            return Observed(self.probe.parts.joined(task, [*self._parts, answer.facts]), answer.at)
        return answer


def _is_about_both(done: _Done, task: Task) -> bool:
    """Whether the answer is about the wire, not about the authority under which it was sought.

    A refusal of ours is about one authority only, unless it is that of a limit, which is the address's. What an asset had
    too little time or bytes left for says nothing to another, which that one server must not be able to silence.
    """
    if done.spent and (done.door.task.ministry, done.door.task.key) != (task.ministry, task.key):
        return False
    if isinstance(done.answer, Unobserved) and done.answer.code not in (None, RATE):
        return False
    return not done.door.refused or _standing(done.door.task) == _standing(task)


def _standing(task: Task) -> tuple[Any, ...]:
    """All of a task that a decision depends on, beside the place."""
    return (task.ministry, task.name, *(task.params.get(name) for name in sorted(BEHALF)))


def _requests(door: BrokerDoor, task: Task) -> Iterator[Request]:
    """What was asked through a door, as far as it answers a task, in that task's name."""
    ports: Sequence[int] | None = task.params.get("ports")
    for request in door.granted:
        if request.name != door.task.name:
            yield request  # another host, to which a redirect led
        elif request.address in task.addresses and (ports is None or request.port in ports):
            yield replace(request, name=task.name)
