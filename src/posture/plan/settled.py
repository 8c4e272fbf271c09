"""What planning settles before any packet: an answer that is known already, a refusal of ours."""

from __future__ import annotations

from dataclasses import dataclass

from posture.model import Absent, AssetKey, ProbeClass, Unobserved
from posture.probes import PROBES
from posture.scope import Refusal

_CLASSES = {probe.name: probe.probe_class for probe in PROBES}


@dataclass(frozen=True, slots=True)
class Settled:
    """An answer known before any packet. ``probe`` is a facts type name."""

    ministry: str
    key: AssetKey
    probe: str
    subject: str
    answer: Absent | Unobserved
    authorisation: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """One thing that may not be asked, with the code and the text that says how to mend it.

    ``name`` is what would have been said on the wire; ``port`` is None where it stands for several, or none is known.
    """

    ministry: str
    key: AssetKey
    probe: str
    name: str
    address: str | None
    port: int | None
    refusal: Refusal

    @property
    def asset(self) -> str:
        return self.key.name

    @property
    def probe_class(self) -> ProbeClass:
        return _CLASSES[self.probe]

    @property
    def code(self) -> str:
        return self.refusal.code

    @property
    def text(self) -> str:
        return self.refusal.text
