"""The shapes of what is judged again: runs under another judgement, verdicts that move; and the words above them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from posture.reporters.cells import terminal, together
from posture.reporters.shapes import Column, Row, Shape, change_of, date_of, minute_of, of, subject_of
from posture.reporters.words import exemption
from posture.scanned import Scanned

MOVE_FIELDS = (
    "change", "ministry", "asset", "kind", "subject", "control", "severity", "before", "after", "reason", "message",
)  # fmt: skip
EXEMPTION_FIELDS = (
    "id", "state", "days_left", "control", "asset", "subject", "rationale", "approver", "approved", "expires", "reference",
    "findings",
)  # fmt: skip
DISPUTE_FIELDS = (
    "id", "state", "opened_at", "run", "ministry", "asset", "kind", "control", "subject", "vantage", "outcome", "now", "by",
    "reason", "steps",
)  # fmt: skip
_DIGITS = 12  # of a digest
_STATE = "the State"

_MOVED = (
    Column("CHANGE", of("change"), paint="change"),
    Column("SEVERITY", of("severity"), paint="severity"),
    Column("MINISTRY", of("ministry")),
    Column("ASSET", subject_of, grows=True),
    Column("CONTROL", of("control")),
    Column("BEFORE > AFTER", change_of),
    Column("WHAT WE SAW", of("message"), grows=True),
)


def _score(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "not scored"
    if row["score"] is None:
        return "nothing known"
    return f"{row['score']:.1f} {row['grade'] or 'not graded'}"


def _difference(row: Row) -> str:
    before, after = row["before"], row["after"]
    if before is None or before["score"] is None or after["score"] is None:
        return ""
    return f"{after['score'] - before['score']:+.1f}"


def _changes(row: Row) -> str:
    if row["same"]:
        return "judged so by itself"
    return f"{row['differ']} differ" if row["differ"] else "nothing differs"


def _why(row: Row) -> Scanned:
    return together(row["rationale"], " (", row["approver"], f", {row['approved']})")


def _decided(row: Row) -> Scanned | str:
    """The words of whoever spoke last."""
    last = row["steps"][-1] if row["steps"] else None
    return together(last["by"], ": ", last["reason"]) if last else ""


JUDGED: Mapping[str, Shape] = {
    "rejudge": Shape("findings", ("run", *MOVE_FIELDS), _MOVED, "No verdict differs.", drops=("SEVERITY", "MINISTRY")),
    "compare": Shape("findings", MOVE_FIELDS, _MOVED, "No verdict moves.", drops=("SEVERITY", "MINISTRY")),
    "rejudged runs": Shape(
        "runs",
        (),
        (
            Column("RUN", lambda row: row["run"]["id"]),
            Column("STARTED (UTC)", lambda row: minute_of("started_at")(row["run"])),
            Column("STATE", lambda row: row["run"]["state"], grows=True),
            Column("WAS JUDGED BY", lambda row: row["run"]["policy"]),
            Column("FINDINGS", _changes),
        ),
        "No run.",
        drops=("STARTED (UTC)", "STATE"),
    ),
    "rejudged scores": Shape(
        "scores",
        (),
        (
            Column("RUN", of("run"), grows=True),
            Column("MINISTRY", lambda row: row["ministry"] or _STATE),
            Column("WAS", lambda row: _score(row["before"])),
            Column("IS", lambda row: _score(row["after"])),
            Column("CHANGE", _difference),
        ),
        "No run was scored.",
        drops=("RUN",),
    ),
    "exempted": Shape(
        "exemptions",
        EXEMPTION_FIELDS,
        (
            Column("ID", of("id")),
            Column("STATE", lambda row: row["state"].replace("_", " "), paint="state"),
            Column("CONTROL", of("control")),
            Column("ASSET", subject_of, grows=True),
            Column("LASTS", exemption, grows=True),
            Column("OPEN", of("findings")),
            Column("WHY, AND WHO APPROVED", _why, grows=True),
        ),
        "No exemption.",
        drops=("OPEN", "STATE"),
    ),
    "disputes": Shape(
        "disputes",
        DISPUTE_FIELDS,
        (
            Column("ID", of("id")),
            Column("STATE", of("state"), paint="state"),
            Column("SINCE", date_of("opened_at")),
            Column("MINISTRY", of("ministry")),
            Column("ASSET", subject_of, grows=True),
            Column("CONTROL", of("control")),
            Column("SAID > NOW", lambda row: f"{row['outcome']} > {row['now'] or '-'}"),
            Column("WHO, AND WHY IT IS WRONG", lambda row: together(row["by"], ": ", row["reason"]), grows=True),
            Column("WHAT WAS DECIDED", _decided, grows=True),
        ),
        "No dispute.",
        drops=("SAID > NOW", "MINISTRY", "SINCE"),
    ),
}


def rejudge_heading(document: Row) -> Iterator[str]:
    """What was done, and what cannot be told."""
    rules = document["rules_sha256"][:_DIGITS]
    yield f"Under {terminal(document['policy'])} by the rules of this release ({rules}), beside what each run was told."
    runs = f"{document['judged']} run{'' if document['judged'] == 1 else 's'}"
    yield f"{runs} judged anew, {document['added']} findings added; nothing that was told has changed."
    lost = document["not_recorded"]
    if lost["answers"]:
        yield f"{lost['answers']} answers are no longer kept: what rested on them is unknown here (not_recorded)."
    if lost["controls"]:
        names = ", ".join(map(terminal, lost["controls"]))
        yield f"No run shown has evidence for {names}: nothing is told of them (not_recorded)."


def rejudge_scores(document: Row) -> list[dict[str, Any]]:
    """One row per run and ministry."""
    return [{"run": one["run"]["id"], **row} for one in document["runs"] for row in one["scores"] or ()]


def compare_heading(document: Row) -> str:
    """``From oecs-baseline/2026.1 to strict.toml over run R-... (18 assets): 3 worse, 1 better.``"""
    over = document["over"]
    what = {"facts": "the facts in", "run": "run", "all": "all that was recorded at"}[over["kind"]]
    counts = ", ".join(f"{count} {kind}" for kind, count in document["counts"].items()) or "no verdict moves"
    names = " to ".join(terminal(document[side]["name"]) for side in ("old", "new"))
    return f"From {names} over {what} {terminal(over['name'])} ({over['assets']} assets): {counts}."
