"""What changed around the findings: drift as it was noted, letters in force, the rules themselves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Any

from posture.export.span import Span
from posture.inventory.records import Authorisation, Inventory
from posture.inventory.statement import statement_digest
from posture.policy import Policy, parse_policy
from posture.scanned import Scanned
from posture.store import RunRecord, stamp
from posture.store.eventful import moved_assets
from posture.store.run_rows import among
from posture.store.silences import misses

Row = dict[str, Any]

DRIFT_FIELDS = (
    "at", "run", "vantage", "event", "initial", "ministry", "asset", "kind", "subject", "control", "title", "severity",
    "before", "after", "since", "until", "suspect",
)  # fmt: skip
LETTER_FIELDS = (
    "authorisation", "sequence", "sha256", "signed_by", "ministries", "owner", "officer", "basis", "reference",
    "not_before", "not_after", "classes", "first_run", "from", "last_run", "to", "runs",
)  # fmt: skip
RULE_FIELDS = ("at", "run", "vantage", "what", "before", "after", "judged_otherwise")

_EVENTS = (
    "SELECT asset_id, control.code, subject, kind, initial, severity, before, after, since, until FROM event "
    "JOIN control ON control.id = control_id WHERE run_id = ? {} ORDER BY event.asset_id, control.code, subject, event.kind"
)
_JUDGED_ANEW = "SELECT asset_id FROM event WHERE run_id = ? AND kind IN ('policy_changed', 'tool_changed') {}"


def drift_rows(span: Span) -> Iterator[Row]:
    """Every event of the range, run after run. ``since`` and ``until``: between these two it changed."""
    tenures = span.of_asset()
    for run in span.runs:
        for (
            asset,
            control,
            subject,
            kind,
            initial,
            severity,
            before,
            after,
            since,
            until,
        ) in span.store.connection.execute(_EVENTS.format(_written(span, run)), (run.number,)):
            holder = next((one for one in tenures.get(asset, ()) if one.holds_at(run.number)), None)
            if holder is None:
                continue
            shipped = span.store.shipped.get(control)
            yield {
                "at": stamp(run.end),
                "run": run.id,
                "vantage": run.vantage,
                "event": kind,
                "initial": bool(initial),
                "ministry": holder.ministry,
                "asset": holder.asset.name,
                "kind": holder.asset.kind,
                "subject": Scanned(subject),
                "control": control,
                "title": shipped.title if shipped else "",
                "severity": severity,
                "before": before,
                "after": after,
                "since": since,
                "until": until,
                "suspect": run.suspect,
            }


# ---- letters


def letter_rows(span: Span, inventory: Inventory | None) -> list[Row]:
    """Each letter that runs of the range went under, as it was then: once for each text of it.

    With some ministries only, a letter under which none of their assets was ever asked is left out. What it says is
    told where the inventory still has that very text; who gave it, unless other ministries stand under it too.
    """
    asked = _asked_under(span)
    found: dict[tuple[str, int, str], _Letter] = {}
    rows = span.store.connection.execute(
        "SELECT run_id, authorisation, sequence, sha256, signers FROM authority ORDER BY run_id"
    )
    runs = {run.number: run for run in span.runs}
    for number, name, sequence, sha256, signers in rows:
        if number in runs and (name in asked or not span.narrowed):
            letter = found.setdefault((name, sequence, sha256), _Letter(name, sequence, sha256, signers))
            letter.runs.append(runs[number])
    return [_letter_row(letter, asked.get(letter.name, set()), inventory, span) for _, letter in sorted(found.items())]


@dataclass(slots=True)
class _Letter:
    name: str
    sequence: int
    sha256: str
    signers: str
    runs: list[RunRecord] = field(default_factory=list)


def _asked_under(span: Span) -> dict[str, set[str]]:
    """Letter -> the ministries of which an asset was asked under it, up to the end of the range."""
    tenures, last = span.of_asset(), max(run.number for run in span.runs)
    found: dict[str, set[str]] = {}
    connection = span.store.connection
    asked = connection.execute(
        "SELECT DISTINCT asset_id, authorisation, from_run FROM facts WHERE from_run <= ?", (last,)
    )
    vantages = connection.execute("SELECT DISTINCT vantage_id FROM silence").fetchall()
    missed = (one for (vantage,) in vantages for one in misses(connection, vantage, only=tenures))
    unheard = ((one.asset, one.miss.authorisation, one.miss.since) for one in missed if one.miss.since <= last)
    for asset, name, since in chain(asked, unheard):
        for one in tenures.get(asset, ()):
            if name is not None and one.holds_at(since):
                found.setdefault(name, set()).add(one.ministry)
    return found


def _letter_row(letter: _Letter, ministries: set[str], inventory: Inventory | None, span: Span) -> Row:
    first, last = letter.runs[0], letter.runs[-1]
    return {
        "authorisation": letter.name,
        "sequence": letter.sequence,
        "sha256": letter.sha256,
        "signed_by": letter.signers.split("\n") if letter.signers else "nobody",
        "ministries": sorted(ministries),
        **_said(letter, inventory, span),
        "first_run": first.id,
        "from": stamp(first.started_at),
        "last_run": last.id,
        "to": stamp(last.started_at),
        "runs": len(letter.runs),
    }


def _said(letter: _Letter, inventory: Inventory | None, span: Span) -> Row:
    known = inventory.authorisations.get(letter.name) if inventory else None
    if inventory is None or known is None or statement_digest(known, inventory.state) != letter.sha256:
        return {}
    return {
        **(_giver(known) if _is_theirs(known, inventory, span) else {}),
        "basis": known.basis,
        "reference": known.reference,
        "not_before": known.not_before.isoformat(),
        "not_after": known.not_after.isoformat(),
        "classes": sorted(known.classes),
    }


def _giver(known: Authorisation) -> Row:
    return {"owner": known.owner, "officer": known.officer}


def _is_theirs(known: Authorisation, inventory: Inventory, span: Span) -> bool:
    """Whether no ministry stands under it that the export must not speak of."""
    under = {ministry.code for ministry in inventory.ministries if known.id in ministry.authorisations}
    return not span.narrowed or under <= span.ministries.keys()


# ---- rules


def rule_rows(span: Span) -> list[Row]:
    """Whenever a run was judged otherwise than the one before it: by another policy, other rules, another release.

    ``judged_otherwise``: how many findings of these ministries changed for that reason alone.
    """
    rows = list(_dated(span))
    before: dict[str, RunRecord] = {}
    everything = sorted((run for run in span.store.reader.runs() if run.closed), key=lambda run: run.number)
    wanted = {run.number for run in span.runs}
    policies = _Policies(span)
    for run in everything:
        earlier = before.get(run.vantage)
        before[run.vantage] = run
        if run.number not in wanted or earlier is None:
            continue
        changes = list(policies.changes(earlier, run))
        moved = _moved(span, run) if changes else ""
        rows += [
            {
                "at": stamp(run.started_at), "run": run.id, "vantage": run.vantage, "what": what, "before": old, "after": new,
                "judged_otherwise": moved,
            }
            for what, old, new in changes
        ]  # fmt: skip
    return sorted(rows, key=lambda row: (row["at"], row.get("run") or "", row["what"]))


def _moved(span: Span, run: RunRecord) -> int:
    tenures = span.of_asset()
    rows = span.store.connection.execute(_JUDGED_ANEW.format(_written(span, run)), (run.number,))
    return sum(any(one.holds_at(run.number) for one in tenures.get(asset, ())) for (asset,) in rows)


def _written(span: Span, run: RunRecord) -> str:
    """A condition: of the assets of the export, those that the run wrote of."""
    tenures = span.of_asset()
    return among([number for number in moved_assets(span.store.connection, [run.number]) if number in tenures])


def _dated(span: Span) -> Iterator[Row]:
    """Thresholds of the policies in use that changed on a day of the range, without any run."""
    seen: dict[str, Policy] = {}
    for run in span.runs:
        if run.policy_digest not in seen:
            seen[run.policy_digest] = span.store.reader.policy(run)
    for policy in seen.values():
        for name, steps in sorted(policy.thresholds.items()):
            for (_, old), (day, new) in pairwise(steps):
                if span.first_day <= day <= span.last_day:
                    yield {
                        "at": f"{day.isoformat()}T00:00:00Z",
                        "what": f"threshold {name} of {policy.id}, by its date",
                        "before": old,
                        "after": new,
                    }


@dataclass(slots=True)
class _Policies:
    """What two judgements differ in."""

    span: Span

    def changes(self, earlier: RunRecord, run: RunRecord) -> Iterator[tuple[str, Any, Any]]:
        if earlier.tool != run.tool:
            yield "release", earlier.tool, run.tool
        if earlier.judgement == run.judgement:
            return
        (old, old_rules), (new, new_rules) = self._of(earlier), self._of(run)
        if old.digest != new.digest:
            yield "policy", f"{old.id} {old.digest[:12]}", f"{new.id} {new.digest[:12]}"
            yield from _different("threshold", _thresholds(old), _thresholds(new))
        listed, wanted = Counter(old.controls), Counter(new.controls)
        for name in sorted((listed | wanted).keys()):
            if listed[name] != wanted[name]:
                yield (
                    f"control {name}",
                    "scored" if listed[name] else "not scored",
                    "scored" if wanted[name] else "not scored",
                )
        yield from _different("rule", _versions(old_rules), _versions(new_rules))

    def _of(self, run: RunRecord) -> tuple[Policy, Mapping[str, Any]]:
        body, rules = self.span.store.connection.execute(
            "SELECT body, rules FROM judgement WHERE id = ?", (run.judgement,)
        ).fetchone()
        return parse_policy(body), json.loads(rules)


def _thresholds(policy: Policy) -> dict[str, str]:
    return {name: "; ".join(f"{value} from {day}" for day, value in rows) for name, rows in policy.thresholds.items()}


def _versions(rules: Mapping[str, Any]) -> dict[str, str]:
    return {name: f"version {version}" for name, version in rules.items()}


def _different(what: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            yield f"{what} {name}", old.get(name, ""), new.get(name, "")
