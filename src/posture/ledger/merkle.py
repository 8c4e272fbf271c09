"""Merkle trees with inclusion and consistency proofs (RFC 6962 section 2.1; verification as in RFC 9162 section 2.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

EMPTY = hashlib.sha256(b"").digest()

Hash = bytes  # 32 bytes, SHA-256


def leaf_hash(data: bytes) -> Hash:
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: Hash, right: Hash) -> Hash:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(leaves: Sequence[Hash]) -> Hash:
    """The root over leaf hashes."""
    root = EMPTY
    for root in roots_of(leaves):  # noqa: B007 - the last one is wanted
        pass
    return root


def roots_of(leaves: Iterable[Hash]) -> Iterator[Hash]:
    """The root after each leaf: of the first one, of the first two, and so on."""
    # Whole subtrees, largest first, as a number's binary digits.
    peaks: list[tuple[int, Hash]] = []
    for leaf in leaves:
        size, top = 1, leaf
        while peaks and peaks[-1][0] == size:
            top = node_hash(peaks.pop()[1], top)
            size *= 2
        peaks.append((size, top))
        root = peaks[-1][1]
        for _, peak in reversed(peaks[:-1]):
            root = node_hash(peak, root)
        yield root


@dataclass(slots=True)
class Tree:
    """A tree of which many proofs are wanted: each of its subtrees is hashed once."""

    leaves: Sequence[Hash]
    _roots: dict[tuple[int, int], Hash] = field(default_factory=dict)

    @property
    def root(self) -> Hash:
        return self._root(0, len(self.leaves)) if self.leaves else EMPTY

    def inclusion(self, index: int) -> list[Hash]:
        """PATH(m, D[n]) of RFC 6962 section 2.1.1, nearest first. Raises IndexError: there is no such leaf."""
        if not 0 <= index < len(self.leaves):
            raise IndexError(index)
        path: list[Hash] = []
        start, end = 0, len(self.leaves)
        while end - start > 1:
            split = start + _split(end - start)
            if index < split:
                path.append(self._root(split, end))
                end = split
            else:
                path.append(self._root(start, split))
                start = split
        return path[::-1]

    def consistency(self, older: int) -> list[Hash]:
        """PROOF(m, D[n]) of RFC 6962 section 2.1.2: that the tree of the first ``older`` leaves is a beginning of this one.

        Raises:
            IndexError: there never was a tree of that size.
        """
        if not 0 < older <= len(self.leaves):
            raise IndexError(older)
        return self._subproof(0, len(self.leaves), older, whole=True)

    def _subproof(self, start: int, end: int, older: int, *, whole: bool) -> list[Hash]:
        if older == end:
            return [] if whole else [self._root(start, end)]
        split = start + _split(end - start)
        if older <= split:
            return [*self._subproof(start, split, older, whole=whole), self._root(split, end)]
        return [*self._subproof(split, end, older, whole=False), self._root(start, split)]

    def _root(self, start: int, end: int) -> Hash:
        if end - start == 1:
            return self.leaves[start]
        found = self._roots.get((start, end))
        if found is None:
            split = start + _split(end - start)
            found = self._roots[start, end] = node_hash(self._root(start, split), self._root(split, end))
        return found


def is_included(leaf: Hash, index: int, size: int, proof: Sequence[Hash], root: Hash) -> bool:
    """Whether the leaf stands at that place of a tree of that size and root (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    place, last, top = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            top = node_hash(sibling, top)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            top = node_hash(top, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and top == root


def is_consistent(older: int, newer: int, old_root: Hash, new_root: Hash, proof: Sequence[Hash]) -> bool:
    """Whether a tree of ``older`` leaves is a beginning of one of ``newer`` (RFC 9162 section 2.1.4.2)."""
    if not 0 < older <= newer:
        return False
    if older == newer:
        return not proof and old_root == new_root
    path = list(proof) if older & (older - 1) else [old_root, *proof]
    if not path:
        return False
    place, last = older - 1, newer - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old_top = new_top = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old_top, new_top = node_hash(sibling, old_top), node_hash(sibling, new_top)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new_top = node_hash(new_top, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and old_top == old_root and new_top == new_root


def _split(size: int) -> int:
    """The largest power of two below a size of at least two."""
    return 1 << (size - 1).bit_length() - 1
