"""Suites by elimination: offer, strike what the server chose, offer the rest, until it refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from posture.facts.tls import ACCEPTED, REFUSED, UNCLEAR, VersionAnswer
from posture.model import NotSeen, Reason
from posture.probes.tls.conversation import Conversation
from posture.probes.tls.hello import LEAN_SUITES
from posture.probes.tls.listening import Heard
from posture.probes.tls.suites import kinds, name_of, number_of

# No word about the suites: a server in trouble, perhaps with the one that it chose.
_ABRUPT = frozenset({"closed", "internal_error"})


async def eliminate(
    talk: Conversation,
    version: str,
    suites: tuple[int, ...],
    *,
    first: Heard | None = None,
    known: tuple[int, ...] = (),
    doubt: bool = True,
    limit: int = 200,
) -> VersionAnswer:
    """What the server accepts at one version: offer, strike what it chose, offer the rest, until it refuses.

    Args:
        first: the answer to a hello that offered at least these, when there is one already.
        known: suites that were chosen before.
        doubt: as in :meth:`Conversation.settle`, of the first hello.
        limit: stop after so many accepted suites.
    """
    chosen = list(known)
    doubt = doubt and first is None
    while True:
        rest = tuple(suite for suite in suites if suite not in chosen)
        heard = first or await talk.settle((version,), rest, doubt=doubt and not chosen)
        first = None
        if heard.hello is None or heard.hello.version != version:
            unsure = heard.why in _ABRUPT or not _covers(heard, len(rest))
            if chosen and heard.answer == REFUSED and unsure and len(_by_kind(rest)) > 1:
                return await _kind_by_kind(talk, version, chosen, rest, limit)
            return _ended(version, chosen, heard, len(rest))
        chosen.append(heard.hello.suite)
        if len(chosen) in (limit, len(suites)):
            return VersionAnswer(version, ACCEPTED, "", _names(chosen), complete=len(chosen) == len(suites))


async def list_whole(
    talk: Conversation, answers: Sequence[VersionAnswer], offered: Mapping[str, tuple[int, ...]]
) -> tuple[VersionAnswer, ...]:
    """The lists of suites that were cut short, to their ends. To be asked last: whatever the server makes of so many
    connections, all that matters has been answered by then, and stays as it was.

    Args:
        offered: version -> the suites to ask for; versions without any stay as they are.

    Raises:
        NotSeen: a refusal of ours.
    """
    found = list(answers)
    for place, answer in enumerate(answers):
        suites = offered.get(answer.version, ())
        if answer.answer != ACCEPTED or answer.complete or not suites:
            continue
        known = tuple(number_of(name) for name in answer.suites)
        try:
            whole = await eliminate(talk, answer.version, suites, known=known, doubt=False, limit=len(suites))
        except NotSeen as unseen:
            if unseen.reason is not Reason.RATE_LIMITED:
                raise
            break
        found[place] = replace(answer, suites=whole.suites, complete=whole.complete)
    return tuple(found)


async def _kind_by_kind(
    talk: Conversation, version: str, chosen: list[int], rest: tuple[int, ...], limit: int
) -> VersionAnswer:
    """The end of an elimination by a server that hung up: it may have chosen a suite that it cannot serve, as some do
    with DHE when they were given no parameters, and would serve others. Or of one that only answers short hellos."""
    names, complete = _names(chosen), True
    for part in _by_kind(rest):
        if len(names) >= limit:
            return VersionAnswer(version, ACCEPTED, "", names)
        heard = await talk.settle((version,), part, doubt=False)
        more = await eliminate(talk, version, part, first=heard, limit=limit - len(names))
        names += more.suites
        complete = complete and more.complete
    return VersionAnswer(version, ACCEPTED, "", names, complete)


def _covers(heard: Heard, left: int) -> bool:
    """Whether the hello that was answered had room for all suites that were left."""
    return heard.shape.full or left <= LEAN_SUITES


def _ended(version: str, chosen: list[int], heard: Heard, left: int) -> VersionAnswer:
    """The end of an elimination by anything but another accepted suite."""
    other = heard.hello.version if heard.hello else ""
    if chosen:
        covered = _covers(heard, left)
        why = heard.why if heard.answer == UNCLEAR else ""
        return VersionAnswer(version, ACCEPTED, why, _names(chosen), complete=heard.answer == REFUSED and covered)
    if other:
        return VersionAnswer(version, REFUSED, other, (), complete=True)
    return VersionAnswer(version, heard.answer, heard.why, (), complete=heard.answer == REFUSED)


def _by_kind(numbers: tuple[int, ...]) -> list[tuple[int, ...]]:
    parts = (tuple(number for number in numbers if number in kind) for kind in kinds())
    return [part for part in parts if part]


def _names(numbers: list[int]) -> tuple[str, ...]:
    return tuple(name_of(number) for number in numbers)
