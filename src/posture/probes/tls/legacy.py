"""What nobody should speak any more: SSL, broken suites, compression, signatures with old hashes. The ``tls_legacy`` probe.

It belongs to the active class, because its hellos are not those of an ordinary client.
"""

from __future__ import annotations

from posture.facts import TlsLegacyFacts
from posture.facts.groups import hash_name
from posture.facts.tls import (
    ACCEPTED,
    COMPRESSION,
    FALLBACK_SIGNAL,
    NOT_ASKED,
    NOTHING_TO_ASK,
    OLD_HASHES,
    POLITENESS,
    REFUSED,
    UNCLEAR,
    Trait,
    VersionAnswer,
)
from posture.model import NotSeen, Reason
from posture.probes.base import Door
from posture.probes.tls.conversation import Conversation
from posture.probes.tls.elimination import eliminate, list_whole
from posture.probes.tls.hello import DEFLATE
from posture.probes.tls.listening import FALLBACK_REFUSED, Heard
from posture.probes.tls.mail import WITHDRAWN_PAIR, ask_legacy_politely
from posture.probes.tls.suites import broken, ephemeral, name_of, ordinary, ssl3, tls13
from posture.task import Task

# So many broken suites per version are listed; more would tell the owner nothing new.
_BROKEN_LISTED = 8
_SPOKEN = ("TLS 1.0", "TLS 1.1", "TLS 1.2")
_LESSER = {"TLS 1.2": "TLS 1.1", "TLS 1.1": "TLS 1.0"}
# By hash, weakest first: RSA, ECDSA and DSA (RFC 5246 section 7.4.1.4.1).
_OLD_SIGNATURES = {"MD5": (0x0101,), "SHA-1": (0x0201, 0x0203, 0x0202), "SHA-224": (0x0301, 0x0303, 0x0302)}


async def observe_legacy(task: Task, door: Door) -> TlsLegacyFacts:
    """SSL 2.0, SSL 3.0, and broken suites at TLS 1.2 and older. ``params["all_suites"]`` lists all of them,
    except of a mail server.

    Raises:
        NotThere: the port is closed.
        NotSeen: as in :func:`observe_tls`.
    """
    talk = Conversation(task, door)
    if talk.frugal:
        everything = await ask_legacy_politely(talk)
        traits = tuple(_not_asked(name, POLITENESS) for name in (COMPRESSION, FALLBACK_SIGNAL, OLD_HASHES))
        if all(answer.answer in (UNCLEAR, NOT_ASKED) for answer in everything):
            raise talk.unseen()
        return TlsLegacyFacts(task.name, talk.starttls, everything, "", traits)
    versions, traits = await _thoroughly(talk)
    ssl_3 = await eliminate(talk, "SSL 3.0", ssl3(), doubt=not talk.alive, limit=_BROKEN_LISTED)
    ssl_2 = await _ssl2(talk)
    everything = (ssl_2, ssl_3, *versions)
    if not (talk.alive or ssl_2.answer == ACCEPTED) or all(answer.answer == UNCLEAR for answer in everything):
        raise talk.unseen()
    newest = next((answer.version for answer in reversed(versions) if answer.answer == ACCEPTED), "")
    preferred = await _preferred(talk, newest) if newest else ""
    await talk.conclude()
    if task.params.get("all_suites"):
        everything = await _whole(talk, everything)
    return TlsLegacyFacts(task.name, talk.starttls, everything, preferred, traits)


async def _whole(talk: Conversation, answers: tuple[VersionAnswer, ...]) -> tuple[VersionAnswer, ...]:
    """Every broken suite; of TLS 1.0 too, of which nothing need be known where TLS 1.1 accepts one already."""
    answers = await list_whole(talk, answers, {"SSL 3.0": ssl3(), **dict.fromkeys(_SPOKEN, broken())})
    if any(answer.version == "TLS 1.0" for answer in answers):
        return answers
    try:
        oldest = await eliminate(talk, "TLS 1.0", broken(), doubt=False)
    except NotSeen as unseen:
        if unseen.reason is not Reason.RATE_LIMITED:
            raise
        return answers
    ssl_2, ssl_3, *newer = answers
    return answers if oldest.answer == UNCLEAR else (ssl_2, ssl_3, oldest, *newer)


async def _thoroughly(talk: Conversation) -> tuple[tuple[VersionAnswer, ...], tuple[Trait, ...]]:
    """The broken suites, and the traits, sorted by name."""
    signed, pressed = await _first(talk)
    if not talk.alive:
        await talk.settle(("TLS 1.3", "TLS 1.2"), (*tls13(), *ordinary()))
    newest = pressed.hello.version if pressed.hello else ""
    listed = bool(pressed.hello and pressed.hello.speaks_13)
    lesser = await _with_signal(talk, newest, listed=listed)
    versions = await _broken_suites(talk, lesser if newest == "TLS 1.2" else None, listed=listed)
    return versions, (_compression(pressed), _fallback(pressed, lesser), await _old_hashes(talk, signed, pressed))


async def _first(talk: Conversation) -> tuple[Heard | None, Heard]:
    """The answers to a hello of old signatures (None when it has to be asked again) and to one that offers compression.

    They are one answer where the server takes the old signatures. Where it does not, the second also shows that our
    kind is answered here, without which a refusal of the first, and of all that follow, says little.
    """
    offered = tuple(scheme for schemes in _OLD_SIGNATURES.values() for scheme in schemes)
    signed = await talk.glance(("TLS 1.2",), ephemeral(), signatures=offered, compressions=(DEFLATE, 0))
    if signed.hello:
        return signed, signed
    pressed = await talk.settle(("TLS 1.2",), ordinary(), compressions=(DEFLATE, 0))
    return signed if talk.credible(signed) else None, pressed


