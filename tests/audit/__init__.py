"""Trails of a small State: written by the real writer, at times of the test's choice."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from posture.audit import AuditTrail, Head, Letter, Start, trail_path
from posture.audit.verify import Survey, survey
from posture.keys import OperatorKey, load_or_make_key
from posture.model import Reason
from posture.net.decisions import Closing, Decision
from posture.net.governor import Traffic
from posture.scope import Grant, Refusal
from tests.net.desk import AT, FAST, TASK

RUN = "R-20261124T120000Z-4f2a"
LETTER = Letter("lc-2026-001", "ab" * 32, 3, ("ps-finance",), "Ministry of Finance", "Letter MF/ICT/2026/41")
GRANT = Grant("lc-2026-001", TASK.probe_class, "networks", FAST)
REFUSAL = Refusal("E-SCOPE-020", Reason.OUT_OF_SCOPE, "outside the networks", "lc-2026-001")
ADDRESS = "198.51.100.7"


@dataclass
class Desk:
    """A database's folder, its key, a clock that the test sets, and what the database remembers."""

    database: Path
    now: datetime = AT
    remembered: list[Head] = field(default_factory=list)
    last: AuditTrail | None = None

    @property
    def path(self) -> Path:
        return trail_path(self.database)

    @property
    def key(self) -> OperatorKey:
        return load_or_make_key(self.database.with_name("posture.db.key"))[0]

    @property
    def lines(self) -> list[bytes]:
        return self.path.read_bytes().splitlines(keepends=True)

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    def kinds(self) -> list[str]:
        return [record["kind"] for record in self.records]

    def tick(self, seconds: float = 1.0) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now

    def open(self, **options: Any) -> AuditTrail:
        settings: dict[str, Any] = {
            "clock": lambda: self.now,
            "remembered": self.remembered[-1] if self.remembered else None,
            "remember": self.remembered.append,
            **options,
        }
        self.last = AuditTrail.open(self.path, settings.pop("key", None) or self.key, **settings)
        return self.last

    @contextmanager
    def scan(self, run: str = RUN, **options: Any) -> Iterator[AuditTrail]:
        """A scan that ends well."""
        trail = self.open(**options)
        try:
            trail.start(start(run))
            trail.endpoint("resolver", "192.0.2.53", "192.0.2.53", 53, "udp")
            yield trail
            trail.end("complete")
        finally:
            trail.close()

    def ask(self, trail: AuditTrail, count: int = 1, **changes: Any) -> None:
        """Connections that are made and closed, a second apart."""
        for _ in range(count):
            record = trail.decided(decision(self.tick(), **changes))
            trail.closed(record, Closing(self.now, "closed", 517, 3021))

    def rewrite(self, change: Callable[[list[bytes]], object]) -> None:
        """Somebody edits the file."""
        lines = self.lines
        change(lines)
        self.path.write_bytes(b"".join(lines))

    def survey(self, **options: Any) -> Survey:
        return survey(io.BytesIO(self.path.read_bytes()), **options)


def start(run: str = RUN) -> Start:
    return Start(run, "posture 0.1.0", "CERT-LC", "scanner", 1000, "/srv/posture.db", (LETTER,))


def decision(at: datetime = AT, *, allowed: bool = True, asset: str = TASK.asset, **changes: Any) -> Decision:
    plain = Decision(
        at=at,
        task=replace(TASK, asset=asset),
        traffic=Traffic.CONNECTION,
        name=asset,
        address=ADDRESS,
        port=443,
        protocol="tcp",
        outcome=GRANT if allowed else REFUSAL,
    )
    return replace(plain, **changes)
