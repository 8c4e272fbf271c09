"""What the history tells: current state, single runs, as-of, drift documents."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from posture.errors import UsageError
from posture.facts import PortsFacts, TlsFacts, digest, encode
from posture.facts.service import PortAnswer
from posture.history import (
    Selectors,
    bounds,
    compare,
    last_known,
    latest_drift,
    previous_answers,
    resolve_run,
    runs,
    state,
)
from posture.model import AbsentCause, Answer, AssetKey, Observed, Outcome, Reason, Severity
from posture.scorecard import Standing
from posture.store import Question, stamp
from tests.store import ADDRESS, DAY, HTTPS, SITE, T0, TELNET, World, absent, policy, silence, site, tls

OTHER = "198.51.100.8:443/tcp"
FIELDS = [
    "state", "ministry", "asset", "kind", "subject", "control", "outcome", "severity", "confidence", "tag", "args",
    "message", "reason", "code", "authorisation", "vantage", "mends", "provider", "mend_by", "observed_at",
    "first_seen", "last_seen", "stale", "facts", "exemption", "unseen", "dispute", "unstable",
]  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "posture.db")


def one(answer: Answer, subject: str = HTTPS, asset: AssetKey = SITE) -> dict[Question, Answer]:
    return {(asset, "tls", subject): answer}


def ports(*numbers: int) -> dict[Question, Answer]:
    found = tuple(PortAnswer(number, "open") for number in numbers)
    return {(SITE, "ports", ADDRESS): Observed(PortsFacts(ADDRESS, found, True), T0)}


def rows(world: World, **choice: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """Rows by control and subject."""
    with world.open(write=False) as store:
        found = state(store, **choice)["findings"]
    return {(row["control"], row["subject"]): row for row in found}


def outcomes(world: World, **choice: Any) -> dict[tuple[str, str], str]:
    return {key: row["outcome"] for key, row in rows(world, **choice).items()}


def start(day: int) -> str:
    return stamp(T0 + day * DAY)


def end(day: int) -> str:
    return stamp(T0 + day * DAY + timedelta(minutes=10))


def test_a_row_has_every_field_of_the_contract_in_its_order(world: World) -> None:
    closed = world.scan(one(tls("bad")))
    with world.open(write=False) as store:
        document = state(store)
    assert document["schema"] == "posture-findings/1"
    assert document["complete"] is True
    assert document["run"] == closed.run.document()
    row = document["findings"][0]
    assert list(row) == FIELDS
    assert row == {
        "state": "LC",
        "ministry": "finance",
        "asset": SITE.name,
        "kind": "host",
        "subject": HTTPS,
        "control": "t.cert",
        "outcome": "fail",
        "severity": "high",
        "confidence": "confirmed",
        "tag": "BAD",
        "args": {"name": "bad"},
        "message": "bad is bad.",
        "reason": None,
        "code": None,
        "authorisation": None,
        "vantage": "local",
        "mends": "ministry",
        "provider": None,
        "mend_by": None,
        "observed_at": stamp(T0 + timedelta(minutes=5)),
        "first_seen": start(0),
        "last_seen": end(0),
        "stale": False,
        "facts": digest(encode(TlsFacts("bad", "", ()))),
        "exemption": None,
        "unseen": None,
        "dispute": None,
        "unstable": None,
    }


def test_without_a_run_there_is_nothing_to_say(world: World) -> None:
    world.open().close()
    with world.open(write=False) as store:
        assert state(store) == {"schema": "posture-findings/1", "complete": False, "run": None, "findings": []}
        assert runs(store)["runs"] == []
        assert latest_drift(store) is None
        assert last_known(store, "local") == {}
        assert previous_answers(store, "local") == {}


def test_the_last_known_value_stays_visible_with_its_age(world: World) -> None:
    world.scan(one(tls("bad")))
    for _ in range(7):
        world.scan(one(silence()))
    row = rows(world)["t.cert", HTTPS]
    assert (row["outcome"], row["first_seen"], row["last_seen"], row["stale"]) == ("fail", start(0), end(0), False)
    world.scan(one(silence()))
    assert rows(world)["t.cert", HTTPS]["stale"] is True
    world.scan(one(tls("bad")))
    row = rows(world)["t.cert", HTTPS]
    assert (row["last_seen"], row["stale"]) == (end(9), False)
    assert row["observed_at"] == start(9), "heard again: at some time after the run began"
    assert row["first_seen"] == start(0)


def test_what_was_never_answered_is_unknown_with_its_reason(world: World) -> None:
    world.scan(one(silence(Reason.OUT_OF_SCOPE, "E-SCOPE-020")))
    row = rows(world)["t.cert", HTTPS]
    assert (row["outcome"], row["reason"], row["code"]) == ("unknown", "out_of_scope", "E-SCOPE-020")
    assert (row["observed_at"], row["first_seen"], row["last_seen"], row["facts"]) == (None, None, None, None)
    assert row["authorisation"] == "lc-2026-001"
    assert row["message"] == "Not looked at: the address is outside the authorisation."
    assert (row["tag"], row["stale"]) == (None, False)


def test_a_run_alone_shows_what_it_saw_and_what_it_could_not(world: World) -> None:
    world.scan(one(tls("bad")) | ports(23))
    second = world.scan(one(silence(Reason.RESET)) | ports(23))
    alone = rows(world, run=second.run.id)
    assert alone["t.cert", HTTPS]["outcome"] == "unknown"
    assert alone["t.cert", HTTPS]["reason"] == "reset"
    assert alone["t.port", TELNET]["outcome"] == "fail"
    assert rows(world)["t.cert", HTTPS]["outcome"] == "fail"
    assert outcomes(world, run="previous")["t.cert", HTTPS] == "fail"


def test_a_run_with_selectors_alone_shows_only_what_it_asked(world: World) -> None:
    world.scan(one(tls("bad")) | ports(23))
    partial = world.scan(one(tls("good")), selectors={"control": ["t.cert"]}, controls=("t.cert",))
    assert outcomes(world, run=partial.run.id) == {("t.cert", HTTPS): "pass"}
    assert outcomes(world) == {("t.cert", HTTPS): "pass", ("t.site", ""): "pass", ("t.port", TELNET): "fail"}


def test_one_silent_endpoint_does_not_hide_that_the_other_was_seen(world: World) -> None:
    both = one(tls("good")) | one(tls("bad"), OTHER)
    world.scan(both)
    second = world.scan(one(tls("good")) | one(silence(), OTHER))
    current = rows(world)
    assert current["t.cert", HTTPS]["last_seen"] == end(1)
    assert current["t.cert", OTHER]["last_seen"] == end(0)
    assert current["t.site", ""]["outcome"] == "warn"
    assert outcomes(world, run=second.run.id) == {
        ("t.cert", HTTPS): "pass",
        ("t.cert", OTHER): "unknown",
        ("t.site", ""): "warn",
    }


def test_a_finding_over_an_endpoint_that_never_answers_is_still_seen_each_time(world: World) -> None:
    for _ in range(10):
        world.scan(one(tls("good")) | one(silence(), OTHER))
    row = rows(world)["t.site", ""]
    assert (row["outcome"], row["last_seen"], row["stale"]) == ("warn", end(9), False)


def test_as_of_gives_the_state_as_it_was_known_then(world: World) -> None:
    world.scan(one(tls("bad")) | ports(23))
    world.scan(one(silence()) | ports())
    world.scan(one(tls("good")) | ports())
    assert outcomes(world, at="2026-10-31") == {
        ("t.cert", HTTPS): "fail",
        ("t.site", ""): "pass",
        ("t.port", TELNET): "fail",
    }
    then = rows(world, at=end(1))
    assert then["t.cert", HTTPS]["outcome"] == "fail"
    assert then["t.cert", HTTPS]["last_seen"] == end(0)
    assert ("t.port", TELNET) not in then
    assert outcomes(world)["t.cert", HTTPS] == "pass"
    with pytest.raises(UsageError, match="no run had ended by 2026-10-01"):
        rows(world, at="2026-10-01")


def test_as_of_is_the_vantage_that_was_newest_then(world: World) -> None:
    world.scan(one(tls("bad")))
    world.scan(one(tls("good")), vantage="outside")
    assert outcomes(world, at=end(0))["t.cert", HTTPS] == "fail"
    assert outcomes(world, at=end(1))["t.cert", HTTPS] == "pass"
    with pytest.raises(UsageError, match="no run had ended by"):
        rows(world, at=end(0), vantage="outside")


def test_a_run_and_a_time_are_not_both_chosen(world: World) -> None:
    world.scan(one(tls("bad")))
    with pytest.raises(UsageError, match="--run and --at both choose"):
        rows(world, run="latest", at=end(0))


def test_first_seen_is_when_it_was_first_open_also_after_a_fix(world: World) -> None:
    for name in ("bad", "good", "bad"):
        world.scan(one(tls(name)))
    assert rows(world)["t.cert", HTTPS]["first_seen"] == start(0)
    world.scan(one(tls("good")))
    world.scan(one(tls("fine")))
    assert rows(world)["t.cert", HTTPS]["first_seen"] == start(3), "still passing, with other words"


def test_vantages_never_mix(world: World) -> None:
    world.scan(one(tls("bad")))
    world.scan(one(tls("good")), vantage="outside")
    assert outcomes(world)["t.cert", HTTPS] == "pass"
    assert outcomes(world, vantage="local")["t.cert", HTTPS] == "fail"
    with world.open(write=False) as store:
        assert [run["vantage"] for run in runs(store, "local")["runs"]] == ["local"]
        assert last_known(store, "local")[SITE, "t.cert", HTTPS].outcome is Outcome.FAIL
        with pytest.raises(UsageError, match="no previous"):
            resolve_run(store, "previous")


def test_an_absence_is_an_answer_without_facts(world: World) -> None:
    world.scan(one(absent(AbsentCause.NXDOMAIN), ""))
    row = rows(world)["t.cert", ""]
    assert (row["outcome"], row["tag"], row["facts"]) == ("not_applicable", "NOTHING_THERE", None)
    assert row["observed_at"] == stamp(T0 + timedelta(minutes=5))


def test_facts_of_several_subjects_have_one_digest_that_binds_them_all(world: World) -> None:
    world.scan(one(tls("good")) | one(tls("bad"), OTHER))
    first = rows(world)["t.site", ""]["facts"]
    world.scan(one(tls("good")) | one(tls("worse"), OTHER))
    assert first.startswith("sha256:")
    assert rows(world)["t.site", ""]["facts"] != first


def test_what_a_rule_says_of_a_port_rests_on_the_facts_of_its_address(world: World) -> None:
    world.scan(ports(23))
    answer = next(iter(ports(23).values()))
    assert isinstance(answer, Observed)
    assert rows(world)["t.port", TELNET]["facts"] == digest(encode(answer.facts))


@pytest.mark.parametrize(
    ("select", "left"),
    [
        (Selectors(), {"t.cert", "t.site", "t.port"}),
        (Selectors(ministries=["finance"]), {"t.cert", "t.site", "t.port"}),
        (Selectors(assets=[SITE.name]), {"t.cert", "t.site", "t.port"}),
        (Selectors(checks=["tls"]), {"t.cert", "t.site", "t.port"}),
        (Selectors(checks=["t"]), {"t.cert", "t.site", "t.port"}),
        (Selectors(controls=["t.c*", "t.port"]), {"t.cert", "t.port"}),
        (Selectors(severity="critical"), set()),
        (Selectors(severity="high"), {"t.cert", "t.site", "t.port"}),
        (Selectors(outcomes=["fail"]), {"t.cert", "t.port"}),
        (Selectors(since="2026-11-01"), {"t.cert", "t.site", "t.port"}),
        (Selectors(since="2026-11-02"), set()),
        (Selectors(until="2026-10-31"), {"t.cert", "t.site", "t.port"}),
        (Selectors(until="2026-10-30"), set()),
    ],
)
def test_selectors(world: World, select: Selectors, left: set[str]) -> None:
    # 02:00 UTC of 1 November is 22:00 of 31 October in Saint Lucia.
    world.scan(one(tls("bad")) | ports(23))
    if select.since == "2026-11-01":
        select = Selectors(since="2026-10-31")
    assert {control for control, _ in rows(world, select=select)} == left


@pytest.mark.parametrize(
    "select",
    [
        Selectors(ministries=["none"]),
        Selectors(assets=["none"]),
        Selectors(checks=["none"]),
        Selectors(controls=["none.*"]),
        Selectors(severity="urgent"),
        Selectors(outcomes=["failed"]),
        Selectors(since="yesterday"),
    ],
)
def test_a_selector_that_names_nothing_is_an_error(world: World, select: Selectors) -> None:
    world.scan(one(tls("bad")))
    with pytest.raises(UsageError):
        rows(world, select=select)


def test_runs_are_listed_newest_first(world: World) -> None:
    ids = [world.scan(one(tls("good"))).run.id for _ in range(3)]
    with world.open(write=False) as store:
        document = runs(store)
    assert document["schema"] == "posture-runs/1"
    assert [run["id"] for run in document["runs"]] == ids[::-1]
    assert document["runs"][0] == {
        "id": ids[2],
        "started_at": start(2),
        "ended_at": end(2),
        "state": "complete",
        "policy": "t/0",
        "vantage": "local",
        "tool": "posture test",
    }


def test_a_run_is_meant_by_id_prefix_order_or_day(world: World) -> None:
    first, second = (world.scan(one(tls("good"))).run for _ in range(2))
    stopped = world.scan(one(tls("good")), state="stopped").run
    with world.open(write=False) as store:
        assert resolve_run(store, first.id) == first
        assert resolve_run(store, first.id[:12]) == first
        assert resolve_run(store, second.id.lower()) == second
        assert resolve_run(store, "latest") == stopped
        assert resolve_run(store, "previous") == second
        assert resolve_run(store, "latest", complete=True) == second
        assert resolve_run(store, "previous", complete=True) == first
        # 02:00 UTC is still the day before in Saint Lucia.
        assert resolve_run(store, "2026-10-31") == first
        assert resolve_run(store, "2026-11-01") == second
        for nobody in ("R-2025", "2026-12-24", "", "2026-13-99"):
            with pytest.raises(UsageError, match=r"Choose from: R-20261103"):
                resolve_run(store, nobody)
        with pytest.raises(UsageError, match="3 runs begin with 'R-2026'"):
            resolve_run(store, "R-2026")


def test_a_run_that_is_going_on_shows_nothing_yet(world: World) -> None:
    world.scan(one(tls("good")))
    with world.open() as store:
        running = store.begin(world.start(one(tls("bad"))))
        running.settle(SITE, "tls", HTTPS, tls("bad"))
        document = state(store, run=running.run.id)
        assert (document["complete"], document["findings"]) == (False, [])
        assert document["run"]["state"] == "running"
        assert document["run"]["ended_at"] is None
        assert state(store)["findings"][0]["outcome"] == "pass"


def test_a_day_has_both_its_ends_in_the_states_time_zone() -> None:
    first, last = bounds("2026-11-23", "America/St_Lucia")
    assert stamp(first) == "2026-11-23T04:00:00Z"
    assert stamp(last) == "2026-11-24T03:59:59Z"
    assert stamp(bounds("2026-11-23T21:00:00Z", "America/St_Lucia")[0]) == "2026-11-23T21:00:00Z"
    assert stamp(bounds("2026-11-23T21:00", "America/St_Lucia")[0]) == "2026-11-24T01:00:00Z"


# ---- drift


def events(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [(row["kind"], row["control"], row["subject"]) for row in document["events"]]


def test_drift_compares_the_last_two_complete_runs(world: World) -> None:
    first = world.scan(one(tls("good")) | ports(23)).run
    world.scan(one(tls("bad")), state="partial", selectors={"check": ["tls"]})
    last = world.scan(one(tls("bad")) | ports()).run
    with world.open(write=False) as store:
        document = compare(store)
        assert latest_drift(store) == document
    assert document["schema"] == "posture-drift/1"
    assert (document["from"]["id"], document["to"]["id"], document["suspect"]) == (first.id, last.id, False)
    assert events(document) == [("new", "t.cert", HTTPS), ("fixed", "t.port", TELNET)]
    assert document["events"][0] == {
        "kind": "new",
        "ministry": "finance",
        "asset": SITE.name,
        "asset_kind": "host",
        "control": "t.cert",
        "subject": HTTPS,
        "severity": "high",
        "before": "pass",
        "after": "fail",
        "between": [end(0), end(1)],  # the partial run saw it first
        "message": "bad is bad.",
        "initial": False,
        "confirmed": None,
    }
    assert document["events"][1]["message"] == "No longer so: Port 23 is open."


def test_latest_drift_as_it_was_known_then(world: World) -> None:
    for name in ("good", "bad", "good"):
        world.scan(one(tls(name)))
    world.scan(one(tls("bad")), vantage="outside")
    with world.open(write=False) as store:
        local = store.reader.runs("local")
        third, second, first = (latest_drift(store, until=run) for run in local)
    assert first is None
    assert second is not None
    assert third is not None
    assert [row["kind"] for row in second["events"] if row["control"] == "t.cert"] == ["new"]
    assert (second["from"]["id"], second["to"]["id"]) == (local[2].id, local[1].id)
    assert [row["kind"] for row in third["events"] if row["control"] == "t.cert"] == ["fixed"]


def test_drift_between_runs_far_apart(world: World) -> None:
    ids = [world.scan(one(tls(name))).run.id for name in ("bad", "good", "bad", "bad")]
    with world.open(write=False) as store:
        across = compare(store, ids[0], ids[3])  # it was mended in between: open at both ends is not the whole truth
        assert events(across) == [("regressed", "t.cert", HTTPS)]
        assert across["events"][0]["between"] == [end(1), end(2)]
        assert events(compare(store, ids[2], ids[3])) == [("persisting", "t.cert", HTTPS)]
        assert events(compare(store, ids[0], ids[1])) == [("fixed", "t.cert", HTTPS)]
        assert events(compare(store, ids[1], ids[3])) == [("regressed", "t.cert", HTTPS)]
        assert events(compare(store, to_run=ids[2])) == [("regressed", "t.cert", HTTPS)]
        with pytest.raises(UsageError, match="Exchange --from and --to"):
            compare(store, ids[3], ids[0])


def test_an_end_after_a_silence_lies_between_the_last_and_the_next_answer(world: World) -> None:
    world.scan(one(tls("bad")))
    world.scan(one(silence()))
    world.scan(one(tls("good")))
    with world.open(write=False) as store:
        document = compare(store)
    assert events(document)[0] == ("fixed", "t.cert", HTTPS)
    assert document["events"][0]["between"] == [end(0), end(2)]


def test_silence_in_drift_keeps_the_last_known_and_says_why(world: World) -> None:
    world.scan(one(tls("bad")))
    world.scan(one(silence(Reason.RESET)))
    with world.open(write=False) as store:
        (row, _) = compare(store)["events"]
    assert (row["kind"], row["before"], row["after"]) == ("unknown", "fail", "unknown")
    assert row["message"] == "Could not see: the connection was reset."


def test_a_new_policy_is_named_as_such(world: World) -> None:
    world.scan(one(tls("old")))
    world.policy = policy(strict=1)
    world.scan(one(tls("old")))
    with world.open(write=False) as store:
        row = compare(store)["events"][0]
    assert (row["kind"], row["before"], row["after"]) == ("policy_changed", "pass", "fail")
    assert row["message"] == "By the new policy: old is bad."


def test_a_flapping_endpoint_becomes_unstable_and_calms_down(world: World) -> None:
    kinds = []
    for name in ("good", "bad", "good", "bad", "good", "bad"):
        closed = world.scan(one(tls(name)))
        kinds += [event.kind for event in closed.events]
    assert kinds == ["new", "fixed", "regressed", "unstable"]  # and then no more: its alarms are muted
    for _ in range(7):
        world.scan(one(tls("bad")))
    assert [event.kind for event in world.scan(one(tls("good"))).events] == ["fixed"]


def test_only_answers_count_for_what_flaps(world: World) -> None:
    """A fortnight of silence neither ages the window nor is it quiet."""
    for name in ("good", "bad", "good", "bad"):
        world.scan(one(tls(name)))
        for _ in range(4):
            world.scan(one(silence()))
    assert [event.kind for event in world.scan(one(tls("good"))).events] == ["unstable"]
    for _ in range(8):
        world.scan(one(silence()))
    assert not [event for event in world.scan(one(tls("bad"))).events if event.kind != "persisting"]


def test_what_flaps_is_scored_at_its_worst(world: World) -> None:
    for name in ("good", "bad", "good", "bad", "good"):
        world.scan(one(tls(name)))
    with world.open(write=False) as store:
        row = next(row for row in state(store)["findings"] if row["control"] == "t.cert")
        assert (row["outcome"], row["unstable"]) == ("pass", {"outcome": "fail", "severity": "high"})
        assert Standing.of(row).outcome is Outcome.FAIL
    for _ in range(7):
        world.scan(one(tls("good")))
    with world.open(write=False) as store:
        row = next(row for row in state(store)["findings"] if row["control"] == "t.cert")
        assert row["unstable"] is None
        assert Standing.of(row).outcome is Outcome.PASS


@pytest.mark.parametrize(("word", "stood"), [("same", True), ("other", False), ("nothing", False), (None, None)])
def test_whether_a_second_look_confirmed_a_change_is_kept(world: World, word: str | None, stood: bool | None) -> None:
    world.scan(one(tls("good")))
    with world.open() as store:
        start = world.start(one(tls("bad")))
        run = store.begin(start)
        run.settle(SITE, "tls", HTTPS, tls("bad"))
        run.looked_again({(SITE, "tls", HTTPS): word} if word else {})
        run.close(world.judged(run, start), "complete", start.started_at + timedelta(minutes=10))
        (row, *_) = (row for row in compare(store)["events"] if row["control"] == "t.cert")
    assert row["confirmed"] is stood


def test_what_a_suspect_run_saw_counts_when_the_next_one_confirms_it(world: World) -> None:
    """Neither alarm nor silence: the run is doubted, and the one after it speaks for both."""
    everyone = [site(number) for number in range(30)]

    def all_say(word: str) -> dict[Question, Answer]:
        return {(entry.key, "tls", HTTPS): tls(word) for entry in everyone}

    first = world.scan(all_say("good")).run
    doubted = world.scan(all_say("bad"))
    assert doubted.suspect
    confirmed = world.scan(all_say("bad"))
    assert not confirmed.suspect
    assert {event.kind for event in confirmed.events} == {"new"}
    assert len(confirmed.events) == 30
    with world.open(write=False) as store:
        document = compare(store)
        assert document["from"]["id"] == first.id
        assert (document["suspect"], document["doubts"]) == (False, [])
        assert compare(store, first.id, doubted.run.id)["doubts"] == ["t.cert changed on 30 of 30 assets at once"]


def test_a_suspect_run_that_the_next_one_takes_back_was_nothing(world: World) -> None:
    everyone = [site(number) for number in range(30)]
    for word in ("good", "bad", "good"):
        closed = world.scan({(entry.key, "tls", HTTPS): tls(word) for entry in everyone})
    assert not closed.suspect
    assert not closed.events


def test_drift_of_one_ministry_names_no_other(world: World) -> None:
    entries = [site(0), site(1, "health")]
    world.scan(one(tls("good")) | one(tls("good"), asset=site(1).key), entries)
    world.scan(one(tls("bad")) | one(tls("bad"), asset=site(1).key), entries)
    with world.open(write=False) as store:
        assert {row["asset"] for row in compare(store, ministries=["health"])["events"]} == {site(1).key.name}
        with pytest.raises(UsageError, match="no ministry 'defence'"):
            compare(store, ministries=["defence"])


def test_drift_needs_two_complete_runs_of_one_vantage(world: World) -> None:
    first = world.scan(one(tls("good"))).run
    stopped = world.scan(one(tls("good")), state="stopped").run
    outside = world.scan(one(tls("good")), vantage="outside").run
    with world.open(write=False) as store:
        with pytest.raises(UsageError, match="no complete run before"):
            compare(store)
        with pytest.raises(UsageError, match="is stopped"):
            compare(store, first.id, stopped.id)
        with pytest.raises(UsageError, match="no run"):
            compare(store, first.id, outside.id)


def test_the_judge_is_told_what_was_before(world: World) -> None:
    world.scan(one(tls("bad")))
    world.scan(one(silence()))
    with world.open(write=False) as store:
        known = previous_answers(store, "local")[SITE]["t.cert", HTTPS]
        assert (known.outcome, known.tag, stamp(known.first_seen or T0)) == (Outcome.FAIL, "BAD", start(0))
        assert last_known(store, "local")[SITE, "t.cert", HTTPS].severity is Severity.HIGH


def test_a_known_answer_says_why_the_newest_look_could_not_renew_it(world: World) -> None:
    world.scan(one(tls("bad")))
    world.scan(one(silence()))
    with world.open(write=False) as store:
        silent = state(store)["findings"][0]
    world.scan(one(tls("bad")))
    with world.open(write=False) as store:
        renewed = state(store)["findings"][0]

    assert (silent["outcome"], silent["unseen"], silent["stale"]) == ("fail", "timeout", False)
    assert (renewed["outcome"], renewed["unseen"]) == ("fail", None)


def test_an_answer_that_does_not_decide_is_shown_as_unknown(world: World) -> None:
    closed = world.scan(one(tls("undecided")))
    with world.open(write=False) as store:
        now = {row["control"]: row for row in state(store)["findings"]}
        then = {row["control"]: row for row in state(store, run=closed.run.id)["findings"]}

    for rows in (now, then):
        assert (rows["t.cert"]["outcome"], rows["t.cert"]["reason"]) == ("unknown", "temporary")
