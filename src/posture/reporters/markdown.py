"""Markdown: a document as a table, and the scorecard as one text for a ticket or a wiki."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from posture.model import Outcome
from posture.report import MinistryReport, Report
from posture.reporters.cells import markdown
from posture.reporters.documents import SHAPES, hidden_line, shape_of, split_hidden
from posture.reporters.shapes import Column, Row
from posture.reporters.unseen import refused
from posture.reporters.words import coverage, exemption, interval, of_assets, plural, points
from posture.scorecard import Score
from posture.steps import Step, five_things


def write_markdown(document: Row, stream: TextIO, *, everything: bool = False) -> None:
    """The table of a document, GitHub style."""
    shape = shape_of(document)
    if shape is None:
        raise ValueError(f"no table for {document['schema']}")
    rows, hidden = split_hidden(document[shape.rows], shape, everything=everything)
    stream.write("\n".join(_table(shape.columns, rows)) + "\n" if rows else shape.empty + "\n")
    if line := hidden_line(hidden):
        stream.write(f"\n{line}\n")
    for name, key in (("refusals", "refusals"), ("age groups", "ages")):
        if document.get(key):
            stream.write("\n" + "\n".join(_table(SHAPES[name].columns, document[key])) + "\n")


def _table(columns: Sequence[Column], rows: Iterable[Row]) -> Iterator[str]:
    yield _row(column.title for column in columns)
    yield _row("---" for _ in columns)
    for row in rows:
        yield _row(markdown(column.cell(row)) for column in columns)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def scorecard_markdown(report: Report) -> str:
    """The whole scorecard; every line of a scanned host is escaped."""
    return "\n".join(_scorecard(report)) + "\n"


def _scorecard(report: Report) -> Iterator[str]:
    yield f"**{report.tlp}**"
    yield ""
    yield f"# Cyber posture: {markdown(report.state_name)}"
    yield ""
    if report.as_of is not None:
        yield f"As it was known on {report.as_of:%Y-%m-%d %H:%M} UTC."
        yield ""
    if report.state_score is not None:
        yield _sentence(report.state_score)
        yield ""
    yield _row(("Ministry", "Grade", "Coverage", "Could be", "Assets fully answered"))
    yield _row(["---"] * 5)
    for ministry in report.ministries:
        yield _ministry_row(ministry)
    if report.silent_controls:
        yield from ("", "## Controls that went silent", "")
        yield "This says something of our probes or our line, and nothing of any ministry; last known answers stay."
        yield ""
        yield from (f"- {markdown(sentence)}" for sentence in report.silent_controls)
    yield from _steps(five_things(report.findings, report.criticality))
    for ministry in report.ministries:
        yield from _ministry(ministry, report)
    yield ""
    yield (
        f"Run {markdown(report.run.get('id'))} · {markdown(report.run.get('tool'))} · {markdown(report.policy)} · "
        f"catalogue {report.catalogue_digest} · {report.at:%Y-%m-%d %H:%M} UTC · {report.tlp}"
    )
    if report.checkpoint:
        yield from ("", "Checkpoint: what this report stands on, signed. Keep it.", "")
        yield from (f"    {line}" for line in report.checkpoint.splitlines())


def _sentence(score: Score) -> str:
    return f"Grade **{score.label}**; coverage {coverage(score)}; {interval(score)}."


def _ministry_row(ministry: MinistryReport) -> str:
    score = ministry.score
    if score is None:
        return _row((markdown(ministry.name), "no assets", "", "", ""))
    return _row(
        (
            markdown(ministry.name),
            score.label,
            coverage(score),
            interval(score),
            of_assets(score.answered, score.assets),
        )
    )


def _steps(steps: Sequence[Step]) -> Iterator[str]:
    if steps:
        yield from ("", "## Do first", "")
    for number, step in enumerate(steps, 1):
        names = ", ".join(markdown(asset.name) for asset in step.assets[:5])
        more = f" and {len(step.assets) - 5} more" if len(step.assets) > 5 else ""
        disputed = f" (disputed: {markdown(step.dispute)})" if step.dispute else ""
        yield f"{number}. **{step.severity}** {markdown(step.control)} on {names}{more}: {markdown(step.message)}{disputed}"


def _exemptions(rows: Sequence[Row]) -> Iterator[str]:
    if rows:
        yield from ("", "Accepted for a time, and counted all the same:", "")
    for one in rows:
        yield (
            f"- {markdown(one['id'])} {markdown(one['control'])} on {markdown(one['asset'])}: {exemption(one)}, "
            f"{plural(one['findings'], 'open finding')}; approved by {markdown(one['approver'])}: {markdown(one['rationale'])}"
        )


def _ministry(ministry: MinistryReport, report: Report) -> Iterator[str]:
    rows = [row for row in report.findings if row["ministry"] == ministry.code and Outcome(row["outcome"]).is_open]
    yield from ("", f"## {markdown(ministry.name)}", "")
    if ministry.score is not None:
        yield _sentence(ministry.score)
        yield ""
    if ministry.told is not None and ministry.before is not None and ministry.told != ministry.before.tenths:
        was, now = points(ministry.told), points(ministry.before.tenths)
        yield from (
            f"The rules have changed since last time: its score was {was}, and is {now} under the new rules.",
            "",
        )
    letters = "; ".join(
        f"{one.id}{f', {one.reference}' if one.reference else ''}: {one.words}" for one in ministry.letters
    )
    yield from (f"Looked at under {markdown(letters or 'no authorisation')}.", "")
    yield from _table(SHAPES["findings"].columns, rows) if rows else ["Nothing to mend among what was seen."]
    yield from _exemptions([one for one in report.exemptions if one["ministry"] == ministry.code])
    barred = refused(row for row in report.findings if row["ministry"] == ministry.code)
    if barred:
        yield from ("", "What we may not look at, and what would change that:", "")
    for one in barred:
        names = ", ".join(markdown(asset.name) for asset, _ in one.assets[:10])
        more = f" and {len(one.assets) - 10} more" if len(one.assets) > 10 else ""
        yield f"- {one.code} {markdown(one.words)} ({names}{more})"
