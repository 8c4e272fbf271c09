"""What a probe is, and the only door it has to the network.

    async def observe(task: Task, door: Door) -> TlsFacts: ...
    PROBE = Probe("tls", TlsFacts, ProbeClass.CLIENT, observe)

A probe returns facts, or raises NotThere (a clear "nothing here") or NotSeen (no usable answer); it never judges.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from posture.door import Door, Reply, Resolver, Response, Stream
from posture.facts import Facts
from posture.model import ProbeClass
from posture.task import Task

__all__ = ["Door", "Parts", "Probe", "Reply", "Resolver", "Response", "Stream"]


@dataclass(frozen=True, slots=True)
class Parts:
    """How facts about several things (the ports of an address, the addresses of a name) serve every task that asks for
    some of them, so that each is asked once.

    ``work``: tasks for which it is equal may share. ``left``: the task without the parts that facts hold already, None
    when nothing is left. ``joined``: the facts of a task, of its own parts only, out of those of several.
    """

    work: Callable[[Task], Hashable]
    left: Callable[[Task, Sequence[Any]], Task | None]
    joined: Callable[[Task, Sequence[Any]], Facts]


@dataclass(frozen=True, slots=True)
class Probe:
    """A registered probe. ``name`` equals ``facts.TYPE``; ``deadline`` seconds are its own share of the asset's clock.

    ``deep``: it runs only with the profile deep, whatever its class.
    """

    name: str
    facts: type[Facts]
    probe_class: ProbeClass
    observe: Callable[[Task, Door], Awaitable[Facts]]
    deadline: float = 30.0
    parts: Parts | None = None
    deep: bool = False
