"""A year of a State's history: 240 ministries, 5,000 web servers, 40 findings each, a run a day.

``python benchmarks/year.py DATABASE [DAYS] [ASSETS]`` writes one. Every day 0.3 % of the findings change, because some
servers begin or cease to accept TLS 1.0, to send HSTS or the basic headers, to publish half a security.txt, to leave a port open;
30 % of the servers are not reachable in one run of ten. Server and findings are real: every fact a server would have told,
what the shipped rules make of it; what differs between servers of one kind is their names and addresses, put in afterwards.
Scores are made up, because the scorecard of 5,000 assets takes longer than all the rest.

The real writer would take an hour (it is timed by bench_store.py). So a day's rows are written by the functions that it
writes them with, but only those that change; :func:`by_the_writer` does the same day through it, and a test compares the
two, row by row, over a small year.
"""

from __future__ import annotations

import hashlib
import random
import sqlite3
import sys
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from posture.checks import Declared, Reference, catalogue
from posture.facts import Facts, HttpFacts, PortsFacts, SecurityTxtFacts, TlsFacts, TlsLegacyFacts
from posture.facts.http import Hop
from posture.facts.service import PortAnswer
from posture.facts.tls import (
    COMPRESSION,
    EXTENDED_MASTER_SECRET,
    FALLBACK_SIGNAL,
    HYBRID_GROUPS,
    OLD_HASHES,
    WITHDRAWN_CURVES,
    Trait,
    VersionAnswer,
)
from posture.judge import Docket, judge
from posture.model import Answer, AssetKey, Finding, Observed, Outcome, Reason, Unobserved, endpoint
from posture.policy import DEFAULT, load_policy
from posture.probes.matrix import SWEEP_PORTS
from posture.store import AssetEntry, OpenRun, RunStart, ScoreRow, Store
from posture.store.answers import answer_bytes, finding_body, put_blob
from posture.store.bitmap import Bitmap
from posture.store.fold import Fold
from posture.store.judging import moved_events
from posture.store.packed import Packed, put_coverage, put_judged
from posture.store.records import OUTCOMES, SEVERITIES, RunRecord, stamp
from posture.store.scores import put_scores
from posture.store.silences import Miss, put_missing
from posture.store.verdicts import Turns, put_track
from posture.store.writer import _Beginning

START = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)
POLICY = load_policy(DEFAULT)
# What the baseline asks beyond the 40 findings of each server (its two addresses have each their own): the State of this
# year stays as large as it was, whatever is added to the catalogue.
_BEYOND = frozenset(
    {
        "svc.db.sql", "svc.db.unauth", "tls.cert.ct", "tls.cert.lifetime", "tls.cert.must_staple", "tls.cert.ocsp_staple",
        "tls.cert.revocation", "tls.cert.shared_key", "tls.cipher.cbc", "tls.compression", "tls.early_data", "tls.ems",
        "tls.fallback_scsv", "tls.hsts.preload", "tls.kex.curves", "tls.kex.dh_group", "tls.kex.hash", "tls.kex.pq_hybrid",
        "tls.reneg", "tls.vuln.ccs", "tls.vuln.heartbleed", "tls.vuln.robot",
    }
)  # fmt: skip
CONTROLS = tuple(name for name in POLICY.controls if name not in _BEYOND)
FINDINGS = 40
LETTER = "lc-2026-001"
# What a sound server tells beside versions and suites.
SOUND_TLS = (
    Trait(EXTENDED_MASTER_SECRET, "accepted"),
    Trait(HYBRID_GROUPS, "accepted", "", ("X25519MLKEM768",)),
    Trait(WITHDRAWN_CURVES, "refused", "handshake_failure", complete=True),
)
SOUND_LEGACY = (
    Trait(COMPRESSION, "refused"),
    Trait(FALLBACK_SIGNAL, "accepted", "inappropriate_fallback"),
    Trait(OLD_HASHES, "refused", "handshake_failure", complete=True),
)

MODERN = ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")

