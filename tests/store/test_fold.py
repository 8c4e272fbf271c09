"""What a run leaves in the history: invariants I2, I3, I4 and I6, and who may change what."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from posture.checks import Case, Reference
from posture.facts import PortsFacts, TlsFacts
from posture.facts.service import PortAnswer
from posture.model import AbsentCause, Answer, AssetKey, Observed, Outcome, Reason, Verdict
from posture.store import RunRecord, ScoreRow, Store
from posture.store.scores import put_scores
from tests.store import ADDRESS, CONTROLS, DAY, HTTPS, SITE, T0, TELNET, World, absent, policy, said, silence, site, tls

THERE = site(1).key
OTHER = "198.51.100.8:443/tcp"
MX = "mx:mail.finance.gov.example:25"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "posture.db")


def cert(answer: Answer, subject: str = HTTPS, asset: AssetKey = SITE) -> dict[tuple[AssetKey, str, str], Answer]:
    return {(asset, "tls", subject): answer}


def ports(*numbers: int) -> dict[tuple[AssetKey, str, str], Answer]:
    found = tuple(PortAnswer(number, "open") for number in numbers)
    return {(SITE, "ports", ADDRESS): Observed(PortsFacts(ADDRESS, found, True), T0)}


def known(world: World, run: RunRecord | None = None) -> dict[tuple[str, str], Outcome]:
    """The last known outcomes, by control and subject."""
    with world.open(write=False) as store:
        newest = run or store.reader.runs()[0]
        spans = store.reader.timelines(newest)
        return {key[1:]: one[-1].finding.outcome for key, one in spans.items() if one[-1].until is None}


def count(world: World, table: str) -> int:
    with world.open(write=False) as store:
        return int(store.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_an_unchanged_world_writes_no_new_interval(world: World) -> None:
    for _ in range(3):
        world.scan(cert(tls("good")) | ports(443))
    assert (count(world, "facts"), count(world, "finding"), count(world, "blob")) == (2, 3, 2)
    assert count(world, "journal") == count(world, "planned") == 0


def test_a_change_closes_one_interval_and_opens_another(world: World) -> None:
    world.scan(cert(tls("good")))
    closed = world.scan(cert(tls("bad")))
    assert said(closed) == [("new", "t.cert", HTTPS)]
    assert not closed.events[0].initial
    with world.open(write=False) as store:
        first, second = store.reader.timelines(closed.run)[SITE, "t.cert", HTTPS]
    assert (first.finding.outcome, first.until, first.end_cause) == (Outcome.PASS, 2, "target")
    assert (second.finding.outcome, second.until, second.cause) == (Outcome.FAIL, None, "target")


def test_an_unanswered_check_never_touches_a_finding(world: World) -> None:
    world.scan(cert(tls("bad")))
    closed = world.scan(cert(silence()))
    assert known(world)["t.cert", HTTPS] is Outcome.FAIL
    assert ("unknown", "t.cert", HTTPS) in said(closed)
    assert "fixed" not in {kind for kind, _, _ in said(closed)}
    assert count(world, "miss") == 1
    world.scan(cert(silence()))
    assert count(world, "miss") == 1, "the same silence is one interval"
    world.scan(cert(tls("bad")))
    with world.open(write=False) as store:
        assert not store.reader.misses(store.reader.runs()[0])


def test_an_unknown_is_never_stored_as_a_finding(world: World) -> None:
    world.scan(cert(silence(Reason.OUT_OF_SCOPE, "E-SCOPE-020")))
    assert count(world, "finding") == 0


def test_a_clear_absence_is_a_fact(world: World) -> None:
    world.scan(cert(tls("bad")))
    closed = world.scan(cert(absent()))
    assert known(world)["t.cert", HTTPS] is Outcome.NOT_APPLICABLE
    assert said(closed) == [("changed", "t.cert", HTTPS)]


def test_a_subject_that_left_the_dns_closes_with_cause_scope(world: World) -> None:
    world.scan(cert(tls("bad")) | cert(tls("good"), OTHER))
    closed = world.scan(cert(tls("good"), OTHER))
    assert ("out_of_scope", "t.cert", HTTPS) in said(closed)
    assert ("t.cert", HTTPS) not in known(world)
    with world.open(write=False) as store:
        assert store.reader.timelines(closed.run)[SITE, "t.cert", HTTPS][-1].end_cause == "scope"
        assert list(store.reader.answers(closed.run)[SITE]) == [("tls", OTHER)]


def test_nothing_leaves_when_the_subjects_could_not_be_listed(world: World) -> None:
    world.scan(cert(tls("bad")))
    world.scan(cert(silence(Reason.TEMPORARY), ""))
    assert known(world)["t.cert", HTTPS] is Outcome.FAIL
    with world.open(write=False) as store:
        assert ("tls", HTTPS) in store.reader.answers(store.reader.runs()[0])[SITE]


def test_a_mail_exchanger_leaves_only_when_somebody_listed_mail_exchangers(world: World) -> None:
    world.scan(cert(tls("bad"), MX) | cert(tls("good")))
    world.scan(cert(tls("good")))
    assert known(world)["t.cert", MX] is Outcome.FAIL


def test_a_name_that_no_longer_exists_takes_its_endpoints_along(world: World) -> None:
    world.scan(cert(tls("bad")))
    world.scan(cert(absent(AbsentCause.NXDOMAIN), ""))
    assert ("t.cert", HTTPS) not in known(world)


def test_a_port_that_is_no_longer_open_is_fixed_because_its_address_answered(world: World) -> None:
    world.scan(ports(23, 2323))
    closed = world.scan(ports(2323))
    assert said(closed) == [("fixed", "t.port", TELNET)]
    assert said(world.scan(ports(23, 2323))) == [("regressed", "t.port", TELNET)]
    assert said(world.scan({(SITE, "ports", ADDRESS): silence()}))[0][0] == "unknown"
    assert known(world)["t.port", TELNET] is Outcome.FAIL


def test_an_asset_that_left_the_inventory_closes_with_cause_scope(world: World) -> None:
    other = site(1)
    world.scan(cert(tls("bad")) | cert(tls("good"), asset=other.key))
    closed = world.scan(cert(tls("good"), asset=other.key), [other])
    assert ("out_of_scope", "t.cert", HTTPS) in said(closed)
    with world.open(write=False) as store:
        assert set(store.reader.entries(closed.run.number)) == {other.key}
        assert set(store.reader.entries(closed.run.number - 1)) == {SITE, other.key}


def test_an_assets_bit_is_never_given_to_another(world: World) -> None:
    for number in range(3):
        world.scan(cert(tls("good"), asset=site(number).key))
    with world.open(write=False) as store:
        assert store.reader.bits() == {number: site(number).key for number in range(3)}


def test_a_partial_scan_changes_only_what_it_asked(world: World) -> None:
    other = site(1)
    both = [site(), other]
    world.scan(cert(tls("bad")) | cert(tls("bad"), asset=other.key) | ports(23), both)
    closed = world.scan(
        cert(tls("good")), both, selectors={"asset": [SITE.name], "control": ["t.cert"]}, controls=("t.cert",)
    )
    assert said(closed) == [("fixed", "t.cert", HTTPS)]
    with world.open(write=False) as store:
        now = {k: s[-1] for k, s in store.reader.timelines(closed.run).items()}
    assert now[other.key, "t.cert", HTTPS].finding.outcome is Outcome.FAIL
    assert now[SITE, "t.port", TELNET].until is None
    assert now[SITE, "t.site", ""].until is None


def test_a_selection_without_an_asset_does_not_retire_it(world: World) -> None:
    other = site(1)
    world.scan(cert(tls("bad")) | cert(tls("good"), asset=other.key))
    closed = world.scan(cert(tls("good"), asset=other.key), [other], selectors={"asset": [other.key.name]})
    assert said(closed) == []
    with world.open(write=False) as store:
        assert SITE in store.reader.entries(closed.run.number)
        assert store.reader.timelines(closed.run)[SITE, "t.cert", HTTPS][-1].until is None


def test_vantages_do_not_mix(world: World) -> None:
    world.scan(cert(tls("bad")))
    closed = world.scan(cert(tls("good")), vantage="outside")
    assert not closed.events
    again = world.scan(cert(tls("bad")))
    assert said(again) == []
    assert known(world, closed.run)["t.cert", HTTPS] is Outcome.PASS
    assert known(world, again.run)["t.cert", HTTPS] is Outcome.FAIL


@pytest.mark.parametrize("state", ["partial", "stopped"])
def test_an_interrupted_run_keeps_its_answers_and_feeds_neither_drift_nor_scores(world: World, state: str) -> None:
    world.scan(cert(tls("bad")) | cert(tls("bad"), OTHER))
    with world.open() as store:
        start = world.start(cert(tls("good")) | cert(tls("good"), OTHER))
        run = store.begin(start)
        run.settle(SITE, "tls", HTTPS, tls("good"))
        scores = {"finance": ScoreRow(500, 400, 600, 1000, "C")}
        closed = run.close(world.judged(run, start), state, T0, scores=lambda _run: scores)
    assert not closed.events
    assert count(world, "score") == count(world, "event") == 0
    assert known(world)["t.cert", HTTPS] is Outcome.PASS
    assert known(world)["t.cert", OTHER] is Outcome.FAIL
    with world.open(write=False) as store:
        assert store.reader.misses(closed.run)[SITE].keys() == {("tls", OTHER)}
        assert SITE not in store.reader.coverage(closed.run)["tls"].answered


def test_a_quarantined_run_leaves_nothing_but_its_line(world: World) -> None:
    world.scan(cert(tls("good")))
    closed = world.scan(cert(tls("bad")), state="quarantined")
    assert closed.run.state == "quarantined"
    assert known(world)["t.cert", HTTPS] is Outcome.PASS


def test_scores_of_a_complete_run_are_kept(world: World) -> None:
    with world.open() as store:
        start = world.start(cert(tls("good")))
        run = store.begin(start)
        run.settle(SITE, "tls", HTTPS, tls("good"))
        scores = {"": ScoreRow(None, None, None, 0, "?"), "finance": ScoreRow(912, 900, 950, 1000, "A")}
        run.close(world.judged(run, start), "complete", T0, scores=lambda closed: scores if closed.closed else {})
    assert count(world, "score") == 2


def test_another_policy_is_told_apart_from_the_targets_own_change(world: World) -> None:
    world.scan(cert(tls("old")) | cert(tls("old"), OTHER))
    world.policy = policy(strict=1)
    closed = world.scan(cert(tls("old")) | cert(tls("bad"), OTHER))
    # OTHER turned bad by itself too, but it had failed already under the new policy.
    assert said(closed) == [
        ("policy_changed", "t.cert", HTTPS),
        ("policy_changed", "t.cert", OTHER),
        ("changed", "t.cert", OTHER),
    ]
    with world.open(write=False) as store:
        assert store.reader.timelines(closed.run)[SITE, "t.cert", HTTPS][-1].cause == "policy"


def test_a_silent_asset_is_judged_by_the_new_policy_from_its_old_facts(world: World) -> None:
    world.scan(cert(tls("old")))
    world.policy = policy(strict=1)
    closed = world.scan(cert(silence()))
    assert known(world)["t.cert", HTTPS] is Outcome.FAIL
    assert ("policy_changed", "t.cert", HTTPS) in said(closed)


def test_another_version_of_a_rule_is_a_change_of_the_tool(world: World) -> None:
    from dataclasses import replace

    from posture.model import Verdict

    def newer(case: Case) -> Verdict:
        del case
        return Verdict("BAD", {"name": "everything"})

    world.scan(cert(tls("good")))
    rule = replace(CONTROLS["t.cert"].rule, judge=newer, version=2)
    world.controls = {**CONTROLS, "t.cert": replace(CONTROLS["t.cert"], rule=rule)}
    closed = world.scan(cert(tls("good")))
    assert said(closed) == [("tool_changed", "t.cert", HTTPS)]


def test_a_control_that_the_policy_dropped_closes_with_cause_policy(world: World) -> None:
    world.scan(cert(tls("bad")))
    world.policy = policy(controls=("t.site",))
    closed = world.scan(cert(tls("bad")))
    assert said(closed) == [("policy_changed", "t.cert", HTTPS)]
    assert ("t.cert", HTTPS) not in known(world)


def test_a_closed_run_and_its_intervals_are_immutable(world: World) -> None:
    world.scan(cert(tls("good")))
    world.scan(cert(tls("bad")))
    with world.open() as store:
        for statement in (
            "UPDATE run SET tool = 'x'",
            "DELETE FROM run",
            "DELETE FROM verdict",
            "UPDATE verdict SET said = 0",
            "UPDATE verdict SET event = 64",
            "DELETE FROM facts",
            "UPDATE facts SET blob_id = 1 WHERE to_run IS NULL",
            "UPDATE coverage_row SET answered = targeted",
            "DELETE FROM judged_row",
            "UPDATE packed SET data = x''",
            "DELETE FROM packed",
            "UPDATE track SET judgement_id = 1",
            "DELETE FROM track",
        ):
            with pytest.raises(sqlite3.IntegrityError):
                store.connection.execute(statement)


def test_two_open_intervals_of_one_finding_are_impossible(world: World) -> None:
    world.scan(cert(tls("good")))
    world.scan(cert(tls("good")))
    with world.open() as store:
        run = store.begin(world.start(cert(tls("good")))).run.number
        place = "INSERT INTO verdict SELECT asset_id, control_id, subject_id, track_id"
        store.connection.execute(f"{place}, {run}, 20, body_id, 1, NULL FROM verdict WHERE from_run = 1")
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            store.connection.execute(f"{place}, {run}, 12, body_id, 1, NULL FROM verdict WHERE from_run = 1")
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):  # what came before it would last less long
            store.connection.execute(f"{place}, 2, 12, body_id, 1, NULL FROM verdict WHERE from_run = 1")
        query = "SELECT count(*) FROM finding WHERE to_run IS NULL GROUP BY asset_id, control_id, subject_id"
        assert {count for (count,) in store.connection.execute(query)} == {1}


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO verdict SELECT asset_id, control_id, subject_id, 1, 2, 16, body_id, 1, NULL FROM verdict",
        "INSERT INTO facts SELECT asset_id, 'other', subject_id, vantage_id, 1, 2, at, blob_id, 0, NULL FROM facts",
        "INSERT INTO silence SELECT asset_id, vantage_id, 2, NULL, said_id, '9' FROM silence",
        "UPDATE silence SET to_run = NULL",
        "UPDATE silence SET seconds = '9'",
        "DELETE FROM silence",
        "INSERT INTO coverage_row SELECT run_id, 1, targeted, answered, 1, 1 FROM coverage_row",
        "INSERT INTO judged_row SELECT run_id, 3, asked, known, silent FROM judged_row",
        "INSERT INTO event_row SELECT from_run, asset_id, control_id, subject_id, 'new', 0, 0, 0, 0, 1, 1 FROM verdict",
        "UPDATE event_row SET severity = 0",
        "DELETE FROM event_row",
        "UPDATE score_row SET tenths = 1000",
        "DELETE FROM score_row",
        "UPDATE judgement SET rules = '{}'",
        "UPDATE declaration SET body = '{}'",
        "DELETE FROM declaration",
        "UPDATE asset SET bit = 77",
        "UPDATE run SET suspect = 1",
    ],
)
def test_nothing_comes_to_a_closed_run_and_nothing_of_it_goes(world: World, statement: str) -> None:
    """Invariant I4, by the schema: whatever a program of ours or another does to the file."""
    for name in ("good", "bad"):
        closed = world.scan({**cert(tls(name)), (SITE, "ports", ADDRESS): silence()})
        with world.open() as store, store.writing() as connection:
            row = ScoreRow(912, 900, 950, 1000, "A")
            put_scores(connection, store.reader.texts, closed.run.number, {"": row})
            if name == "bad":
                _event_of_its_own(connection)
    refused = r"immutable|append-only|can be closed|keeps its bit"
    with (
        closing(sqlite3.connect(world.path)) as connection,
        pytest.raises(sqlite3.IntegrityError, match=refused),
    ):
        connection.execute(statement)


def _event_of_its_own(connection: sqlite3.Connection) -> None:
    """As one that the verdict of its run does not tell."""
    (guard,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'event_row_complete'").fetchone()
    connection.execute("DROP TRIGGER event_row_complete")
    connection.execute(
        "INSERT INTO event_row SELECT 1, asset_id, control_id, subject_id, 'unstable', 0, 0, 0, 0, 1, 1 FROM verdict LIMIT 1"
    )
    connection.execute(guard)


def test_what_a_run_was_bound_to_is_kept(world: World) -> None:
    world.scan(cert(tls("good")), reference=Reference(b"PEM", "sha256:x", private_roots=True), lab=True)
    with world.open(write=False) as store:
        run = store.reader.runs()[0]
        assert store.reader.policy(run).digest == world.policy.digest
        assert store.reader.reference(run).roots == b"PEM"
        assert store.reader.reference(run).private_roots
        assert run.lab
        assert (run.inventory_digest, run.authorisation_digest) == ("aa", "bb")
        assert run.id.startswith("R-20261101T020000Z-")
        assert len(run.id) == len("R-20261101T020000Z-0000")


def test_a_fault_while_closing_leaves_the_answers_in_the_journal(world: World) -> None:
    with world.open() as store:
        start = world.start(cert(tls("good")))
        run = store.begin(start)
        run.settle(SITE, "tls", HTTPS, tls("good"))
        broken = [*world.judged(run, start)]
        with pytest.raises(KeyError):
            run.close([*broken, *_of_a_stranger(broken)], "complete", T0)
        assert run.done() == {(SITE, "tls", HTTPS)}
        run.close(broken, "complete", T0)
    assert known(world)["t.cert", HTTPS] is Outcome.PASS


def _of_a_stranger(findings: list) -> list:  # type: ignore[type-arg]  # any finding will do
    from dataclasses import replace

    return [replace(findings[0], asset=AssetKey("stranger.gov.example", "host"))]


def test_a_mass_change_makes_the_run_suspect(world: World) -> None:
    assets = [site(number) for number in range(20)]
    everything = {q: a for one in assets for q, a in cert(tls("good"), asset=one.key).items()}
    world.scan(everything)
    few = world.scan(everything | {q: tls("bad") for q in list(everything)[:9]})
    assert not few.suspect
    many = world.scan({question: tls("bad") for question in everything})
    assert many.suspect
    assert many.run.suspect
    assert len(many.events) == 20


def test_datasette_finds_plain_names(world: World) -> None:
    world.scan(cert(tls("bad")))
    with Store.open(world.path, write=False, shipped=CONTROLS) as store:
        row = store.connection.execute(
            "SELECT ministry, asset, control, outcome, severity, tag FROM current_findings WHERE control = 't.cert'"
        ).fetchone()
    assert row == ("finance", SITE.name, "t.cert", "fail", "high", "BAD")


def test_a_silent_assets_old_age_is_not_the_new_policys_doing(tmp_path: Path) -> None:
    """Its answer is judged as of the day it was given: judged as of today, the new policy would seem to have failed it."""

    def ageing(case: Case) -> Verdict:
        late = case.at >= T0 + DAY
        return Verdict("BAD" if late else "GOOD", {"name": case.need(TlsFacts).name})

    control = CONTROLS["t.cert"]
    rules = {**CONTROLS, "t.cert": replace(control, rule=replace(control.rule, judge=ageing))}
    world = World(tmp_path / "posture.db", controls=rules)
    world.scan({(SITE, "tls", HTTPS): tls("a"), (THERE, "tls", HTTPS): tls("b")})
    world.scan({(SITE, "tls", HTTPS): silence(), (THERE, "tls", HTTPS): tls("b")})
    world.policy = policy(strict=1)
    closed = world.scan({(SITE, "tls", HTTPS): silence(), (THERE, "tls", HTTPS): tls("b")})
    assert [one for one in closed.events if one.kind == "policy_changed"] == []


def lasting(world: World, table: str, probe: str = "smtp") -> list[str]:
    """The subjects of the open intervals of a probe."""
    with world.open(write=False) as store:
        subject = "subject" if table == "miss" else "(SELECT value FROM text_value WHERE id = subject_id)"
        query = f"SELECT {subject} FROM {table} WHERE probe = ? AND to_run IS NULL"
        return [subject for (subject,) in store.connection.execute(query, (probe,))]


@pytest.mark.parametrize(("whole", "table"), [(silence(), "miss"), (absent(AbsentCause.NODATA), "facts")])
def test_an_answer_about_the_whole_ends_when_its_parts_are_known(whole: Answer, table: str, world: World) -> None:
    """No exchanger could be listed, or there was none; now there is one, whether it answers or not."""
    world.scan({(SITE, "smtp", ""): whole})
    assert lasting(world, table) == [""]

    world.scan({(SITE, "smtp", MX): silence()}, selectors={"controls": ["mail.starttls"]})
    assert (lasting(world, "miss"), lasting(world, "facts")) == ([MX], [])

    world.scan({(SITE, "smtp", ""): whole})
    assert "" in lasting(world, table)  # and the other way round


def test_an_answer_about_the_whole_outlives_a_run_that_did_not_ask(world: World) -> None:
    world.scan({(SITE, "smtp", ""): silence(), **cert(tls("good"))})
    world.scan(cert(tls("good")))
    assert lasting(world, "miss") == [""]
