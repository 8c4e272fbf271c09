"""A scan is guarded: what goes round the broker while it runs is refused, and what it grants is not in the way."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from posture.net.guard import UngrantedError
from posture.plan import Selection
from tests.scan.wiring import PHARMACY, Watch, scanned, terms_of

pytestmark = pytest.mark.xdist_group("scans of the range")


def test_code_that_goes_round_the_broker_is_refused_during_a_scan(inventory: Path) -> None:
    refused: list[str] = []

    def try_it(do: Callable[[], object]) -> None:
        with pytest.raises(UngrantedError) as caught:
            do()
        refused.append(str(caught.value))

    def at_answer(_count: int) -> None:
        with socket.socket() as sock:
            try_it(lambda: sock.connect(server.getsockname()))
        try_it(lambda: socket.getaddrinfo("localhost", 80))
        try_it(lambda: subprocess.run(["/bin/true"], check=True))

    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = scanned(
            terms_of(inventory, Selection(assets=(PHARMACY,), checks=("services",))), Watch(at_answer=at_answer)
        )
        with socket.create_connection(server.getsockname()):
            pass

    assert len(refused) >= 3
    assert ended.exit_code(None) == 0
