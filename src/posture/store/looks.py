"""What one run knew of each control, unpacked only where somebody asks: a year back there are hundreds of runs to look at."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping

from posture.drift import Key
from posture.store.bitmap import Bitmap

# Assets asked, assets known in full, and of those known in part the silent subjects, by bit.
Look = tuple[Bitmap, Bitmap, Mapping[int, frozenset[str]]]


class Looks(Mapping[str, Look]):
    """By control."""

    def __init__(self, packed: Mapping[str, tuple[bytes, bytes, bytes]] | None = None) -> None:
        self._packed = packed or {}
        self._looks: dict[str, Look] = {}

    def __getitem__(self, control: str) -> Look:
        if control not in self._looks:
            asked, known, silent = self._packed[control]
            self._looks[control] = (Bitmap.unpack(asked), Bitmap.unpack(known), _silent(silent))
        return self._looks[control]

    def __contains__(self, control: object) -> bool:
        return control in self._packed

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


def was_known(looks: Mapping[str, Look], bit: int, key: Key) -> bool:
    """Whether a run knew the answer to one control on one subject. ``bit``: the asset's; below 0 for one without."""
    look = looks.get(key[1])
    return look is not None and knew(look, bit, key[2])


def knew(look: Look, bit: int, subject: str) -> bool:
    """As :func:`was_known`, of the look at one control."""
    asked, known, silent = look
    if bit < 0 or bit not in asked:
        return False
    return bit in known or (bit in silent and subject not in silent[bit] and "" not in silent[bit])


def _silent(packed: bytes) -> dict[int, frozenset[str]]:
    return {int(bit): frozenset(subjects) for bit, subjects in json.loads(zlib.decompress(packed)).items()}
