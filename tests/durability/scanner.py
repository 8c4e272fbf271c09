"""Scanners to be killed: each a fork of this warm process, that scans a small State over and over through the engine.

``python -m tests.durability.scanner DATABASE`` reads from stdin for how many seconds the next one may live, one number a
line, and kills it then with SIGKILL. The scanner says on stdout, a line each and only once it is so:

    begun RUN                  a run is open (or goes on)
    ask RUN ASSET PROBE        a probe is about to be asked
    ack RUN ASSET PROBE        its answer is on disk
    closed RUN                 the run is folded into the history

and after the kill this process says ``dead``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from posture.engine.local import run as run_tasks
from posture.facts import Facts, PortsFacts, TlsFacts
from posture.facts.service import PortAnswer
from posture.model import NotSeen, ProbeClass, Reason
from posture.probes.base import Door, Probe
from posture.store import OpenRun, RunStart, Store
from posture.task import Task
from tests.net import desk
from tests.store import ADDRESS, DAY, HTTPS, T0, World, site

ASSETS = 12


def tasks() -> list[Task]:
    """Two questions to each asset."""
    made = []
    for number in range(ASSETS):
        name = site(number).declared.name
        for probe, subject in (("tls", HTTPS), ("ports", ADDRESS)):
            made.append(replace(desk.TASK, asset=name, name=name, probe=probe, subject=subject))
    return made


def say(*words: str) -> None:
    os.write(1, (" ".join(words) + "\n").encode())


def place(task: Task) -> int:
    return int(task.asset.partition(".")[0].removeprefix("www"))


class Target:
    """What answers in one run: most things as ever, some otherwise than in the run before, some not at all."""

    def __init__(self, run: OpenRun) -> None:
        self.run, self.number = run.run.id, run.run.number

    async def tls(self, task: Task, _: Door) -> Facts:
        self.asked(task)
        if (place(task) + self.number) % 7 == 0:
            raise NotSeen(Reason.TIMEOUT, "no answer")
        return TlsFacts("bad" if (place(task) + self.number) % 4 == 0 else "good", "", ())

    async def ports(self, task: Task, _: Door) -> Facts:
        self.asked(task)
        state = "open" if (place(task) * self.number) % 5 == 1 else "closed"
        return PortsFacts(ADDRESS, (PortAnswer(23, state), PortAnswer(443, "open")), alive=True)

    def asked(self, task: Task) -> None:
        say("ask", self.run, task.asset, task.probe)

    def probes(self) -> dict[str, Probe]:
        return {
            "tls": Probe("tls", TlsFacts, ProbeClass.CLIENT, self.tls),
            "ports": Probe("ports", PortsFacts, ProbeClass.CLIENT, self.ports),
        }


def scan(world: World, store: Store) -> None:
    """One whole run, or the rest of one: what ``posture scan --resume`` does, without a network."""
    everything = tasks()
    run = store.leftover("local") or begun(world, store, everything)
    say("begun", run.run.id)
    done = run.done()
    left = [task for task in everything if (task.key, task.probe, task.subject) not in done]
    asyncio.run(ask(run, left))
    at = run.run.started_at + timedelta(minutes=10)
    run.close(run.judged(at), "complete", at)
    say("closed", run.run.id)


def begun(world: World, store: Store, everything: list[Task]) -> OpenRun:
    questions = tuple((task.key, task.probe, task.subject) for task in everything)
    world.day = len(store.reader.runs())
    start: RunStart = replace(
        world.start({}, [site(number) for number in range(ASSETS)]),
        planned=questions,
        started_at=T0 + world.day * DAY,
    )
    return store.begin(start)


async def ask(run: OpenRun, left: list[Task]) -> None:
    async for task, answer in run_tasks(left, Target(run).probes(), desk.broker()):
        run.record(task, answer)
        say("ack", run.run.id, task.asset, task.probe)


def live(path: Path, alive: int) -> None:
    """Scans without end. A byte to ``alive``: the history is open."""
    world = World(path)
    with world.open() as store:
        os.write(alive, b".")
        while True:
            scan(world, store)


def main(path: Path) -> None:
    say("ready")
    for line in sys.stdin:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                live(path, writing)
            finally:
                os._exit(1)  # it never ends by itself
        os.close(writing)
        os.read(reading, 1)  # on a busy machine that takes longer than the life that it is given
        os.close(reading)
        time.sleep(float(line))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        say("dead" if os.waitstatus_to_exitcode(status) == -signal.SIGKILL else "ended")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
