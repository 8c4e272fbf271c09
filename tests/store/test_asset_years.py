"""A history judged again at speed is, row by row, what judging it the slow way tells: see slow_rejudging.py."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posture.checks import Declared, Reference, catalogue
from posture.facts import Facts, HttpFacts, SecurityTxtFacts, TlsFacts
from posture.model import Answer, AssetKey, Observed, Reason, Unobserved
from posture.policy import Policy, load_policy, parse_policy
from posture.store import AssetEntry, Question, RunStart, Store
from posture.store.rejudging import rejudge
from tests.checks.tls.pki import Pair, issue
from tests.store import ADDRESS, CONTROLS, DAY, SITE, T0, TELNET, World, policy
from tests.store.slow_rejudging import rejudge_slowly
from tests.store.test_rejudging import AGEING, RUNS, Day, play, ports, stricter_later
from tests.store.test_year import year

Row = tuple[Any, ...]


def rows(store: Store) -> list[Row]:
    """All that was judged again, with texts in the place of their numbers."""
    found = store.connection.execute(
        "SELECT asset_id, code, subject.value, judgement_id, vantage_id, from_run, to_run, outcome, severity, body.value, "
        "cause, end_cause FROM finding JOIN control ON control.id = control_id "
        "JOIN text_value AS subject ON subject.id = subject_id JOIN text_value AS body ON body.id = body_id "
        "WHERE NOT live ORDER BY asset_id, code, subject.value, judgement_id, from_run"
    )
    return found.fetchall()


def compared(path: Path, policy: Policy, shipped: Any = None, until: int | None = None) -> list[Row]:
    """Judges a history again, and the slow way a copy of it; what both tell."""
    slow = path.with_name(f"slow-{path.name}")
    if not slow.exists():
        shutil.copyfile(path, slow)
    with Store.open(path, write=True, shipped=shipped) as store:
        done = rejudge(store, policy, "local", until=until)
        quickly = rows(store)
    with Store.open(slow, write=True, shipped=shipped) as store:
        judgement = rejudge_slowly(store, policy, "local", until=until)
        slowly = rows(store)
    assert judgement == done.judgement
    assert quickly == slowly
    return quickly


@settings(max_examples=60, deadline=None)
@given(RUNS, st.integers(1, 7))
def test_random_histories(tmp_path_factory: pytest.TempPathFactory, days: list[Day], until: int) -> None:
    """Also in two pieces, with runs of the very judgement between the others."""
    world = World(tmp_path_factory.mktemp("years") / "posture.db", controls=AGEING)
    play(world, days)
    with world.open(write=False) as store:
        last = [run.number for run in store.reader.runs() if run.state != "quarantined"]
    if any(number <= until for number in last):
        compared(world.path, stricter_later(1), AGEING, until)
    compared(world.path, stricter_later(1), AGEING)


def test_what_a_partial_run_saw_gone_is_closed_by_the_next_complete_one(tmp_path: Path) -> None:
    """Though its answers are the same, so that nothing is judged anew."""
    world = World(tmp_path / "posture.db")
    for state, *there in (("complete", 443, 23), ("partial", 443), ("complete", 443)):
        world.scan({(SITE, "ports", ADDRESS): ports(*there)}, state=str(state))
    told = compared(world.path, policy(1), CONTROLS)
    assert [row[6] for row in told if row[2] == TELNET] == [3]


# ---- real rules over real certificates


SERVERS, WEEKS = 5, 30
ROOT = issue("Year Root", ca=True, start=T0 - 900 * DAY, end=T0 + 2000 * DAY)
OTHER_ROOT = issue("Other Root", ca=True, start=T0 - 900 * DAY, end=T0 + 120 * DAY)
MIDDLE = issue("Middle", ROOT, ca=True, start=T0 - 300 * DAY, end=T0 + 100 * DAY)
NEXT_MIDDLE = issue("Middle", ROOT, ca=True, key=MIDDLE.key, start=T0 + 60 * DAY, end=T0 + 900 * DAY)
STORES = [Reference(pem, f"sha256:{number}") for number, pem in enumerate((ROOT.pem, ROOT.pem + OTHER_ROOT.pem))]
PROBES = ("tls", "tls_legacy", "http", "ports", "securitytxt")


def dated(**rows: list[tuple[str, int]]) -> Policy:
    """The baseline with other thresholds: by name, with _ for a dot, (from when, value)."""
    body = json.loads(load_policy().body)
    body["version"] = "test"
    for name, values in rows.items():
        key = next(one for one in body["thresholds"] if one.replace(".", "_") == name)
        body["thresholds"][key] = [{"from": since, "value": value} for since, value in values]
    return parse_policy(json.dumps(body, sort_keys=True))


POLICIES = {
    "the same by another name": dated(),
    "margins change": dated(
        tls_cert_expiry_warn_days=[("2020-01-01", 30), ("2026-12-24", 60), ("2027-02-01", 10)],
        tls_cert_ec_bits_fail_below=[("2020-01-01", 200), ("2027-01-15", 300)],
    ),
    "headers and keys": dated(
        tls_hsts_max_age_pass=[("2020-01-01", 1000), ("2027-01-02", 99_999_999)],
        web_securitytxt_expires_warn_below_days=[("2020-01-01", 0), ("2026-12-01", 40)],
        tls_cert_ec_bits_warn_below=[("2020-01-01", 384)],
    ),
    "verdicts are graded otherwise": parse_policy(
        json.dumps(
            {
                **json.loads(dated().body),
                "verdicts": {
                    "tls.cert.expiry": {"CERT_EXPIRES_SOON": "fail"},
                    "tls.hsts.policy": {"HSTS_ABSENT": "warn"},
                },
            },
            sort_keys=True,
        )
    ),
}


def _chains(name: str, chance: random.Random) -> list[tuple[bytes, ...]]:
    """Those that one server sends in the course of a year, in no order: short-lived, unfit, badly linked."""

    def leaf(by: Pair | None, start: int, end: int, named: str = name) -> Pair:
        return issue(named, by, names=(named,), start=T0 + start * DAY, end=T0 + end * DAY)

    first, later = leaf(MIDDLE, -30, chance.randint(20, 90)), leaf(MIDDLE, 10, chance.randint(150, 300))
    of_other, own = leaf(OTHER_ROOT, -100, chance.randint(80, 200)), leaf(None, -10, 400)
    made = [(first.der, MIDDLE.der), (later.der, NEXT_MIDDLE.der), (later.der, MIDDLE.der, NEXT_MIDDLE.der)]
    made += [(later.der,), (of_other.der,), (of_other.der, OTHER_ROOT.der), (own.der,), (b"no certificate",)]
    return [*made, (leaf(MIDDLE, -5, 60, "other.gov.example").der, MIDDLE.der)]


@dataclass
class Server:
    """One server in the course of a year."""

    number: int
    chance: random.Random
    traits: int = 0
    chain: int = 0
    roles: tuple[str, ...] = ("web",)
    expires: datetime = T0 + 50 * DAY
    chains: list[tuple[bytes, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chains = _chains(self.name, self.chance)

    @property
    def name(self) -> str:
        return f"www{self.number}.gov.example"

    @property
    def entry(self) -> AssetEntry:
        declared = Declared(self.name, "host", roles=self.roles, ports=((80, "tcp"), (443, "tcp")))
        providers = {f"198.51.100.{self.number}:443/tcp": "CloudCo"} if self.traits & 1 else {}
        return AssetEntry("finance", declared, providers)

    def move(self) -> None:
        """A week later something may be another way."""
        chance = self.chance
        if chance.random() < 0.4:
            self.traits ^= chance.choice(year.TRAITS)
        if chance.random() < 0.3:
            self.chain = chance.randrange(len(self.chains))
        if chance.random() < 0.05:
            self.roles = ("web", "api") if self.roles == ("web",) else ("web",)
        if chance.random() < 0.2:
            self.expires = T0 + chance.randint(10, 300) * DAY

    def answers(self, at: datetime) -> Mapping[tuple[str, str], Answer]:
        told = year.server(self.name, f"198.51.100.{self.number}", f"2001:db8::{self.number}", self.traits)
        silent = {probe for probe in PROBES if self.chance.random() < 0.08}
        return {
            question: Unobserved(self.chance.choice((Reason.TIMEOUT, Reason.RESET)), at, "no answer")
            if question[0] in silent
            else Observed(self._own(facts), at)
            for question, facts in told.items()
        }

    def _own(self, facts: Facts) -> Facts:
        if isinstance(facts, TlsFacts):
            return replace(facts, chain=self.chains[self.chain])
        if isinstance(facts, SecurityTxtFacts) and facts.status == 200:
            return replace(facts, body=facts.body + f"Expires: {self.expires:%Y-%m-%dT%H:%M:%SZ}\n")
        if isinstance(facts, HttpFacts) and facts.certificate and self.chain == len(self.chains) - 1:
            return replace(facts, certificate="untrusted")
        return facts


def _year(path: Path, seed: int) -> None:
    """Thirty weekly runs of the shipped rules: servers change, are silent or leave, and trust stores change."""
    chance = random.Random(seed)
    servers = [Server(number + 1, random.Random(chance.random())) for number in range(SERVERS)]
    for week in range(WEEKS):
        at = T0 + week * timedelta(days=7)
        there = [server for server in servers if week != 12 or server.number != 2]
        answers: dict[Question, Answer] = {}
        for server in there:
            server.move() if week else None
            for (probe, subject), answer in server.answers(at + timedelta(minutes=5)).items():
                answers[AssetKey(server.name, "host"), probe, subject] = answer
        state = chance.choice(["complete"] * 5 + ["partial", "stopped"])
        probes = chance.choice([PROBES] * 5 + [("tls", "http")])
        narrowed = probes is not PROBES
        asked = {question: answer for question, answer in answers.items() if question[1] in probes}
        start = RunStart(
            started_at=at,
            state="LC",
            timezone="America/St_Lucia",
            tool="posture test",
            policy=year.POLICY,
            controls=year.POLICY.controls,
            inventory_digest="aa",
            authorisation_digest="bb",
            ministries={"finance": "Ministry of Finance"},
            assets=tuple(server.entry for server in there),
            planned=tuple(asked),
            selectors={"check": list(probes)} if narrowed else {},
            reference=STORES[chance.random() < 0.3],
            lab=week in (20, 21),
        )
        heard = {one: said for one, said in asked.items() if state == "complete" or chance.random() < 0.7}
        with Store.open(path, write=True) as store:
            run = store.begin(start)
            run.settle_all((question, answer, "lc-2026-001") for question, answer in heard.items())
            run.close(run.judged(at + timedelta(minutes=10)), state, at + timedelta(minutes=10))


@pytest.fixture(scope="module", params=[3, 4])
def small_year(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    path = tmp_path_factory.mktemp("small") / "posture.db"
    catalogue()
    _year(path, request.param)
    return path


@pytest.mark.parametrize("name", POLICIES)
def test_a_year_of_the_shipped_rules(small_year: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "posture.db"
    shutil.copyfile(small_year, path)
    compared(path, POLICIES[name], until=9)
    told = compared(path, POLICIES[name])
    tags = {json.loads(row[9]).get("tag") for row in told}
    assert tags >= {"CERT_DATES_GOOD", "CERT_EXPIRES_SOON", "CERT_EXPIRED", "CERT_TRUSTED", "CERT_ISSUER_EXPIRED"}
    assert sum(row[6] is not None for row in told) > 100, "much has ended"
