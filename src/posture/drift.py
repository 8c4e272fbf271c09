"""What changed between two runs of one vantage, and whose doing it was. Pure.

Coverage decides: a change of the target is believed only when both sides answered under the same policy and rules.
Silence never fixes. After a change of policy or rules the OLD facts are judged anew (``rejudged``): where that alone
differs the event is ``policy_changed`` or ``tool_changed``, and the target is compared from there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from posture.checks import Control, catalogue
from posture.judge import words_of
from posture.model import STORES, AssetKey, Finding, Outcome, Reason, Severity, parse_endpoint
from posture.scanned import Scanned

Key = tuple[AssetKey, str, str]  # asset, control, subject

STALE_AFTER = timedelta(days=7)
FLAPPING = 4  # changes within the last FLAP_WINDOW answered runs
FLAP_WINDOW = 14

_OUR_REFUSALS = (Reason.OUT_OF_SCOPE, Reason.NOT_GRANTED)
CHANGES = ("new", "regressed", "fixed", "changed")
# What is told of two runs; the first ones are of what was seen, so that what merely stays need not be looked at.
SEEN = (*CHANGES, "unstable", "policy_changed", "tool_changed")
KINDS = (*SEEN, "out_of_scope", "persisting", "unknown", "stale")


@dataclass(frozen=True, slots=True)
class Probed:
    """One probe's coverage in a run: who was asked, who answered in full."""

    targeted: frozenset[AssetKey]
    answered: frozenset[AssetKey]


@dataclass(frozen=True, slots=True)
class Judged:
    """A vantage as of the end of a run.

    Args:
        known: the last known finding per key; never an unknown.
        seen: when a key was last answered; ``at`` where left out.
        answered: the keys that this very run answered.
        unknown: what this very run asked and could not see.
        asked: what this run asked, by asset and control. ``narrowed``: selectors left something out.
        assets: the inventory's assets. ``acquainted``: of which anything was known, where ``known`` does not hold all.
        ended: keys that are no longer known, with the cause (target, scope, policy, tool).
        fixed_once: keys that were open and then seen mended, at any time before; ``mended``: when that was last.
        flips: changes between open and not open in the last ``FLAP_WINDOW`` runs that answered, this one included.
        probes: coverage by probe.
    """

    at: datetime
    known: Mapping[Key, Finding]
    answered: Collection[Key]
    asked: Collection[tuple[AssetKey, str]]
    assets: Collection[AssetKey]
    acquainted: Collection[AssetKey] = frozenset()
    vantage: str = "local"
    policy: str = ""
    rules: str = ""
    narrowed: bool = False
    seen: Mapping[Key, datetime] = field(default_factory=dict)
    unknown: Mapping[Key, Finding] = field(default_factory=dict)
    ended: Mapping[Key, str] = field(default_factory=dict)
    fixed_once: Collection[Key] = frozenset()
    mended: Mapping[Key, datetime] = field(default_factory=dict)
    flips: Mapping[Key, int] = field(default_factory=dict)
    probes: Mapping[str, Probed] = field(default_factory=dict)

    def seen_at(self, key: Key) -> datetime:
        return self.seen.get(key, self.at)

    def is_unstable(self, key: Key) -> bool:
        return self.flips.get(key, 0) >= FLAPPING

    def silence(self, key: Key) -> Finding | None:
        """The unknown that stands in the place of a key: its own, or that of a whole asset's control."""
        asset, control, _ = key
        return self.unknown.get(key) or self.unknown.get((asset, control, ""))


@dataclass(frozen=True, slots=True)
class Event:
    """One change. ``finding`` is the one to speak of: the later where there is one.

    ``between``: the last answer before and the first after; the truth lies between, and no date is more exact.
    """

    kind: str
    finding: Finding
    before: Outcome | None
    after: Outcome | None
    between: tuple[datetime, datetime]
    initial: bool = False

    @property
    def key(self) -> Key:
        return key_of(self.finding)

    @property
    def severity(self) -> Severity:
        return self.finding.severity


def key_of(finding: Finding) -> Key:
    """Identity of a finding: never its text, severity or evidence."""
    return finding.asset, finding.control, finding.subject


def drift(before: Judged, after: Judged, rejudged: Mapping[Key, Finding] | None = None) -> tuple[Event, ...]:
    """All events from one run to a later one, ordered by asset, control and subject.

    Args:
        before, after: two runs of the same vantage.
        rejudged: the facts as of ``before`` judged under the policy and rules of ``after``; needed when these differ.

    Raises:
        ValueError: the two runs looked from different places.
    """
    if before.vantage != after.vantage:
        raise ValueError("vantages never mix")
    comparison = _Comparison(before, after, rejudged)
    keys = {*before.known, *after.known, *(rejudged or {})}
    return tuple(event for key in sorted(keys) if comparison.covers(key) for event in comparison.events(key))


