"""The parts of a score's change add up to it exactly, whatever happened between two states."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from posture.model import AssetKey, Confidence, Outcome, Reason, Severity
from posture.scorecard import ScoredAsset, Standing, scorecard
from posture.scorecard.change import PARTS, Key, Scene, changes
from tests.store import CONTROLS, policy

T1 = datetime(2026, 11, 1, tzinfo=UTC)
T2 = T1 + timedelta(days=40)
ASSETS = [AssetKey(f"www{number}.finance.gov.example", "host") for number in range(4)]
SUBJECTS = ["", "198.51.100.7:443/tcp", "198.51.100.7:23/tcp"]
CATALOGUE = {
    "t.cert": CONTROLS["t.cert"],
    "t.site": replace(CONTROLS["t.site"], severity=Severity.CRITICAL),
    "t.port": replace(CONTROLS["t.port"], family="services"),
}
KEYS: list[Key] = [(asset, control, subject) for asset in ASSETS for control in CATALOGUE for subject in SUBJECTS]


@st.composite
def standing(draw: st.DrawFn, key: Key) -> Standing:
    outcome = draw(st.sampled_from(Outcome))
    return Standing(
        ministry="",
        asset=key[0],
        control=key[1],
        subject=key[2],
        outcome=outcome,
        severity=draw(st.sampled_from([Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL])),
        confidence=draw(st.sampled_from(Confidence)),
        stale=outcome is not Outcome.UNKNOWN and draw(st.booleans()),
        reason=Reason.TIMEOUT if outcome is Outcome.UNKNOWN else None,
        observed_at=T1,
        first_seen=draw(st.sampled_from([T1, T1 - timedelta(days=20)])),
    )


@st.composite
def scene(draw: st.DrawFn, at: datetime) -> Scene:
    present = draw(st.lists(st.sampled_from(ASSETS), unique=True, min_size=1))
    assets = tuple(
        ScoredAsset(asset, draw(st.sampled_from(["finance", "health"])), draw(st.integers(1, 3))) for asset in present
    )
    keys = [key for key in draw(st.lists(st.sampled_from(KEYS), unique=True)) if key[0] in present]
    return Scene.of([draw(standing(key)) for key in keys], assets, at)


@given(scene(T1), scene(T2), st.dictionaries(st.sampled_from(["", "finance", "health"]), st.integers(0, 1000)))
def test_the_parts_add_up_in_tenths(before: Scene, after: Scene, told: dict[str, int]) -> None:
    found = changes(told, before, after, policy(), CATALOGUE)
    card = scorecard(after.standings.values(), after.assets, policy(), CATALOGUE, at=after.at)
    now = {"": card.state.tenths, **{score.ministry: score.tenths for score in card.ministries}}
    assert found.keys() == now.keys()
    for name, change in found.items():
        tenths = now[name]
        if tenths is None or name not in told:
            assert change.tenths is None
            continue
        assert change.tenths is not None
        assert sum(change.tenths.values()) == tenths - told[name]
        assert set(change.tenths) <= set(PARTS)


@given(scene(T1))
def test_from_a_state_to_itself_nothing_moves(before: Scene) -> None:
    card = scorecard(before.standings.values(), before.assets, policy(), CATALOGUE, at=before.at)
    told = {"": card.state.tenths, **{score.ministry: score.tenths for score in card.ministries}}
    for change in changes(told, before, before, policy(), CATALOGUE).values():
        assert not change.tenths
        assert not any(change.counts.values())
