"""What a TLS endpoint tells beside versions and suites: extensions echoed, order of preference, groups. Few more connections.

What comes by the way is read off the hellos that were answered with a choice; only groups and preference are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

from posture.facts.groups import HYBRIDS, WITHDRAWN, group_name
from posture.facts.suites import suites
from posture.facts.tls import (
    ACCEPTED,
    APPLICATION_PROTOCOL,
    EXTENDED_MASTER_SECRET,
    HYBRID_GROUPS,
    NOT_ASKED,
    NOTHING_TO_ASK,
    POLITENESS,
    REFUSED,
    RENEGOTIATION_INFO,
    SERVER_PREFERENCE,
    SIGNED_TIMESTAMPS,
    STAPLE,
    UNCLEAR,
    WITHDRAWN_CURVES,
    FiniteField,
    Trait,
    VersionAnswer,
)
from posture.model import Reason
from posture.probes.tls import hello as codec
from posture.probes.tls.conversation import Conversation
from posture.probes.tls.hello import LEAN_SUITES
from posture.probes.tls.listening import Heard
from posture.probes.tls.records import CodecError, Reader
from posture.probes.tls.suites import name_of, telling, tls13

OLD = ("TLS 1.0", "TLS 1.1", "TLS 1.2")
# A certificate's own curve has to be offered, or an ECDSA server has nothing to show.
_OF_CERTIFICATES = (0x0017, 0x0018, 0x0019)
_CURVES_LISTED = 3

Versions = Sequence[VersionAnswer]


async def ask_traits(talk: Conversation, versions: Versions, preference: Trait, *, every: bool) -> tuple[Trait, ...]:
    """All traits of TlsFacts, sorted by name. A mail exchanger is asked nothing: what came by the way has to do.

    Args:
        preference: what the listing of suites told of the server's preference.
        every: whether to list every hybrid group, rather than to know that there is one.
    """
    found = [
        preference,
        _echoed(talk, versions, EXTENDED_MASTER_SECRET, codec.EXTENDED_MASTER_SECRET),
        _echoed(talk, versions, RENEGOTIATION_INFO, codec.RENEGOTIATION_INFO, lean=True),
        _echoed(talk, versions, STAPLE, codec.STATUS_REQUEST),
        _echoed(talk, versions, SIGNED_TIMESTAMPS, codec.SIGNED_TIMESTAMPS),
        _application_protocol(talk, versions),
        await _hybrid_groups(talk, versions, every=every),
        await _withdrawn_curves(talk, versions),
    ]
    return tuple(sorted(found, key=lambda trait: trait.name))


# ---- by the way


def _echoed(talk: Conversation, versions: Versions, name: str, extension: int, *, lean: bool = False) -> Trait:
    """Whether every server behind the address echoed an extension; it takes one that does not to refuse it.

    Args:
        lean: whether the lean shape asks for it too.
    """
    asked = [heard for heard in _old_choices(talk) if heard.shape.full or lean]
    if not asked:
        return _nothing(name, versions)
    missing = any(heard.hello is not None and extension not in heard.hello.extensions for heard in asked)
    return Trait(name, REFUSED if missing else ACCEPTED)


def _application_protocol(talk: Conversation, versions: Versions) -> Trait:
    if not talk.alpn:
        return Trait(APPLICATION_PROTOCOL, NOT_ASKED, NOTHING_TO_ASK)
    asked = [heard for heard in _old_choices(talk) if heard.shape.full]
    if not asked:
        return _nothing(APPLICATION_PROTOCOL, versions)
    chosen = sorted({name for heard in asked if (name := _protocol(heard))})
    return Trait(APPLICATION_PROTOCOL, ACCEPTED if chosen else REFUSED, "", tuple(chosen))


def _protocol(heard: Heard) -> str:
    body = heard.hello.extensions.get(codec.ALPN, b"") if heard.hello else b""
    try:
        return Reader(body).vector(2).vector(1).take_all().decode("ascii")
    except (CodecError, UnicodeDecodeError):
        return ""


def _old_choices(talk: Conversation) -> list[Heard]:
    return [heard for heard in talk.choices if heard.hello and heard.hello.version in OLD]


def _nothing(name: str, versions: Versions) -> Trait:
    """The trait where no hello of TLS 1.2 or older of the right shape was answered with a choice."""
    old = [answer for answer in versions if answer.version in OLD]
    if all(answer.answer == REFUSED for answer in old):
        return Trait(name, NOT_ASKED, NOTHING_TO_ASK)
    why = next((answer.why for answer in old if answer.answer == UNCLEAR), str(Reason.NOT_RECORDED))
    return Trait(name, UNCLEAR, why)


def groups_seen(talk: Conversation) -> tuple[str, ...]:
    """Names of all groups that the server chose, sorted."""
    numbers = {heard.hello.group for heard in talk.choices if heard.hello}
    numbers |= {heard.exchange.group for heard in talk.choices if heard.exchange}
    return tuple(sorted(group_name(number) for number in numbers if number))


def fields_seen(talk: Conversation) -> tuple[FiniteField, ...]:
    """The finite-field parameters that the server sent, sorted."""
    found = {
        FiniteField(heard.hello.version, heard.exchange.prime, heard.exchange.generator)
        for heard in talk.choices
        if heard.hello and heard.exchange and heard.exchange.prime
    }
    return tuple(sorted(found, key=lambda one: (one.version, one.prime, one.generator)))


# ---- preference


def preference_of(listed: Sequence[int]) -> Trait | None:
    """What the order in which suites were chosen tells, when it tells something: whoever departs from ours has its own."""
    if len(listed) < 2:
        return Trait(SERVER_PREFERENCE, NOT_ASKED, NOTHING_TO_ASK)
    ours = sorted(listed, key=telling().index)
    return Trait(SERVER_PREFERENCE, ACCEPTED) if list(listed) != ours else None


async def ask_preference(talk: Conversation, offered: Sequence[int], first: int) -> tuple[Trait, Heard]:
    """One hello that offers suites the other way round than the one to which ``first`` was the answer."""
    heard = await talk.settle(("TLS 1.2",), tuple(reversed(offered)), doubt=False)
    if heard.hello is None or heard.hello.version != "TLS 1.2":
        return Trait(SERVER_PREFERENCE, UNCLEAR, heard.why if heard.answer == UNCLEAR else ""), heard
    own = heard.hello.suite == first
    return Trait(SERVER_PREFERENCE, ACCEPTED if own else REFUSED), heard


def common() -> tuple[int, ...]:
    """Suites that even a server that reads few will read to the end."""
    return telling()[:LEAN_SUITES]


# ---- groups


async def _hybrid_groups(talk: Conversation, versions: Versions, *, every: bool) -> Trait:
    """Found in a HelloRetryRequest: a hello names groups and sends no key, so no post-quantum mathematics is needed here."""
    newest = next(answer for answer in versions if answer.version == "TLS 1.3")
    if newest.answer != ACCEPTED:
        told = (UNCLEAR, newest.why) if newest.answer == UNCLEAR else (NOT_ASKED, NOTHING_TO_ASK)
        return Trait(HYBRID_GROUPS, *told)
    chosen = [heard.hello.group for heard in talk.choices if heard.hello and heard.hello.group in HYBRIDS]
    seen = list(dict.fromkeys(chosen))
    if talk.frugal and not seen:
        return Trait(HYBRID_GROUPS, NOT_ASKED, POLITENESS)
    while not seen or (every and len(seen) < len(HYBRIDS)):
        left = tuple(number for number in HYBRIDS if number not in seen)
        heard = await talk.settle(("TLS 1.3",), tls13(), doubt=False, groups=left)
        if heard.hello is None or heard.hello.group not in left:
            return _groups(HYBRID_GROUPS, seen, heard)
        seen.append(heard.hello.group)
    return Trait(HYBRID_GROUPS, ACCEPTED, "", _named(seen), complete=len(seen) == len(HYBRIDS))


async def _withdrawn_curves(talk: Conversation, versions: Versions) -> Trait:
    """TLS 1.2 or older with curves of RFC 4492 that RFC 8422 withdrew; TLS 1.3 has none of them."""
    newest = next((answer for answer in reversed(versions) if answer.version in OLD and _elliptic(answer)), None)
    if newest is None:
        return _nothing(WITHDRAWN_CURVES, versions) if not _accepted(versions) else _no_curves(versions)
    if talk.frugal:
        return Trait(WITHDRAWN_CURVES, NOT_ASKED, POLITENESS)
    offered = _elliptic(newest)
    by_rsa = tuple(number for number in offered if suites()[name_of(number)].authentication == "RSA")
    also = () if by_rsa else _OF_CERTIFICATES
    seen: list[int] = []
    while len(seen) < _CURVES_LISTED:
        left = tuple(number for number in WITHDRAWN if number not in seen)
        heard = await talk.settle((newest.version,), by_rsa or offered, doubt=False, groups=(*left, *also))
        if heard.hello is None or heard.exchange is None or heard.exchange.group not in left:
            return _groups(WITHDRAWN_CURVES, seen, heard)
        seen.append(heard.exchange.group)
    return Trait(WITHDRAWN_CURVES, ACCEPTED, "", _named(seen))


def _elliptic(answer: VersionAnswer) -> tuple[int, ...]:
    known = suites()
    return tuple(known[name].number for name in answer.suites if name in known and known[name].exchange == "ECDHE")


def _accepted(versions: Versions) -> bool:
    return any(answer.answer == ACCEPTED and answer.version in OLD for answer in versions)


def _no_curves(versions: Versions) -> Trait:
    """The old versions that are spoken have no suite with a curve among those listed, nor among others where that is known."""
    spoken = [answer for answer in versions if answer.answer == ACCEPTED and answer.version in OLD]
    whole = all(answer.complete or answer.exchange_complete for answer in spoken)
    told = (NOT_ASKED, NOTHING_TO_ASK) if whole else (UNCLEAR, str(Reason.RATE_LIMITED))
    return Trait(WITHDRAWN_CURVES, *told)


def _groups(name: str, seen: Sequence[int], heard: Heard) -> Trait:
    """The end of an elimination of groups: by a refusal, by the choice of another group, or by nothing clear."""
    if heard.answer == UNCLEAR or (heard.hello and not heard.exchange and not heard.hello.group):
        why = heard.why or str(Reason.TRUNCATED)
        return Trait(name, ACCEPTED if seen else UNCLEAR, why, _named(seen))
    other = heard.exchange.group if heard.exchange else 0
    why = "" if seen else group_name(other) if other else heard.why
    return Trait(name, ACCEPTED if seen else REFUSED, why, _named(seen), complete=True)


def _named(numbers: Sequence[int]) -> tuple[str, ...]:
    return tuple(group_name(number) for number in numbers)
