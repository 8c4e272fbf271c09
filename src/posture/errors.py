"""What the operator can put right. Every message ends with the next step.

    PostureError                 exit code
    ├── UsageError               2   a selector, an option or a name that does not exist
    ├── InventoryError           2   carries every Problem found in the file, not only the first
    │   └── ExemptionError       2   likewise, of a file of exemptions
    ├── ConfigurationError       2   posture.toml or an environment variable
    ├── PolicyError              2   a baseline
    ├── NothingToScan            4   nothing was sent: no scope, stopped, another scan is running
    ├── AuditError               4   the audit trail is broken or cannot be written: nothing is sent without it
    ├── StoreError               5   the database cannot be read or written
    └── Interrupted       130, 143   SIGINT or SIGTERM before there was anything to save

What a scanned system does is never an exception of this tree: it is an Answer (posture.model).
A bug is any other exception; the command line turns it into exit code 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class PostureError(Exception):
    """Base of all errors that an operator can mend.

    Args:
        message: one or more sentences; the last one says what to do next.
    """

    exit_code = 5
    code = "E-POSTURE"


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in one place of an input file (schema ``posture-errors/1``).

    ``line`` is 1-based and points at the key (TOML) or the row (sheet); None when the whole file is meant.
    """

    code: str
    file: str
    line: int | None
    field: str
    message: str
    next: str
    warning: bool = False

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return (
            f"{place}: {self.field}: {self.message} {self.next}"
            if self.field
            else f"{place}: {self.message} {self.next}"
        )


class UsageError(PostureError):
    """A selector, option or name that does not exist."""

    exit_code = 2
    code = "E-USAGE"


class InventoryError(PostureError):
    """All problems of an inventory or sheet at once."""

    exit_code = 2
    code = "E-INVENTORY"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ExemptionError(InventoryError):
    """All problems of a file of exemptions at once."""

    code = "E-EXEMPTION"


class ConfigurationError(PostureError):
    """posture.toml, an environment variable, or a file that one of them names."""

    exit_code = 2
    code = "E-CONFIG"


class PolicyError(PostureError):
    """A baseline that cannot be used."""

    exit_code = 2
    code = "E-POLICY"


class NothingToScan(PostureError):
    """Nothing was sent, and why."""

    exit_code = 4
    code = "E-NOTHING"


class AuditError(PostureError):
    """The audit trail is broken, or cannot be written. Nothing is sent that would not be on record."""

    exit_code = 4
    code = "E-AUDIT-001"


class StoreError(PostureError):
    """The history cannot be read or written."""

    exit_code = 5
    code = "E-STORE"


class Interrupted(PostureError):
    """SIGINT (130) or SIGTERM (143) before there was anything to save."""

    code = "E-INTERRUPTED"

    def __init__(self, signal: int) -> None:
        super().__init__("interrupted while planning; nothing was sent to anybody. Start again when you like.")
        self.exit_code = 128 + signal