@dataclass(slots=True)
class _Comparison:
    before: Judged
    after: Judged
    rejudged: Mapping[Key, Finding] | None
    strangers: frozenset[AssetKey] = field(init=False)
    stopped: frozenset[AssetKey] = field(init=False)  # of which the kill switch kept something from being asked

    def __post_init__(self) -> None:
        unknown = self.after.unknown.items()
        self.stopped = frozenset(asset for (asset, _, _), one in unknown if one.reason is Reason.STOPPED)
        acquainted = {key[0] for key in self.before.known} | set(self.before.acquainted)
        self.strangers = frozenset(self.after.assets) - acquainted

    def covers(self, key: Key) -> bool:
        """Both runs asked; what did not exist before, or has left since, counts when a whole run says so."""
        asset, control, _ = key
        before = not self.before.narrowed or (asset, control) in self.before.asked or asset in self.strangers
        after = (asset, control) in self.after.asked or (not self.after.narrowed and self._left(key))
        return before and after

    def _left(self, key: Key) -> bool:
        return key[0] not in self.after.assets or key in self.after.ended

    def events(self, key: Key) -> Iterator[Event]:
        old = self.before.known.get(key)
        if old and self._left_scope(key):
            yield self._event("out_of_scope", key, old, None)
            return
        if self.rejudged is not None and (self.before.policy, self.before.rules) != (
            self.after.policy,
            self.after.rules,
        ):
            old, moved = self._under_new_rules(key, old)
            yield from moved
        yield from self._of_target(key, old)

    def _left_scope(self, key: Key) -> bool:
        if key in self.after.known:
            return False
        return key[0] not in self.after.assets or self.after.ended.get(key) == "scope"

    def _under_new_rules(self, key: Key, old: Finding | None) -> tuple[Finding | None, list[Event]]:
        """The old value as the new rules see the old facts, and the event when that alone differs."""
        kind = "policy_changed" if self.before.policy != self.after.policy else "tool_changed"
        anew = (self.rejudged or {}).get(key)
        if anew is None or anew.outcome is Outcome.UNKNOWN:
            now = self.after.known.get(key)
            if old is None or (now is not None and _same(old, now)):
                return old, []
            # The old facts do not tell, so that the difference is not laid at the target's door.
            return now, [self._event(kind, key, old, now)]
        if old is None:
            return anew, [self._event(kind, key, None, anew)] if anew.outcome.is_open else []
        if _same(old, anew):
            return old, []
        return anew, [self._event(kind, key, old, anew)]

    def _of_target(self, key: Key, old: Finding | None) -> Iterator[Event]:
        if key in self.after.answered:
            kind = self._kind(key, old, self.after.known[key])
            if kind:
                yield self._event(kind, key, old, self.after.known[key])
        elif old and self.after.ended.get(key) == "target":
            # The port that was open is not any more: its address answered.
            if old.outcome.is_open and (kind := self._settle(key, "fixed")):
                yield self._event(kind, key, old, replace(old, outcome=Outcome.PASS))
        elif old:
            yield from self._unseen(key, old)

    def _kind(self, key: Key, old: Finding | None, new: Finding) -> str | None:
        was_open = old is not None and old.outcome.is_open
        if new.outcome.is_open:
            if self._mended_meanwhile(key):  # also of one that was open at both ends
                return self._settle(key, "regressed")
            if not was_open:
                return self._settle(key, "regressed" if key in self.before.fixed_once else "new")
            assert old is not None
            return "persisting" if _same(old, new) else self._settle(key, "changed")
        if was_open:
            return self._settle(key, "changed" if new.outcome is Outcome.NOT_APPLICABLE else "fixed")
        return None

    def _mended_meanwhile(self, key: Key) -> bool:
        mended = self.after.mended.get(key)
        return mended is not None and mended > self.before.at

    def _settle(self, key: Key, kind: str) -> str | None:
        """What flaps is one event when it begins to, and then none until it has been quiet."""
        if not self.after.is_unstable(key):
            return kind
        return None if self.before.is_unstable(key) else "unstable"

    def _unseen(self, key: Key, old: Finding) -> Iterator[Event]:
        """Known before, not answered now: the last known value stays, and its age shows."""
        silence = self.after.silence(key)
        reason = silence.reason if silence else None
        if reason in (Reason.NOT_RUN, Reason.STOPPED) or (reason is None and key[0] in self.stopped):
            return  # this run did not ask: nothing to compare
        if reason in _OUR_REFUSALS:
            yield self._event("out_of_scope", key, old, silence)
        elif self.after.at - self.before.seen_at(key) > STALE_AFTER:
            yield self._event("stale", key, old, silence)
        else:
            yield self._event("unknown", key, old, silence)

    def _event(self, kind: str, key: Key, old: Finding | None, new: Finding | None) -> Event:
        finding = new or old
        assert finding is not None
        after = new.outcome if new else (Outcome.UNKNOWN if kind in ("unknown", "stale") else None)
        between = (self.before.seen_at(key), self.after.seen_at(key))
        severity = old.severity if old and kind != "changed" else finding.severity
        spoken = finding
        if (finding.subject, finding.severity) != (key[2], severity):
            spoken = replace(finding, subject=key[2], severity=severity)
        initial = kind == "new" and key[0] in self.strangers
        return Event(kind, spoken, old.outcome if old else None, after, between, initial)


