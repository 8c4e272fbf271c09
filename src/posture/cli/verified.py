"""What ``posture verify`` found, as words or as ``posture-verify/1``: the same for a history, an export and a trail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posture.cli.result import Result
from posture.errors import UsageError
from posture.keys import PublicKey
from posture.reporters.cells import terminal

SCHEMA = "posture-verify/1"
FORMATS = ("table", "json")
COMPARE = "Compare the fingerprint with the operator's ('posture keys show' there), or give it here: --key."


@dataclass(frozen=True, slots=True)
class Verification:
    """A history, an export or a trail, looked at.

    Args:
        what: ``history``, ``export`` or ``audit``.
        signer: the fingerprint that was expected; None when it was not checked.
        keys: whose signatures it bears, oldest first; empty when nothing is signed.
        verdict: how it stands, when there is no fault.
        faults: sentences, each of which names what fails; empty when everything holds.
        runs, records, checkpoints: how many were looked at.
        ledger: its origin, size and root, as far as known.
        details: (subject, what to know of it).
        advice: what to do now.
    """

    what: str
    path: Path
    signer: str | None
    verdict: str = ""
    keys: Sequence[PublicKey] = ()
    faults: Sequence[str] = ()
    runs: int | None = None
    records: int | None = None
    checkpoints: int | None = None
    ledger: dict[str, Any] | None = None
    details: Sequence[tuple[str, str]] = ()
    advice: str = ""

    def result(self, output: str) -> Result:
        """Exit code 1 when something does not hold."""
        code = 1 if self.faults else 0
        if output == "json":
            return Result(document=self.document(), format=output, exit_code=code)
        return Result(text="".join(f"{line}\n" for line in self._lines()), exit_code=code)

    def document(self) -> dict[str, Any]:
        """``posture-verify/1``."""
        return {
            "schema": SCHEMA,
            "what": self.what,
            "path": str(self.path),
            "holds": not self.faults,
            "signer": self.signer,
            "signed_by": [key.fingerprint for key in self.keys],
            "runs": self.runs,
            "records": self.records,
            "checkpoints": self.checkpoints,
            "ledger": self.ledger,
            "faults": list(self.faults),
            "details": [{"subject": subject, "text": text} for subject, text in self.details],
        }

    def _lines(self) -> Iterable[str]:
        name = terminal(str(self.path))
        if self.faults:
            yield f"{name} does not verify:"
            yield from (f"  {terminal(fault)}" for fault in self.faults)
            yield "Keep it as it is: it is evidence."
            return
        yield f"{name}: {self.verdict}."
        yield from (f"  {subject:<12} {terminal(text)}" for subject, text in self.details)
        if self.advice:
            yield self.advice


def check_format(output: str) -> None:
    """Raises UsageError."""
    if output not in FORMATS:
        raise UsageError(f"no format {output!r}. Choose table or json.")
