"""Questions that follow from a handshake: planned with it, put once it has shown a certificate (posture.scan.following)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from posture.model import ProbeClass
from posture.plan.settled import Settled
from posture.task import Task

# In the params of a task that is put once another probe of its asset has answered, by which probe.
FOLLOWS = "follows"
# Of each endpoint the lists of revoked certificates; of the asset who else uses its keys.
OF_ENDPOINTS, OF_ASSETS = "crl", "key_use"


def following(
    tasks: Iterable[Task], settled: Iterable[Settled], wanted: Collection[str]
) -> tuple[list[Task], list[Settled]]:
    """What follows from the handshakes planned with an asset's own endpoints; where none may be made, nothing does.

    Args:
        wanted: the probes that some control needs.
    """
    shown = [task for task in tasks if task.probe == "tls" and not task.subject.startswith("mx:")]
    known = [one for one in settled if one.probe == "tls" and not one.subject.startswith("mx:")]
    asked: list[Task] = []
    answered: list[Settled] = []
    if OF_ENDPOINTS in wanted:
        asked += [_after(task, OF_ENDPOINTS, task.subject) for task in shown]
        answered += [replace(one, probe=OF_ENDPOINTS) for one in known]
    if OF_ASSETS in wanted and shown:
        asked.append(_after(shown[0], OF_ASSETS, ""))
    elif OF_ASSETS in wanted and known:
        answered.append(replace(known[0], probe=OF_ASSETS, subject=""))
    return asked, answered


def _after(first: Task, probe: str, subject: str) -> Task:
    task = replace(first, probe=probe, probe_class=ProbeClass.CLIENT, subject=subject)
    return replace(task, addresses=(), port=None, params={FOLLOWS: first.probe})
