"""The real probes put to small servers on loopback, through the real engine and broker."""

from __future__ import annotations

from asyncio import StreamReader, StreamWriter
from collections.abc import Sequence
from typing import Any

from posture.engine.local import run
from posture.inventory.records import LabPort
from posture.model import Answer
from posture.probes import PROBES
from posture.task import Task
from tests.net import desk, servers

HERE = "127.0.0.1"
ALL_PROBES = {probe.name: probe for probe in PROBES}


def task(probe: str, port: int | None = 443, **changes: Any) -> Task:
    known = ALL_PROBES[probe].probe_class
    return desk.task(probe=probe, port=port, probe_class=known, **changes)


async def answers(tasks: Sequence[Task], places: dict[int, int], scope: Any = None, **options: Any) -> list[Answer]:
    """Of each task, in their order; ``places``: the port spoken of -> the one of a server here."""
    ports = tuple(LabPort(HERE, port, to, "tcp") for port, to in places.items())
    found: dict[int, Answer] = {}
    numbers = {id(one): number for number, one in enumerate(tasks)}
    async for one, answer in run(tasks, ALL_PROBES, desk.broker(scope, lab_ports=ports, **options)):
        found[numbers[id(one)]] = answer
    return [found[number] for number in range(len(tasks))]


def in_turns(*handlers: servers.Handler) -> servers.Handler:
    """Each connection as the next handler does; the last one for ever."""
    left = list(handlers)

    async def handler(reader: StreamReader, writer: StreamWriter) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(reader, writer)

    return handler


def saying_now(*pieces: bytes) -> servers.Handler:
    return servers.saying(*pieces, ask=False)


def http(status: str) -> servers.Handler:
    return servers.saying(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
