"""What a recording of packets says about connections and their pace. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from itertools import accumulate
from typing import NamedTuple


class Endpoint(NamedTuple):
    """Where something goes: "tcp" or "udp", an address in its usual spelling, a port."""

    protocol: str
    address: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}/{self.protocol}"


class Sent(NamedTuple):
    """A connection's first SYN, or a datagram that is not an answer.

    ``at``: Unix seconds. ``established`` and ``ended``: the lines of the recording between which the connection was open,
    from the server's SYN-ACK until the scanner ends it or anybody resets it; None for what the recording does not have.
    """

    at: float
    endpoint: Endpoint
    established: int | None = None
    ended: int | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """What went out, in order: ``connections`` (first SYNs), ``datagrams``, and SYNs ``resent`` by endpoint.
    ``dropped``: packets that were not recorded, None when the recording broke off."""

    connections: Sequence[Sent]
    datagrams: Sequence[Sent]
    resent: Mapping[Endpoint, int]
    dropped: int | None

    @property
    def sent(self) -> Sequence[Sent]:
        """All of it, in order."""
        return sorted((*self.connections, *self.datagrams), key=lambda sent: sent.at)

    @property
    def by_endpoint(self) -> Mapping[Endpoint, int]:
        """Packets: SYNs, also those sent again, and datagrams."""
        return Counter(sent.endpoint for sent in self.sent) + Counter(self.resent)


FourTuple = tuple[str, str, str, str]


@dataclass(slots=True)
class _Reader:
    """Follows connections; ``_live`` holds the place in ``connections`` of the last one with these two ends."""

    connections: list[Sent] = field(default_factory=list)
    datagrams: list[Sent] = field(default_factory=list)
    resent: Counter[Endpoint] = field(default_factory=Counter)
    _live: dict[FourTuple, tuple[int, str]] = field(default_factory=dict)
    _answers: set[FourTuple] = field(default_factory=set)

    def take(self, number: int, line: str) -> None:
        time, protocol, flags, source, sport, address, port, sequence = line.split()
        there, back = (source, sport, address, port), (address, port, source, sport)
        sent = Sent(float(time), Endpoint(protocol, address, int(port)))
        if protocol == "udp":
            if there not in self._answers:
                self._answers.add(back)
                self.datagrams.append(sent)
        elif flags == "S":
            if self._live.get(there, (0, ""))[1] == sequence:
                self.resent[sent.endpoint] += 1
                return
            self._live[there] = (len(self.connections), sequence)
            self.connections.append(sent)
        elif flags == "SA":
            self._note(back, established=number)
        elif there in self._live:
            self._note(there, ended=number)
        elif "R" in flags:
            self._note(back, ended=number)

    def _note(self, connection: FourTuple, *, established: int | None = None, ended: int | None = None) -> None:
        """The first of each kind counts."""
        if connection in self._live:
            place = self._live[connection][0]
            at, endpoint, began, over = self.connections[place]
            began = established if began is None else began
            self.connections[place] = Sent(at, endpoint, began, ended if over is None else over)


def read_recording(lines: Iterable[str]) -> Recording:
    """Reads the lines of tests.netns.recorder."""
    reader, dropped = _Reader(), None
    for number, line in enumerate(lines):
        if line.startswith("end "):
            dropped = int(line[4:])
        elif line.strip():
            reader.take(number, line)
    return Recording(reader.connections, reader.datagrams, reader.resent, dropped)


def most_open(connections: Iterable[Sent]) -> int:
    """The most of these connections that were established at once."""
    steps = []
    for each in connections:
        if each.established is not None:
            steps.append((each.established, 1))
            if each.ended is not None:
                steps.append((each.ended, -1))
    return max(accumulate((change for _, change in sorted(steps)), initial=0))


class Excess(NamedTuple):
    """In some window of ``seconds`` ending with the packet ``number`` (from 0) more was ``sent`` than ``allowed``."""

    key: Hashable
    number: int
    seconds: float
    sent: int
    allowed: float


def excesses(
    sent: Sequence[Sent], key: Callable[[Sent], Hashable], *, burst: float, rate: float, slack: float = 0.0
) -> Iterator[Excess]:
    """Every packet that overflows the bucket of its key: in any window of t seconds at most burst + rate x t may be sent.

    That is the leaky bucket: a window that breaks the limit exists exactly when the bucket overflows.

    Args:
        slack: packets by which the clock of the record may differ from the sender's.
    """
    level: dict[Hashable, tuple[float, float, float, int]] = {}
    for index, packet in enumerate(sent):
        name = key(packet)
        filled, last, since, count = level.get(name, (0.0, packet.at, packet.at, 0))
        left = filled - rate * (packet.at - last)
        if left <= 0:
            left, since, count = 0.0, packet.at, 0
        level[name] = (left + 1, packet.at, since, count + 1)
        if left + 1 > burst + slack + 1e-9:
            seconds = packet.at - since
            yield Excess(name, index, seconds, count + 1, burst + rate * seconds)


def most_within(times: Sequence[float], seconds: float) -> int:
    """The most of these instants that lie within any window of so many seconds."""
    most = start = 0
    for end, at in enumerate(times):
        while at - times[start] >= seconds:
            start += 1
        most = max(most, end - start + 1)
    return most


def prefix_of(address: str) -> str:
    """The /24 or /56 around an address."""
    return str(ip_network(f"{address}/{56 if ':' in address else 24}", strict=False))
