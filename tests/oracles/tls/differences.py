"""Where others and we differ, and the differences that are known: differences.toml, each with its reason."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from tests.oracles.tls.opinions import Opinion

_FILE = Path(__file__).with_name("differences.toml")


@dataclass(frozen=True)
class Difference:
    """``ours`` and ``theirs`` are what only we, and only they, say: names, or "yes", "no", one word."""

    server: str
    oracle: str
    question: str
    ours: tuple[str, ...]
    theirs: tuple[str, ...]


@dataclass(frozen=True)
class Listed(Difference):
    """A difference that is known; ``ours`` and ``theirs`` may hold patterns."""

    reason: str

    def explains(self, found: Difference) -> bool:
        """Whether this is the difference found: every name is foreseen, and every pattern occurs."""
        same = (self.server, self.oracle, self.question) == (found.server, found.oracle, found.question)
        return same and _fits(self.ours, found.ours) and _fits(self.theirs, found.theirs)


def _fits(patterns: tuple[str, ...], names: tuple[str, ...]) -> bool:
    foreseen = all(any(fnmatchcase(name, pattern) for pattern in patterns) for name in names)
    return foreseen and all(any(fnmatchcase(name, pattern) for name in names) for pattern in patterns)


@cache
def listed() -> tuple[Listed, ...]:
    """All of differences.toml."""
    table = tomllib.loads(_FILE.read_text("utf-8"))["difference"]
    return tuple(
        Listed(server, one["oracle"], question, tuple(one["ours"]), tuple(one["theirs"]), one["reason"])
        for one in table
        for server in one["servers"]
        for question in one["questions"]
    )


def differences(server: str, oracle: str, ours: Opinion, theirs: Opinion) -> Iterator[Difference]:
    """Every question that both answered, and not alike."""
    for question in sorted(ours.keys() & theirs.keys()):
        only_ours, only_theirs = _apart(question, ours[question], theirs[question])
        if only_ours or only_theirs:
            yield Difference(server, oracle, question, only_ours, only_theirs)


def _apart(question: str, ours: Any, theirs: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if question == "chain":
        return ((), ()) if ours[0] in theirs else (tuple(ours[0]), tuple(name for chain in theirs for name in chain))
    if question == "groups":  # we do not look for all of them
        return tuple(sorted(set(ours) - set(theirs))), ()
    if isinstance(ours, list):
        return tuple(sorted(set(ours) - set(theirs))), tuple(sorted(set(theirs) - set(ours)))
    return ((), ()) if ours == theirs else ((_word(ours),), (_word(theirs),))


def _word(value: Any) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)
