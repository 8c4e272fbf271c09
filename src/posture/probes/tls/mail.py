"""The two probes at a mail server, which counts connections: what its verdicts need, in as few as they take.

An exchanger is asked six times at most: one visit as a mail server makes it (the ``smtp`` probe), and five or fewer here.
"""

from __future__ import annotations

from dataclasses import replace

from posture.facts.tls import (
    ACCEPTED,
    DOWNGRADE_MARK,
    NOT_ASKED,
    POLITENESS,
    REFUSED,
    SERVER_PREFERENCE,
    UNCLEAR,
    Trait,
    VersionAnswer,
)
from posture.model import Reason
from posture.probes.tls.conversation import DOUBTFUL, Conversation
from posture.probes.tls.listening import Heard
from posture.probes.tls.suites import name_of, ordinary, ssl3, tls13, worst_first

WITHDRAWN_PAIR = ("TLS 1.1", "TLS 1.0")
Versions = tuple[VersionAnswer, ...]
_UNSURE = str(Reason.REFUSED_BY_TARGET)


# ---- what an ordinary client may offer


async def ask_politely(talk: Conversation, *, visited: bool) -> tuple[Versions, Trait]:
    """TLS 1.0 to 1.3, one suite of each, in two hellos or three.

    The choice of TLS 1.2 shows the chain in clear, and whether the server would rather have spoken TLS 1.3.

    Args:
        visited: the ``smtp`` probe makes a whole handshake with this server, which tells as much of TLS 1.3.
    """
    heard = await talk.settle(("TLS 1.2",), ordinary(), doubt=False)
    tls_1_2 = _one(heard, "TLS 1.2")
    if tls_1_2.answer == REFUSED and tls_1_2.why == "protocol_version":
        older = (_refused("TLS 1.0", tls_1_2.why), _refused("TLS 1.1", tls_1_2.why))
        return (*older, tls_1_2, await _tls13_alone(talk)), _no_preference()
    tls_1_3 = await _tls13(talk, heard, visited=visited)
    pair = await _withdrawn(talk, listed=tls_1_3.answer == ACCEPTED)
    return (*pair, tls_1_2, tls_1_3), _no_preference()


async def _tls13_alone(talk: Conversation) -> VersionAnswer:
    """A server that speaks nothing older has its chain to show in a whole handshake, which settles the version too."""
    why = await talk.read_chain()
    if talk.chain.certificates:
        return VersionAnswer("TLS 1.3", ACCEPTED)
    heard = await talk.settle(("TLS 1.3",), tls13(), doubt=False)
    return _one(heard, "TLS 1.3") if heard.answer != UNCLEAR else VersionAnswer("TLS 1.3", UNCLEAR, why)


async def _tls13(talk: Conversation, heard: Heard, *, visited: bool) -> VersionAnswer:
    if heard.hello and heard.hello.speaks_13:
        return VersionAnswer("TLS 1.3", ACCEPTED, DOWNGRADE_MARK)
    if visited and heard.hello:
        return VersionAnswer("TLS 1.3", NOT_ASKED, POLITENESS)
    return _one(await talk.settle(("TLS 1.3", "TLS 1.2"), (*tls13(), *ordinary()), doubt=False), "TLS 1.3")


async def _withdrawn(talk: Conversation, *, listed: bool) -> tuple[VersionAnswer, VersionAnswer]:
    """TLS 1.0 and TLS 1.1, by one hello when the server is known to read a list of versions."""
    heard = await talk.settle(WITHDRAWN_PAIR if listed else WITHDRAWN_PAIR[:1], ordinary(), doubt=False)
    tls_1_1 = _one(heard, "TLS 1.1")
    if tls_1_1.answer == REFUSED and (listed or tls_1_1.why in ("protocol_version", "TLS 1.0")):
        # A plain hello of TLS 1.1 offers everything older too (RFC 5246 appendix E.1).
        return _one(heard, "TLS 1.0"), tls_1_1
    if tls_1_1.answer == UNCLEAR:
        return replace(tls_1_1, version="TLS 1.0"), tls_1_1
    if talk.spent:
        return VersionAnswer("TLS 1.0", NOT_ASKED, POLITENESS), tls_1_1
    return _one(await talk.settle(("TLS 1.0",), ordinary(), doubt=False), "TLS 1.0"), tls_1_1


def _one(heard: Heard, version: str) -> VersionAnswer:
    """What one hello tells of a version: its choice is one suite, and no list."""
    if heard.hello is None:
        return VersionAnswer(version, heard.answer, heard.why, (), complete=heard.answer == REFUSED)
    if heard.hello.version != version:
        return _refused(version, heard.hello.version)
    return VersionAnswer(version, ACCEPTED, "", (name_of(heard.hello.suite),))


def _refused(version: str, why: str) -> VersionAnswer:
    return VersionAnswer(version, REFUSED, why, (), complete=True)


def _no_preference() -> Trait:
    return Trait(SERVER_PREFERENCE, NOT_ASKED, POLITENESS)


# ---- what nobody should speak any more


async def ask_legacy_politely(talk: Conversation) -> Versions:
    """SSL 2.0, SSL 3.0 and the broken suites of TLS 1.2 (or older, where the server speaks nothing newer), a hello each.

    Who hangs up on SSL without a word and answers the hello after it has refused SSL, and not us: so the kind of hello
    that most servers answer comes last. Older versions of a server hardly ever have suites of their own.
    """
    ssl_2 = await talk.glance_ssl2()
    ssl_3 = await talk.glance(("SSL 3.0",), ssl3())
    tls = await talk.glance(("TLS 1.2",), worst_first())
    by_3, by_2 = _answered(tls), _answered(ssl_3) or _answered(tls)
    found = _one(_settled(ssl_2, by_2), "SSL 2.0")
    kinds = tuple(name_of(kind) for kind in ssl_2.kinds)
    return (
        replace(found, suites=kinds, complete=bool(kinds) or found.complete),
        *_chosen(_settled(ssl_3, by_3), "SSL 3.0"),
        *_chosen(_settled(tls, answers_on=False), "TLS 1.2"),
    )


def _answered(heard: Heard) -> bool:
    return heard.answer == ACCEPTED or heard.by_alert


def _settled(heard: Heard, answers_on: bool) -> Heard:
    """An answer that cannot be asked for twice. ``answers_on``: a later hello was answered."""
    if heard.answer != REFUSED or (heard.by_alert and heard.why not in DOUBTFUL):
        return heard
    return heard if answers_on and not heard.by_alert else replace(heard, answer=UNCLEAR, why=_UNSURE)


def _chosen(heard: Heard, version: str) -> Versions:
    """The version that was asked for, behind the older one that the server chose instead, if any."""
    asked = _one(heard, version)
    if heard.hello is None or heard.hello.version == version:
        return (asked,)
    return _one(heard, heard.hello.version), asked
