"""The shape of each published document: where its rows are, the columns of its table, the fields of its CSV."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from posture.reporters.cells import plain

Row = Mapping[str, Any]
Cell = Callable[[Row], Any]


@dataclass(frozen=True, slots=True)
class Column:
    """``grows``: takes the room that the others leave. ``paint``: the row's field that decides the colour."""

    title: str
    cell: Cell
    grows: bool = False
    paint: str = ""


@dataclass(frozen=True, slots=True)
class Shape:
    """``rows`` is the key of the list; ``fields`` the JSON fields in their order; ``empty`` what to say of none."""

    rows: str
    fields: tuple[str, ...]
    columns: tuple[Column, ...]
    empty: str
    hides: frozenset[str] = field(default_factory=frozenset)  # outcomes that a table counts instead of listing
    drops: tuple[str, ...] = ()  # titles of columns that a narrow table can do without, first to go first


def shape_of(document: Row) -> Shape | None:
    """The shape of a document with rows; None for others (scorecard, errors have writers of their own)."""
    return SHAPES.get(str(document["schema"]).removeprefix("posture-").partition("/")[0])


def split_hidden(rows: Sequence[Row], shape: Shape, *, everything: bool) -> tuple[list[Row], dict[str, int]]:
    """The rows that a table lists, and how many of each outcome it leaves out."""
    if everything:
        return list(rows), {}
    shown = [row for row in rows if row.get("outcome") not in shape.hides]
    hidden: dict[str, int] = {}
    for row in rows:
        if row.get("outcome") in shape.hides:
            hidden[row["outcome"]] = hidden.get(row["outcome"], 0) + 1
    return shown, hidden


def hidden_line(hidden: Mapping[str, int]) -> str:
    """``and 41 passed, 3 not applicable: --outcome all``"""
    words = {"pass": "passed", "not_applicable": "not applicable", "info": "for information"}
    counts = [f"{hidden[outcome]} {word}" for outcome, word in words.items() if hidden.get(outcome)]
    return f"and {', '.join(counts)}: --outcome all" if counts else ""


def of(name: str) -> Cell:
    return lambda row: plain(row.get(name))


def date_of(name: str) -> Cell:
    return lambda row: plain(row.get(name))[:10]


def minute_of(name: str) -> Cell:
    return lambda row: plain(row.get(name))[:16].replace("T", " ")


def subject_of(row: Row) -> str:
    """The asset, and the subject when it says more than the asset."""
    return f"{row['asset']} {row['subject']}".strip() if row.get("subject") else plain(row["asset"])


def _message(row: Row) -> str:
    message = plain(row.get("message"))
    notes = [
        plain(row["code"]) if row.get("code") else "",
        f"not renewed by the latest look: {row['unseen']}" if row.get("unseen") else "",
        "older than a week" if row.get("stale") else "",
        f"for {plain(row.get('provider')) or 'the provider'} to mend" if row.get("mends") == "provider" else "",
        f"exempted: {plain(row['exemption'])}" if row.get("exemption") else "",
    ]
    said = "; ".join(note for note in notes if note)
    return f"{message} ({said})" if said else message


def _change(row: Row) -> str:
    return f"{plain(row.get('before')) or '-'} > {plain(row.get('after')) or '-'}"


FINDING_FIELDS = (
    "state", "ministry", "asset", "kind", "subject", "control", "outcome", "severity", "confidence", "tag", "args",
    "message", "reason", "code", "authorisation", "vantage", "mends", "provider", "mend_by", "observed_at",
    "first_seen", "last_seen", "stale", "facts", "exemption", "unseen",
)  # fmt: skip