def _same(old: Finding, new: Finding) -> bool:
    return (old.outcome, old.severity, old.tag, _told(old)) == (new.outcome, new.severity, new.tag, _told(new))


def _told(finding: Finding) -> object:
    """The args, without what only a deeper scan adds."""
    return {name: value for name, value in finding.args.items() if name != STORES}


def changed_subjects(
    previous: Mapping[Key, Finding],
    findings: Iterable[Finding],
    asked: Collection[tuple[AssetKey, str, str]],
    shipped: Mapping[str, Control] | None = None,
) -> set[tuple[AssetKey, str, str]]:
    """What must be probed once more in the same run before a change is believed: (asset, probe, subject).

    A first look at an asset needs no second one; an unknown is no change.

    Args:
        previous: the last known finding per key.
        findings: what this run's answers were judged to be.
        asked: every (asset, probe, subject) that this run put to somebody.
    """
    controls = catalogue() if shipped is None else shipped
    acquainted = {key[0] for key in previous}
    now = {key_of(finding): finding for finding in findings if finding.asset in acquainted}
    moved = {key for key, finding in now.items() if _needs_second_look(previous.get(key), finding)}
    judged = {key[:2] for key in now}
    vanished = {
        key
        for key, finding in previous.items()
        if finding.outcome.is_open and key not in now and key[:2] in judged and _is_port(controls, key)
    }
    by_asset: dict[tuple[AssetKey, str], list[str]] = defaultdict(list)
    for asset, probe, subject in asked:
        by_asset[asset, probe].append(subject)
    return {
        (asset, probe, one)
        for asset, control, subject in moved | vanished
        if control in controls
        for probe in (need.TYPE for need in controls[control].rule.needs)
        for one in subjects_behind(controls[control], subject, by_asset[asset, probe])
    }


def confirmed(
    event: Event, again: Mapping[tuple[AssetKey, str], Mapping[str, str]], shipped: Mapping[str, Control]
) -> bool | None:
    """Whether every second look at what a change rests on saw the same; None where nobody looked twice.

    Args:
        again: by asset and probe what the second look at each subject said: same, other or nothing.
    """
    control = shipped.get(event.finding.control)
    if event.kind not in (*CHANGES, "unstable") or control is None:
        return None
    said = [
        looks[subject]
        for need in control.rule.needs
        if (looks := again.get((event.finding.asset, need.TYPE)))
        for subject in subjects_behind(control, event.finding.subject, looks)
    ]
    return all(word == "same" for word in said) if said else None


def _was_open(finding: Finding, shipped: Mapping[str, Control]) -> bool:
    """Whether the finding spoken of is the old one: what was open has gone without anything in its place."""
    control = shipped.get(finding.control)
    tag = control.tags.get(finding.tag or "") if control else None
    return tag is not None and tag.outcome.is_open


def message_of(event: Event, shipped: Mapping[str, Control]) -> Scanned:
    if event.kind == "out_of_scope" and event.after is None:
        return Scanned("No longer looked at: it has left the DNS or the inventory.")
    if event.kind in ("unknown", "stale") and event.finding.outcome is not Outcome.UNKNOWN:
        return Scanned("Could not see; the last known answer stays.")
    if event.kind == "fixed" and event.finding.tag and _was_open(event.finding, shipped):
        return "No longer so: " + words_of(event.finding, shipped)
    words = words_of(event.finding, shipped)
    prefix = {"policy_changed": "By the new policy: ", "tool_changed": "By the new rules of this release: "}
    return prefix.get(event.kind, "") + words


def _needs_second_look(old: Finding | None, new: Finding) -> bool:
    if new.outcome is Outcome.UNKNOWN:
        return False
    if old is None:
        return new.outcome.is_open
    return (old.outcome, old.severity) != (new.outcome, new.severity)


def _is_port(controls: Mapping[str, Control], key: Key) -> bool:
    return key[1] in controls and controls[key[1]].subject == "ports"


def subjects_behind(control: Control, subject: str, asked: Collection[str]) -> tuple[str, ...]:
    """Which of a probe's subjects a finding rests on: its own, or all when the probe knows none of that name."""
    if control.subject == "ports":
        subject = address_of(subject)
    return (subject,) if subject in asked else tuple(sorted(asked))


def address_of(subject: str) -> str:
    """``198.51.100.7`` of ``198.51.100.7:23/tcp``; anything else as it is."""
    try:
        return parse_endpoint(subject)[0]
    except ValueError:
        return subject
