"""What sslyze alone can ask, run in its box: the probes ``tls_vulnerability``, ``tls_stores`` and ``tls_early_data``.

They run only in deep scans. The first is intrusive: it sends what no client sends. params: ``starttls`` as for ``tls``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from posture.facts.deep import (
    ATTEMPTS,
    EARLY_CCS,
    HEARTBLEED,
    MOST_RENEGOTIATIONS,
    RENEGOTIATIONS,
    ROBOT,
    STRONG,
    VULNERABLE,
    WEAK,
    Attempt,
    DeepAnswer,
    TlsEarlyDataFacts,
    TlsStoresFacts,
    TlsVulnerabilityFacts,
)
from posture.facts.parse_sslyze import Report, SslyzeReportError, parse_sslyze
from posture.model import NotSeen, Reason
from posture.net.broker import BrokerDoor
from posture.net.sandbox import End
from posture.net.sslyze import SslyzeRan, run_sslyze
from posture.net.tunnel import Tunnel
from posture.probes.base import Door
from posture.probes.tls.witness import attempts, early_data, unreached
from posture.task import Task

_COMMANDS = {HEARTBLEED: "heartbleed", EARLY_CCS: "openssl_ccs", ROBOT: "robot", RENEGOTIATIONS: "reneg"}
_BAD_NEWS = {
    HEARTBLEED: {VULNERABLE},
    EARLY_CCS: {VULNERABLE},
    ROBOT: {STRONG, WEAK},
    RENEGOTIATIONS: {str(MOST_RENEGOTIATIONS)},
}


async def observe_vulnerability(task: Task, door: Door) -> TlsVulnerabilityFacts:
    """Heartbleed, early ChangeCipherSpec, ROBOT and renegotiation; bad news is asked for twice more.

    Raises:
        NotThere: the port is closed.
        NotSeen: sslyze cannot be run here, could not connect, or did not end in time; a refusal of ours.
    """
    report, tunnels = await _examined(task, door, _COMMANDS.values())
    found = {name: [attempt] for name, attempt in attempts(report, tunnels).items()}
    for _ in range(ATTEMPTS - 1):
        again = [name for name, bad in _BAD_NEWS.items() if name in found and found[name][0].said in bad]
        if not again:
            break
        for name, attempt in (await _once_more(task, door, [_COMMANDS[name] for name in again], again)).items():
            found[name].append(attempt)
    return TlsVulnerabilityFacts(
        name=task.name,
        starttls=_starttls(task),
        newest=report.newest,
        tool=report.tool,
        answers=tuple(DeepAnswer(name, tuple(found[name])) for name in sorted(found)),
    )


async def _once_more(task: Task, door: Door, commands: Sequence[str], names: Sequence[str]) -> dict[str, Attempt]:
    """The same questions again; an attempt that fails is one of those that count, unless we may not go on."""
    try:
        found = attempts(*await _examined(task, door, commands))
    except NotSeen as unseen:
        if unseen.code is not None or unseen.reason is Reason.STOPPED:
            raise
        return {name: Attempt("unclear", str(unseen.reason)) for name in names}
    return {name: found.get(name, Attempt("unclear", str(Reason.MALFORMED))) for name in names}


async def observe_stores(task: Task, door: Door) -> TlsStoresFacts:
    """What five trust stores make of the certificate chains. Raises as :func:`observe_vulnerability`."""
    report, _ = await _examined(task, door, ["certinfo"])
    deployments = report.results.get("certinfo")
    if deployments is None:
        raise NotSeen(Reason.MALFORMED, f"{report.tool} could not read the certificates")
    return TlsStoresFacts(task.name, _starttls(task), report.tool, deployments)


async def observe_early_data(task: Task, door: Door) -> TlsEarlyDataFacts:
    """Whether a web server accepts early data. Raises as :func:`observe_vulnerability`."""
    report, tunnels = await _examined(task, door, ["early_data"])
    return TlsEarlyDataFacts(task.name, report.newest, report.tool, early_data(report, tunnels))


def _starttls(task: Task) -> str:
    return str(task.params.get("starttls", ""))


async def _examined(task: Task, door: Door, commands: Collection[str]) -> tuple[Report, tuple[Tunnel, ...]]:
    """One run of sslyze that connected, and what went over the wire meanwhile."""
    address, port = task.addresses[0], task.port or 0
    if not isinstance(door, BrokerDoor):
        raise NotSeen(Reason.VANTAGE_LIMITED, "behind this door no program can be started")
    # Waits for a turn, and shows at once whether anything lives there: sslyze would wait long for both.
    async with await door.connect(address, port):
        pass
    ran = await run_sslyze(door, address, port, commands, starttls=_starttls(task))
    _must_be_permitted(ran)
    report = _report(ran)
    if not report.newest:
        raise NotSeen(unreached(ran.tunnels), f"{report.tool} found no version and suite to agree on")
    return report, ran.tunnels


def _must_be_permitted(ran: SslyzeRan) -> None:
    """A refusal of our own under way is about the authority, not about the server. Raises NotSeen."""
    for unseen in ran.unseen:
        if unseen.code is not None:
            raise unseen


def _report(ran: SslyzeRan) -> Report:
    """Raises NotSeen: there is none, with the reason why the program ended without."""
    ended = _ENDS.get(ran.ran.end)
    if ended is not None:
        raise NotSeen(ended(ran), f"sslyze ended without a report ({ran.ran.end})")
    try:
        return parse_sslyze(ran.ran.stdout)
    except SslyzeReportError as fault:
        raise NotSeen(Reason.MALFORMED, f"the report of sslyze cannot be read: {fault}") from fault


_ENDS: dict[End, Callable[[SslyzeRan], Reason]] = {
    End.DEADLINE: lambda ran: unreached(ran.tunnels, Reason.DEADLINE),
    End.CPU: lambda _: Reason.DEADLINE,
    End.OUTPUT: lambda _: Reason.TRUNCATED,
    End.SIGNALLED: lambda _: Reason.MALFORMED,
}
