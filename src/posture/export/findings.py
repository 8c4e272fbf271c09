"""Every state of every finding within the range, as it was known when the range ended: one row an interval."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from posture.drift import Key
from posture.export.span import Span, Tenure
from posture.judge import words_of
from posture.model import Finding
from posture.scanned import Scanned, scanned
from posture.store import stamp
from posture.store.answers import finding_from
from posture.store.bitmap import Bitmap
from posture.store.looks import was_known
from posture.store.records import OUTCOMES, SEVERITIES
from posture.store.verdicts import spells, track_of

Row = dict[str, Any]
Look = tuple[Bitmap, Bitmap, Mapping[int, frozenset[str]]]  # asked, known, silent subjects by bit

FIELDS = (
    "state", "ministry", "asset", "kind", "subject", "control", "title", "outcome", "severity", "confidence", "tag",
    "message", "args", "authorisation", "vantage", "mends", "provider", "mend_by", "exemption", "cause", "from_run",
    "from", "last_seen_run", "last_seen", "until_run", "until", "end_cause", "days_open", "policy",
)  # fmt: skip


def finding_rows(span: Span) -> Iterator[Row]:
    """By ministry, asset and control, asset after asset: memory does not grow with the history.

    ``last_seen`` is the last run that answered so, ``until`` the run that answered otherwise: what changed, changed
    between the two. ``days_open`` are whole days from ``from`` to ``until``, or to the end of the range.
    """
    source = _Source(span)
    for tenure in span.tenures:
        yield from source.of(tenure)


@dataclass(slots=True)
class _Source:
    span: Span
    controls: Mapping[int, str] = field(init=False)
    looks: Mapping[str, _Looks] = field(init=False)
    tracks: Mapping[str, int] = field(init=False)  # of each vantage
    policies: Mapping[int, str] = field(init=False)  # by run

    def __post_init__(self) -> None:
        self.controls = self.span.store.reader.controls()
        self.looks = {vantage: _Looks(self.span, vantage) for vantage in self.span.windows}
        store = self.span.store
        self.tracks = {name: track_of(store.connection, store.reader.texts.known(name)) for name in self.span.windows}
        self.policies = {run.number: run.policy for run in store.reader.runs()}

    def of(self, tenure: Tenure) -> Iterator[Row]:
        text = self.span.store.reader.texts.text
        connection = self.span.store.connection
        found = []
        for vantage, track in self.tracks.items():
            for spell in spells(connection, track, only=(tenure.number,)):
                piece = _piece(self.span, tenure, vantage, spell.since, spell.until)
                if piece is None:
                    continue
                _, control, subject = spell.place
                outcome, severity, body = spell.value
                finding = finding_from(
                    tenure.asset,
                    tenure.ministry,
                    self.controls[control],
                    text(subject),
                    OUTCOMES[outcome],
                    SEVERITIES[severity],
                    text(body),
                )
                ended = spell.end_cause if piece[1] == spell.until else "scope"
                policy = self.policies[spell.since]
                found.append(self._row(tenure, finding, vantage, piece, policy, spell.cause, ended))
        yield from sorted(found, key=lambda row: (row["control"], row["subject"], row["vantage"], row["from"]))

    def _row(
        self,
        tenure: Tenure,
        finding: Finding,
        vantage: str,
        piece: tuple[int, int | None],
        policy: str,
        cause: str,
        end_cause: str | None,
    ) -> Row:
        span, (since, until) = self.span, piece
        control = span.store.shipped.get(finding.control)
        seen = self.looks[vantage].last(tenure.bit, (tenure.asset, finding.control, finding.subject), since, until)
        begun, ended = span.starts[since], span.starts[until] if until else None
        return {
            "state": span.state,
            "ministry": tenure.ministry,
            "asset": tenure.asset.name,
            "kind": tenure.asset.kind,
            "subject": Scanned(finding.subject),
            "control": finding.control,
            "title": control.title if control else "",
            "outcome": str(finding.outcome),
            "severity": str(finding.severity),
            "confidence": str(finding.confidence),
            "tag": finding.tag,
            "message": words_of(finding, span.store.shipped),
            "args": scanned(finding.args),
            "authorisation": finding.authorisation,
            "vantage": vantage,
            "mends": finding.mends,
            "provider": Scanned(finding.provider) if finding.provider else None,
            "mend_by": finding.mend_by,
            "exemption": finding.exemption,
            "cause": cause,
            "from_run": span.names[since],
            "from": stamp(begun),
            "last_seen_run": span.names[seen],
            "last_seen": stamp(span.starts[seen]),
            "until_run": span.names[until] if until else None,
            "until": stamp(ended) if ended else None,
            "end_cause": end_cause if until else None,
            "days_open": _days(begun, ended or span.end) if finding.outcome.is_open else None,
            "policy": policy,
        }


def _piece(span: Span, tenure: Tenure, vantage: str, since: int, until: int | None) -> tuple[int, int | None] | None:
    """What of an interval lies in the tenure and touches the range; None when nothing does.

    What ended after the range is open in it; what the first run of the range ended, is part of it.
    """
    window = span.windows.get(vantage)
    if window is None:
        return None
    first, last = window
    begin = max(since, tenure.since)
    ends = [each for each in (until, tenure.until) if each is not None]
    end = min(ends) if ends and min(ends) <= last else None
    if begin > last or (end is not None and (end <= begin or end < first)):
        return None
    return begin, end


def _days(first: datetime, last: datetime) -> int:
    return max(timedelta(), last - first) // timedelta(days=1)


class _Looks:
    """By control, which run of a vantage knew what of which asset, up to the end of the range."""

    def __init__(self, span: Span, vantage: str) -> None:
        last = span.windows[vantage][1]
        self._runs: dict[str, list[int]] = defaultdict(list)
        self._looks: dict[str, list[Look]] = defaultdict(list)
        earlier = [run for run in span.store.reader.runs(vantage) if run.closed and run.number <= last]
        for run in sorted(earlier, key=lambda one: one.number):
            for control, look in span.store.reader.looks(run.number).items():
                self._runs[control].append(run.number)
                self._looks[control].append(look)

    def last(self, bit: int, key: Key, since: int, until: int | None) -> int:
        """The last run from ``since`` on, before ``until``, that knew the answer; ``since`` itself if none did again."""
        runs, looks = self._runs[key[1]], self._looks[key[1]]
        place = len(runs) if until is None else bisect_left(runs, until)
        while place and runs[place - 1] > since:
            place -= 1
            if was_known({key[1]: looks[place]}, bit, key):
                return runs[place]
        return since
