"""``posture-compare/1``: which verdicts move between two policies, or two judgements as recorded. Nothing is changed.

A side is a policy (a shipped name or a file; judged by this release's rules), ``recorded`` (what the run itself was told),
or ``recorded:PREFIX`` (what the history holds under a judgement, by the beginning of its policy's name or of the SHA-256 of
its policy or its rules).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from posture.checks import Control
from posture.checks.baseline import load_baseline
from posture.corpus import Corpus
from posture.drift import Key, key_of
from posture.errors import UsageError
from posture.judge import Docket, judge
from posture.model import Finding
from posture.moves import Move, counts_of, move_row, moves
from posture.policy import Policy
from posture.store import RunRecord, Store
from posture.store.dockets import docket_of
from posture.store.judgements import Judgement, judgements, rules_digest
from posture.store.judging import last_looks, never_known
from posture.store.past import Past
from posture.store.rejudging import Progress, controls_by_probe, rejudged_until, runs_of
from posture.store.under import known_under

Row = dict[str, Any]
Findings = Mapping[Key, Finding]
RECORDED = "recorded"


@dataclass(frozen=True, slots=True)
class Side:
    """One side as typed; ``policy`` is None when it is a recorded one, ``judgement`` None when it is each run's own."""

    name: str
    policy: Policy | None = None
    judgement: Judgement | None = None

    def document(self, shipped: Mapping[str, Control]) -> Row:
        if self.policy is not None:
            rules = rules_digest(self.policy, shipped)
            return {
                "name": self.name,
                "policy": self.policy.id,
                "policy_sha256": self.policy.digest,
                "rules_sha256": rules,
            }
        if self.judgement is None:
            return {"name": self.name, "policy": None, "policy_sha256": None, "rules_sha256": None}
        one = self.judgement
        return {
            "name": self.name,
            "policy": one.policy.id,
            "policy_sha256": one.policy_digest,
            "rules_sha256": one.rules_digest,
        }


def side_of(text: str, store: Store | None) -> Side:
    """What somebody means by OLD or NEW.

    Args:
        store: where recorded judgements are looked for; None where there is no history.

    Raises:
        PolicyError: no such policy.
        UsageError: a recorded judgement that does not exist, or is not the only one of its name.
    """
    if text != RECORDED and not text.startswith(RECORDED + ":"):
        return Side(text, load_baseline(text))
    if store is None:
        raise UsageError(f"{text!r} is what a history was told, and these are facts without one. Name two policies.")
    if text == RECORDED:
        return Side(text)
    prefix = text.partition(":")[2]
    known = judgements(store.connection)
    found = [one for one in known.values() if prefix and any(name.startswith(prefix) for name in _names(one))]
    if len(found) != 1:
        problem = f"{len(found)} recorded judgements begin with {prefix!r}" if found else f"no recorded {prefix!r}"
        choice = ", ".join(f"{one.policy.id} with rules {one.rules_digest[:12]}" for one in known.values())
        raise UsageError(f"{problem}. Recorded are: {choice or 'none'}.")
    return Side(text, judgement=found[0])


def _names(one: Judgement) -> tuple[str, ...]:
    return one.policy.id, one.policy_digest, one.rules_digest


# ---- over what


def compare_corpus(corpus: Corpus, old: Side, new: Side, shipped: Mapping[str, Control], source: str) -> Row:
    """Over recorded files."""
    assert old.policy is not None
    assert new.policy is not None
    found = moves(corpus.judged(old.policy, shipped), corpus.judged(new.policy, shipped))
    rows = [move_row(one, shipped) for one in found]
    return _document(old, new, shipped, {"kind": "facts", "name": source, "assets": len(corpus.assets)}, found, rows)


def compare_run(store: Store, run: RunRecord, old: Side, new: Side, ministries: Sequence[str] = ()) -> Row:
    """Over what was known when a run had ended. Raises UsageError: the run was never judged under a recorded side."""
    found = moves(_of_run(store, run, old), _of_run(store, run, new))
    chosen = [one for one in found if not ministries or one.finding.ministry in ministries]
    rows = [move_row(one, store.shipped) for one in chosen]
    over = {"kind": "run", "name": run.id, "assets": len(store.reader.entries(run.number))}
    return _document(old, new, store.shipped, over, chosen, rows)


