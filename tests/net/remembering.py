"""A ledger of contacts for tests of the governor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Ledger:
    """Remembers as a database does, from one governor to the next."""

    rows: list[tuple[str, str, float]] = field(default_factory=list)

    def sent(self, kind: str, address: str) -> Sequence[tuple[float, int]]:
        return [(at, 1) for known, where, at in self.rows if (known, where) == (kind, address)]

    def record(self, kind: str, address: str, at: float) -> None:
        self.rows.append((kind, address, at))
