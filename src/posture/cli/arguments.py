"""Global options may stand before or after the command's name: they are moved to the front before parsing."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Option -> whether it takes a value.
GLOBAL_OPTIONS = {
    "--db": True,
    "--config": True,
    "--resolver": True,
    "--ca-file": True,
    "--trust-anchor": True,
    "--log-format": True,
    "--lab": False,
    "--quiet": False,
    "-q": False,
    "--verbose": False,
    "-v": False,
}
HISTORY = "--history"
_CLUSTER = re.compile("-[qv]{2,}")  # -vv


def hoist(arguments: Sequence[str]) -> list[str]:
    """The arguments with every global option first; what follows ``--`` stays where it is."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(_with_history(arguments))
    for word in words:
        name, equals, _ = word.partition("=")
        if word == "--":
            rest += [word, *words]
        elif _CLUSTER.fullmatch(word):
            front.append(word)
        elif name not in GLOBAL_OPTIONS or (equals and not GLOBAL_OPTIONS[name]):
            rest.append(word)
        elif GLOBAL_OPTIONS[name] and not equals:
            value = next(words, None)
            if value is None:
                return [*front, word]  # alone, so that it is this option that is said to lack its value
            front += [word, value]
        else:
            front.append(word)
    return front + rest


def _with_history(arguments: Sequence[str]) -> list[str]:
    """``verify --db`` without a value names the history that every other command would read."""
    words = list(arguments)
    if "verify" in words and "--db" in words[words.index("verify") :]:
        place = words.index("--db", words.index("verify"))
        if place + 1 == len(words) or words[place + 1].startswith("-"):
            words[place] = HISTORY
    return words
