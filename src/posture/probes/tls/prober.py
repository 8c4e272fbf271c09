"""Which versions and suites a TLS endpoint accepts, and the chain it shows: the two TLS probes.

``tls`` (client class) offers what an ordinary client may offer; ``tls_legacy`` (active class) offers SSL and broken suites.
"""

from __future__ import annotations

from dataclasses import replace

from posture.facts import TlsFacts, TlsLegacyFacts
from posture.facts.tls import ACCEPTED, REFUSED, UNCLEAR, VersionAnswer
from posture.probes.base import Door
from posture.probes.tls.conversation import Conversation, Heard
from posture.probes.tls.records import VERSIONS
from posture.probes.tls.suites import broken, name_of, ordinary, ssl3, tls13, without_ecdhe
from posture.task import Task

# So many broken suites per version are listed; more would tell the owner nothing new.
_BROKEN_LISTED = 8
# Each suite listed costs a connection: after so many only those without ECDHE are still asked for, a few of them.
_LISTED, _WEAKER_LISTED = 8, 2
_ALL = 400  # more than there are
_PLAIN = frozenset({"protocol_version", *VERSIONS})


async def observe_tls(task: Task, door: Door) -> TlsFacts:
    """TLS 1.0 to 1.3 with ordinary suites, and the chain. ``params["all_suites"]`` lists a long list of suites whole.

    Raises:
        NotThere: the port is closed.
        NotSeen: no version gave a clear answer, the port does not speak TLS, or the server declines everything we say.
    """
    talk = Conversation(task, door)
    versions = await _versions(talk, 1 if talk.frugal else _ALL if task.params.get("all_suites") else _LISTED)
    accepted = any(answer.answer == ACCEPTED for answer in versions)
    if not accepted and not all(answer.answer == REFUSED and answer.why in _PLAIN for answer in versions):
        # A server that fails every handshake may do so for reasons that have nothing to do with versions.
        raise talk.unseen()
    why = await talk.read_chain() if accepted else ""
    return TlsFacts(
        name=task.name,
        starttls=talk.starttls,
        versions=versions,
        chain=talk.chain.certificates,
        chain_cut=talk.chain.cut,
        chain_why=why,
    )


async def _versions(talk: Conversation, limit: int) -> tuple[VersionAnswer, ...]:
    """TLS 1.0, 1.1, 1.2 and 1.3, asked newest first."""
    both = await talk.settle(("TLS 1.3", "TLS 1.2"), (*tls13(), *ordinary()), doubt=True)
    tls_1_3 = await _tls13(talk, both, limit)
    seed = both if both.hello and both.hello.version != "TLS 1.3" else None
    tls_1_2 = await _suites(talk, "TLS 1.2", limit, seed)
    tls_1_1 = await _suites(talk, "TLS 1.1", limit)
    if talk.frugal and tls_1_1.answer == REFUSED and tls_1_1.why == "protocol_version":
        # A hello of TLS 1.1 offers everything older too (RFC 5246 appendix E.1).
        tls_1_0 = VersionAnswer("TLS 1.0", REFUSED, "protocol_version", (), complete=True)
    else:
        tls_1_0 = await _suites(talk, "TLS 1.0", limit)
    return tls_1_0, tls_1_1, tls_1_2, tls_1_3


async def _suites(talk: Conversation, version: str, limit: int, first: Heard | None = None) -> VersionAnswer:
    """The suites of one version; of a long list the first, and whether any is left without ECDHE."""
    answer = await talk.eliminate(version, ordinary(), first=first, limit=limit)
    if answer.answer != ACCEPTED or answer.complete or talk.frugal:
        return answer
    rest = tuple(number for number in without_ecdhe() if name_of(number) not in answer.suites)
    heard = await talk.settle((version,), rest, doubt=False)
    weaker = await talk.eliminate(version, rest, first=heard, limit=_WEAKER_LISTED)
    decided = weaker.answer == REFUSED or weaker.complete
    return replace(answer, suites=(*answer.suites, *weaker.suites), exchange_complete=decided)


async def _tls13(talk: Conversation, both: Heard, limit: int) -> VersionAnswer:
    if both.answer == ACCEPTED:
        # The choice of an older version in this hello is the clearest refusal of TLS 1.3 there is.
        return await talk.eliminate("TLS 1.3", tls13(), first=both, limit=limit)
    return VersionAnswer("TLS 1.3", both.answer, both.why, (), complete=both.answer == REFUSED)


async def observe_legacy(task: Task, door: Door) -> TlsLegacyFacts:
    """SSL 2.0, SSL 3.0, and broken suites at TLS 1.2 and older.

    Raises:
        NotThere: the port is closed.
        NotSeen: as in :func:`observe_tls`.
    """
    talk = Conversation(task, door)
    if not talk.frugal:
        # Shows that hellos of our shape are answered here, without which a refusal of the next ones says little.
        for offered in (("TLS 1.3", "TLS 1.2"), ("TLS 1.1",)):
            if not talk.alive:
                await talk.settle(offered, (*tls13(), *ordinary()))
    versions = await _broken_suites(talk)
    ssl_3 = await _ssl3(talk)
    ssl_2 = await _ssl2(talk)
    everything = (ssl_2, ssl_3, *versions)
    declined = not talk.frugal and not talk.alive and ssl_2.answer != ACCEPTED
    if declined or all(answer.answer == UNCLEAR for answer in everything):
        raise talk.unseen()
    newest = next((answer.version for answer in reversed(versions) if answer.answer == ACCEPTED), "")
    preferred = await _preferred(talk, newest) if newest else ""
    return TlsLegacyFacts(name=task.name, starttls=talk.starttls, versions=everything, preferred=preferred)


async def _broken_suites(talk: Conversation) -> tuple[VersionAnswer, ...]:
    """Broken suites, oldest version first; a version that the server passed over for an older one is refused."""
    limit = 2 if talk.frugal else _BROKEN_LISTED
    first = await talk.settle(("TLS 1.2",), broken(), doubt=False)
    at_1_2 = await talk.eliminate("TLS 1.2", broken(), first=first, limit=limit)
    if talk.frugal and at_1_2.why not in VERSIONS:
        return (at_1_2,)  # TLS 1.2 itself answered; older versions hardly ever have suites of their own
    heard = await talk.settle(("TLS 1.1",), broken(), doubt=False)
    at_1_1 = await talk.eliminate("TLS 1.1", broken(), first=heard, limit=limit)
    if at_1_1.answer == ACCEPTED:
        return at_1_1, at_1_2
    if heard.hello and heard.hello.version == "TLS 1.0":
        return await talk.eliminate("TLS 1.0", broken(), first=heard, limit=limit), at_1_1, at_1_2
    # The hello of TLS 1.1 offered TLS 1.0 as well (RFC 5246 appendix E.1).
    return VersionAnswer("TLS 1.0", at_1_1.answer, at_1_1.why, (), at_1_1.complete), at_1_1, at_1_2


async def _preferred(talk: Conversation, version: str) -> str:
    heard = await talk.settle((version,), (*broken(), *ordinary()), doubt=False)
    return name_of(heard.hello.suite) if heard.hello else ""


async def _ssl3(talk: Conversation) -> VersionAnswer:
    return await talk.eliminate("SSL 3.0", ssl3(), limit=1 if talk.frugal else _BROKEN_LISTED)


async def _ssl2(talk: Conversation) -> VersionAnswer:
    heard = await talk.settle_ssl2()
    names = tuple(name_of(kind) for kind in heard.kinds)
    return VersionAnswer("SSL 2.0", heard.answer, heard.why, names, complete=heard.answer != UNCLEAR)
