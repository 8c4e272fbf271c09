"""Which versions and suites a TLS endpoint accepts, the chain it shows, and its traits: the ``tls`` probe.

It belongs to the client class: it offers what an ordinary client may offer. What nobody should speak any more is asked by
:mod:`posture.probes.tls.legacy`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from posture.facts import TlsFacts
from posture.facts.parse_ocsp import GOOD, read_staple
from posture.facts.suites import suites
from posture.facts.tls import (
    ACCEPTED,
    NOT_ASKED,
    NOTHING_TO_ASK,
    POLITENESS,
    REFUSED,
    SAME_CERTIFICATE,
    SERVER_PREFERENCE,
    STAPLE,
    UNCLEAR,
    Trait,
    Unnamed,
    VersionAnswer,
)
from posture.model import Reason
from posture.probes.base import Door
from posture.probes.tls import hello as codec
from posture.probes.tls.conversation import MOST_OF_MAIL, Conversation
from posture.probes.tls.elimination import eliminate, list_whole
from posture.probes.tls.listening import Heard
from posture.probes.tls.mail import WITHDRAWN_PAIR, ask_politely
from posture.probes.tls.records import VERSIONS
from posture.probes.tls.suites import kinds, name_of, ordinary, telling, tls13, without_aead
from posture.probes.tls.traits import OLD, ask_preference, ask_traits, common, fields_seen, groups_seen, preference_of
from posture.task import Task

# Each suite listed costs a connection: after so many only one of each kind is still asked for.
_LISTED = 4
_PLAIN = frozenset({"protocol_version", *VERSIONS})
# The TLS feature extension (RFC 7633), as an object identifier in DER: its owner demands a staple.
_DEMANDS_STAPLE = bytes.fromhex("06082b06010505070118")


async def observe_tls(task: Task, door: Door) -> TlsFacts:
    """TLS 1.0 to 1.3 with ordinary suites, the chain, and the traits. ``params["all_suites"]`` lists a long list whole,
    except of a mail server.

    Raises:
        NotThere: the port is closed.
        NotSeen: no version gave a clear answer, the port does not speak TLS, or the server declines everything we say.
    """
    # An exchanger that is also visited as a mail server does it may be asked the less.
    talk = Conversation(task, door, MOST_OF_MAIL - ("mx_of" in task.params))
    every = bool(task.params.get("all_suites"))
    if talk.frugal:
        versions, preference = await ask_politely(talk, visited="mx_of" in task.params)
    else:
        versions, preference = await _versions(talk, _LISTED)
    accepted = any(answer.answer == ACCEPTED for answer in versions)
    if not accepted and not all(answer.answer == REFUSED and answer.why in _PLAIN for answer in versions):
        # A server that fails every handshake may do so for reasons that have nothing to do with versions.
        raise talk.unseen()
    why = await talk.read_chain() if accepted else ""
    unnamed = await _unnamed(talk, versions)
    traits = await ask_traits(talk, versions, preference, every=every)
    await talk.conclude()
    if every and not talk.frugal:
        offered = {"TLS 1.3": tls13(), **dict.fromkeys(OLD, ordinary())}
        versions = await list_whole(talk, versions, offered)
    return TlsFacts(
        name=task.name,
        starttls=talk.starttls,
        versions=versions,
        chain=talk.chain.certificates,
        chain_cut=talk.chain.cut,
        chain_why=why,
        traits=tuple(_of_staple(talk, trait) if trait.name == STAPLE else trait for trait in traits),
        groups=groups_seen(talk),
        finite_fields=fields_seen(talk),
        staple=b"" if _is_good(talk) and not _demands_staple(talk) else talk.chain.staple,
        timestamps=_timestamps(talk),
        unnamed=unnamed,
    )


def _demands_staple(talk: Conversation) -> bool:
    return any(_DEMANDS_STAPLE in leaf for leaf in talk.chain.certificates[:1])


def _is_good(talk: Conversation) -> bool:
    """Whether the staple says good, now, and is signed as it should be: the one kind that need not be kept."""
    if not talk.chain.staple or not talk.chain.certificates:
        return False
    now = datetime.now(UTC)
    said = read_staple(talk.chain.staple, talk.chain.certificates)
    return said.word == GOOD and said.is_current(now)


def _of_staple(talk: Conversation, trait: Trait) -> Trait:
    """Whether a staple came at all: some servers fetch theirs only after the first visitor, and TLS 1.3 hides it."""
    if talk.chain.staple:
        return Trait(STAPLE, ACCEPTED, seen=(GOOD,) if _is_good(talk) else ())
    if trait.answer == NOT_ASKED and talk.chain.certificates:  # TLS 1.3 only: the whole handshake asked
        return Trait(STAPLE, REFUSED)
    if trait.answer == ACCEPTED:
        return Trait(STAPLE, UNCLEAR, str(Reason.TRUNCATED))
    return trait


def _timestamps(talk: Conversation) -> bytes:
    sent = [heard.hello.extensions.get(codec.SIGNED_TIMESTAMPS, b"") for heard in talk.choices if heard.hello]
    return max(sent, default=b"")


async def _unnamed(talk: Conversation, versions: tuple[VersionAnswer, ...]) -> Unnamed:
    """What a client is told that says no name: the certificate in clear, or by a whole handshake where TLS 1.3 hides it."""
    newest = next((one for one in reversed(versions) if one.version in OLD and one.answer == ACCEPTED), None)
    speaks_13 = any(one.version == "TLS 1.3" and one.answer == ACCEPTED for one in versions)
    if talk.frugal:
        return Unnamed(NOT_ASKED, POLITENESS)
    if not talk.name or not (newest or speaks_13):
        return Unnamed(NOT_ASKED, NOTHING_TO_ASK)
    if newest is None:
        shown, why = await talk.handshake("")
        answer = ACCEPTED if shown.certificates else REFUSED if why == Reason.REFUSED_BY_TARGET else UNCLEAR
    else:
        heard = await talk.without_name(newest.version, ordinary())
        shown, answer, why = heard.chain, heard.answer, heard.why
    if shown.certificates[:1] and shown.certificates[:1] == talk.chain.certificates[:1]:
        return Unnamed(answer, SAME_CERTIFICATE)
    return Unnamed(answer, why, *shown.certificates[:1])


async def _versions(talk: Conversation, limit: int) -> tuple[tuple[VersionAnswer, ...], Trait]:
    """TLS 1.0, 1.1, 1.2 and 1.3, asked newest first; and whose order of suites counts."""
    both = await talk.settle(("TLS 1.3", "TLS 1.2"), (*tls13(), *telling()), doubt=True)
    tls_1_3 = await _tls13(talk, both, limit)
    seed = both if both.hello and both.hello.version != "TLS 1.3" else None
    tls_1_2, preference = await _tls12(talk, limit, seed)
    tls_1_1, tls_1_0 = await _withdrawn(talk, limit, listed=tls_1_3.answer == ACCEPTED)
    return (tls_1_0, tls_1_1, tls_1_2, tls_1_3), preference


async def _withdrawn(talk: Conversation, limit: int, *, listed: bool) -> tuple[VersionAnswer, VersionAnswer]:
    """TLS 1.1 and TLS 1.0. ``listed``: the server speaks TLS 1.3, so that one hello can ask for both."""
    heard = await talk.settle(WITHDRAWN_PAIR, ordinary(), doubt=True) if listed else None
    if heard is None or heard.answer == UNCLEAR:
        return await _suites(talk, "TLS 1.1", limit), await _suites(talk, "TLS 1.0", limit)
    tls_1_1 = await _suites(talk, "TLS 1.1", limit, heard)
    if heard.hello and heard.hello.version == "TLS 1.1":
        return tls_1_1, await _suites(talk, "TLS 1.0", limit)
    return tls_1_1, await _suites(talk, "TLS 1.0", limit, heard)


async def _tls12(talk: Conversation, limit: int, seed: Heard | None) -> tuple[VersionAnswer, Trait]:
    """The suites of TLS 1.2, and whether their order is the server's own or ours.

    A server that heeds our order chooses the last of a list turned round, which costs nothing: it is one suite more.
    """
    first = seed or await talk.settle(("TLS 1.2",), telling(), doubt=True)
    if first.hello is None or first.hello.version != "TLS 1.2":
        return await _suites(talk, "TLS 1.2", limit, first), _unlisted(first)
    known: tuple[int, ...] = (first.hello.suite,)
    preference: Trait | None = None
    if "CHACHA20" in name_of(first.hello.suite):
        preference, second = await ask_preference(talk, common(), first.hello.suite)
        if second.hello and preference.answer == REFUSED:
            known = (first.hello.suite, second.hello.suite)
    answer = await _suites(talk, "TLS 1.2", limit, known=known)
    listed = [suites()[name].number for name in answer.suites[:limit] if name in suites()]
    if preference is None or len(listed) < 2:
        preference = preference_of(listed)
    if preference is None:
        preference, _ = await ask_preference(talk, listed, listed[0])
    return await _modes(talk, answer), preference


def _unlisted(first: Heard) -> Trait:
    told = (UNCLEAR, first.why) if first.answer == UNCLEAR else (NOT_ASKED, NOTHING_TO_ASK)
    return Trait(SERVER_PREFERENCE, *told)


async def _suites(
    talk: Conversation, version: str, limit: int, first: Heard | None = None, known: tuple[int, ...] = ()
) -> VersionAnswer:
    """The suites of one version; of a long list the first, and one of each kind of key exchange that there is."""
    answer = await eliminate(talk, version, ordinary(), first=first, known=known, limit=limit)
    if answer.answer != ACCEPTED or answer.complete:
        return answer
    found, clear = list(answer.suites), True
    for kind in kinds():
        if not any(name_of(number) in found for number in kind):
            heard = await talk.settle((version,), kind, doubt=False)
            more = await eliminate(talk, version, kind, first=heard, limit=1)
            found += more.suites
            clear = clear and more.answer != UNCLEAR
    return replace(answer, suites=tuple(found), exchange_complete=clear)


async def _modes(talk: Conversation, answer: VersionAnswer) -> VersionAnswer:
    """Of a long list without a CBC suite so far: whether there is one."""
    if answer.answer != ACCEPTED or answer.complete or any(not suites()[name].aead for name in answer.suites):
        return answer
    heard = await talk.settle((answer.version,), without_aead(), doubt=False)
    found = await eliminate(talk, answer.version, without_aead(), first=heard, limit=1)
    return replace(answer, suites=(*answer.suites, *found.suites), mode_complete=found.answer == REFUSED)


async def _tls13(talk: Conversation, both: Heard, limit: int) -> VersionAnswer:
    if both.answer == ACCEPTED:
        # The choice of an older version in this hello is the clearest refusal of TLS 1.3 there is.
        return await eliminate(talk, "TLS 1.3", tls13(), first=both, limit=limit)
    return VersionAnswer("TLS 1.3", both.answer, both.why, (), complete=both.answer == REFUSED)
