"""The published JSON Schemas (draft 2020-12) of every document that posture reads or writes."""

from __future__ import annotations

from importlib import resources

from posture.errors import UsageError

NAMES = (
    "inventory",
    "plan",
    "runs",
    "findings",
    "drift",
    "trend",
    "scorecard",
    "controls",
    "errors",
    "export",
    "stop",
    "audit",
    "ages",
    "explain",
    "rejudge",
    "compare",
    "exempted",
    "disputes",
    "verify",
)


def schema(name: str) -> str:
    """The JSON text of one schema.

    Raises:
        UsageError: no such schema.
    """
    if name not in NAMES:
        raise UsageError(f"no schema {name!r}. Choose from: {', '.join(NAMES)}.")
    return resources.files("posture.schemas").joinpath(f"{name}.json").read_text("utf-8")
