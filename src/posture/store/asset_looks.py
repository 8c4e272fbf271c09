"""How one asset looked in each run of a long history, by going through its years once, from change to change.

What merely has to be told from something else stays a number: an answer is read only when somebody judges it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from posture.model import Reason, Unobserved
from posture.store.past import ANY_TIME, Pasts
from posture.store.records import StoredAnswer
from posture.store.silences import Miss, misses

_FACTS = """SELECT probe, subject_id, from_run, to_run, blob_id, authorisation FROM facts
  WHERE asset_id = ? AND vantage_id = ? ORDER BY from_run"""

_NOTHING = 0  # the state of a probe that was never asked
_STOPPED = str(Reason.STOPPED)

Slot = tuple[str, str]  # probe, subject
Said = tuple[Any, ...]  # of facts: blob, authorisation; of a silence: reason, code, detail, authorisation
Lasting = tuple[Slot, bool, int, int | None, Said]  # whether it is a silence; from run, until run


@dataclass(slots=True)
class AssetLooks:
    """One asset's answers and silences. Call :meth:`go_to` with runs in ascending order, then ask.

    ``changes``: by run the probes of which something began or ended with it; ``is_stopped``: whether at the end of the
    history a stopped question is still open.
    """

    pasts: Pasts
    asset: int
    changes: dict[int, set[str]] = field(init=False)
    is_stopped: bool = False
    _coming: list[tuple[int, list[tuple[Slot, bool, int]]]] = field(init=False)  # by run, the last first
    _said: list[Said] = field(default_factory=lambda: [()])  # by number; 0 is nothing
    _states: dict[tuple[tuple[str, int], ...], int] = field(default_factory=lambda: {(): _NOTHING})
    _answers: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    _silences: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    _now: dict[str, int] = field(default_factory=dict)
    _read: dict[int, StoredAnswer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        by_run: dict[int, list[tuple[Slot, bool, int]]] = defaultdict(list)
        numbers: dict[Said, int] = {}
        for slot, silent, since, until, said in (*self._told(), *self._missed()):
            number = numbers.get(said)
            if number is None:
                number = numbers[said] = len(self._said)
                self._said.append(said)
            by_run[since].append((slot, silent, number))
            if until is not None:  # before what follows it there, which is read later
                by_run[until].append((slot, silent, 0))
            elif silent and said[0] == _STOPPED:
                self.is_stopped = True
        self.changes = {run: {slot[0] for slot, _, _ in happened} for run, happened in by_run.items()}
        self._coming = sorted(by_run.items(), reverse=True)

    def _told(self) -> Iterator[Lasting]:
        text, place = self.pasts.texts.text, (self.asset, self.pasts.number)
        for probe, subject, since, until, *said in self.pasts.connection.execute(_FACTS, place):
            yield (probe, text(subject)), False, since, until, tuple(said)

    def _missed(self) -> list[Lasting]:
        found = misses(self.pasts.connection, self.pasts.number, only=(self.asset,))
        spells = sorted(found, key=lambda one: one.miss.since)
        return [((one.probe, one.subject), True, one.miss.since, one.until, _silence(one.miss)) for one in spells]

    def go_to(self, run: int) -> None:
        """On to a run."""
        touched: set[str] = set()
        while self._coming and self._coming[-1][0] <= run:
            for (probe, subject), silent, number in self._coming.pop()[1]:
                there = (self._silences if silent else self._answers)[probe]
                if number:
                    there[subject] = number
                else:
                    there.pop(subject, None)
                touched.add(probe)
        for probe in touched:
            state = tuple(sorted(self._look(probe).items()))
            self._now[probe] = self._states.setdefault(state, len(self._states))

    def states(self, probes: Iterable[str]) -> dict[str, int]:
        """By probe a number that is the same whenever all its answers and silences are the same, 0 for none at all."""
        return {probe: self._now.get(probe, _NOTHING) for probe in probes}

    def look(self, probes: Iterable[str]) -> dict[tuple[str, str], StoredAnswer]:
        """The last look at some probes: a silence hides the older answer. Times are not told."""
        return {
            (probe, subject): self._answer(number) for probe in probes for subject, number in self._look(probe).items()
        }

    def refused(self) -> set[str]:
        """The probes of which our kill switch kept something from being asked, which stands in no coverage."""
        return {
            probe for probe in self._silences if any(said[0] == _STOPPED and said[1] for said in self._silent(probe))
        }

    def was_cut(self, probes: Iterable[str]) -> bool:
        """Whether of some probes a question was stopped."""
        return any(said[0] == _STOPPED for probe in probes for said in self._silent(probe))

    def _silent(self, probe: str) -> Iterable[Said]:
        return (self._said[number] for number in self._silences.get(probe, {}).values())

    def _look(self, probe: str) -> Mapping[str, int]:
        silences = self._silences.get(probe)
        return {**self._answers[probe], **silences} if silences else self._answers[probe]

    def _answer(self, number: int) -> StoredAnswer:
        found = self._read.get(number)
        if found is None:
            found = self._read[number] = self._answer_of(self._said[number])
        return found

    def _answer_of(self, said: Said) -> StoredAnswer:
        if len(said) == 2:
            answer, digest = self.pasts.decoded(said[0])
            return StoredAnswer(answer, 0, digest, said[1])
        reason, code, detail, authority = said
        return StoredAnswer(Unobserved(Reason(reason), ANY_TIME, detail, code), 0, "", authority)


def _silence(miss: Miss) -> Said:
    return miss.reason, miss.code, miss.detail, miss.authorisation
