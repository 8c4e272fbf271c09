"""The history of a range as a workbook: summary, nights, findings, drift, letters, exemptions, rules, method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posture.export.changes import drift_rows, letter_rows, rule_rows
from posture.export.findings import finding_rows
from posture.export.method import dropped, method
from posture.export.nights import night_rows
from posture.export.rejudged import rejudged_rows
from posture.export.span import Span
from posture.inventory.records import Inventory
from posture.model import Outcome, Severity
from posture.reporters.xlsx import Column, Layout, Workbook

Row = Mapping[str, Any]
Heard = Callable[[str, int], None]  # which sheet, how many rows so far

_FINDING = (
    Column("Ministry", "ministry", 12), Column("Asset", "asset", 30), Column("Kind", "kind", 8),
    Column("Subject", "subject", 24), Column("Control", "control", 24), Column("Title", "title", 34),
    Column("Outcome", "outcome", 10), Column("Severity", "severity", 10), Column("What was found", "message", 60, wraps=True),
)  # fmt: skip
LAYOUTS = (
    Layout(
        "summary",
        "What this workbook holds. The sheet 'method' tells how to read it.",
        (Column("Subject", "what", 34), Column("Value", "value", 44, wraps=True), Column("Remark", "remark", 70, wraps=True)),
        filters=False,
    ),
    Layout(
        "nights",
        "Each day of the range: the scans that ran, and the days without one. Counts are of the ministries exported.",
        (
            Column("Day", "day", 11, "day"), Column("Vantage", "vantage", 10), Column("Planned", "planned", 9),
            Column("Outcome", "outcome", 9),
            Column("Cause", "cause", 50, wraps=True), Column("Run", "run", 25), Column("Started", "started", 17, "time"),
            Column("Ended", "ended", 17, "time"), Column("State of the run", "state", 12),
            Column("Assets", "assets", 8, "number"),
            Column("Asked", "asked", 8, "number"), Column("Answered in full", "answered", 10, "number"),
            Column("Answered in part", "in_part", 10, "number"), Column("Silent", "silent", 8, "number"),
            Column("Answers missing, by reason", "reasons", 40, wraps=True), Column("Suspect", "suspect", 8),
            Column("Policy", "policy", 22), Column("Tool", "tool", 14),
        ),
    ),
    Layout(
        "findings",
        "Every state of every finding, as known when the range ended. It changed between 'Last seen' and 'Until'.",
        (
            *_FINDING, Column("From", "from", 17, "time"), Column("Last seen", "last_seen", 17, "time"),
            Column("Until", "until", 17, "time"), Column("Days open", "days_open", 9, "number"),
            Column("Why it began", "cause", 10), Column("Why it ended", "end_cause", 10),
            Column("To be mended by", "mends", 12), Column("Provider", "provider", 20), Column("Mend by", "mend_by", 12),
            Column("Exemption", "exemption", 24), Column("Confidence", "confidence", 11), Column("Tag", "tag", 26),
            Column("Evidence", "args", 40, wraps=True), Column("Authorisation", "authorisation", 16),
            Column("Vantage", "vantage", 10), Column("Run: from", "from_run", 25), Column("Run: last seen", "last_seen_run", 25),
            Column("Run: until", "until_run", 25), Column("Policy", "policy", 22),
        ),
    ),
    Layout(
        "drift",
        "Changes as they were noted when each scan ended. It changed between 'Since' and 'Until'.",
        (
            Column("Noted", "at", 17, "time"), Column("Event", "event", 15), Column("Ministry", "ministry", 12),
            Column("Asset", "asset", 30), Column("Kind", "kind", 8), Column("Subject", "subject", 24),
            Column("Control", "control", 24), Column("Title", "title", 34), Column("Severity", "severity", 10),
            Column("Before", "before", 12), Column("After", "after", 12), Column("Since", "since", 17, "time"),
            Column("Until", "until", 17, "time"), Column("First scan of it", "initial", 9), Column("Suspect", "suspect", 8),
            Column("Vantage", "vantage", 10), Column("Run", "run", 25),
        ),
    ),
    Layout(
        "authorisations",
        "The letters that the scans of the range went under, as they were then.",
        (
            Column("Authorisation", "authorisation", 18), Column("Sequence", "sequence", 9, "number"),
            Column("Signed by", "signed_by", 26), Column("Ministries", "ministries", 20), Column("Given by", "owner", 28),
            Column("Officer", "officer", 22), Column("Basis", "basis", 10), Column("Reference", "reference", 30),
            Column("Not before", "not_before", 11, "day"), Column("Not after", "not_after", 11, "day"),
            Column("Classes", "classes", 24), Column("First run", "from", 17, "time"), Column("Last run", "to", 17, "time"),
            Column("Runs", "runs", 7, "number"), Column("SHA-256 of its text", "sha256", 66),
        ),
    ),
    Layout(
        "exemptions",
        "Findings that were exempted; the outcome is the true one.",
        (
            Column("Exemption", "exemption", 40, wraps=True), *_FINDING, Column("From", "from", 17, "time"),
            Column("Until", "until", 17, "time"), Column("Vantage", "vantage", 10),
        ),
    ),
    Layout(
        "rule changes",
        "When the judge changed, and not the systems: releases, policies, rules, thresholds; and what was judged again since.",
        (
            Column("When", "at", 17, "time"), Column("What", "what", 44), Column("Before", "before", 36, wraps=True),
            Column("After", "after", 36, wraps=True), Column("Ministry", "ministry", 12), Column("Control", "control", 24),
            Column("Findings judged otherwise for it", "judged_otherwise", 12, "number"),
            Column("of them worse", "worse", 9, "number"), Column("of them better", "better", 9, "number"),
            Column("Vantage", "vantage", 10), Column("Run", "run", 25),
        ),
    ),
    Layout(
        "method",
        "How to read this workbook.",
        (Column("Subject", "what", 24), Column("What to know", "value", 120, wraps=True)),
        filters=False,
    ),
)  # fmt: skip


def write_workbook(path: Path, span: Span, inventory: Inventory | None, *, label: str, heard: Heard) -> None:
    """Raises OSError: it cannot be written."""
    title = f"Posture history of {span.whose}, {span.first_day} to {span.last_day}"
    with Workbook(path, LAYOUTS, title=title, at=span.end, zone=span.zone, label=label) as book:
        counts = Counts()
        book.fill("nights", counts.nights(night_rows(span)))
        for row in counts.findings(_heard(finding_rows(span), "findings", heard)):
            book.add("findings", row)
            if row["exemption"]:
                book.add("exemptions", row)
        book.fill("drift", counts.drift(_heard(drift_rows(span), "drift", heard)))
        letters, rules, again = letter_rows(span, inventory), rule_rows(span), list(rejudged_rows(span))
        book.fill("authorisations", letters)
        book.fill("rule changes", [*rules, *again])
        book.fill("summary", _summary(span, counts, letters, rules, again, label))
        book.fill("method", ({"what": what, "value": text} for what, text in method(span)))


def _heard(rows: Iterable[dict[str, Any]], name: str, heard: Heard) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(rows, 1):
        if number % 1000 == 0:
            heard(name, number)
        yield row


@dataclass(slots=True)
class Counts:
    """What the rows add up to, gathered while they go by."""

    days: Counter[str] = field(default_factory=Counter)  # outcome of a row of nights
    planned: int = 0
    rows: int = 0
    open: Counter[tuple[str, str]] = field(default_factory=Counter)  # (ministry, severity), at the range's end
    exempted: int = 0
    events: Counter[tuple[str, str]] = field(default_factory=Counter)  # (ministry, kind of event)

    def nights(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for row in rows:
            self.days[row["outcome"]] += 1
            self.planned += row["planned"] == "yes"
            yield row

    def findings(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for row in rows:
            self.rows += 1
            self.exempted += bool(row["exemption"])
            if row["until"] is None and Outcome(row["outcome"]).is_open:
                self.open[row["ministry"], row["severity"]] += 1
            yield row

    def drift(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for row in rows:
            self.events[row["ministry"], "initial" if row["initial"] else row["event"]] += 1
            yield row


def _summary(
    span: Span, counts: Counts, letters: Sequence[Row], rules: Sequence[Row], again: Sequence[Row], label: str
) -> Iterator[Row]:
    yield _line("Marking", label, "Traffic Light Protocol 2.0 (FIRST): whom this may be shown to.")
    yield _line("State", span.state)
    yield _line(
        "Ministries",
        ", ".join(span.ministries),
        "Nothing of any other ministry is in this file." if span.narrowed else "All in the history.",
    )
    yield _line(
        "Range", f"{span.first_day} to {span.last_day}", f"Both days included, by the clocks of {span.zone.key}."
    )
    yield _line(
        "Runs",
        len(span.runs),
        f"{span.runs[0].id} to {span.runs[-1].id}, seen from: {', '.join(sorted(span.windows))}.",
    )
    yield _line("Nights planned", counts.planned, "Scans that began and have ended.")
    for outcome, remark in (
        ("done", "Scans that asked the whole inventory."),
        ("partly", "Scans that asked a part of it; the sheet 'nights' gives the cause."),
        (
            "missed",
            "Days without a scan that ended, and scans that learnt nothing; the sheet 'nights' gives the cause.",
        ),
    ):
        yield _line(f"Nights {outcome}", counts.days[outcome], remark)
    yield from _scores(span)
    for code in span.ministries:
        found = {str(severity): counts.open[code, str(severity)] for severity in Severity}
        words = ", ".join(f"{count} {name}" for name, count in found.items() if count) or "none"
        yield _line(f"Open at the end: {code}", sum(found.values()), f"By severity: {words}.")
        kinds = {kind: count for (ministry, kind), count in sorted(counts.events.items()) if ministry == code}
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "none"
        yield _line(f"Changes noted: {code}", sum(kinds.values()), f"By kind: {told}.")
    yield _line("Rows of findings", counts.rows)
    yield _line("Exempted", counts.exempted, "Rows of findings with an exemption.")
    yield _line("Letters", len(letters), "Texts of authorisations that the scans went under.")
    yield _line("Rule changes", len(rules), "Changes of the judge, not of the systems.")
    yield _line(
        "Judged again",
        sum("control" not in row for row in again),
        "Times that these runs were judged by other rules since (posture rejudge); what they were told stays as it is.",
    )
    yield _line(
        "Evidence dropped",
        dropped(span)[0],
        "Answers whose evidence is past its time; the sheet 'method' says what that means.",
    )
    yield from _ledger(span)


def _line(what: str, value: Any, remark: str = "") -> Row:
    return {"what": what, "value": value, "remark": remark}


def _scores(span: Span) -> Iterator[Row]:
    """At the first and the last run of the range, of each vantage, that scored the ministry."""
    for vantage in sorted(span.windows):
        runs = {run.number: run for run in span.runs if run.vantage == vantage}
        for code in span.ministries:
            rows = [
                row
                for row in span.store.connection.execute(
                    "SELECT run_id, tenths, low, high, coverage, grade FROM score_row WHERE ministry_id = ? ORDER BY run_id",
                    (span.store.reader.texts.known(code),),
                )
                if row[0] in runs
            ]
            for when, row in (("at the start", rows[0]), ("at the end", rows[-1])) if rows else ():
                number, tenths, low, high, coverage, grade = row
                score = "unknown" if tenths is None else f"{tenths / 10:.1f} of 100, grade {grade}"
                between = (
                    ""
                    if low is None or high is None
                    else f", between {low / 10:.1f} and {high / 10:.1f} if the rest were known"
                )
                seen = f"{runs[number].id}, seen from {vantage}; coverage {coverage / 10:.1f} %{between}."
                yield _line(f"Score of {code} {when}", score, seen)


def _ledger(span: Span) -> Iterator[Row]:
    row = span.store.connection.execute("SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1").fetchone()
    if row is None:
        yield _line("Ledger", "nothing signed yet", "The next scan signs what is there.")
        return
    yield _line("Ledger", f"{row[0]} entries", "Of the whole history, when this file was written.")
    yield _line(
        "Checkpoint",
        " / ".join(str(row[1]).split("\n")),
        "The signed head of the ledger: compare it with one from elsewhere.",
    )
