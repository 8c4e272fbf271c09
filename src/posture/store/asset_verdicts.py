"""What the rules make of one asset, each control judged once for the same answers, however often these come back.

A rule reads the answers of its needs, what the inventory declares, thresholds, the trust store and the clock. So what it
said holds again for the very same answers until the first ``good_until`` of it, while the rest of that is the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime

from posture.checks import Control, Reference
from posture.judge import judge
from posture.model import Finding, Outcome
from posture.policy import Policy
from posture.store.answers import finding_body
from posture.store.asset_looks import AssetLooks
from posture.store.dockets import docket_of
from posture.store.fold_findings import why_gone
from posture.store.records import OUTCOMES, SEVERITIES, AssetEntry, RunRecord

Value = tuple[int, int, str]  # outcome, severity, body


@dataclass(slots=True)
class Told:
    """What one control says of an asset: ``found`` by subject, and of the known ones the ``values``.

    It holds from ``since`` until ``until``, the first ``good_until`` of any, as long as the answers are the same.
    """

    control: str
    since: datetime
    until: datetime | None
    found: Mapping[str, Finding]
    values: Mapping[str, Value]
    _gone: dict[str, str | None] = field(default_factory=dict)

    def holds(self, at: datetime) -> bool:
        return self.since <= at and (self.until is None or at < self.until)

    def gone(self, control: Control | None, subject: str) -> str | None:
        """Why a subject is no longer among what was found; None while it may only not have been seen."""
        if subject not in self._gone:
            self._gone[subject] = why_gone(control, subject, self.found)
        return self._gone[subject]


@dataclass(frozen=True, slots=True)
class Watched(Policy):
    """A policy that remembers which thresholds were ever asked of it."""

    read: set[str] = field(default_factory=set, compare=False)

    def number(self, name: str, at: datetime) -> int:
        self.read.add(name)
        return Policy.number(self, name, at)


def watched(policy: Policy) -> Watched:
    """The same policy, of which nothing was asked yet."""
    return Watched(**{one.name: getattr(policy, one.name) for one in fields(Policy)})


@dataclass(frozen=True, slots=True)
class Group:
    """Controls that need the answers of the same probes, so that what they say changes together."""

    number: int
    needs: tuple[str, ...]
    controls: frozenset[str]


@dataclass(slots=True)
class Batch:
    """What a group of controls says; it holds as long as each of ``told`` does.

    ``clean``: in which state of what is held of the group these verdicts change nothing, -1 for none.
    """

    group: Group
    told: tuple[Told, ...]
    due: Mapping[str, datetime] = field(init=False)
    since: datetime = field(init=False)
    until: datetime | None = field(init=False)
    clean: int = -1

    def __post_init__(self) -> None:
        self.due = {told.control: told.until for told in self.told if told.until is not None}
        self.since = max(told.since for told in self.told)
        self.until = min(self.due.values(), default=None)

    def holds(self, at: datetime) -> bool:
        return self.since <= at and (self.until is None or at < self.until)


def groups_of(needs: Mapping[str, tuple[str, ...]]) -> tuple[Group, ...]:
    """Controls by what they need."""
    found: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for name, probes in needs.items():
        found[probes].add(name)
    return tuple(Group(number, probes, frozenset(names)) for number, (probes, names) in enumerate(found.items()))


@dataclass(slots=True)
class AssetVerdicts:
    """The verdicts about one asset, by control and the state of what it needs.

    ``needs``: by control the probes whose answers its rule reads; ``groups`` of :func:`groups_of`; ``shown``: by control
    the policy, watched, whose thresholds its rule reads. All assets share one.
    """

    policy: Policy
    shown: Mapping[str, Watched]
    shipped: Mapping[str, Control]
    needs: Mapping[str, tuple[str, ...]]
    groups: tuple[Group, ...]
    looks: AssetLooks
    _known: dict[tuple[str, tuple[int, ...]], Told] = field(default_factory=dict)
    _batches: dict[tuple[int, tuple[int, ...]], Batch] = field(default_factory=dict)

    def forget(self, thresholds: Collection[str] | None = None) -> None:
        """The rest has changed: thresholds, the trust store, what the inventory declares.

        Args:
            thresholds: only these have; all may have when left out.
        """
        self._batches.clear()
        if thresholds is None:
            self._known.clear()
            return
        for key in [key for key in self._known if not self.shown[key[0]].read.isdisjoint(thresholds)]:
            del self._known[key]

    def of(
        self,
        controls: set[str],
        asked: Collection[str],
        entry: AssetEntry,
        run: RunRecord,
        reference: Reference,
    ) -> tuple[list[Batch], list[Told]]:
        """What some controls say at the end of a run of the answers that hold then: whole groups, and single ones.

        Args:
            asked: the probes that the run asked; the answers of others are as if there were none.
        """
        states, at = self.looks.states(asked), run.end
        batches: list[Batch] = []
        whole: list[tuple[Group, tuple[int, ...]]] = []
        single = set(controls)
        for group in self.groups:
            if group.controls <= controls:
                single -= group.controls
                state = tuple([states.get(probe, 0) for probe in group.needs])
                batch = self._batches.get((group.number, state))
                if batch is not None and batch.holds(at):
                    batches.append(batch)
                else:
                    whole.append((group, state))
        if not whole and not single:
            return batches, []
        keys = {name: (name, state) for group, state in whole for name in group.controls}
        for name in single:
            keys[name] = (name, tuple([states.get(probe, 0) for probe in self.needs.get(name, ())]))
        told = self._each(keys, asked, entry, run, reference)
        for group, state in whole:
            batch = Batch(group, tuple(told[name] for name in group.controls))
            self._batches[group.number, state] = batch
            batches.append(batch)
        return batches, [told[name] for name in single]

    def _each(
        self,
        keys: Mapping[str, tuple[str, tuple[int, ...]]],
        asked: Collection[str],
        entry: AssetEntry,
        run: RunRecord,
        reference: Reference,
    ) -> dict[str, Told]:
        found: dict[str, Told] = {}
        for name, key in keys.items():
            told = self._known.get(key)
            if told is not None and told.holds(run.end):
                found[name] = told
        fresh = keys.keys() - found.keys()
        for told in self._judged(fresh, asked, entry, run, reference) if fresh else ():
            found[told.control] = self._known[keys[told.control]] = told
        return found

    def _judged(
        self,
        controls: Collection[str],
        asked: Collection[str],
        entry: AssetEntry,
        run: RunRecord,
        reference: Reference,
    ) -> list[Told]:
        needed = {probe for name in controls for probe in self.needs.get(name, ())}
        docket = docket_of(entry, self.looks.look(needed.intersection(asked)))
        by_control: dict[str, dict[str, Finding]] = {name: {} for name in controls}
        for one in judge(
            docket,
            self.policy,
            run.end,
            reference=reference,
            lab=run.lab,
            controls=controls,
            shipped=self.shipped,
            shown=self.shown,
        ):
            by_control[one.control][one.subject] = one
        return [_told(name, run.end, found) for name, found in by_control.items()]


def _told(control: str, at: datetime, found: Mapping[str, Finding]) -> Told:
    values = {
        subject: (OUTCOMES.index(one.outcome), SEVERITIES.index(one.severity), finding_body(one))
        for subject, one in found.items()
        if one.outcome is not Outcome.UNKNOWN
    }
    until = min((one.good_until for one in found.values() if one.good_until), default=None)
    return Told(control, at, until, found, values)
