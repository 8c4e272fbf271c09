"""Exemptions: what they cover, when they hold, what a file of them may not say; and what the history keeps of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from posture import history
from posture.checks import catalogue
from posture.errors import ExemptionError
from posture.exemptions import Exemption, InForce, exemption_body, exemption_from, load_exemptions, remarks
from posture.history import Selectors
from posture.ledger.records import records_of
from posture.model import AssetKey, Confidence, Outcome, Severity
from posture.policy import load_policy
from posture.scorecard import ScoredAsset, Standing, scorecard
from posture.store.exemptions import exemptions_of
from tests.store import DAY, HTTPS, SITE, T0, World, silence, tls

CONTROLS = ("tls.cert.key", "tls.protocol.legacy", "dns.caa.present")
WWW = AssetKey("www.finance.gov.example", "host")
ONE = Exemption(
    "EX-1", "tls.*", WWW.name, "", "Replaced in May.", "PS", date(2026, 11, 1), date(2027, 5, 31), "Letter 77"
)
ENTRY: dict[str, Any] = {
    "id": '"EX-1"', "control": '"tls.*"', "asset": '"www.finance.gov.example"', "rationale": '"R"', "approver": '"PS"',
    "approved": "2026-11-01", "expires": "2027-05-31",
}  # fmt: skip


def on(day: str, *entries: Exemption) -> InForce:
    return InForce(entries or (ONE,), date.fromisoformat(day))


@pytest.mark.parametrize(
    ("day", "state"),
    [
        ("2026-10-31", "future"), ("2026-11-01", "in_force"), ("2027-04-30", "in_force"), ("2027-05-01", "ending"),
        ("2027-05-31", "ending"), ("2027-06-01", "expired"),
    ],
)  # fmt: skip
def test_from_its_approval_to_the_end_of_its_last_day(day: str, state: str) -> None:
    assert ONE.state(date.fromisoformat(day)) == state
    found = on(day).beside(WWW, "tls.cert.key", "", Outcome.FAIL)
    assert (found is not None) is (state in ("in_force", "ending"))


def test_the_last_day_is_the_states_own() -> None:
    """Five in the morning UTC on the first of June is still the last of May in the Caribbean."""
    late = datetime(2027, 6, 1, 3, 0, tzinfo=UTC)
    assert InForce.at((ONE,), late, "America/St_Lucia").beside(WWW, "tls.x", "", Outcome.FAIL) is ONE
    assert InForce.at((ONE,), late, "UTC").beside(WWW, "tls.x", "", Outcome.FAIL) is None


@pytest.mark.parametrize("outcome", [Outcome.PASS, Outcome.INFO, Outcome.NOT_APPLICABLE, Outcome.UNKNOWN])
def test_only_open_findings_are_accepted(outcome: Outcome) -> None:
    assert on("2026-12-01").beside(WWW, "tls.cert.key", "", outcome) is None


def test_what_it_covers() -> None:
    narrow = replace(ONE, subject=HTTPS)
    assert narrow.covers(WWW.name, "tls.cert.key", HTTPS)
    assert not narrow.covers(WWW.name, "tls.cert.key", "198.51.100.8:443/tcp")
    assert not ONE.covers(WWW.name, "dns.caa.present", "")
    assert not ONE.covers("tax.finance.gov.example", "tls.cert.key", "")


def test_of_several_the_one_that_lasts_longest_is_named() -> None:
    longer = replace(ONE, id="EX-2", expires=date(2027, 6, 30))
    assert on("2026-12-01", longer, ONE).beside(WWW, "tls.cert.key", "", Outcome.WARN) is longer


def test_it_is_kept_as_it_is() -> None:
    assert exemption_from(exemption_body(ONE)) == ONE


def test_what_whoever_scans_is_told() -> None:
    assert remarks((ONE,), date(2026, 12, 1)) == ()
    assert "ends in 1 day, on 2027-05-31" in remarks((ONE,), date(2027, 5, 30))[0]
    assert "ends today" in remarks((ONE,), date(2027, 5, 31))[0]
    assert "has no effect" in remarks((ONE,), date(2027, 6, 1))[0]


# ---- the file


def written(folder: Path, *entries: dict[str, Any], head: str = 'format = "posture-exemptions/1"') -> Path:
    path = folder / "exemptions.toml"
    blocks = ["[[exemption]]\n" + "\n".join(f"{k} = {v}" for k, v in one.items()) for one in entries]
    path.write_text("\n\n".join([head, *blocks]) + "\n")
    return path


def test_a_file_is_read(tmp_path: Path) -> None:
    full = ENTRY | {"subject": f'"{HTTPS}"', "reference": '"Letter 77"', "asset": '"WWW.finance.gov.example."'}
    (found,) = load_exemptions(written(tmp_path, full), CONTROLS)
    assert found == replace(ONE, subject=HTTPS, rationale="R")


def test_an_empty_file_has_none(tmp_path: Path) -> None:
    assert load_exemptions(written(tmp_path), CONTROLS) == ()


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"expires": None}, "expires", "is missing"),
        ({"expires": "2027-12-07"}, "expires", "401 days after it was approved; 400 is the longest"),
        ({"expires": "2026-10-31"}, "expires", "is before 2026-11-01"),
        ({"expires": '"2027-05-31"'}, "expires", "must be a date"),
        ({"approved": None}, "approved", "is missing"),
        ({"rationale": None}, "rationale", "is missing"),
        ({"rationale": '""'}, "rationale", "is empty"),
        ({"approver": None}, "approver", "is missing"),
        ({"asset": '"not a name"'}, "asset", "not a name"),
        ({"control": '"tls.cert.kez"'}, "control", "Did you mean 'tls.cert.key'?"),
        ({"control": None}, "control", "is missing"),
        ({"id": None}, "id", "is missing"),
        ({"until": "2027-05-31"}, "until", "is not a key of this table"),
    ],
)
def test_a_fault_has_its_line_and_field(tmp_path: Path, changes: dict[str, Any], field: str, says: str) -> None:
    entry = {key: value for key, value in (ENTRY | changes).items() if value is not None}
    with pytest.raises(ExemptionError) as caught:
        load_exemptions(written(tmp_path, entry), CONTROLS)
    (problem,) = caught.value.problems
    assert problem.field == f"exemption[0].{field}"
    assert problem.line == 3 + (list(entry).index(field) + 1 if field in entry else 0)
    assert says in f"{problem.message} {problem.next}"


def test_four_hundred_days_are_allowed(tmp_path: Path) -> None:
    (found,) = load_exemptions(written(tmp_path, ENTRY | {"expires": "2027-12-06"}), CONTROLS)
    assert (found.expires - found.approved).days == 400


@pytest.mark.parametrize(
    ("content", "says"),
    [("x = ", "is not TOML"), ('format = "posture-exemptions/2"', "is not 'posture-exemptions/1'"), ("", "is missing")],
)
def test_a_file_of_another_kind(tmp_path: Path, content: str, says: str) -> None:
    with pytest.raises(ExemptionError, match=says):
        load_exemptions(written(tmp_path, head=content), CONTROLS)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ExemptionError, match="cannot be read"):
        load_exemptions(tmp_path / "none.toml", CONTROLS)


# ---- the history


def bad(number: int) -> Exemption:
    return replace(
        ONE, id=f"EX-{number}", control="t.*", asset=SITE.name, approved=T0.date(), expires=T0.date() + 2 * DAY
    )


def test_each_run_keeps_what_stood_in_the_file(tmp_path: Path) -> None:
    world = World(tmp_path / "posture.db")
    answers = {(SITE, "tls", HTTPS): tls("bad")}
    world.scan(answers, exemptions=(bad(1), bad(2)))
    world.scan(answers)
    with world.open(write=False) as store:
        assert exemptions_of(store.connection, 1) == (bad(1), bad(2))
        assert exemptions_of(store.connection, 2) == ()
        first, second = store.reader.run(1), store.reader.run(2)
        kinds = [record["kind"] for record in records_of(store, first, "finance")]
        assert kinds.count("exemption") == 2
        assert "exemption" not in [record["kind"] for record in records_of(store, second, "finance")]


def texts(world: World, **choice: Any) -> list[str | None]:
    with world.open(write=False) as store:
        rows = history.state(store, select=Selectors(controls=("t.cert",)), **choice)["findings"]
        return [row["exemption"] for row in rows]


def test_an_auditor_sees_what_was_in_force_when(tmp_path: Path) -> None:
    world = World(tmp_path / "posture.db")
    for _ in range(5):
        world.scan({(SITE, "tls", HTTPS): tls("bad")}, exemptions=(bad(1),))
    words = bad(1).words
    assert texts(world, run=_run(world, 2)) == [words]
    assert texts(world, run=_run(world, 5)) == [None], "it had ended"
    assert texts(world, at="2026-11-02") == [words]
    assert texts(world) == [None]
    assert texts(world, exemptions=[replace(bad(3), expires=date(2027, 1, 1))]) == [
        replace(bad(3), expires=date(2027, 1, 1)).words
    ], "today's file, for today"
    assert texts(world, exemptions=[], now=T0) == [None]


def _run(world: World, number: int) -> str:
    with world.open(write=False) as store:
        return store.reader.run(number).id


def test_an_unknown_is_not_hidden(tmp_path: Path) -> None:
    world = World(tmp_path / "posture.db")
    world.scan({(SITE, "tls", HTTPS): silence()}, exemptions=(bad(1),))
    with world.open(write=False) as store:
        rows = history.state(store)["findings"]
    assert {(row["outcome"], row["exemption"]) for row in rows} == {("unknown", None)}


# ---- the score


def standing(*, exempted: bool, stale_for: int = 0) -> Standing:
    at = T0 - stale_for * DAY
    return Standing(
        "finance", WWW, "svc.mgmt.rdp", "198.51.100.7:3389/tcp", Outcome.FAIL, Severity.CRITICAL, Confidence.CONFIRMED,
        stale=bool(stale_for), observed_at=at, first_seen=at, exempted=exempted,
    )  # fmt: skip


@pytest.mark.parametrize(("stale_for", "lifted"), [(0, False), (10, False), (31, True)])
def test_it_counts_all_the_same_until_nobody_could_measure_it_for_a_month(stale_for: int, lifted: bool) -> None:
    plain, exempt = (
        scorecard(
            [standing(exempted=flag, stale_for=stale_for)],
            [ScoredAsset(WWW, "finance")],
            load_policy(),
            catalogue(),
            at=T0,
        ).state
        for flag in (False, True)
    )
    assert (exempt.raw, exempt.pillars, exempt.addends) == (plain.raw, plain.pillars, plain.addends)
    assert bool(plain.caps)
    assert bool(exempt.caps) is not lifted
    assert (plain.exempted, exempt.exempted) == (0, 1)


def test_every_exempted_finding_is_counted_also_one_that_another_says_already() -> None:
    """An open port that is told by its service costs no points of its own; that it is accepted is told all the same."""
    rdp = standing(exempted=True)
    port = replace(rdp, control="svc.baseline", severity=Severity.HIGH)
    unscored = replace(rdp, control="tls.kex.pq_hybrid", severity=Severity.INFO, outcome=Outcome.WARN)
    other = replace(rdp, asset=AssetKey("away.gov.example", "host"))  # in no inventory

    card = scorecard([rdp, port, unscored, other], [ScoredAsset(WWW, "finance")], load_policy(), catalogue(), at=T0)
    assert [one.exempted for one in (*card.ministries, card.state)] == [3, 3]
