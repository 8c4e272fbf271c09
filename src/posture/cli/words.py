"""The last words of a scan: what got worse, the five things to do first, the next command."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from posture.reporters.cells import terminal
from posture.steps import five_things

if TYPE_CHECKING:
    from posture.scan import Ended

SHOWN = 10
WORSE = ("new", "regressed")


def after_scan(ended: Ended, this: str, others: str) -> str:
    """Plain text for stdout.

    Args:
        this: the command line that was run, to be run again; ``others``: how other commands reach the same history.
    """
    return "\n".join(_lines(ended, this, others)) + "\n"


def _lines(ended: Ended, this: str, others: str) -> Iterator[str]:
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(ended.outcomes.items()))
    accepted = sum(bool(row.get("exemption")) for row in ended.rows)
    counts += f" ({accepted} exempted)" if accepted else ""
    if ended.signal is not None:
        yield f"{ended.run['id']}  interrupted"
    else:
        yield f"{ended.run['id']}  {ended.run['state']}  {counts or 'nothing judged'}"
    if ended.quarantine:
        yield f"quarantined: {terminal(ended.quarantine)}; nothing of this run is believed. 'posture doctor' says more."
    for name in ended.silent:
        yield f"no answer at all: {terminal(name)}"
    yield from (f"stopped: {terminal(one)}" for one in ended.stopped)
    if ended.lapsed:
        yield f"not in force, so not looked at: {terminal(', '.join(ended.lapsed))}"
    yield from (f"note: {terminal(note)}" for note in ended.notes)
    yield from _worse(ended)
    yield from _first(ended)
    yield ""
    yield from (f"Next: {command}" for command in _following(ended, this, others))


def _worse(ended: Ended) -> Iterator[str]:
    """What is open that was not, since the last complete run."""
    if not ended.drift:
        return
    events = [event for event in ended.drift["events"] if event["kind"] in WORSE and not event.get("initial")]
    mended = sum(event["kind"] == "fixed" for event in ended.drift["events"])
    yield ""
    if ended.drift.get("suspect"):
        yield "So much changed at once that this run is marked suspect: look at the link and the resolver first."
    yield f"Since the last complete run: {len(events)} got worse, {mended} fixed."
    for event in events[:SHOWN]:
        yield f"  worse  {event['severity']:<8} {terminal(event['asset'])}  {event['control']}: {terminal(event['message'])}"
    if len(events) > SHOWN:
        yield f"  and {len(events) - SHOWN} more: posture drift"


def _first(ended: Ended) -> Iterator[str]:
    steps = five_things(ended.state_rows, ended.criticality)
    if not steps:
        return
    yield ""
    yield "To do first:"
    for place, step in enumerate(steps, 1):
        where = step.assets[0].name if len(step.assets) == 1 else f"{len(step.assets)} assets"
        yield f"  {place}. {step.severity:<8} {terminal(step.ministry)}: {terminal(where)}  {step.control}"
        yield f"     {terminal(step.message)}"


def _following(ended: Ended, this: str, others: str) -> tuple[str, ...]:
    """Commands that can be typed as they are."""
    if ended.signal is not None:
        return (this if this.endswith(" --resume") else f"{this} --resume",)
    if ended.quarantine:
        return (f"{others} doctor",)
    if ended.stopped:
        return (f"{others} stop --status", f"{others} stop --lift", this)
    return (f"{others} findings", f"{others} scorecard --out site")