# Of the one server that is judged for all of its kind; others get their own.
NAME, V4, V6 = "www.placeholder.gov.example", "198.51.100.7", "2001:db8:ffff::7"
TLS10, NO_HSTS, NO_HEADERS, SECURITYTXT, OPEN_PORT = TRAITS = (1, 2, 4, 8, 16)

Question = tuple[str, str]  # probe, subject
Told = tuple[str, str, int, int, str]  # control, subject, outcome, severity, body: as a server of one kind has it


@dataclass(frozen=True, slots=True)
class Size:
    """How large a State, and for how long."""

    assets: int = 5000
    ministries: int = 240
    days: int = 365

    @property
    def changes(self) -> int:
        """Servers that change in a run; each change is of two findings or so, 0.3 % of all."""
        return max(1, round(self.assets * 0.075))


# ---- the servers


@cache
def certificate() -> tuple[tuple[bytes, ...], Reference]:
    """A chain for every name below gov.example, good for two years, and the root that it hangs on."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Year Root")])
    leaf_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "*.gov.example")])

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey, *, authority: bool) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(root_name)
            .public_key(public)
            .serial_number(7 + authority)
            .not_valid_before(START - timedelta(days=30))
            .not_valid_after(START + timedelta(days=730))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        )

    root = builder(root_name, root_key.public_key(), authority=True).sign(root_key, hashes.SHA256())
    names = x509.SubjectAlternativeName([x509.DNSName("*.placeholder.gov.example"), x509.DNSName("*.gov.example")])
    leaf = builder(leaf_name, key.public_key(), authority=False).add_extension(names, critical=False)
    signed = leaf.sign(root_key, hashes.SHA256())
    pem = root.public_bytes(Encoding.PEM)
    reference = Reference(pem, f"sha256:{hashlib.sha256(pem).hexdigest()}", private_roots=True)
    return (signed.public_bytes(Encoding.DER),), reference


def server(name: str, v4: str, v6: str, traits: int) -> dict[Question, Facts]:
    """Everything that one server tells: two addresses, each with its two web ports and its sweep."""
    chain, _ = certificate()
    accepted = ("TLS 1.2", "TLS 1.3", *(("TLS 1.0",) if traits & TLS10 else ()))
    versions = tuple(
        VersionAnswer(version, "accepted", suites=MODERN, complete=True)
        if version in accepted
        else VersionAnswer(version, "refused", "protocol_version")
        for version in ("TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3")
    )
    refused = tuple(
        VersionAnswer(version, "refused", "handshake_failure") for version in ("SSL 2.0", "SSL 3.0", "TLS 1.2")
    )
    headers = () if traits & NO_HSTS else (("strict-transport-security", "max-age=31536000"),)
    if not traits & NO_HEADERS:
        basic = {"x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "no-referrer"}
        headers = (*headers, *basic.items())
    plain = Hop(f"http://{name}/", 301, (("location", f"https://{name}/"),))
    secure = Hop(f"https://{name}/", 200, headers)
    text = "Contact: mailto:soc@cert.example\n"
    where = f"https://{name}/.well-known/security.txt"
    published = SecurityTxtFacts("/.well-known/security.txt", 200, "text/plain; charset=utf-8", text, url=where)
    told: dict[Question, Facts] = {
        ("securitytxt", ""): published if traits & SECURITYTXT else SecurityTxtFacts("", 404),
    }
    for address in (v4, v6):
        http, https = endpoint(address, 80), endpoint(address, 443)
        there = (80, 443, 8080) if traits & OPEN_PORT and address == v4 else (80, 443)
        ports = tuple(PortAnswer(port, "open" if port in there else "closed") for port in SWEEP_PORTS)
        told |= {
            ("tls", https): TlsFacts(name, "", versions, chain, traits=SOUND_TLS),
            ("tls_legacy", https): TlsLegacyFacts(name, "", refused, traits=SOUND_LEGACY),
            ("http", https): HttpFacts("https", (secure,), "final", "trusted"),
            ("http", http): HttpFacts("http", (plain, secure), "final", "trusted"),
            ("ports", address): PortsFacts(address, ports, alive=True),
        }
    return told


def judged(declared: Declared, answers: Mapping[Question, Answer], at: datetime) -> tuple[Finding, ...]:
    """What the shipped rules say of one server."""
    docket = Docket("m000", declared, answers, authority=dict.fromkeys(answers, LETTER))
    return judge(docket, POLICY, at, reference=certificate()[1], controls=CONTROLS)


@cache
def kind(traits: int) -> dict[tuple[str, str], Told]:
    """The findings of a server with these traits, by control and subject, under the placeholder's name."""
    answers = {question: Observed(facts, START) for question, facts in server(NAME, V4, V6, traits).items()}
    found = judged(entry_of(NAME, "m000").declared, answers, START)
    assert not any(one.outcome is Outcome.UNKNOWN for one in found)
    assert traits or len(found) == FINDINGS, "left out what was added to the catalogue since"
    assert not any(one.good_until and one.good_until < START + timedelta(days=366) for one in found), "true all year"
    return {
        (one.control, one.subject): (
            one.control,
            one.subject,
            OUTCOMES.index(one.outcome),
            SEVERITIES.index(one.severity),
            finding_body(one),
        )
        for one in found
    }