async def _with_signal(talk: Conversation, newest: str, *, listed: bool) -> Heard | None:
    """The answer to a client that says it fell back to the version below (RFC 7507), or to one of all below."""
    if newest not in _LESSER:
        return None
    versions = WITHDRAWN_PAIR if listed else (_LESSER[newest],)
    return await talk.settle(versions, ordinary(), doubt=False, fallback=True)


async def _broken_suites(talk: Conversation, lesser: Heard | None, *, listed: bool) -> tuple[VersionAnswer, ...]:
    """Broken suites, oldest version first; a version that the server passed over for an older one is refused.

    Args:
        lesser: what an earlier hello of TLS 1.1 was answered; protocol_version settles that there is no suite to ask for.
        listed: the server speaks TLS 1.3, so that it reads lists of versions.
    """
    first = await talk.settle(("TLS 1.2",), broken(), doubt=False)
    at_1_2 = await eliminate(talk, "TLS 1.2", broken(), first=first, limit=_BROKEN_LISTED)
    known = lesser is not None and lesser.answer == REFUSED and lesser.why == "protocol_version"
    older = WITHDRAWN_PAIR if listed else WITHDRAWN_PAIR[:1]
    heard = lesser if known and lesser else await talk.settle(older, broken(), doubt=False)
    at_1_1 = await eliminate(talk, "TLS 1.1", broken(), first=heard, limit=_BROKEN_LISTED)
    if at_1_1.answer == ACCEPTED:
        return at_1_1, at_1_2
    if heard.hello and heard.hello.version == "TLS 1.0":
        return await eliminate(talk, "TLS 1.0", broken(), first=heard, limit=_BROKEN_LISTED), at_1_1, at_1_2
    # The hello of TLS 1.1 offered TLS 1.0 as well (RFC 5246 appendix E.1).
    return VersionAnswer("TLS 1.0", at_1_1.answer, at_1_1.why, (), at_1_1.complete), at_1_1, at_1_2


def _compression(pressed: Heard) -> Trait:
    if pressed.hello is None:
        return _without(COMPRESSION, pressed)
    if not pressed.shape.full:  # only the hello without the offer was answered
        return Trait(COMPRESSION, UNCLEAR, str(Reason.REFUSED_BY_TARGET))
    return Trait(COMPRESSION, ACCEPTED if pressed.hello.compression == DEFLATE else REFUSED)


def _fallback(pressed: Heard, lesser: Heard | None) -> Trait:
    if lesser is None:
        return _not_asked(FALLBACK_SIGNAL) if pressed.hello else _without(FALLBACK_SIGNAL, pressed)
    if lesser.why == FALLBACK_REFUSED:
        return Trait(FALLBACK_SIGNAL, ACCEPTED, lesser.why)
    if lesser.hello:
        return Trait(FALLBACK_SIGNAL, REFUSED, lesser.hello.version)
    return _without(FALLBACK_SIGNAL, lesser)


async def _old_hashes(talk: Conversation, signed: Heard | None, pressed: Heard) -> Trait:
    """Which old hashes the server signs with when it is offered no better, until the worst is known.

    Args:
        signed: the answer to the offer of all of them, when there is one already.
    """
    if pressed.hello is None:
        return _without(OLD_HASHES, pressed)
    if pressed.hello.version != "TLS 1.2":
        return _not_asked(OLD_HASHES)
    seen: list[str] = []
    while True:
        offered = tuple(scheme for name, schemes in _OLD_SIGNATURES.items() if name not in seen for scheme in schemes)
        heard = signed or await talk.settle(("TLS 1.2",), ephemeral(), doubt=False, signatures=offered)
        signed = None
        if heard.answer == REFUSED:
            return Trait(
                OLD_HASHES, ACCEPTED if seen else REFUSED, "" if seen else heard.why, tuple(seen), complete=True
            )
        if heard.hello is None or heard.exchange is None:
            why = heard.why or str(Reason.TRUNCATED)
            return Trait(OLD_HASHES, ACCEPTED if seen else UNCLEAR, why, tuple(seen))
        name = hash_name(heard.exchange.signature)
        if name not in _OLD_SIGNATURES or name in seen:  # it signs as it likes
            return Trait(OLD_HASHES, ACCEPTED if seen else REFUSED, name, tuple(seen), complete=True)
        seen.append(name)
        if name != "SHA-224":
            return Trait(OLD_HASHES, ACCEPTED, "", tuple(seen))


def _without(name: str, heard: Heard) -> Trait:
    """The trait of a server that chose nothing: there is nothing to ask where the version is not spoken at all."""
    if heard.answer == UNCLEAR:
        return Trait(name, UNCLEAR, heard.why)
    if heard.why == "protocol_version":
        return _not_asked(name)
    return Trait(name, UNCLEAR, str(Reason.REFUSED_BY_TARGET))


def _not_asked(name: str, why: str = NOTHING_TO_ASK) -> Trait:
    return Trait(name, NOT_ASKED, why)


async def _preferred(talk: Conversation, version: str) -> str:
    heard = await talk.settle((version,), (*broken(), *ordinary()), doubt=False)
    return name_of(heard.hello.suite) if heard.hello else ""


async def _ssl2(talk: Conversation) -> VersionAnswer:
    heard = await talk.settle_ssl2()
    names = tuple(name_of(kind) for kind in heard.kinds)
    return VersionAnswer("SSL 2.0", heard.answer, heard.why, names, complete=heard.answer != UNCLEAR)
