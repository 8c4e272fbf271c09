"""Who else uses the keys of an asset: worked out of what the run saw, sends nothing.

Task: follows every handshake of ``tls``. Params ``keys``, ``wildcards`` and ``unreadable`` as in KeyUseFacts.
"""

from __future__ import annotations

from posture.facts import KeyUseFacts
from posture.facts.certificate import KeyUse, WildcardUse
from posture.model import ProbeClass
from posture.probes.base import Door, Probe
from posture.task import Task


async def observe(task: Task, door: Door) -> KeyUseFacts:  # noqa: ARG001 - a probe's shape
    """The facts that the run put together."""
    told = task.params
    return KeyUseFacts(
        keys=tuple(
            KeyUse(one["key"], tuple(one["endpoints"]), tuple(one["own"]), one["foreign"]) for one in told["keys"]
        ),
        wildcards=tuple(WildcardUse(**one) for one in told["wildcards"]),
        unreadable=told["unreadable"],
    )


PROBE = Probe("key_use", KeyUseFacts, ProbeClass.CLIENT, observe)