def entry_of(name: str, ministry: str) -> AssetEntry:
    return AssetEntry(ministry, Declared(name, "host", roles=("web",), ports=((80, "tcp"), (443, "tcp"))))


# ---- the State


@dataclass(frozen=True, slots=True)
class Day:
    """What happens between one run and the next: servers that change, with their new traits; who is not reachable."""

    number: int
    moved: Mapping[int, int]
    silent: frozenset[int]


@dataclass(slots=True)
class State:
    """The servers, by number; what they are like today."""

    size: Size
    traits: list[int] = field(init=False)
    _chance: random.Random = field(default_factory=lambda: random.Random(2026))

    def __post_init__(self) -> None:
        self.traits = [sum(trait for trait in TRAITS if self._chance.random() < 0.15) for _ in range(self.size.assets)]

    def days(self) -> Iterator[Day]:
        """The first day brings everybody."""
        size, chance = self.size, self._chance
        shaky = set(chance.sample(range(size.assets), round(size.assets * 0.3)))
        yield Day(0, dict(enumerate(self.traits)), frozenset())
        for number in range(1, size.days):
            silent = frozenset(one for one in shaky if chance.random() < 0.1)
            moved = {
                one: self.traits[one] ^ chance.choice(TRAITS)
                for one in chance.sample(range(size.assets), size.changes)
                if one not in silent
            }
            yield Day(number, moved, silent)
            for one, traits in moved.items():
                self.traits[one] = traits

    def ministry(self, number: int) -> str:
        return f"m{number % self.size.ministries:03}"

    def name(self, number: int) -> str:
        return f"www{number}.gov.example"

    def addresses(self, number: int) -> tuple[str, str]:
        """Every ministry has four machines, which its servers share."""
        machine = number % self.size.ministries * 4 + number // self.size.ministries % 4
        return f"198.18.{machine // 250}.{machine % 250 + 1}", f"2001:db8:{machine + 1:x}::1"

    def own(self, number: int, text: str) -> str:
        """What is said of the placeholder, said of this server."""
        v4, v6 = self.addresses(number)
        return text.replace(NAME, self.name(number)).replace(V4, v4).replace(V6, v6)

    def key(self, number: int) -> AssetKey:
        return AssetKey(self.name(number), "host")

    def told(self, number: int, traits: int) -> dict[Question, Facts]:
        return server(self.name(number), *self.addresses(number), traits)

    def start(self, day: int) -> RunStart:
        ministries = [f"m{number:03}" for number in range(min(self.size.ministries, self.size.assets))]
        return RunStart(
            started_at=START + timedelta(days=day),
            state="LC",
            timezone="America/St_Lucia",
            tool="posture bench",
            policy=POLICY,
            controls=CONTROLS,
            inventory_digest="aa",
            authorisation_digest="bb",
            ministries={code: f"Ministry {code}" for code in ministries},
            assets=tuple(entry_of(self.name(n), self.ministry(n)) for n in range(self.size.assets)),
            planned=(),
            reference=certificate()[1],
            id=f"R-{START + timedelta(days=day):%Y%m%dT%H%M%SZ}-{day:04x}",
        )

    def scores(self, day: int) -> dict[str, ScoreRow]:
        """Made up."""
        names = ["", *self.start_ministries()]
        rows = (600 + (day * 7 + place * 31) % 300 for place in range(len(names)))
        return {
            name: ScoreRow(tenths, tenths - 20, tenths + 20, 970, "C") for name, tenths in zip(names, rows, strict=True)
        }

    def start_ministries(self) -> list[str]:
        return [f"m{number:03}" for number in range(min(self.size.ministries, self.size.assets))]


