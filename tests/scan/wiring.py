"""How these tests scan the practice range: as the demo does, into a database of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rcode

from posture import history
from posture.config import load_config
from posture.inventory import load_inventory
from posture.model import Answer, AssetKey
from posture.plan import Selection
from posture.range.layout import ENTRIES
from posture.report import Row
from posture.scan import Ended, Terms, prepare, scan
from posture.store import Store
from posture.task import Task
from tests.net.dnsd import answer, nodata, nxdomain

# Never says a word, so that a scan of it lasts as long as its time-outs.
TARPIT = "hospital.health.gov.example"
ALL_BUT_TARPIT = tuple(entry.name for entry in ENTRIES if entry.name != TARPIT)
PORTAL, PHARMACY, RECORDS = "portal.finance.gov.example", "pharmacy.health.gov.example", "records.health.gov.example"
FORWARD_SECONDS = 10.0

Question = tuple[AssetKey, str, str]


@dataclass
class Watch:
    """A progress that remembers; ``at_answer`` is called with the number of answers so far."""

    at_answer: Callable[[int], None] = lambda _count: None
    asked: list[list[Question]] = field(default_factory=list)
    answers: dict[Question, Answer] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    ends: int = 0

    def started(self, tasks: Sequence[Task]) -> None:
        self.asked.append([question_of(task) for task in tasks])

    def finished(self, task: Task, answer: Answer) -> None:
        self.answers[question_of(task)] = answer
        self.at_answer(len(self.answers))

    def said(self, remark: str) -> None:
        self.remarks.append(remark)

    def ended(self) -> None:
        self.ends += 1


def question_of(task: Task) -> Question:
    return task.key, task.probe, task.subject


def terms_of(inventory: Path, selection: Selection | None = None, *, lab: bool = True, **changes: Any) -> Terms:
    config = load_config(
        config=inventory.with_name("posture.toml"), inventory=inventory, environ={}, cwd=inventory.parent
    )
    loaded, _ = load_inventory(inventory, at=datetime.now(UTC))
    return prepare(config.overridden(**changes), loaded, selection or Selection(), lab=lab)


def scanned(terms: Terms, watch: Watch | None = None, **options: Any) -> Ended:
    return asyncio.run(scan(terms, progress=watch or Watch(), **options))


def state_of(terms: Terms, **options: Any) -> list[Row]:
    with Store.open(terms.config.db, write=False) as store:
        rows: list[Row] = history.state(store, **options)["findings"]
        return rows


def runs_of(terms: Terms) -> list[Row]:
    with Store.open(terms.config.db, write=False) as store:
        rows: list[Row] = history.runs(store)["runs"]
        return rows


@dataclass
class Forwarder:
    """The range's own resolver, at one remove: so that a script can answer some questions in its place."""

    address: str
    port: int
    mended: bool = False  # for the script's use

    def __call__(self, query: dns.message.Message, _tcp: bool) -> dns.message.Message:
        return dns.query.tcp(query, self.address, FORWARD_SECONDS, self.port)


def only_the_root(query: dns.message.Message, _tcp: bool) -> dns.message.Message:
    """A resolver that is well, and knows nothing: every name is refused."""
    return _root(query) or answer(query, rcode=dns.rcode.REFUSED)


def empty_world(query: dns.message.Message, _tcp: bool) -> dns.message.Message:
    """A resolver of a world in which no name exists."""
    return _root(query) or nxdomain(query)


def _root(query: dns.message.Message) -> dns.message.Message | None:
    question = str(query.question[0])
    if question.startswith(". IN SOA"):
        return answer(query, ". 300 IN SOA a.root.example. hostmaster.root.example. 1 7200 900 1209600 300")
    return nodata(query) if question.startswith(". IN") else None
