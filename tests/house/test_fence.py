"""The fence of tests/conftest.py holds: nothing leaves 127.0.0.0/8 and ::1."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.conftest import FenceError

ELSEWHERE = ["192.0.2.1", "169.254.169.254", "10.0.0.1", "8.8.8.8"]


@pytest.mark.parametrize("address", ELSEWHERE)
def test_no_tcp_connection_leaves(address: str) -> None:
    with socket.socket() as sock, pytest.raises(FenceError):
        sock.connect((address, 443))


@pytest.mark.parametrize("address", ELSEWHERE)
def test_no_datagram_leaves(address: str) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock, pytest.raises(FenceError):
        sock.sendto(b"x", (address, 53))


def test_no_ipv6_connection_leaves() -> None:
    with socket.socket(socket.AF_INET6) as sock, pytest.raises(FenceError):
        sock.connect(("2001:db8::1", 443))


def test_no_name_is_looked_up_by_the_system() -> None:
    with pytest.raises(FenceError):
        socket.getaddrinfo("www.gov.example", 443)


def test_asyncio_is_inside_the_fence() -> None:
    async def connect() -> None:
        await asyncio.open_connection("192.0.2.1", 80)

    with pytest.raises(FenceError):
        asyncio.run(connect())


def test_loopback_is_inside() -> None:
    with socket.socket() as server:
        server.bind(("127.0.20.1", 0))
        server.listen()
        with socket.create_connection(server.getsockname(), timeout=2) as client:
            assert client.getpeername()[0] == "127.0.20.1"
