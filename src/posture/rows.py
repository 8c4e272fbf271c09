"""The rows of the published JSON, as types: which of their fields a scanned system may have written.

A field typed :class:`~posture.scanned.Scanned` is printed through an encoder of posture.reporters.cells only. All
others are words of ours, of the inventory or of the operator's files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from posture.scanned import Scanned


class FindingRow(TypedDict):
    """A row of ``posture-findings/1``. ``args``: names of ours to JSON values whose texts are scanned."""

    state: str
    ministry: str
    asset: str
    kind: str
    subject: Scanned
    control: str
    outcome: str
    severity: str
    confidence: str
    tag: str | None
    args: Mapping[str, Any]
    message: Scanned
    reason: str | None
    code: str | None
    authorisation: str | None
    vantage: str
    mends: str
    provider: Scanned | None
    mend_by: str | None
    observed_at: str | None
    first_seen: str | None
    last_seen: str | None
    stale: bool
    facts: str | None
    exemption: str | None
    unseen: str | None
    dispute: str | None
    unstable: dict[str, str] | None  # what it is scored as while it flaps: the worst of late


class EventRow(TypedDict):
    """A row of ``posture-drift/1``; ``asset_kind`` and what follows ``message`` go beyond the published fields.

    ``confirmed``: whether a second look in the same run saw the change too; None where there was none.
    """

    kind: str
    ministry: str
    asset: str
    asset_kind: str
    control: str
    subject: Scanned
    severity: str
    before: str | None
    after: str | None
    between: list[str]
    message: Scanned
    initial: bool
    confirmed: bool | None
