"""The shape of each published document: where its rows are, the columns of its table, the fields of its CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from posture.reporters.cells import together
from posture.reporters.judged import JUDGED
from posture.reporters.shapes import Column, Row, Shape, change_of, date_of, minute_of, of, subject_of
from posture.reporters.trend import TREND
from posture.scanned import Scanned

_RANGES = 6  # of ports that a cell shows


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


def _stopped(row: Row) -> Scanned:
    """What an order names; it may have been written by hand."""
    named = [together(row[name]) for name in ("authorisation", "address") if row.get(name)]
    return together(*named, between=" and ") if named else together("everything")


def _message(row: Row) -> Scanned:
    notes = [
        together(row["code"]) if row.get("code") else None,
        together(f"changes too often; scored as {row['unstable']['outcome']}") if row.get("unstable") else None,
        together("not renewed by the latest look: ", row["unseen"]) if row.get("unseen") else None,
        together("older than a week") if row.get("stale") else None,
        together("for ", row.get("provider") or "the provider", " to mend") if row.get("mends") == "provider" else None,
        together("exempted: ", row["exemption"]) if row.get("exemption") else None,
        together("disputed: ", row["dispute"]) if row.get("dispute") else None,
    ]
    said = together(*filter(None, notes), between="; ")
    return together(row.get("message"), " (", said, ")") if said else together(row.get("message"))


def _points(row: Row) -> str:
    """With its sign, in columns."""
    return f"{row['points']:+8.3f}"


def _best(row: Row) -> str:
    return "" if row["of"] is None else f"{row['of']:7.3f}"


def _place(row: Row) -> Scanned:
    return together(row["file"], *([] if row["line"] is None else [":", row["line"]]))


def _sending(row: Row) -> str:
    """What was sent, in two words: ``tls connection``, ``ports sweep``, ``resolver``."""
    if row["traffic"] == "endpoint":
        return f"our {row['purpose']}"
    return f"{row['probe']} {row['traffic']}"


def _ports(row: Row) -> str:
    """Neighbours as ranges, so that a sweep takes one cell."""
    ranges: list[list[int]] = []
    for port in row["ports"]:
        if ranges and port == ranges[-1][1] + 1:
            ranges[-1][1] = port
        else:
            ranges.append([port, port])
    shown = [str(low) if low == high else f"{low}-{high}" for low, high in ranges[:_RANGES]]
    more = f" and {len(ranges) - _RANGES} more" if len(ranges) > _RANGES else ""
    return f"{', '.join(shown)}{more}/{row['protocol']}"


def _ends(row: Row) -> str:
    return ", ".join(f"{count} {end}" for end, count in row["ends"].items())


CONTACT_FIELDS = (
    "run", "allowed", "code", "authorisation", "owner", "via", "ministry", "asset", "probe", "class", "traffic",
    "purpose", "name", "address", "protocol", "ports", "connections", "first_at", "last_at", "sent", "received", "ends",
)  # fmt: skip
AGE_FIELDS = (
    "ministry", "asset", "kind", "subject", "control", "outcome", "severity", "first_seen", "last_seen", "days_open",
    "reopened",
)  # fmt: skip
FINDING_FIELDS = (
    "state", "ministry", "asset", "kind", "subject", "control", "outcome", "severity", "confidence", "tag", "args",
    "message", "reason", "code", "authorisation", "vantage", "mends", "provider", "mend_by", "observed_at",
    "first_seen", "last_seen", "stale", "facts", "exemption", "unseen", "dispute", "unstable",
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
    "ages": Shape(
        "findings",
        AGE_FIELDS,
        (
            Column("DAYS OPEN", of("days_open")),
            Column("SEVERITY", of("severity"), paint="severity"),
            Column("MINISTRY", of("ministry")),
            Column("ASSET", subject_of, grows=True),
            Column("CONTROL", of("control"), grows=True),
            Column("FIRST SEEN", date_of("first_seen")),
            Column("LAST SEEN", date_of("last_seen")),
            Column("REOPENED", of("reopened")),
        ),
        "No open finding matches.",
        drops=("LAST SEEN", "MINISTRY"),
    ),
    "age groups": Shape(
        "ages",
        ("ministry", "severity", "open", "median_days", "oldest_days", "reopened"),
        (
            Column("MINISTRY", of("ministry"), grows=True),
            Column("SEVERITY", of("severity"), paint="severity"),
            Column("OPEN", of("open")),
            Column("MEDIAN DAYS", of("median_days")),
            Column("OLDEST", of("oldest_days")),
            Column("REOPENED", of("reopened")),
        ),
        "Nothing is open.",
    ),
    "explain": Shape(
        "lines",
        ("kind", "pillar", "name", "points", "of", "why"),
        (
            Column("POINTS", _points),
            Column("OF", _best),
            Column("PILLAR", of("pillar")),
            Column("LINE", of("name")),
            Column("WHY", of("why"), grows=True),
        ),
        "Nothing is known yet: there is no score to explain.",
        drops=("OF",),
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
            Column("BEFORE > AFTER", change_of),
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
    "audit": Shape(
        "contacts",
        CONTACT_FIELDS,
        (
            Column("WHEN (LOCAL)", of("local")),
            Column("WHAT", _sending),
            Column("ASSET", of("asset"), grows=True),
            Column("ADDRESS", of("address")),
            Column("PORTS", _ports, grows=True),
            Column("COUNT", of("connections")),
            Column("HOW IT ENDED", _ends, grows=True),
            Column("AUTHORITY", of("authorisation")),
        ),
        "Nothing was sent.",
        drops=("AUTHORITY", "ADDRESS", "HOW IT ENDED"),
    ),
    "unsent": Shape(
        "contacts",
        CONTACT_FIELDS,
        (
            Column("WHEN (LOCAL)", of("local")),
            Column("WHY", of("code")),
            Column("ASSET", of("asset"), grows=True),
            Column("ADDRESS", of("address")),
            Column("PORTS", _ports, grows=True),
            Column("COUNT", of("connections")),
        ),
        "Nothing was refused.",
        drops=("ADDRESS",),
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
    "stop": Shape(
        "orders",
        ("reason", "by", "at", "authorisation", "address"),
        (
            Column("STOPPED", _stopped),
            Column("SINCE (UTC)", minute_of("at")),
            Column("BY", of("by")),
            Column("WHY", of("reason"), grows=True),
        ),
        "Nothing is stopped.",
    ),
    "errors": Shape(
        "errors",
        ("code", "file", "line", "field", "message", "next"),
        (
            Column("CODE", of("code")),
            Column("WHERE", _place, grows=True),
            Column("FIELD", of("field")),
            Column("WHAT IS WRONG", lambda row: together(row["message"], " ", row["next"]), grows=True),
        ),
        "No error.",
        drops=("FIELD", "CODE"),
    ),
    **JUDGED,
    **TREND,
}  # fmt: skip
