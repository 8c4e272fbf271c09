"""One unit of work: one probe of one subject of one asset, under one authority. Plain enough for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from posture.model import AssetKey, ProbeClass


@dataclass(frozen=True, slots=True)
class Task:
    """``probe`` is the facts type it records; ``subject`` tells the instance (posture.model.endpoint, "ns:NAME", ...).

    ``name`` is what the probe says on the wire (SNI, Host, zone, MX name); ``addresses`` are the vetted literals it
    may talk to (empty when it only asks our own resolver); ``params`` holds JSON values that the probe documents.
    """

    ministry: str
    asset: str
    kind: str
    probe: str
    check: str
    probe_class: ProbeClass
    subject: str
    name: str
    authorisation: str
    addresses: tuple[str, ...] = ()
    port: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> AssetKey:
        return AssetKey(self.asset, self.kind)
