"""The history: a small world whose State scans itself.

Two families of controls of our own stand in for the shipped ones, so that these tests speak of the history only:

    t.cert     per endpoint, by the "tls" facts: fails when the name on the wire is "bad", passes otherwise;
               "undecided" is an answer that does not decide
    t.site     per asset, by all "tls" facts: warns when not every endpoint answered
    t.port     one finding per open port but 443, by the "ports" facts of an address
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from posture.checks import Case, Control, Declared, Tag
from posture.checks.rule import Rule
from posture.drift import key_of
from posture.facts import PortsFacts, TlsFacts
from posture.judge import Docket, judge
from posture.keys import OperatorKey
from posture.ledger.log import seal
from posture.model import (
    Absent,
    AbsentCause,
    Answer,
    AssetKey,
    Finding,
    Kind,
    Observed,
    Outcome,
    ProbeClass,
    Reason,
    Severity,
    Unobserved,
    Verdict,
    endpoint,
)
from posture.policy import Policy, parse_policy
from posture.store import AssetEntry, Closed, OpenRun, Question, RunStart, Store

DAY = timedelta(days=1)
T0 = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)
ADDRESS = "198.51.100.7"
HTTPS = endpoint(ADDRESS, 443)
TELNET = endpoint(ADDRESS, 23)


def _cert(case: Case) -> Verdict:
    facts = case.need(TlsFacts)
    strict = case.policy.number("t.strict", case.at)
    if facts.name == "undecided":
        raise case.unknown(Reason.TEMPORARY)
    if facts.name == "bad" or (strict and facts.name == "old"):
        return Verdict("BAD", {"name": facts.name})
    return Verdict("GOOD", {"name": facts.name})


def _site(case: Case) -> Verdict:
    answers = case.every(TlsFacts)
    silent = [subject for subject, answer in answers.items() if isinstance(answer, Unobserved)]
    if len(silent) == len(answers):
        raise case.unknown(Reason.TIMEOUT)
    return Verdict("SOME") if silent else Verdict("ALL")


def _port(case: Case) -> Iterator[tuple[str, Verdict]]:
    facts = case.need(PortsFacts)
    wrong = [port.port for port in facts.ports if port.state == "open" and port.port != 443]
    for port in wrong:
        yield endpoint(case.subject, port), Verdict("OPEN", {"port": port})
    if not wrong:
        yield case.subject, Verdict("SHUT")


def _control(name: str, subject: str, tags: Mapping[str, tuple[Outcome, str]], rule: Rule) -> Control:
    return Control(
        id=name,
        family="tls",
        title=name,
        severity=Severity.HIGH,
        kind=Kind.PRACTICE,
        probe_class=ProbeClass.CLIENT,
        subject=subject,
        observed="",
        passes="",
        warns="",
        fails="",
        sources="",
        false_positives="",
        meaning="",
        remedy="",
        mapping={},
        tags={tag: Tag(tag, outcome, text) for tag, (outcome, text) in tags.items()},
        rule=rule,
    )


CONTROLS: dict[str, Control] = {
    "t.cert": _control(
        "t.cert",
        "endpoint",
        {"GOOD": (Outcome.PASS, "{name} is fine."), "BAD": (Outcome.FAIL, "{name} is bad.")},
        Rule("t.cert", (TlsFacts,), _cert),
    ),
    "t.site": _control(
        "t.site",
        "asset",
        {"ALL": (Outcome.PASS, "All answer."), "SOME": (Outcome.WARN, "Some answer.")},
        Rule("t.site", (TlsFacts,), _site),
    ),
    "t.port": _control(
        "t.port",
        "ports",
        {"SHUT": (Outcome.PASS, "Nothing open."), "OPEN": (Outcome.FAIL, "Port {port} is open.")},
        Rule("t.port", (PortsFacts,), _port),
    ),
}


def policy(strict: int = 0, controls: Sequence[str] = tuple(CONTROLS)) -> Policy:
    """A baseline over the controls above; a strict one dislikes the name "old" too."""
    rows = f'[{{"from": "2020-01-01", "value": {strict}}}]'
    names = ", ".join(f'"{name}"' for name in controls)
    body = f'{{"name": "t", "version": "{strict}", "controls": [{names}], "thresholds": {{"t.strict": {rows}}}}}'
    return parse_policy(body)


def asset(name: str, ministry: str = "finance") -> AssetEntry:
    return AssetEntry(ministry, Declared(name, "host"))


def site(number: int = 0, ministry: str = "finance") -> AssetEntry:
    return asset(f"www{number}.finance.gov.example", ministry)


SITE = site().key


def tls(name: str) -> Answer:
    """A TLS endpoint that says ``name``; "bad" fails t.cert."""
    return Observed(TlsFacts(name, "", ()), T0)


def silence(reason: Reason = Reason.TIMEOUT, code: str | None = None) -> Answer:
    return Unobserved(reason, T0, "no answer", code)


def absent(cause: AbsentCause = AbsentCause.CLOSED) -> Answer:
    return Absent(cause, T0)


@dataclass(slots=True)
class World:
    """A State with a history. ``scan`` plays a whole run of one day."""

    path: Path
    policy: Policy = field(default_factory=policy)
    controls: Mapping[str, Control] = field(default_factory=lambda: CONTROLS)
    day: int = 0
    key: OperatorKey | None = None  # who signs the ledger; nobody by default

    def open(self, *, write: bool = True) -> Store:
        return Store.open(self.path, write=write, shipped=self.controls)

    def start(self, answers: Mapping[Question, Answer], entries: Sequence[AssetEntry] = (), **terms: Any) -> RunStart:
        assets = entries or tuple(
            AssetEntry("finance", Declared(k.name, k.kind)) for k in sorted({q[0] for q in answers})
        )
        start = RunStart(
            started_at=T0 + self.day * DAY,
            state="LC",
            timezone="America/St_Lucia",
            tool="posture test",
            policy=self.policy,
            controls=self.policy.controls,
            inventory_digest="aa",
            authorisation_digest="bb",
            ministries={"finance": "Ministry of Finance"},
            assets=tuple(assets),
            planned=tuple(answers),
        )
        return replace(start, **terms)

    def scan(
        self,
        answers: Mapping[Question, Answer],
        entries: Sequence[AssetEntry] = (),
        *,
        state: str = "complete",
        store: Store | None = None,
        **terms: Any,
    ) -> Closed:
        """One run: begin, record every answer, judge, close. The next one is a day later."""
        if store is None:
            with self.open() as opened:
                return self.scan(answers, entries, state=state, store=opened, **terms)
        start = self.start(answers, entries, **terms)
        run = store.begin(start)
        at = start.started_at + timedelta(minutes=5)
        seen = {question: replace(answer, at=at) for question, answer in answers.items()}
        run.settle_all((question, answer, "lc-2026-001") for question, answer in seen.items())
        ended, key = start.started_at + timedelta(minutes=10), self.key
        sealing = None if key is None else lambda opened: seal(opened, key, ended)
        closed = run.close(self.judged(run, start), state, ended, seal=sealing)
        self.day += 1
        return closed

    def judged(self, run: OpenRun, start: RunStart) -> list[Finding]:
        """What a scan does with the answers that it has."""
        by_asset: dict[AssetKey, dict[tuple[str, str], Answer]] = {}
        for (key, probe, subject), stored in run.answers():
            by_asset.setdefault(key, {})[probe, subject] = stored.answer
        entries = {entry.key: entry for entry in start.assets}
        return [
            finding
            for key, answers in by_asset.items()
            for finding in judge(
                Docket(entries[key].ministry, entries[key].declared, answers),
                start.policy,
                start.started_at,
                controls=start.controls,
                shipped=self.controls,
            )
        ]


def said(closed: Closed) -> list[tuple[str, str, str]]:
    """Events in short: (kind, control, subject), without what merely persists."""
    return [(event.kind, *key_of(event.finding)[1:]) for event in closed.events if event.kind != "persisting"]
