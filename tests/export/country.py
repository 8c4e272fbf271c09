"""A State with two ministries and ten days: faults that come and go, a silent look, a stopped run, days without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openpyxl

from posture.export import Export, Span, span_of
from posture.keys import make_key
from posture.model import Answer
from posture.store import AssetEntry, Store
from tests.store import HTTPS, SITE, World, asset, policy, silence, site, tls

CLINIC = asset("www.health.gov.example", "health")
ENTRIES: tuple[AssetEntry, ...] = (site(), site(1), CLINIC)
OTHER = site(1).key
NAMES = {"finance": "Ministry of Finance", "health": "Ministry of Health"}
# What a server calls itself: a formula, a terminal's escape, mark-up, what XML cannot hold, a right-to-left override.
HOSTILE = '=HYPERLINK("http://evil.test","x")\x1b]0;owned\x07<b>&\x00\ufffe\u202e'
LABEL = "TLP:AMBER+STRICT"


def day(ours: str | Answer, theirs: str = "clinic") -> dict[Any, Any]:
    first = tls(ours) if isinstance(ours, str) else ours
    return {(SITE, "tls", HTTPS): first, (OTHER, "tls", HTTPS): tls("other"), (CLINIC.key, "tls", HTTPS): tls(theirs)}


def country(folder: Path, hostile: str = "hello") -> World:
    """Days 1 to 10 of November 2026: good, bad, silent, (none), good, stopped, (none), quarantined, new policy, bad."""
    world = World(folder / "country.db", key=make_key(folder / "country.db.key"))
    world.scan(day("good", "bad"), ENTRIES, ministries=NAMES)
    world.scan(day("bad", hostile), ENTRIES, ministries=NAMES)
    world.scan(day(silence(), hostile), ENTRIES, ministries=NAMES)
    world.day += 1
    world.scan(day("good", hostile), ENTRIES, ministries=NAMES)
    world.scan({(CLINIC.key, "tls", HTTPS): tls("bad")}, ENTRIES, ministries=NAMES, state="stopped")
    world.day += 1
    world.scan(day("good", hostile), ENTRIES, ministries=NAMES, state="quarantined")
    world.policy = policy(strict=1)
    world.scan(day("old", hostile), ENTRIES, ministries=NAMES)
    world.scan(day("bad", hostile), ENTRIES, ministries=NAMES)
    return world


def span(store: Store, *ministries: str, since: str | None = None, until: str | None = None) -> Span:
    return span_of(store, ministries=ministries, since=since, until=until)


def export(span: Span, *, proof: bool = False) -> Export:
    return Export(span, None, LABEL, proof)


def sheet(path: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a sheet under its header."""
    book = openpyxl.load_workbook(path)
    _, head, *rows = book[name].iter_rows(values_only=True)
    return [dict(zip(map(str, head), row, strict=True)) for row in rows]
