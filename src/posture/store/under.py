"""What a run would have known under another policy, or by the rules of today: its recorded answers, judged again.

Only the rules differ from what the run was told: every answer is judged as of the time at which it was last given, so
that what merely grew old meanwhile is not laid at a rule's door. Evidence that is no longer kept is unknown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from posture.checks import Control, Reference
from posture.drift import Key, key_of
from posture.judge import judge
from posture.model import AssetKey, Finding, Outcome, Reason, Unobserved
from posture.policy import Policy
from posture.store.dockets import Answers, docket_of
from posture.store.past import Pasts
from posture.store.reader import Reader
from posture.store.records import AssetEntry, Interval, RunRecord, StoredAnswer


@dataclass(slots=True)
class Under:
    """A run under another judgement.

    ``known``: the last known finding per key. ``silent``: those of them, and whole controls, that the last look could
    not renew, with the unknown in their place. ``unknown``: what no look ever saw. ``seen``: which run last answered;
    ``timelines`` of the run itself, as it was told. ``dropped``: answers whose evidence is no longer kept.
    """

    known: dict[Key, Finding] = field(default_factory=dict)
    silent: dict[Key, Finding] = field(default_factory=dict)
    unknown: dict[Key, Finding] = field(default_factory=dict)
    seen: Mapping[Key, RunRecord] = field(default_factory=dict)
    timelines: Mapping[Key, list[Interval]] = field(default_factory=dict)
    dropped: int = 0


def known_under(
    reader: Reader,
    run: RunRecord,
    policy: Policy,
    shipped: Mapping[str, Control],
    *,
    assets: Collection[AssetKey] | None = None,
    controls: Collection[str] | None = None,
) -> Under:
    """The state as of a run under a policy, by the rules given.

    Args:
        assets, controls: these alone; all when left out.
    """
    timelines = reader.timelines(run)
    under = Under(timelines=timelines, seen=reader.last_seen(run, timelines))
    entries = reader.entries(run.number)
    look = _Look(reader, run, policy, shipped, under, controls)
    for number, asset in reader.assets().items():
        if asset in entries and (assets is None or asset in assets):
            look.judge(entries[asset], number)
    return under


@dataclass(slots=True)
class _Look:
    """The last look at each asset, and behind what it could not see the looks before."""

    reader: Reader
    run: RunRecord
    policy: Policy
    shipped: Mapping[str, Control]
    under: Under
    controls: Collection[str] | None
    pasts: Pasts = field(init=False)
    reference: Reference = field(init=False)
    asked: frozenset[AssetKey] = field(init=False)
    seen: Mapping[AssetKey, Mapping[Key, RunRecord]] = field(init=False)

    def __post_init__(self) -> None:
        reader, bits = self.reader, self.reader.bits()
        self.pasts, self.reference = reader.pasts(self.run.vantage), reader.reference(self.run)
        self.asked = frozenset(bits[bit] for asked, _, _ in reader.looks(self.run.number).values() for bit in asked)
        by_asset: dict[AssetKey, dict[Key, RunRecord]] = defaultdict(dict)
        for key, run in self.under.seen.items():
            by_asset[key[0]][key] = run
        self.seen = by_asset

    def judge(self, entry: AssetEntry, number: int) -> None:
        asset, under = entry.key, self.under
        last = self.run if asset in self.asked else self._newest(self.seen.get(asset, {}).values())
        look = self.pasts.look(number, self.run.number)
        under.dropped += sum(is_dropped(stored) for stored in look.values())
        found = self._judged(entry, look, last, self.controls)
        known = {key: one for key, one in found.items() if one.outcome is not Outcome.UNKNOWN}
        silent = {key: one for key, one in found.items() if one.outcome is Outcome.UNKNOWN}
        carried = self._before(entry, number, silent, known)
        for key in [key for key in (*known, *carried) if self._has_gone(key)]:
            known.pop(key, None)
            carried.pop(key, None)
        under.known.update({**known, **carried})
        under.silent.update(silent)
        pairs = {key[:2] for key in (*known, *carried)}
        under.unknown.update(
            (key, one) for key, one in silent.items() if key not in carried and not (key[2] == "" and key[:2] in pairs)
        )

    def _before(
        self, entry: AssetEntry, asset: int, silent: Collection[Key], known: Collection[Key]
    ) -> dict[Key, Finding]:
        """Behind each silence what the run knew that last got an answer, or the last answers, if no rule told it yet."""
        runs: dict[int, RunRecord] = {}
        controls: dict[int, set[str]] = defaultdict(set)
        for key in silent:
            run = self._answered_by(key)
            runs[run.number] = run
            controls[run.number].add(key[1])
        carried: dict[Key, Finding] = {}
        for number, run in runs.items():
            answers = self.pasts.known(asset, number) if number == self.run.number else self.pasts.look(asset, number)
            found = self._judged(entry, answers, run, sorted(controls[number]))
            carried |= {k: one for k, one in found.items() if one.outcome is not Outcome.UNKNOWN and k not in known}
        return carried

    def _has_gone(self, key: Key) -> bool:
        """Whether the run knew that there is no such thing any more, though its last answer still stands."""
        spans = self.under.timelines.get(key)
        return spans is not None and spans[-1].until is not None and spans[-1].end_cause == "scope"

    def _answered_by(self, key: Key) -> RunRecord:
        """Which run last answered a silent key, as it was told then; of a whole control the latest of its instances."""
        seen = self.seen.get(key[0], {})
        if key in seen:
            return seen[key]
        return self._newest(run for other, run in seen.items() if key[2] == "" and other[1] == key[1])

    def _newest(self, runs: Iterable[RunRecord]) -> RunRecord:
        return max(runs, key=lambda run: run.number, default=self.run)

    def _judged(
        self, entry: AssetEntry, answers: Answers, run: RunRecord, controls: Collection[str] | None
    ) -> dict[Key, Finding]:
        found = judge(
            docket_of(entry, answers),
            self.policy,
            run.end,
            reference=self.reference,
            lab=self.run.lab,
            controls=controls,
            shipped=self.shipped,
        )
        return {key_of(one): one for one in found}


def is_dropped(stored: StoredAnswer) -> bool:
    """Whether retention emptied it, or no reader of its version is left."""
    return isinstance(stored.answer, Unobserved) and stored.answer.reason is Reason.NOT_RECORDED
