"""Rows of findings say the very intervals that they were made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posture.store.narrow import CAUSES
from posture.store.verdicts import Row, Spell, Turns, rows_after, rows_of, spells_of

PLACE = (7, 3, 12)
ENDS = CAUSES[1:]


@st.composite
def timelines(draw: st.DrawFn) -> list[Spell]:
    """Intervals one after the other: with gaps, without, gone in the run that began them; the last may be open."""
    run, made = 1, list[Spell]()
    for gap, length in draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=6)):
        run += gap if not made or made[-1].until != made[-1].since else max(gap, 1)
        value = (draw(st.integers(0, 4)), draw(st.integers(0, 4)), draw(st.integers(1, 99)))
        cause, end = draw(st.sampled_from(CAUSES)), draw(st.sampled_from(ENDS))
        made.append(Spell(PLACE, run, run + length, value, cause, end))
        run += length
    if made and made[-1].until != made[-1].since and draw(st.booleans()):
        last = made[-1]
        made[-1] = Spell(last.place, last.since, None, last.value, last.cause)
    return made


@given(timelines())
def test_what_is_written_is_what_is_read(spells: list[Spell]) -> None:
    rows = list(rows_of(spells))
    assert list(spells_of(rows)) == spells
    assert len({row[3] for row in rows}) == len(rows)  # one row a run: the key of the table


@given(timelines(), st.sampled_from(ENDS))
def test_what_was_open_before_ends_where_it_ended(spells: list[Spell], cause: str) -> None:
    end = spells[0].since if spells else 1
    before = Spell(PLACE, 0, None, (2, 3, 1), "first")
    rows = [*rows_of([before]), *rows_after((end, cause), spells, PLACE)]
    assert list(spells_of(rows)) == [Spell(PLACE, 0, end, (2, 3, 1), "first", cause), *spells]


def rows_put(turns: Turns) -> list[Row]:
    return list(turns._rows.values())


@pytest.mark.parametrize("cause", ENDS)
def test_a_run_that_says_something_and_takes_it_back_has_said_it(cause: str) -> None:
    turns = Turns(4)
    turns.say(PLACE, (2, 3, 9), "policy")
    turns.end(PLACE, cause)
    assert list(spells_of(rows_put(turns))) == [Spell(PLACE, 4, 4, (2, 3, 9), "policy", cause)]
    assert turns.assets == {7}


def test_what_is_ended_alone_is_nothing_any_more() -> None:
    turns = Turns(4)
    turns.end(PLACE, "scope")
    before = (*PLACE, 1, 19, 5, 0)
    assert list(spells_of([before, *rows_put(turns)])) == [Spell(PLACE, 1, 4, (2, 3, 5), "first", "scope")]