SHAPES: Mapping[str, Shape] = {
    "runs": Shape(
        "runs",
        ("id", "started_at", "ended_at", "state", "policy", "vantage", "tool"),
        (
            Column("RUN", of("id")),
            Column("STARTED (UTC)", minute_of("started_at")),
            Column("STATE", of("state"), paint="state"),
            Column("POLICY", of("policy")),
            Column("VANTAGE", of("vantage"), grows=True),
        ),
        "No run yet. Start one: posture scan",
        drops=("POLICY", "VANTAGE"),
    ),
    "findings": Shape(
        "findings",
        FINDING_FIELDS,
        (
            Column("SEVERITY", of("severity"), paint="severity"),
            Column("OUTCOME", of("outcome"), paint="outcome"),
            Column("MINISTRY", of("ministry")),
            Column("ASSET", subject_of, grows=True),
            Column("CONTROL", of("control")),
            Column("WHAT WE SAW", _message, grows=True),
            Column("SINCE", date_of("first_seen")),
        ),
        "No finding matches.",
        hides=frozenset({"pass", "not_applicable", "info"}),
        drops=("SINCE", "MINISTRY", "OUTCOME"),
    ),
    "drift": Shape(
        "events",
        ("kind", "ministry", "asset", "control", "subject", "severity", "before", "after", "between", "message"),
        (
            Column("CHANGE", of("kind"), paint="kind"),
            Column("SEVERITY", of("severity"), paint="severity"),
            Column("MINISTRY", of("ministry")),
            Column("ASSET", subject_of, grows=True),
            Column("CONTROL", of("control")),
            Column("BEFORE > AFTER", _change),
            Column("WHAT WE SAW", of("message"), grows=True),
        ),
        "Nothing changed in what both runs asked.",
        drops=("BEFORE > AFTER", "MINISTRY", "SEVERITY"),
    ),
    "plan": Shape(
        "tasks",
        ("ministry", "asset", "check", "class", "address", "port", "authorisation"),
        (
            Column("MINISTRY", of("ministry")),
            Column("ASSET", of("asset"), grows=True),
            Column("CHECK", of("check")),
            Column("CLASS", of("class")),
            Column("ADDRESS", of("address")),
            Column("PORT", of("port")),
            Column("AUTHORITY", of("authorisation")),
        ),
        "Nothing would be asked.",
        drops=("MINISTRY",),
    ),
    "refusals": Shape(
        "refusals",
        ("asset", "class", "address", "code", "text"),
        (
            Column("CODE", of("code"), paint="code"),
            Column("ASSET", of("asset"), grows=True),
            Column("CLASS", of("class")),
            Column("ADDRESS", of("address")),
            Column("WHY, AND HOW TO MEND IT", of("text"), grows=True),
        ),
        "Nothing is refused.",
        drops=("CLASS",),
    ),
    "controls": Shape(
        "controls",
        ("id", "title", "check", "class", "severity", "kind"),
        (
            Column("CONTROL", of("id")),
            Column("SEVERITY", of("severity"), paint="severity"),
            Column("KIND", of("kind")),
            Column("CLASS", of("class")),
            Column("TITLE", of("title"), grows=True),
        ),
        "No control matches.",
        drops=("KIND",),
    ),
    "trend": Shape(
        "points",
        ("run", "at", "ministry", "score", "grade", "coverage", "fixed", "newly_failed", "newly_known",
         "newly_unknown", "inventory", "catalogue"),
        (
            Column("DATE", date_of("at")),
            Column("MINISTRY", of("ministry"), grows=True),
            Column("GRADE", of("grade")),
            Column("SCORE", of("score")),
            Column("COVERAGE %", of("coverage")),
            Column("FIXED", of("fixed")),
            Column("NEWLY FAILED", of("newly_failed")),
        ),
        "No run to show.",
        drops=("NEWLY FAILED", "FIXED"),
    ),
    "errors": Shape(
        "errors",
        ("code", "file", "line", "field", "message", "next"),
        (
            Column("CODE", of("code")),
            Column("WHERE", lambda row: f"{plain(row['file'])}:{plain(row['line'])}".rstrip(":"), grows=True),
            Column("FIELD", of("field")),
            Column("WHAT IS WRONG", lambda row: f"{plain(row['message'])} {plain(row['next'])}", grows=True),
        ),
        "No error.",
        drops=("FIELD", "CODE"),
    ),
}  # fmt: skip
