"""The run itself: self-test, plan, probe, judge, look twice at what changed, fold into the history."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from posture import history
from posture.checks import catalogue
from posture.drift import Key, changed_subjects
from posture.engine.local import run as run_tasks
from posture.errors import NothingToScan
from posture.model import Absent, AbsentCause, Answer, Finding, Reason, Unobserved
from posture.net.broker import Broker
from posture.net.governor import Governor
from posture.net.resolver import RunResolver
from posture.net.selftest import SelfTest, selftest
from posture.plan import Plan
from posture.probes import PROBES
from posture.report import Row
from posture.scan.beginning import entries_of, open_run, start_of, why_nothing
from posture.scan.ended import Ended
from posture.scan.interruption import Interruption, interruptible, unless
from posture.scan.terms import Terms
from posture.scan.vantage import limited_by, port_25_is_blocked
from posture.scorecard import ScoredAsset, Standing, scorecard
from posture.store import OpenRun, Question, ScoreRow, Store
from posture.task import Task

RECHECK_AFTER = 60.0  # seconds before a change is looked at again; none in a lab
BUDGET = 6 * 3600.0  # seconds for a whole run
_OURS = (Reason.NOT_RUN, Reason.STOPPED)


class Progress(Protocol):
    """Who watches a run."""

    def started(self, tasks: Sequence[Task]) -> None: ...
    def finished(self, task: Task, answer: Answer) -> None: ...
    def said(self, remark: str) -> None: ...
    def ended(self) -> None: ...


def utc_now() -> datetime:
    return datetime.now(UTC)


async def scan(
    terms: Terms, *, progress: Progress, resume: bool = False, clock: Callable[[], datetime] = utc_now
) -> Ended:
    """A whole scan. One SIGINT or SIGTERM ends it early and keeps what is finished; a second SIGINT aborts.

    Args:
        resume: go on with this database's interrupted run when there is one on the same terms.

    Raises:
        NothingToScan: nothing was sent: no authorisation, nothing in scope, or another scan holds the database.
        UsageError: the interrupted run was on other terms.
        StoreError: the history cannot be written; finished results are kept.
    """
    started_at = clock()
    terms.must_be_allowed(started_at)
    resolver = terms.resolver()
    with Store.open(terms.config.db, write=True) as store, interruptible() as stop:
        try:
            # A lab's names are nobody's: only public ones tell from where we look.
            seen = await selftest(resolver, trust_anchor=terms.config.trust_anchor, at=started_at)
            plan = terms.no_plan() if seen.quarantine else await unless(stop, terms.plan(resolver, started_at))
            if not plan.tasks and not seen.quarantine and all(map(_is_ours, (each.answer for each in plan.settled))):
                raise NothingToScan(why_nothing(plan))
            # A quarantined run leaves nothing behind: it must not be the interrupted one.
            run = open_run(
                store,
                start_of(terms, plan, entries_of(store, terms, plan), started_at),
                resume=resume and not seen.quarantine,
            )
            running = _Running(terms, plan, store, run, resolver, progress, stop, clock)
            return await running.whole(seen)
        finally:
            progress.ended()
            await resolver.aclose()


def _is_ours(answer: Answer) -> bool:
    """Whether it was we who did not ask: says nothing of the target, whose silence it is not."""
    return isinstance(answer, Unobserved) and (answer.code is not None or answer.reason in _OURS)


@dataclass(slots=True)
class _Running:
    """One run under way."""

    terms: Terms
    plan: Plan
    store: Store
    run: OpenRun
    resolver: RunResolver
    progress: Progress
    stop: Interruption
    clock: Callable[[], datetime]
    answered: dict[Question, Answer] = field(default_factory=dict)

    async def whole(self, seen: SelfTest) -> Ended:
        self.run.settle_all(
            ((settled.key, settled.probe, settled.subject), settled.answer, settled.authorisation)
            for settled in self.plan.settled
        )
        if seen.quarantine:
            return self._quarantined(seen.quarantine, seen.notes)
        # What was answered before an interruption counts in all that follows.
        self.answered = {question: stored.answer for question, stored in self.run.answers()}
        done = self.run.done()
        known = history.last_known(self.store, self.terms.config.vantage)
        tasks = self._set_aside(seen, done)
        broker = self._broker()
        await self._ask([task for task in tasks if (task.key, task.probe, task.subject) not in done], broker)
        if not self.stop.event.is_set():
            self._believe_port_25()
            await self._look_again(known, tasks, broker)
        return self._interrupted(seen.notes) if self.stop.event.is_set() else self._close(seen.notes)

    def _set_aside(self, seen: SelfTest, done: Collection[Question]) -> list[Task]:
        """The tasks without those that cannot be seen from here; what such a one answered before stays."""
        tasks = []
        for task in self.plan.tasks:
            why = limited_by(task, seen)
            if not why:
                tasks.append(task)
            elif (task.key, task.probe, task.subject) not in done:
                self._record(task, Unobserved(Reason.VANTAGE_LIMITED, self.clock(), why))
        return tasks

    def _broker(self) -> Broker:
        return Broker(
            self.terms.decider(),
            Governor(),
            clock=self.clock,
            user_agent=self.terms.user_agent,
            resolver=self.resolver,
            roots=self.terms.reference.roots,
            lab_ports=self.terms.inventory.lab_ports,
        )

    async def _ask(self, tasks: Sequence[Task], broker: Broker) -> None:
        self.progress.started(tasks)
        probes = {probe.name: probe for probe in PROBES}
        async with aclosing(run_tasks(tasks, probes, broker, budget=BUDGET, stop=self.stop.event)) as answers:
            async for task, answer in answers:
                if not (isinstance(answer, Unobserved) and answer.reason is Reason.STOPPED):
                    self._record(task, answer)
                self.progress.finished(task, answer)

    def _record(self, task: Task, answer: Answer) -> None:
        self.run.record(task, answer)
        self.answered[task.key, task.probe, task.subject] = answer

    def _believe_port_25(self) -> None:
        """When no mail exchanger at all let us in, it is our own line that blocks port 25."""
        on_25 = [task for task in self.plan.tasks if task.port == 25 and task.subject.startswith("mx:")]
        if port_25_is_blocked(on_25, self.answered):
            blocked = Unobserved(Reason.VANTAGE_LIMITED, self.clock(), "outbound port 25 seems to be blocked here")
            for task in on_25:
                self._record(task, blocked)

    async def _look_again(self, known: dict[Key, Finding], tasks: Sequence[Task], broker: Broker) -> None:
        """A change is believed only when a second look in the same run sees it too."""
        asked = {(task.key, task.probe, task.subject) for task in tasks}
        changed = changed_subjects(known, self.run.judged(self.clock()), asked)
        again = [task for task in tasks if (task.key, task.probe, task.subject) in changed]
        if not again:
            return
        if not self.terms.lab:
            self.progress.said(f"{len(again)} answers changed; looking again in {RECHECK_AFTER:.0f} s")
            await _pause(RECHECK_AFTER, self.stop.event)
        self.resolver.forget()
        first = {question: self.answered.get(question) for question in changed}
        await self._ask(again, broker)
        self._keep_agreed(first, again)

    def _keep_agreed(self, first: dict[Question, Answer | None], again: Collection[Task]) -> None:
        """A second look that saw nothing does not wipe out what the first one saw."""
        for task in again:
            question = (task.key, task.probe, task.subject)
            before, now = first.get(question), self.answered.get(question)
            if isinstance(now, Unobserved) and before is not None and not isinstance(before, Unobserved):
                self._record(task, before)

    def _quarantined(self, why: str, notes: tuple[str, ...]) -> Ended:
        closed = self.run.close((), "quarantined", self.clock())
        return self._ended(closed.run.document(), (), notes, quarantine=why)

    def _interrupted(self, notes: tuple[str, ...]) -> Ended:
        """The run stays open with all its answers on disk: --resume goes on, any other scan folds it as partial."""
        asked = [(task.key, task.probe, task.subject) for task in self.plan.tasks]
        kept = len(self.run.done().intersection(asked))
        remark = f"interrupted: {kept} of {len(asked)} answers are saved"
        return self._ended(self.run.run.document(), (), (remark, *notes))

    def _close(self, notes: tuple[str, ...]) -> Ended:
        at = self.clock()
        silent = self._silent()
        closed = self.run.close(self.run.judged(at), "complete", at)
        ended = self._ended(closed.run.document(), silent, notes)
        self.store.record_scores(closed.run, self._scores(ended.state_rows, at))
        return ended

    def _silent(self) -> tuple[str, ...]:
        """Assets that were asked, be it only for their addresses, and of which nothing at all answered."""
        asked, heard = set(), set()
        for (key, _, _), stored in self.run.answers():
            answer = stored.answer
            if isinstance(answer, Absent) and answer.cause is AbsentCause.NOT_DECLARED:
                continue  # that is the inventory's word, not the asset's
            if not isinstance(answer, Unobserved):
                heard.add(key)
            elif not _is_ours(answer):
                asked.add(key)
        return tuple(sorted({key.name for key in asked - heard}))

    def _ended(self, run: Row, silent: tuple[str, ...], notes: tuple[str, ...], *, quarantine: str = "") -> Ended:
        vantage = self.terms.config.vantage
        own = history.state(self.store, run=str(run["id"]), vantage=vantage)["findings"]
        state = history.state(self.store, vantage=vantage)["findings"]
        return Ended(
            run=run,
            rows=tuple(own),
            state_rows=tuple(state),
            drift=None if quarantine or self.stop.event.is_set() else history.latest_drift(self.store, vantage),
            criticality={asset.key: asset.criticality for asset in self.terms.inventory.assets},
            notes=(*notes, *self.plan.notes),
            silent=silent,
            lapsed=self.terms.lapsed(self.clock()),
            quarantine=quarantine,
            signal=self.stop.signal,
        )

    def _scores(self, rows: Iterable[Row], at: datetime) -> dict[str, ScoreRow]:
        assets = [ScoredAsset(asset.key, asset.ministry, asset.criticality) for asset in self.terms.inventory.assets]
        card = scorecard(map(Standing.of, rows), assets, self.terms.policy, catalogue(), at=at)
        scores = {"": card.state, **{score.ministry: score for score in card.ministries}}
        return {
            name: ScoreRow(score.tenths, score.low, score.high, score.coverage, score.grade or "")
            for name, score in scores.items()
        }


async def _pause(seconds: float, stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
