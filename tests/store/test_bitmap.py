from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posture.store.bitmap import Bitmap


@given(st.sets(st.integers(0, 6000)))
def test_a_bitmap_holds_exactly_its_members_also_after_packing(members: set[int]) -> None:
    bitmap = Bitmap.unpack(Bitmap(members).pack())
    assert set(bitmap) == members
    assert len(bitmap) == len(members)
    assert all(member in bitmap for member in members)
    assert 6001 not in bitmap


def test_equal_sets_have_equal_bytes_in_whatever_order_they_came() -> None:
    assert Bitmap([9, 1, 4000]).pack() == Bitmap([4000, 9, 1]).pack()
    assert Bitmap([1]) == Bitmap([1])
    assert Bitmap([1]) != Bitmap([2])


def test_a_nation_costs_some_bytes() -> None:
    assert len(Bitmap(range(5000)).pack()) < 40


def test_what_is_no_bitmap_is_refused() -> None:
    with pytest.raises(ValueError, match="not a bitmap"):
        Bitmap.unpack(b"garbage")