def answered_at(day: int) -> datetime:
    return START + timedelta(days=day, minutes=5)


def ended_at(day: int) -> datetime:
    return START + timedelta(days=day, minutes=30)


# ---- a day through the writer


def by_the_writer(store: Store, state: State, day: Day) -> RunRecord:
    """All questions asked, all answers judged: what a scan does."""
    start = state.start(day.number)
    now = [day.moved.get(number, traits) for number, traits in enumerate(state.traits)]
    answers: dict[tuple[AssetKey, str, str], Answer] = {}
    for number, traits in enumerate(now):
        for (probe, subject), facts in state.told(number, traits).items():
            silence = Unobserved(Reason.TIMEOUT, answered_at(day.number), "no answer")
            heard = Observed(facts, answered_at(day.number))
            answers[state.key(number), probe, subject] = silence if number in day.silent else heard
    run: OpenRun = store.begin(replace(start, planned=tuple(answers)))
    run.settle_all((question, answer, LETTER) for question, answer in answers.items())
    closed = run.close(run.judged(ended_at(day.number)), "complete", ended_at(day.number))
    with store.writing() as connection:
        put_scores(connection, store.reader.texts, closed.run.number, state.scores(day.number))
    return closed.run


# ---- a day in bulk


@dataclass(slots=True)
class Bulk:
    """Writes days whose rows are those of :func:`by_the_writer`, and only those."""

    store: Store
    state: State
    numbers: list[int] = field(default_factory=list)  # a server's number in the database
    bits: list[int] = field(default_factory=list)
    missing: set[int] = field(default_factory=set)  # servers whose misses are open
    seen: set[tuple[int, int, int]] = field(default_factory=set)  # places that ever had a finding
    before: RunRecord | None = None

    def write(self, day: Day) -> RunRecord:
        store, reader = self.store, self.store.reader
        with store.writing() as connection:
            run = _Beginning(store, connection, self.state.start(day.number)).write()
            if not self.numbers:
                self._meet(connection)
            vantage = reader.texts.number("local")
            record = reader.run(run)._replace(state="complete", ended_at=ended_at(day.number))
            turns = Turns(run)
            for number, traits in day.moved.items():
                was = None if day.number == 0 else self.state.traits[number]
                self._facts(connection, record, vantage, number, was, traits)
                self._findings(turns, number, was, traits)
            turns.put(connection, put_track(connection, vantage))
            self._misses(connection, record, vantage, day)
            self._coverage(connection, run, day)
            self._events(connection, record, turns)
            put_scores(connection, reader.texts, run, self.state.scores(day.number))
            end = "UPDATE run SET state = 'complete', ended_at = ?, suspect = 0 WHERE id = ?"
            connection.execute(end, (stamp(ended_at(day.number)), run))
        self.before = reader.run(run)
        return self.before

    def _meet(self, connection: sqlite3.Connection) -> None:
        reader = self.store.reader
        numbers = {asset: number for number, asset in reader.assets().items()}
        bits = {asset: bit for bit, asset in reader.bits().items()}
        self.numbers = [numbers[self.state.key(one)] for one in range(self.state.size.assets)]
        self.bits = [bits[self.state.key(one)] for one in range(self.state.size.assets)]
        codes = sorted({control for control, _ in kind(0)})
        connection.executemany("INSERT OR IGNORE INTO control (code) VALUES (?)", [(code,) for code in codes])

    def _facts(
        self, connection: sqlite3.Connection, run: RunRecord, vantage: int, number: int, was: int | None, traits: int
    ) -> None:
        old = {} if was is None else self.state.told(number, was)
        for (probe, subject), facts in self.state.told(number, traits).items():
            if old.get((probe, subject)) == facts:
                continue
            slot = (self.numbers[number], probe, self.store.reader.texts.number(subject), vantage)
            if old:
                close = (
                    "UPDATE facts SET to_run = ? WHERE asset_id = ? AND probe = ? AND subject_id = ? AND vantage_id = ? "
                    "AND to_run IS NULL"
                )
                connection.execute(close, (run.number, *slot))
            blob = put_blob(connection, answer_bytes(Observed(facts, START)))
            insert = (
                "INSERT INTO facts (asset_id, probe, subject_id, vantage_id, from_run, at, blob_id, absent, authorisation) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?)"
            )
            at = stamp(run.started_at + timedelta(minutes=5))
            connection.execute(insert, (*slot, run.number, at, blob, LETTER))

    def _findings(self, turns: Turns, number: int, was: int | None, traits: int) -> None:
        old, new = ({} if was is None else kind(was)), kind(traits)
        controls, text = self._controls(), self.store.reader.texts.number
        for place in [*new, *(gone for gone in old if gone not in new)]:
            if old.get(place) == new.get(place):
                continue
            control, subject, *_ = new.get(place) or old[place]
            where = (self.numbers[number], controls[control], text(self.state.own(number, subject)))
            if place in new:
                _, _, outcome, severity, body = new[place]
                cause = "target" if place in old or where in self.seen else "first"
                turns.say(where, (outcome, severity, text(self.state.own(number, body))), cause)
                self.seen.add(where)
            else:
                turns.end(where, "target")

    def _controls(self) -> dict[str, int]:
        return {code: number for number, code in self.store.reader.controls().items()}

    def _misses(self, connection: sqlite3.Connection, run: RunRecord, vantage: int, day: Day) -> None:
        start, at = (run.number, stamp(run.started_at)), stamp(answered_at(day.number))
        for number in sorted(self.missing ^ day.silent):
            miss = Miss(str(Reason.TIMEOUT), None, "no answer", LETTER, run.number, at)
            asked = self.state.told(number, 0) if number in day.silent else {}
            missing = dict.fromkeys(asked, miss)
            put_missing(connection, self.store.reader.texts, vantage, start, self.numbers[number], missing)
        self.missing = set(day.silent)

    def _coverage(self, connection: sqlite3.Connection, run: int, day: Day) -> None:
        packed, heard = Packed(connection), {bit for number, bit in enumerate(self.bits) if number not in day.silent}
        for probe in sorted({probe for probe, _ in self.state.told(0, 0)}):
            put_coverage(connection, self.store.reader.texts, packed, run, probe, self.bits, heard)
        sets = (Bitmap(self.bits).pack(), Bitmap(heard).pack(), zlib.compress(b"{}", 9))
        for number in self._controls().values():
            put_judged(connection, packed, run, number, sets)

    def _events(self, connection: sqlite3.Connection, run: RunRecord, turns: Turns) -> None:
        fold = Fold(connection, self.store.reader, run, POLICY, self.store.shipped)
        fold.moved.update(turns.assets)
        fold.put_moved()
        if self.before is not None:
            fold.events(moved_events(self.store.reader, self.before, run)[0])
            fold.put_moved()


def write(path: Path, size: Size) -> State:
    """A whole year in bulk."""
    state = State(size)
    with Store.open(path, write=True, shipped=catalogue()) as store:
        bulk = Bulk(store, state)
        for day in state.days():
            bulk.write(day)
    return state


if __name__ == "__main__":
    given: list[Any] = sys.argv[1:]
    days, assets = (int(given[1]) if given[1:] else 365), (int(given[2]) if given[2:] else 5000)
    write(Path(given[0]), Size(assets=assets, ministries=min(240, assets), days=days))
