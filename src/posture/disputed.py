"""Claims that a finding is wrong: made, decided, listed (``posture-disputes/1``). None changes an outcome or a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from posture.drift import Key, key_of
from posture.errors import UsageError
from posture.inventory.reading import CONTROL
from posture.model import Finding
from posture.scanned import Scanned
from posture.store import RunRecord, Store, stamp
from posture.store.choice import latest_closed
from posture.store.disputes import Dispute, Step, disputes_of, put_dispute, put_step

Row = dict[str, Any]
STATES = ("open", "accepted", "rejected", "withdrawn")
LONGEST = 2000  # characters of a reason; what is longer belongs into a letter


def dispute(
    store: Store,
    *,
    asset: str,
    control: str,
    subject: str | None,
    by: str,
    reason: str,
    at: datetime,
    vantage: str | None = None,
) -> Dispute:
    """Records that somebody says a finding of the current state is wrong.

    Args:
        store: open for writing.
        subject: which one, where the control has several findings on the asset.

    Raises:
        UsageError: nothing is known there, or several things; it is disputed already; nobody says so, or without a reason.
        StoreError: it cannot be written.
    """
    who, why = _said("--by", by), _said("--reason", reason)
    run = latest_closed(store, vantage)
    if run is None:
        raise UsageError("the history holds no finished run yet. Scan first: posture scan.")
    finding = _one(_known(store, run, asset, control), asset, control, subject)
    key = key_of(finding)
    for known in disputes_of(store.connection):
        if known.key == key and known.vantage == run.vantage and known.state == "open":
            raise UsageError(f"{known.id} disputes that already, and is open. 'posture dispute list' shows it.")
    claim = Dispute(0, at, run.id, *key, finding.ministry, run.vantage, str(finding.outcome), who, why)
    with store.writing() as connection:
        number = put_dispute(connection, claim)
    return _of(store, number)


def decide(store: Store, name: str, decision: str, *, by: str, reason: str, at: datetime) -> Dispute:
    """Records what was decided about a claim; the finding stays as it is.

    Args:
        name: its id, ``D-3``.
        decision: accepted (the finding is wrong), rejected (it stands), withdrawn or reopened.

    Raises:
        UsageError: no such claim; it was decided so already, or is open already; nobody says so, or without a reason.
        StoreError: it cannot be written.
    """
    step = Step(at, decision, _said("--by", by), _said("--reason", reason))
    found = [one for one in disputes_of(store.connection) if one.id.lower() == name.lower()]
    if not found:
        raise UsageError(f"no dispute {name!r}. 'posture dispute list' lists them.")
    claim = found[0]
    if claim.state == ("open" if decision == "reopened" else decision):
        raise UsageError(f"{claim.id} is {claim.state} already. 'posture dispute list' shows it.")
    if claim.state != "open" and decision != "reopened":
        raise UsageError(
            f"{claim.id} is {claim.state}. Open it again first: posture dispute resolve {claim.id} --decision reopened"
        )
    with store.writing() as connection:
        put_step(connection, claim.number, step)
    return _of(store, claim.number)


def _of(store: Store, number: int) -> Dispute:
    return next(one for one in disputes_of(store.connection) if one.number == number)


def _said(option: str, text: str) -> str:
    said = text.strip()
    if not said:
        raise UsageError(f"{option} is empty: whoever reads the dispute must see who says what. Fill it in.")
    if len(said) > LONGEST or CONTROL.search(said):
        raise UsageError(
            f"{option} is longer than {LONGEST} characters, or no plain line of text. Put the rest into a letter."
        )
    return said


def _known(store: Store, run: RunRecord, asset: str, control: str) -> list[Finding]:
    """What is known of one control on one asset; an unknown says nothing that could be wrong."""
    timelines = store.reader.timelines(run).items()
    return [
        spans[-1].finding
        for key, spans in timelines
        if spans[-1].until is None and key[0].name == asset and key[1] == control
    ]


def _one(findings: Sequence[Finding], asset: str, control: str, subject: str | None) -> Finding:
    """The finding that is meant."""
    found = [one for one in findings if subject is None or one.subject == subject]
    if len(found) == 1:
        return found[0]
    if not findings:
        raise UsageError(
            f"nothing is known of {control} on {asset}, so that nothing can be wrong. "
            "'posture findings --outcome all' lists what is."
        )
    known = ", ".join(repr(one.subject) for one in findings)
    problem = "has several findings on" if subject is None else f"has no finding about {subject!r} on"
    raise UsageError(f"{control} {problem} {asset}. Choose one with --subject: {known}.")


def disputes(store: Store, *, ministries: Sequence[str] = (), state: str | None = None) -> Row:
    """``posture-disputes/1``: open ones first, then the newest.

    Raises:
        UsageError: no such state.
    """
    if state is not None and state not in STATES:
        raise UsageError(f"no state {state!r}. Choose among {', '.join(STATES)}.")
    found = [
        one
        for one in disputes_of(store.connection)
        if (not ministries or one.ministry in ministries) and state in (None, one.state)
    ]
    now: dict[str, Mapping[Key, str]] = {
        vantage: _outcomes(store, vantage) for vantage in {one.vantage for one in found}
    }
    found.sort(key=lambda one: (one.state != "open", -one.number))
    return {"schema": "posture-disputes/1", "disputes": [_row(one, now[one.vantage].get(one.key)) for one in found]}


def _outcomes(store: Store, vantage: str) -> dict[Key, str]:
    """What is known now."""
    run = latest_closed(store, vantage)
    timelines = store.reader.timelines(run) if run else {}
    return {key: str(spans[-1].finding.outcome) for key, spans in timelines.items() if spans[-1].until is None}


def _row(one: Dispute, now: str | None) -> Row:
    return {
        "id": one.id,
        "state": one.state,
        "opened_at": stamp(one.at),
        "run": one.run,
        "ministry": one.ministry,
        "asset": one.asset.name,
        "kind": one.asset.kind,
        "control": one.control,
        "subject": Scanned(one.subject),
        "vantage": one.vantage,
        "outcome": one.outcome,
        "now": now,
        "by": one.by,
        "reason": one.reason,
        "steps": [
            {"at": stamp(step.at), "decision": step.decision, "by": step.by, "reason": step.reason}
            for step in one.steps
        ],
    }
