"""The run itself: self-test, plan, probe, judge, look twice at what changed, fold into the history."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

from posture import history
from posture.drift import Key, changed_subjects
from posture.engine.local import run as run_tasks
from posture.errors import NothingToScan
from posture.ledger import Checkpoint
from posture.ledger.log import seal
from posture.model import Absent, AbsentCause, Answer, Finding, Reason, Severity, Unobserved
from posture.net.broker import Broker
from posture.net.governor import Governor
from posture.net.guard import guarding
from posture.net.resolver import RunResolver
from posture.net.selftest import SelfTest, selftest
from posture.plan import Plan
from posture.probes import PROBES
from posture.report import Row
from posture.scan.agreed import agreed
from posture.scan.beginning import entries_of, open_run, start_of, why_nothing
from posture.scan.canaries import Lookout, Trials
from posture.scan.ended import Ended
from posture.scan.interruption import Interruption, interruptible, unless
from posture.scan.stopping import is_stopped, must_not_be_stopped, watched, what_was_stopped
from posture.scan.terms import Terms
from posture.scan.trail import Recording, on_record
from posture.scan.vantage import limited_by, port_25_is_blocked
from posture.scorecard import ScoredAsset
from posture.store import Closed, OpenRun, Question, Store
from posture.store.contacts import ContactLedger
from posture.task import Task
from posture.trend import scores_of

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
        NothingToScan: nothing was sent: stopped, no authorisation, nothing in scope, or another scan holds the database.
        UsageError: the interrupted run was on other terms.
        ConfigurationError: the operator's key cannot be used.
        AuditError: the audit trail is broken or cannot be written: nothing is sent that is not on record.
        StoreError: the history cannot be written; finished results are kept.
    """
    started_at = clock()
    must_not_be_stopped(terms.orders)
    terms.must_be_allowed(started_at)
    resolver = terms.resolver()
    with (
        Store.open(terms.config.db, write=True) as store,
        interruptible() as stop,
        guarding(endpoints=[(resolver.address, resolver.port)]),
        on_record(terms, store, resolver, progress, resume=resume, clock=clock) as recording,
    ):
        async with watched(terms.orders, stop, resolver):
            try:
                # A lab's names are nobody's: only public ones tell from where we look.
                look = selftest(resolver, trust_anchor=terms.config.trust_anchor, at=started_at)
                seen = await unless(stop, look)
                plan = terms.no_plan() if seen.quarantine else await unless(stop, terms.plan(resolver, started_at))
                recording.planned(plan, started_at)
                if (
                    not plan.tasks
                    and not seen.quarantine
                    and all(map(_is_ours, (each.answer for each in plan.settled)))
                ):
                    raise NothingToScan(why_nothing(plan))
                # A quarantined run leaves nothing behind: it must not be the interrupted one.
                start = start_of(terms, plan, entries_of(store, terms, plan), started_at)
                start = replace(start, id=recording.new_run)
                signed: list[Checkpoint | None] = []
                run = open_run(
                    store,
                    start,
                    resume=resume and not seen.quarantine,
                    seal=lambda history: signed.append(seal(history, recording.key, started_at)),
                )
                recording.begun(run.run.id)
                for checkpoint in signed:
                    recording.sealed(checkpoint)
                running = _Running(terms, plan, store, run, resolver, progress, stop, recording, clock)
                return recording.ended(await running.whole(seen))
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
    recording: Recording
    clock: Callable[[], datetime]
    answered: dict[Question, Answer] = field(default_factory=dict)
    cut: dict[Question, Answer] = field(default_factory=dict)  # what the kill switch took back, also of second looks
    trials: Trials = field(default_factory=Trials)
    began: float = field(default_factory=time.monotonic)  # the budget is that of both looks

    async def whole(self, seen: SelfTest) -> Ended:
        if not seen.quarantine:
            self.trials = await self._try_canaries()
            if self.stop.order:
                self._settle_planned()
                return self._close_stopped(seen.notes)
            if self.trials.quarantine:
                return self._unreachable(seen.notes)
        self._settle_planned()
        if seen.quarantine:
            return self._quarantined(seen.quarantine, seen.notes)
        # What was answered before an interruption counts in all that follows; what was stopped may be lifted by now.
        self.answered = {question: stored.answer for question, stored in self.run.answers()}
        done = {question for question, answer in self.answered.items() if not is_stopped(answer)}
        known = history.last_known(self.store, self.terms.config.vantage)
        tasks = self._set_aside(seen, done)
        with ContactLedger(self.store) as contacts:
            broker = self._broker(contacts)
            await self._ask([task for task in tasks if (task.key, task.probe, task.subject) not in done], broker)
            if not self.stop.event.is_set():
                self._believe_port_25()
                await self._look_again(known, tasks, broker)
        if self.stop.order:
            return self._close_stopped(seen.notes)
        return self._interrupted(seen.notes) if self.stop.event.is_set() else self._close(seen.notes)

    def _settle_planned(self) -> None:
        """What planning knew without a packet. What was seen before an interruption is not lost to an order."""
        finished = {question for question, stored in self.run.answers() if not isinstance(stored.answer, Unobserved)}
        self.run.settle_all(
            (question, settled.answer, settled.authorisation)
            for settled in self.plan.settled
            for question in [(settled.key, settled.probe, settled.subject)]
            if not (is_stopped(settled.answer) and question in finished)
        )

    async def _try_canaries(self) -> Trials:
        lookout = Lookout(
            self.resolver,
            self.terms.user_agent,
            trail=self.recording.trail,
            orders=self.terms.orders,
            only_special=self.terms.scope.placeholder_contact(),
        )
        return await lookout.try_all(self.terms.config.canaries, self.stop.event)

    def _unreachable(self, notes: tuple[str, ...]) -> Ended:
        """No canary was reached: a run that was interrupted before keeps its answers, a new one leaves nothing behind."""
        if self.run.done():
            return self._ended(self.run.run.document(), (), notes, quarantine=self.trials.quarantine)
        return self._quarantined(self.trials.quarantine, notes)

    def _set_aside(self, seen: SelfTest, done: Collection[Question]) -> list[Task]:
        """The tasks without those that cannot be seen from here; what such a one answered before stays."""
        tasks = []
        for task in self.plan.tasks:
            why = limited_by(task, seen) or self.trials.limited(task.port)
            if not why:
                tasks.append(task)
            elif (task.key, task.probe, task.subject) not in done:
                self._record(task, Unobserved(Reason.VANTAGE_LIMITED, self.clock(), why))
        return tasks

    def _broker(self, contacts: ContactLedger) -> Broker:
        return Broker(
            self.terms.decider(),
            Governor(ledger=contacts),
            clock=self.clock,
            user_agent=self.terms.user_agent,
            resolver=self.resolver,
            roots=self.terms.reference.roots,
            lab_ports=self.terms.inventory.lab_ports,
            trail=self.recording.trail,
        )

    async def _ask(self, tasks: Sequence[Task], broker: Broker) -> None:
        self.progress.started(tasks)
        probes = {probe.name: probe for probe in PROBES}
        stopped: dict[Question, tuple[Answer, str]] = {}
        orders = self.terms.orders
        left = max(0.0, self.began + BUDGET - time.monotonic())
        async with aclosing(
            run_tasks(tasks, probes, broker, budget=left, stop=self.stop.event, orders=orders)
        ) as answers:
            async for task, answer in answers:
                if is_stopped(answer):
                    stopped[task.key, task.probe, task.subject] = answer, task.authorisation
                elif not (isinstance(answer, Unobserved) and answer.reason is Reason.STOPPED):
                    self._record(task, answer)
                self.progress.finished(task, answer)
        # All at once: they come in a flood.
        self.run.settle_all((question, answer, authority) for question, (answer, authority) in stopped.items())
        self.cut.update((question, answer) for question, (answer, _) in stopped.items())
        self.answered.update(self.cut)
        if stopped and (everything := orders().everything()):
            self.stop.halt(everything)

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
        judged = self.run.judged(self.clock())
        changed = changed_subjects(known, judged, asked)
        changed -= {question for question, answer in self.answered.items() if is_stopped(answer)}
        again = [task for task in tasks if (task.key, task.probe, task.subject) in changed]
        if not again:
            return
        if not self.terms.lab:
            self.progress.said(f"{len(again)} answers changed; looking again in {RECHECK_AFTER:.0f} s")
            await _pause(RECHECK_AFTER, self.stop.event)
            if self.stop.event.is_set():
                return
        self.resolver.forget()
        first = {question: self.answered.get(question) for question in changed}
        await self._ask(again, broker)
        critical = {key: one for key, one in known.items() if one.outcome.is_open and one.severity is Severity.CRITICAL}
        self._keep_agreed(first, again, changed_subjects(critical, judged, asked))

    def _keep_agreed(
        self, first: Mapping[Question, Answer | None], again: Collection[Task], critical: Collection[Question]
    ) -> None:
        by_question = {(task.key, task.probe, task.subject): task for task in again}
        found = agreed(first, {question: self.answered.get(question) for question in by_question}, critical)
        for question, answer in found.kept.items():
            self._record(by_question[question], answer)
        self.run.looked_again(found.said)

    def _quarantined(self, why: str, notes: tuple[str, ...]) -> Ended:
        closed = self._sealed((), "quarantined", self.clock())
        return self._ended(closed.run.document(), (), notes, quarantine=why)

    def _interrupted(self, notes: tuple[str, ...]) -> Ended:
        """The run stays open with all its answers on disk: --resume goes on, any other scan folds it as partial."""
        asked = [(task.key, task.probe, task.subject) for task in self.plan.tasks]
        kept = len(self.run.done().intersection(asked))
        remark = f"interrupted: {kept} of {len(asked)} answers are saved"
        return self._ended(self.run.run.document(), (), (remark, *notes))

    def _close_stopped(self, notes: tuple[str, ...]) -> Ended:
        """Everything was stopped: what was finished is kept, and feeds neither drift nor scores."""
        at, stopped = self.clock(), self._what_was_stopped()
        closed = self._sealed(self.run.judged(at), "stopped", at)
        return self._ended(closed.run.document(), (), notes, stopped=stopped)

    def _what_was_stopped(self) -> tuple[str, ...]:
        kept = {question: stored.answer for question, stored in self.run.answers()}
        return what_was_stopped(self.plan, kept, self.cut, self.stop.order)

    def _close(self, notes: tuple[str, ...]) -> Ended:
        at = self.clock()
        silent, stopped = self._silent(), self._what_was_stopped()
        # What an order took back under way was asked and not tried to its end; what stood from the start was not asked.
        closed = self._sealed(self.run.judged(at), "partial" if self.cut else "complete", at)
        return self._ended(closed.run.document(), silent, notes, stopped=stopped)

    def _sealed(self, findings: Iterable[Finding], state: str, at: datetime) -> Closed:
        """The run closed, scored and signed in one transaction; then the trail says where the ledger stands."""
        recording, signed = self.recording, list[Checkpoint | None]()
        closed = self.run.close(
            findings,
            state,
            at,
            scores=lambda run: scores_of(self.store, run, self._assets(), self.terms.policy, at),
            seal=lambda store: signed.append(seal(store, recording.key, at)),
        )
        recording.sealed(signed[0])
        return closed

    def _silent(self) -> tuple[str, ...]:
        """Assets that were asked, be it only for their addresses, and of which nothing at all answered."""
        answers = dict(self.run.answers())
        # Of what was stopped, the silence is ours.
        asked, heard = set(), {key for (key, _, _), stored in answers.items() if is_stopped(stored.answer)}
        for (key, _, _), stored in answers.items():
            answer = stored.answer
            if isinstance(answer, Absent) and answer.cause is AbsentCause.NOT_DECLARED:
                continue  # that is the inventory's word, not the asset's
            if not isinstance(answer, Unobserved):
                heard.add(key)
            elif not _is_ours(answer):
                asked.add(key)
        return tuple(sorted({key.name for key in asked - heard}))

    def _ended(
        self,
        run: Row,
        silent: tuple[str, ...],
        notes: tuple[str, ...],
        *,
        quarantine: str = "",
        stopped: tuple[str, ...] = (),
    ) -> Ended:
        vantage = self.terms.config.vantage
        own = history.state(self.store, run=str(run["id"]), vantage=vantage)["findings"]
        state = history.state(self.store, vantage=vantage)["findings"]
        return Ended(
            run=run,
            rows=tuple(own),
            state_rows=tuple(state),
            drift=None if quarantine or self.stop.event.is_set() else history.latest_drift(self.store, vantage),
            criticality={asset.key: asset.criticality for asset in self.terms.inventory.assets},
            notes=(*notes, *self.plan.notes, *self.terms.ending(self.clock())),
            silent=silent,
            lapsed=self.terms.lapsed(self.clock()),
            stopped=stopped,
            quarantine=quarantine,
            signal=self.stop.signal,
        )

    def _assets(self) -> tuple[ScoredAsset, ...]:
        assets = self.terms.inventory.assets
        return tuple(ScoredAsset(asset.key, asset.ministry, asset.criticality) for asset in assets)


async def _pause(seconds: float, stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
