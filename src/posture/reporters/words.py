"""The few phrases that every reporter of a score shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from posture.scorecard import Score, letter_of

SMALL = 10  # below this many, a count is honest and a percentage is not

DASH = "\u2013"

FAMILY_NAMES = {
    "services": "Exposed services",
    "email": "E-mail",
    "tls": "Encryption (TLS)",
    "dns": "Domain names (DNS)",
    "web": "Web and privacy",
}

CAP_WORDS = {
    "overdue": "A critical weakness is past its deadline",
    "critical": "A critical weakness is confirmed",
    "widespread": "Serious weaknesses on more than a quarter of the assets",
    "high": "A serious weakness",
}


def points(tenths: int | None) -> str:
    """``87.2``; a dash when nothing is known."""
    return DASH if tenths is None else f"{tenths // 10}.{tenths % 10}"


def coverage(score: Score) -> str:
    """``93.1 %``"""
    return f"{points(score.coverage)} %"


def interval(score: Score) -> str:
    """What the score could be once every unknown is known: ``between 64.5 (C) and 88.5 (B)``."""
    if score.low == score.high:
        return f"exactly {points(score.low)} ({letter_of(score.low)})"
    return f"between {points(score.low)} ({letter_of(score.low)}) and {points(score.high)} ({letter_of(score.high)})"


def of_assets(count: int, whole: int) -> str:
    """``3 of 4``; from ten on with a percentage, rounded down."""
    counted = f"{count} of {whole}"
    return counted if whole < SMALL else f"{counted} ({100 * count // whole} %)"


def plural(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def exemption(row: Mapping[str, Any]) -> str:
    """How long an exemption lasts: ``until 2026-12-01, 9 days from now``."""
    days, until = row["days_left"], row["expires"]
    if row["state"] == "expired":
        return f"ended on {until} and has no effect"
    if row["state"] == "future":
        return f"from {row['approved']} to {until}"
    return f"ends on {until}, {plural(days, 'day')} from now" if row["state"] == "ending" else f"until {until}"
