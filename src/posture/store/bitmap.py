"""Sets of assets as bitmaps: an asset's bit is its own for ever, so that a run's coverage costs bytes, not rows."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator


class Bitmap:
    """A growing set of small non-negative integers."""

    __slots__ = ("_bits",)

    def __init__(self, members: Iterable[int] = ()) -> None:
        marks = bytearray()
        for member in members:
            place, bit = divmod(member, 8)
            if place >= len(marks):
                marks.extend(bytes(place + 1 - len(marks)))
            marks[place] |= 1 << bit
        self._bits = bytes(marks)

    @classmethod
    def unpack(cls, packed: bytes) -> Bitmap:
        """Inverse of :meth:`pack`.

        Raises:
            ValueError: the bytes are no bitmap.
        """
        try:
            bitmap = cls()
            bitmap._bits = zlib.decompress(packed)
        except zlib.error as fault:
            raise ValueError(f"not a bitmap: {fault}") from fault
        return bitmap

    def pack(self) -> bytes:
        """Little-endian bits, compressed; equal sets have equal bytes."""
        return zlib.compress(self._bits, 9)

    @property
    def number(self) -> int:
        """The set as one integer, bit by bit, for what counts members of several sets."""
        return int.from_bytes(self._bits, "little")

    def __contains__(self, member: int) -> bool:
        place, bits = member >> 3, self._bits
        return place < len(bits) and bits[place] >> (member & 7) & 1 == 1

    def __iter__(self) -> Iterator[int]:
        return (place * 8 + bit for place, byte in enumerate(self._bits) if byte for bit in range(8) if byte >> bit & 1)

    def __len__(self) -> int:
        return self.number.bit_count()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bitmap) and self._bits == other._bits

    def __hash__(self) -> int:
        return hash(self._bits)
