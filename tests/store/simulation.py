"""A State whose truth is known, scanned by the real store: what of it does the history tell, and what that is not so?

Every host answers one question per address with a word of one letter per control: ``0`` good, ``1`` bad, ``o`` bad under
a stricter policy only. Over the truth lies what makes scanners lie: hosts that are silent now and then, outages of a
whole network, glitches of one answer, hosts whose backends are unlike (behind one address, or each with its own),
targets that really flap, and a change of policy half way.

Each run is recorded, looked at twice where something changed, judged, folded and compared by the code that scans use;
only the network is played. The same first answers go to the yardstick: a scanner that compares each status with the
last one it knew, and skips errors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from random import Random

from posture.checks import Case, Control
from posture.checks.rule import Rule
from posture.drift import Event, changed_subjects
from posture.facts import TlsFacts
from posture.history import last_known
from posture.model import Answer, AssetKey, Unobserved, Verdict, endpoint
from posture.policy import Policy, parse_policy
from posture.store import Question, Store
from tests.store import CONTROLS, World, silence, site, tls

Spot = tuple[AssetKey, str]  # asset, control: where the truth changes
GOOD, BAD, OLD = "0", "1", "o"
OTHER = {GOOD: BAD, BAD: GOOD, OLD: GOOD}


@dataclass(frozen=True, slots=True)
class Plan:
    """How large, how long, and how much goes wrong. Shares are of hosts; rates per host (or spot) and run."""

    hosts: int = 1000
    controls: int = 10
    runs: int = 110
    change_rate: float = 0.0102  # of spots that truly change in a run
    old_share: float = 0.04  # of spots that only the stricter policy dislikes
    flaky_share: float = 0.30
    silence_rate: float = 0.10  # of flaky hosts
    glitch_rate: float = 0.004
    unlike_share: float = 0.01  # twice: behind one address, and at two
    flapping_share: float = 0.01
    outages: tuple[tuple[float, float], ...] = ((0.25, 0.30), (0.70, 0.75))  # of all runs, from and to
    outage_share: float = 0.25
    seed: int = 20261124


@dataclass(slots=True)
class Tally:
    """What one method said, against the truth."""

    events: int = 0
    false: int = 0
    false_by: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    found: int = 0


@dataclass(frozen=True, slots=True)
class Outcomes:
    """``changes``: true changes that lasted until somebody answered, flapping targets aside."""

    changes: int
    posture: Tally
    naive: Tally
    suspect: int
    unstable: int
    policy_changed: int

    @property
    def recall(self) -> float:
        return self.posture.found / self.changes

    @property
    def naive_recall(self) -> float:
        return self.naive.found / self.changes

    @property
    def false_ratio(self) -> float:
        return self.posture.false / max(1, self.naive.false)


def _judge(place: int) -> Callable[[Case], Verdict]:
    def rule(case: Case) -> Verdict:
        letter = case.need(TlsFacts).name[place]
        strict = case.policy.number("t.strict", case.at)
        return Verdict("BAD" if letter == BAD or (strict and letter == OLD) else "GOOD", {"name": "it"})

    return rule


def controls_of(count: int) -> dict[str, Control]:
    """As many controls per endpoint as a word has letters."""
    names = [f"t.c{place:02}" for place in range(count)]
    return {
        name: replace(CONTROLS["t.cert"], id=name, title=name, rule=Rule(name, (TlsFacts,), _judge(place)))
        for place, name in enumerate(names)
    }


def baseline(names: tuple[str, ...], strict: int) -> Policy:
    listed = ", ".join(f'"{name}"' for name in names)
    rows = f'[{{"from": "2020-01-01", "value": {strict}}}]'
    return parse_policy(
        f'{{"name": "t", "version": "{strict}", "controls": [{listed}], "thresholds": {{"t.strict": {rows}}}}}'
    )


@dataclass(slots=True)
class Truth:
    """What really is, run by run, and what is seen of it."""

    plan: Plan
    names: tuple[str, ...]
    random: Random = field(init=False)
    hosts: list[AssetKey] = field(init=False)
    words: dict[AssetKey, list[str]] = field(init=False)
    unlike: dict[AssetKey, list[str]] = field(init=False)  # the second backend's word
    spread: set[AssetKey] = field(init=False)  # of those, each backend has an address of its own
    flapping: set[Spot] = field(init=False)
    flaky: set[AssetKey] = field(init=False)
    region: set[AssetKey] = field(init=False)
    changed: list[tuple[int, Spot, bool]] = field(init=False, default_factory=list)  # run, where, is now open

    def __post_init__(self) -> None:
        plan, random = self.plan, Random(self.plan.seed)
        self.random = random
        self.hosts = [site(number).key for number in range(plan.hosts)]
        self.words = {host: [self._letter() for _ in self.names] for host in self.hosts}
        count = max(2, int(plan.hosts * plan.unlike_share))
        odd = random.sample(self.hosts, 2 * count)
        self.unlike = {host: self._other_word(self.words[host]) for host in odd}
        self.spread = set(odd[:count])
        plain = [host for host in self.hosts if host not in self.unlike]
        shaky = random.sample(plain, max(2, int(plan.hosts * plan.flapping_share)))
        self.flapping = {(host, random.choice(self.names)) for host in shaky}
        self.flaky = set(random.sample(plain, int(plan.hosts * plan.flaky_share)))
        self.region = set(self.hosts[: int(plan.hosts * plan.outage_share)])

    def _letter(self) -> str:
        chance = self.random.random()
        return OLD if chance < self.plan.old_share else BAD if chance < 0.3 else GOOD

    def _other_word(self, word: list[str]) -> list[str]:
        other = list(word)
        for place in self.random.sample(range(len(word)), 3):
            other[place] = OTHER[other[place]]
        return other

    def advance(self, run: int) -> None:
        """A night passes: some things are mended, some break, some flap."""
        for host in self.hosts:
            for place, name in enumerate(self.names):
                flaps = (host, name) in self.flapping and run % 3 == 0
                changes = host not in self.unlike and self.random.random() < self.plan.change_rate
                if flaps or (changes and (host, name) not in self.flapping):
                    self._turn(run, host, place)

    def _turn(self, run: int, host: AssetKey, place: int) -> None:
        letter = self.words[host][place]
        if letter == OLD:  # of two minds: whether it was open depends on the policy
            return
        self.words[host][place] = OTHER[letter]
        self.changed.append((run, (host, self.names[place]), OTHER[letter] == BAD))

    def is_out(self, run: int, host: AssetKey) -> bool:
        share = run / self.plan.runs
        return host in self.region and any(start <= share < end for start, end in self.plan.outages)

    def look(self, run: int, host: AssetKey, subject: str) -> Answer:
        """One answer, as it comes over the wire."""
        if self.is_out(run, host) or (host in self.flaky and self.random.random() < self.plan.silence_rate):
            return silence()
        word = self.words[host]
        if host in self.unlike:
            second = subject == SECOND if host in self.spread else self.random.random() < 0.5
            word = self.unlike[host] if second else word
        if self.random.random() < self.plan.glitch_rate:
            word = self._other_word(word)
        return tls("".join(word))

    def questions(self) -> Iterator[Question]:
        for host in self.hosts:
            yield host, "tls", FIRST
            if host in self.spread:
                yield host, "tls", SECOND


FIRST, SECOND = endpoint("198.51.100.7", 443), endpoint("198.51.100.8", 443)


def simulate(path: Path, plan: Plan) -> Outcomes:
    """Plays it all; a minute for each fifty thousand spots and runs, or so."""
    controls = controls_of(plan.controls)
    names = tuple(controls)
    truth = Truth(plan, names)
    world = World(path, policy=baseline(names, 0), controls=controls)
    ours, theirs = _Referee(truth), _Referee(truth)
    naive = _Naive(truth)
    counts: dict[str, int] = defaultdict(int)
    suspect = 0
    with world.open() as store:
        for run in range(plan.runs):
            if run == plan.runs // 2:
                world.policy = baseline(names, 1)
            if run:
                truth.advance(run)
            first = {question: truth.look(run, question[0], question[2]) for question in truth.questions()}
            events, doubted = _scan(world, store, truth, run, first)
            suspect += doubted
            seen = {question[0] for question, answer in first.items() if not isinstance(answer, Unobserved)}
            ours.saw(run, seen)
            theirs.saw(run, seen)
            for event in events:
                counts[event.kind] += 1
                if event.kind in ("new", "regressed", "fixed") and not event.initial and not doubted:
                    ours.said(run, (event.finding.asset, event.finding.control), event.kind != "fixed")
            for spot, is_open in naive.compare(first, strict=run >= plan.runs // 2):
                theirs.said(run, spot, is_open)
    return Outcomes(
        changes=ours.expected(),
        posture=ours.tally(),
        naive=theirs.tally(),
        suspect=suspect,
        unstable=counts["unstable"],
        policy_changed=counts["policy_changed"],
    )


def _scan(
    world: World, store: Store, truth: Truth, run: int, first: dict[Question, Answer]
) -> tuple[tuple[Event, ...], bool]:
    """One run as a scan does it: ask, judge, ask again where something changed, judge, close."""
    start = world.start(first)
    known = last_known(store, "local")
    opened = store.begin(start)
    at = start.started_at + timedelta(minutes=5)
    opened.settle_all((question, replace(answer, at=at), None) for question, answer in first.items())
    again = changed_subjects(known, world.judged(opened, start), set(first), world.controls)
    second = {question: truth.look(run, question[0], question[2]) for question in sorted(again)}
    # A second look that saw nothing does not wipe out what the first one saw.
    kept = {question: answer for question, answer in second.items() if not isinstance(answer, Unobserved)}
    opened.settle_all((question, replace(answer, at=at), None) for question, answer in kept.items())
    opened.looked_again({question: _said(first[question], answer) for question, answer in second.items()})
    closed = opened.close(world.judged(opened, start), "complete", start.started_at + timedelta(minutes=10))
    world.day += 1
    return closed.events, closed.suspect


def _said(first: Answer, second: Answer) -> str:
    if isinstance(second, Unobserved):
        return "nothing"
    return "same" if second == first else "other"


@dataclass(slots=True)
class _Naive:
    """Compare statuses, skip errors: one look, one status a control, no second look, no notion of policy."""

    truth: Truth
    last: dict[Spot, bool] = field(default_factory=dict)

    def compare(self, first: dict[Question, Answer], *, strict: bool) -> Iterator[tuple[Spot, bool]]:
        by_host: dict[AssetKey, list[Answer]] = defaultdict(list)
        for (host, _, _), answer in first.items():
            by_host[host].append(answer)
        for host, answers in by_host.items():
            answer = self.truth.random.choice(answers)  # whichever address the resolver gave
            if isinstance(answer, Unobserved):
                continue
            word = answer.facts.name  # type: ignore[union-attr] # no absence is played
            for place, name in enumerate(self.truth.names):
                is_open = word[place] == BAD or (strict and word[place] == OLD)
                was = self.last.get((host, name))
                self.last[host, name] = is_open
                if was is not None and was is not is_open:
                    yield (host, name), is_open


@dataclass(slots=True)
class _Referee:
    """Holds what a method says against the truth. A change is due from when it happened until it is undone."""

    truth: Truth
    answered: dict[AssetKey, list[int]] = field(default_factory=lambda: defaultdict(list))
    claims: list[tuple[int, Spot, bool]] = field(default_factory=list)

    def saw(self, run: int, hosts: set[AssetKey]) -> None:
        for host in hosts:
            self.answered[host].append(run)

    def said(self, run: int, spot: Spot, is_open: bool) -> None:
        self.claims.append((run, spot, is_open))

    def _spans(self) -> dict[Spot, list[tuple[int, int, bool]]]:
        """When each change began and, exclusive, was undone."""
        spans: dict[Spot, list[tuple[int, int, bool]]] = defaultdict(list)
        for run, spot, is_open in self.truth.changed:
            if spans[spot]:
                start, _, state = spans[spot][-1]
                spans[spot][-1] = (start, run, state)
            spans[spot].append((run, self.truth.plan.runs, is_open))
        return spans

    def _due(self) -> dict[Spot, list[tuple[int, int, bool]]]:
        """The changes to be found: those that are told from what was known before, once somebody answers."""
        due: dict[Spot, list[tuple[int, int, bool]]] = {}
        for spot, spans in self._spans().items():
            if spot in self.truth.flapping:
                continue
            answered = self.answered[spot[0]]
            known: bool | None = not spans[0][2] if answered and answered[0] < spans[0][0] else None
            for start, end, is_open in spans:
                if any(start <= run < end for run in answered):
                    if known is not None and known is not is_open:
                        due.setdefault(spot, []).append((start, end, is_open))
                    known = is_open
        return due

    def expected(self) -> int:
        return sum(map(len, self._due().values()))

    def tally(self) -> Tally:
        tally = Tally(events=len(self.claims))
        spans, due = self._spans(), self._due()
        claimed: set[tuple[Spot, int]] = set()
        for run, spot, is_open in self.claims:
            match = [span for span in spans.get(spot, ()) if span[0] <= run < span[1] and span[2] is is_open]
            if match and (spot, match[0][0]) not in claimed:
                claimed.add((spot, match[0][0]))
            elif not (match and spot in self.truth.flapping):
                tally.false += 1
                tally.false_by[self._cause(spot)] += 1
        tally.found = sum((spot, start) in claimed for spot, wanted in due.items() for start, _, _ in wanted)
        return tally

    def _cause(self, spot: Spot) -> str:
        if spot[0] in self.truth.unlike:
            return "unlike backends, two addresses" if spot[0] in self.truth.spread else "unlike backends, one address"
        place = self.truth.names.index(spot[1])
        return "policy" if self.truth.words[spot[0]][place] == OLD else "glitch or timing"