def _of_run(store: Store, run: RunRecord, side: Side) -> dict[Key, Finding]:
    reader = store.reader
    if side.policy is not None:
        under = known_under(reader, run, side.policy, store.shipped)
        return {**under.unknown, **under.known}
    own = side.judgement is None or side.judgement.number == run.judgement
    if own:
        timelines = reader.timelines(run)
    else:
        assert side.judgement is not None
        place = reader.texts.known(run.vantage)
        if rejudged_until(store.connection, side.judgement.number, place) < run.number:
            raise UsageError(
                f"run {run.id} was never judged under {side.name!r}. Judge it: posture rejudge --policy "
                f"{side.judgement.policy.id} --run {run.id} (by the rules of this release)."
            )
        timelines = reader.timelines(run, judgement=side.judgement.number)
    known = {key: spans[-1].finding for key, spans in timelines.items() if spans[-1].until is None}
    unknown = never_known(last_looks(reader, run, store.shipped), known) if own else {}
    return {**unknown, **known}


def compare_all(
    store: Store,
    vantage: str,
    old: Side,
    new: Side,
    ministries: Sequence[str] = (),
    progress: Progress | None = None,
) -> Row:
    """Over everything that was ever recorded at a vantage: each answer is judged as of the run that first gave it.

    Raises:
        UsageError: a recorded side, which is of single runs.
    """
    if old.policy is None or new.policy is None:
        raise UsageError("--all compares two policies by today's rules. For a recorded side choose a run: --run R.")
    found = _Everything(store, vantage, old.policy, new.policy).moves(progress)
    chosen = [(move, count) for move, count in found if not ministries or move.finding.ministry in ministries]
    rows = [{**move_row(move, store.shipped), "runs": count} for move, count in chosen]
    over = {"kind": "all", "name": vantage, "assets": len(store.reader.assets())}
    return _document(old, new, store.shipped, over, [move for move, _ in chosen], rows)


@dataclass(slots=True)
class _Everything:
    """Every state in which an asset was ever seen, judged twice."""

    store: Store
    vantage: str
    old: Policy
    new: Policy
    by_probe: Mapping[str, frozenset[str]] = field(init=False)
    found: dict[tuple[str, ...], tuple[Move, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.by_probe = controls_by_probe({*self.old.controls, *self.new.controls}, self.store.shipped)

    def moves(self, progress: Progress | None) -> list[tuple[Move, int]]:
        """Each move once, with the number of runs that saw it first."""
        reader = self.store.reader
        runs = {run.number: run for run in runs_of(self.store, self.vantage)}
        pasts, assets = reader.pasts(self.vantage), reader.assets()
        for done, (number, asset) in enumerate(assets.items(), 1):
            self._of_asset(pasts.of(number, asset), runs)
            if progress:
                progress(done, len(assets))
        return [self.found[name] for name in sorted(self.found)]

    def _of_asset(self, past: Past, runs: Mapping[int, RunRecord]) -> None:
        changes: dict[int, set[str]] = defaultdict(set)
        for number, probe in past.changes():
            changes[number] |= self.by_probe.get(probe, frozenset())
        for number in sorted(changes.keys() & runs.keys()):
            entry = past.entry(number)
            if entry is None:
                continue
            docket = docket_of(entry, past.look(number))
            before = self._judged(docket, self.old, runs[number], changes[number])
            after = self._judged(docket, self.new, runs[number], changes[number])
            for move in moves(before, after):
                count = self.found[_name(move)][1] if _name(move) in self.found else 0
                self.found[_name(move)] = (move, count + 1)

    def _judged(self, docket: Docket, policy: Policy, run: RunRecord, controls: Collection[str]) -> dict[Key, Finding]:
        found = judge(
            docket,
            policy,
            run.end,
            reference=self.store.reader.reference(run),
            lab=run.lab,
            controls=controls,
            shipped=self.store.shipped,
        )
        return {key_of(one): one for one in found}


def _name(move: Move) -> tuple[str, ...]:
    """What makes a move the same one in another run: what it says, not what it quotes."""
    asset, control, subject = move.key
    sides = [
        (str(one.outcome), str(one.severity), one.tag or "") if one else ("", "", "")
        for one in (move.before, move.after)
    ]
    return (asset.name, asset.kind, control, subject, *sides[0], *sides[1])


def _document(
    old: Side, new: Side, shipped: Mapping[str, Control], source: Row, found: Sequence[Move], rows: list[Row]
) -> Row:
    return {
        "schema": "posture-compare/1",
        "old": old.document(shipped),
        "new": new.document(shipped),
        "over": source,
        "counts": counts_of(found),
        "findings": rows,
    }
