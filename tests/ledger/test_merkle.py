"""Merkle trees against published vectors, the recursive definitions of RFC 6962, and every proof of small trees."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posture.ledger.merkle import EMPTY, Tree, is_consistent, is_included, leaf_hash, node_hash, root_of, roots_of

# The test data of the Certificate Transparency project: eight leaves, and the root after each.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
SIZES = range(1, 40)
MANY = [leaf_hash(bytes([number])) for number in range(40)]


def by_definition(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(by_definition(leaves[:split]), by_definition(leaves[split:]))


def test_roots_are_those_of_the_published_vectors() -> None:
    hashed = [leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES]

    assert [root.hex() for root in roots_of(hashed)] == ROOTS
    assert root_of([]) == EMPTY == Tree([]).root


@pytest.mark.parametrize("size", SIZES)
def test_a_root_is_that_of_the_definition(size: int) -> None:
    assert root_of(MANY[:size]) == Tree(MANY[:size]).root == by_definition(MANY[:size])


@pytest.mark.parametrize("size", SIZES)
def test_every_leaf_is_included_at_its_place_and_at_no_other(size: int) -> None:
    tree = Tree(MANY[:size])
    for index in range(size):
        proof = tree.inclusion(index)
        assert is_included(MANY[index], index, size, proof, tree.root)
        assert not any(
            is_included(MANY[index], other, size, proof, tree.root) for other in range(size) if other != index
        )
        assert not is_included(leaf_hash(b"another"), index, size, proof, tree.root)
        assert not is_included(MANY[index], index, size, [*proof, EMPTY], tree.root)
        assert not proof or not is_included(MANY[index], index, size, proof[:-1], tree.root)


@pytest.mark.parametrize("newer", SIZES)
def test_every_older_tree_is_a_beginning_and_no_forged_one_is(newer: int) -> None:
    tree = Tree(MANY[:newer])
    for older in range(1, newer + 1):
        root = root_of(MANY[:older])
        proof = tree.consistency(older)
        forged = root_of([leaf_hash(b"forged"), *MANY[1:older]])
        assert is_consistent(older, newer, root, tree.root, proof)
        assert not is_consistent(older, newer, forged, tree.root, proof)
        assert not is_consistent(older, newer, root, forged, proof)
        assert not is_consistent(older, newer, root, tree.root, [*proof, EMPTY])


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_no_proof_of_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(IndexError):
        Tree(MANY[:size]).inclusion(index)
    assert not is_included(MANY[0], index, size, [], EMPTY)


@pytest.mark.parametrize("older", [0, 6])
def test_no_consistency_with_a_tree_that_never_was(older: int) -> None:
    with pytest.raises(IndexError):
        Tree(MANY[:5]).consistency(older)
    assert not is_consistent(older, 5, EMPTY, root_of(MANY[:5]), [])


hashes = st.binary(min_size=32, max_size=32)


@given(hashes, st.integers(-2, 70), st.integers(-2, 70), st.lists(hashes, max_size=9), hashes)
def test_what_somebody_made_up_proves_nothing(
    leaf: bytes, index: int, size: int, path: list[bytes], root: bytes
) -> None:
    assert not is_included(leaf, index, size, path, root)
    assert not is_consistent(index, size, leaf, root, path) or index == size
