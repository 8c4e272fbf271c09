"""Definitions 1 to 8 of drift, one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posture.drift import (
    Event,
    Judged,
    Key,
    Probed,
    changed_subjects,
    drift,
    key_of,
    subjects_behind,
)
from posture.model import AssetKey, Finding, Outcome, Reason, Severity
from posture.suspicion import doubts, is_suspect
from tests.store import ADDRESS, CONTROLS, HTTPS, TELNET

SITE = AssetKey("www.finance.gov.example", "host")
KEY: Key = (SITE, "t.cert", HTTPS)
T1 = datetime(2026, 11, 1, tzinfo=UTC)
T2 = T1 + timedelta(days=1)


def finding(outcome: str, key: Key = KEY, **more: Any) -> Finding:
    made = Finding("finance", key[0], key[2], key[1], Outcome(outcome), Severity.HIGH, tag=outcome)
    return replace(made, **more)


def view(at: datetime, known: Mapping[Key, Finding], **more: Any) -> Judged:
    """A run of the whole inventory that answered all it knows."""
    made = Judged(
        at=at,
        known=known,
        answered=set(known),
        asked={key[:2] for key in {*known, *more.get("unknown", {})}},
        assets={SITE},
    )
    return replace(made, **more)


def before(outcome: str | None, **more: Any) -> Judged:
    return view(T1, {KEY: finding(outcome)} if outcome else {}, **more)


def after(outcome: str | None, **more: Any) -> Judged:
    return view(T2, {KEY: finding(outcome)} if outcome else {}, **more)


def silent(kept: str | None, reason: Reason = Reason.TIMEOUT, subject: str = HTTPS, **more: Any) -> Judged:
    """Asked, not seen; the last known value stays."""
    unseen = finding("unknown", (SITE, "t.cert", subject), tag=None, reason=reason)
    known = {KEY: finding(kept)} if kept else {}
    return view(T2, known, answered=frozenset(), unknown={key_of(unseen): unseen}, **more)


def kinds(events: tuple[Event, ...]) -> list[str]:
    return [event.kind for event in events]


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("pass", "fail", "new"),
        ("pass", "warn", "new"),
        ("info", "fail", "new"),
        ("not_applicable", "fail", "new"),
        ("fail", "pass", "fixed"),
        ("warn", "info", "fixed"),
        ("fail", "fail", "persisting"),
        ("fail", "warn", "changed"),
        ("warn", "fail", "changed"),
        ("fail", "not_applicable", "changed"),
        ("pass", "pass", None),
        ("pass", "info", None),
        ("pass", "not_applicable", None),
        ("not_applicable", "pass", None),
    ],
)
def test_what_the_target_did(old: str, new: str, kind: str | None) -> None:
    events = drift(before(old), after(new))
    assert kinds(events) == ([kind] if kind else [])
    for event in events:
        assert (event.before, event.after) == (Outcome(old), Outcome(new))
        assert event.between == (T1, T2)
        assert not event.initial


def test_a_first_look_at_an_asset_is_initial() -> None:
    (event,) = drift(before(None), after("fail"))
    assert (event.kind, event.initial, event.before) == ("new", True, None)


def test_a_new_subject_of_a_known_asset_is_not_initial() -> None:
    other: Key = (SITE, "t.site", "")
    (event,) = drift(
        view(T1, {other: finding("pass", other)}), view(T2, {other: finding("pass", other), KEY: finding("fail")})
    )
    assert (event.kind, event.initial) == ("new", False)


def test_the_same_outcome_with_other_arguments_or_severity_has_changed() -> None:
    old = before("fail")
    assert kinds(drift(old, view(T2, {KEY: finding("fail", args={"days": 1})}))) == ["changed"]
    (event,) = drift(old, view(T2, {KEY: finding("fail", severity=Severity.CRITICAL)}))
    assert (event.kind, event.severity) == ("changed", Severity.CRITICAL)
    assert kinds(drift(old, view(T2, {KEY: finding("fail", authorisation="other")}))) == ["persisting"]


def test_open_again_after_a_fix_is_regressed() -> None:
    assert kinds(drift(before("pass", fixed_once={KEY}), after("fail"))) == ["regressed"]


@pytest.mark.parametrize(("old", "new"), [("fail", "pass"), ("pass", "fail"), ("fail", "warn")])
def test_a_flapping_finding_is_unstable(old: str, new: str) -> None:
    assert kinds(drift(before(old, fixed_once={KEY}), after(new, flips={KEY: 4}))) == ["unstable"]
    assert kinds(drift(before(old), after(new, flips={KEY: 3}))) != ["unstable"]


def test_what_flapped_and_stays_is_no_news() -> None:
    assert kinds(drift(before("fail"), after("fail", flips={KEY: 5}))) == ["persisting"]


@pytest.mark.parametrize("old", ["fail", "pass", "not_applicable"])
def test_silence_is_unknown_and_never_fixed(old: str) -> None:
    (event,) = drift(before(old), silent(old))
    assert (event.kind, event.before, event.after) == ("unknown", Outcome(old), Outcome.UNKNOWN)
    assert event.finding.reason is Reason.TIMEOUT


def test_silence_about_the_whole_asset_speaks_for_its_subjects() -> None:
    (event,) = drift(before("fail"), silent("fail", Reason.TEMPORARY, subject=""))
    assert (event.kind, event.finding.reason, event.finding.subject) == ("unknown", Reason.TEMPORARY, HTTPS)


def test_silence_for_more_than_seven_days_is_stale() -> None:
    seen = {KEY: T2 - timedelta(days=7, seconds=1)}
    assert kinds(drift(before("fail", seen=seen), silent("fail"))) == ["stale"]
    assert kinds(drift(before("fail", seen={KEY: T2 - timedelta(days=7)}), silent("fail"))) == ["unknown"]


def test_what_never_was_known_stays_out_of_drift() -> None:
    assert drift(before(None), silent(None)) == ()


@pytest.mark.parametrize("reason", [Reason.OUT_OF_SCOPE, Reason.NOT_GRANTED])
def test_an_authorisation_that_ended_is_out_of_scope(reason: Reason) -> None:
    assert kinds(drift(before("fail"), silent("fail", reason))) == ["out_of_scope"]


def test_what_the_profile_left_out_is_no_event() -> None:
    assert drift(before("fail"), silent("fail", Reason.NOT_RUN)) == ()


def test_an_asset_or_subject_that_left_is_out_of_scope_not_fixed() -> None:
    retired = view(T2, {}, assets=frozenset())
    assert kinds(drift(before("fail"), retired)) == ["out_of_scope"]
    gone = view(T2, {}, ended={KEY: "scope"})
    (event,) = drift(before("fail"), gone)
    assert (event.kind, event.after) == ("out_of_scope", None)


def test_a_port_whose_address_answered_without_it_is_fixed() -> None:
    (event,) = drift(before("fail"), view(T2, {}, ended={KEY: "target"}, asked={KEY[:2]}))
    assert (event.kind, event.after) == ("fixed", Outcome.PASS)
    assert drift(before("pass"), view(T2, {}, ended={KEY: "target"}, asked={KEY[:2]})) == ()


def test_between_are_the_last_answer_before_and_the_first_after() -> None:
    long_ago = T1 - timedelta(days=3)
    (event,) = drift(before("fail", seen={KEY: long_ago}), after("pass"))
    assert event.between == (long_ago, T2)


def test_runs_with_selectors_compare_only_what_both_asked() -> None:
    other: Key = (SITE, "t.site", "")
    whole = view(T1, {KEY: finding("fail"), other: finding("fail", other)})
    partial = view(
        T2, {KEY: finding("pass"), other: finding("fail", other)}, answered={KEY}, asked={KEY[:2]}, narrowed=True
    )
    assert [event.key for event in drift(whole, partial)] == [KEY]
    assert [event.key for event in drift(replace(partial, at=T1), replace(whole, at=T2))] == [KEY]


def test_a_run_with_selectors_retires_nothing() -> None:
    assert drift(before("fail"), view(T2, {}, assets=frozenset(), narrowed=True)) == ()


def test_vantages_never_compare() -> None:
    with pytest.raises(ValueError, match="vantages"):
        drift(before("fail"), after("fail", vantage="outside"))


@pytest.mark.parametrize(
    ("old", "anew", "new", "expected"),
    [
        ("pass", "fail", "fail", ["policy_changed", "persisting"]),
        ("fail", "pass", "pass", ["policy_changed"]),
        ("fail", "fail", "pass", ["fixed"]),
        ("pass", "pass", "fail", ["new"]),
        ("pass", "fail", "pass", ["policy_changed", "fixed"]),
        (None, "fail", "fail", ["policy_changed", "persisting"]),
        (None, "pass", "pass", []),
        ("pass", None, "fail", ["policy_changed", "persisting"]),
        ("pass", "unknown", "fail", ["policy_changed", "persisting"]),
        ("fail", None, "fail", ["persisting"]),
        ("fail", None, None, ["policy_changed"]),
    ],
)
def test_a_change_of_policy_is_split_from_the_targets_own(
    old: str | None, anew: str | None, new: str | None, expected: list[str]
) -> None:
    rejudged = {KEY: finding(anew)} if anew else {}
    ended = {} if new else {KEY: "policy"}
    now = after(new, policy="q", ended=ended, asked={KEY[:2]})
    other: Key = (SITE, "t.site", "")
    then = before(old, policy="p")
    if old is None:
        then = view(T1, {other: finding("pass", other)}, policy="p")
    assert [event.kind for event in drift(then, now, rejudged) if event.key == KEY] == expected


def test_new_rules_under_the_same_policy_are_a_change_of_the_tool() -> None:
    rejudged = {KEY: finding("fail")}
    events = drift(before("pass", policy="p", rules="1"), after("fail", policy="p", rules="2"), rejudged)
    assert kinds(events) == ["tool_changed", "persisting"]


# ---- the mass-change guard


def many(count: int, outcome: str, at: datetime, total: int = 0, **more: Any) -> Judged:
    """``count`` sites with that outcome and as many as are missing to ``total`` that pass."""
    sites = [AssetKey(f"www{number}.gov.example", "host") for number in range(max(count, total))]
    known = {
        (one, "t.cert", HTTPS): finding(outcome if place < count else "pass", (one, "t.cert", HTTPS))
        for place, one in enumerate(sites)
    }
    return view(at, known, assets=set(sites), **more)


@pytest.mark.parametrize(
    ("changed", "total", "suspect"), [(9, 9, False), (10, 10, True), (10, 99, True), (10, 100, False), (11, 100, True)]
)
def test_a_control_that_flips_on_many_assets_makes_the_run_suspect(changed: int, total: int, suspect: bool) -> None:
    then, now = many(0, "fail", T1, total), many(changed, "fail", T2, total)
    assert is_suspect(then, now, drift(then, now)) is suspect


def test_first_looks_and_policies_are_no_mass_change() -> None:
    then, now = many(0, "fail", T1), many(50, "fail", T2)
    assert not is_suspect(then, now, drift(then, now))
    then, now = many(50, "pass", T1, policy="p"), many(50, "fail", T2, policy="q")
    assert not is_suspect(then, now, drift(then, now, dict(now.known)))


@pytest.mark.parametrize(("lost", "total", "suspect"), [(9, 9, False), (10, 50, False), (11, 50, True)])
def test_a_probe_that_loses_many_answers_makes_the_run_suspect(lost: int, total: int, suspect: bool) -> None:
    sites = frozenset(AssetKey(f"www{number}.gov.example", "host") for number in range(total))
    quiet = frozenset(sorted(sites)[:lost])
    then = before("pass", probes={"tls": Probed(sites, sites)})
    now = after("pass", probes={"tls": Probed(sites, sites - quiet), "new": Probed(sites, frozenset())})
    assert is_suspect(then, now, ()) is suspect


# ---- what is looked at twice


def test_only_changes_are_looked_at_twice() -> None:
    asked = [(SITE, "tls", HTTPS), (SITE, "tls", "other"), (SITE, "ports", ADDRESS)]
    previous = {KEY: finding("pass")}
    assert changed_subjects(previous, [finding("fail")], asked, CONTROLS) == {(SITE, "tls", HTTPS)}
    assert changed_subjects(previous, [finding("pass")], asked, CONTROLS) == set()
    assert changed_subjects(previous, [finding("unknown")], asked, CONTROLS) == set()
    assert changed_subjects({}, [finding("fail")], asked, CONTROLS) == set(), "a first look needs no second"


def test_a_change_of_a_whole_asset_looks_at_all_its_subjects() -> None:
    asked = [(SITE, "tls", HTTPS), (SITE, "tls", "other")]
    key: Key = (SITE, "t.site", "")
    previous = {key: finding("pass", key)}
    assert changed_subjects(previous, [finding("warn", key)], asked, CONTROLS) == set(asked)


def test_a_port_that_opened_or_vanished_is_looked_at_twice() -> None:
    asked = [(SITE, "ports", ADDRESS), (SITE, "ports", "198.51.100.8")]
    key, whole = (SITE, "t.port", TELNET), (SITE, "t.port", ADDRESS)
    opened = changed_subjects({whole: finding("pass", whole)}, [finding("fail", key)], asked, CONTROLS)
    vanished = changed_subjects({key: finding("fail", key)}, [finding("pass", whole)], asked, CONTROLS)
    assert opened == vanished == {(SITE, "ports", ADDRESS)}


def test_subjects_behind_a_finding() -> None:
    assert subjects_behind(CONTROLS["t.port"], "[2001:db8::1]:23/tcp", ["2001:db8::1", "x"]) == ("2001:db8::1",)
    assert subjects_behind(CONTROLS["t.cert"], HTTPS, [HTTPS, "x"]) == (HTTPS,)
    assert subjects_behind(CONTROLS["t.site"], "", ["b", "a"]) == ("a", "b")


# ---- silence never fixes

KEYS: list[Key] = [
    (AssetKey(f"www{a}.gov.example", "host"), control, HTTPS) for a in range(3) for control in ("t.a", "t.b")
]
ANSWERED = st.sampled_from(["pass", "warn", "fail", "info", "not_applicable"])


@given(
    st.fixed_dictionaries(dict.fromkeys(KEYS, ANSWERED)),
    st.fixed_dictionaries(dict.fromkeys(KEYS, ANSWERED)),
    st.sets(st.sampled_from(KEYS)),
    st.sampled_from(list(Reason)),
)
def test_silence_never_fixes(old: dict[Key, str], new: dict[Key, str], quiet: set[Key], reason: Reason) -> None:
    assets = {key[0] for key in KEYS}
    then = view(T1, {key: finding(word, key) for key, word in old.items()}, assets=assets)
    known = {key: finding(old[key] if key in quiet else word, key) for key, word in new.items()}
    unknown = {key: finding("unknown", key, reason=reason) for key in quiet}
    now = view(T2, known, answered=set(KEYS) - quiet, unknown=unknown, assets=assets)
    for event in drift(then, now):
        if event.key in quiet:
            assert event.kind in ("unknown", "out_of_scope")
        else:
            assert event.kind in ("new", "fixed", "changed", "persisting")


# ---- what is suspect, and what flaps


def crowd(count: int, ministry: str = "finance", first: int = 0) -> dict[Key, Finding]:
    keys = [(AssetKey(f"w{first + n}.gov.example", "host"), "t.cert", HTTPS) for n in range(count)]
    return {key: replace(finding("pass", key), ministry=ministry) for key in keys}


def probed(targeted: Mapping[Key, Finding], lost: Mapping[Key, Finding]) -> dict[str, Probed]:
    everyone = frozenset(key[0] for key in targeted)
    return {"tls": Probed(everyone, everyone - {key[0] for key in lost})}


def test_one_ministry_falling_silent_is_suspect_though_the_rest_answers() -> None:
    small, large = crowd(12, "health"), crowd(200, "finance", first=100)
    known = {key: replace(one, subject="") for key, one in (small | large).items()}
    whole = {(key[0], key[1], ""): one for key, one in known.items()}
    lost = {key: one for key, one in whole.items() if one.ministry == "health"}
    before = view(T1, whole, probes=probed(whole, {}))
    after = view(T2, whole, probes=probed(whole, lost))
    assert doubts(before, after, ()) == ("tls lost its answer on 12 of 12 assets of ministry health at once",)


def test_one_network_falling_silent_is_suspect_too() -> None:
    near = {(AssetKey(f"n{n}.gov.example", "host"), "t.cert", "203.0.113.9:443/tcp"): "" for n in range(10)}
    known = {**crowd(300), **{key: finding("pass", key) for key in near}}
    lost = {key: known[key] for key in near}
    found = doubts(view(T1, known, probes=probed(known, {})), view(T2, known, probes=probed(known, lost)), ())
    assert found == ("tls lost its answer on 10 of 10 assets of network 203.0.113.0/24 at once",)


def test_silence_that_was_doubted_already_is_confirmed_by_the_next_run() -> None:
    known = crowd(40)
    lost = dict(list(known.items())[:20])
    before, silent_run = view(T1, known, probes=probed(known, {})), view(T2, known, probes=probed(known, lost))
    assert is_suspect(before, silent_run, ())
    assert not is_suspect(before, silent_run, (), doubted=silent_run)


def test_what_began_to_flap_earlier_is_no_event_again() -> None:
    assert kinds(drift(before("pass", flips={KEY: 3}), after("fail", flips={KEY: 4}))) == ["unstable"]
    assert kinds(drift(before("pass", flips={KEY: 4}), after("fail", flips={KEY: 5}))) == []
    assert kinds(drift(before("fail", flips={KEY: 4}), after("pass", flips={}))) == ["fixed"]


def test_open_at_both_ends_and_mended_in_between_is_regressed() -> None:
    middle = T1 + timedelta(hours=12)
    assert kinds(drift(before("fail"), after("fail", mended={KEY: middle}))) == ["regressed"]
    assert kinds(drift(before("fail"), after("fail", mended={KEY: T1 - timedelta(days=1)}))) == ["persisting"]
