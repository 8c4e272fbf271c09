"""A scan of the whole lab by the console script: an inventory of its servers, and a resolver that is well and knows nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.cli.line import process
from tests.net.dnsd import name_server
from tests.oracles.tls.lab import NETWORK, Standing
from tests.oracles.tls.pki import DOMAIN
from tests.oracles.tls.threads import standing as resting
from tests.scan.wiring import only_the_root

_LIMITS = """
connections_per_address = 20
new_connections_per_second = 500
new_connections_burst = 1000
prefix_per_second = 5000
prefix_burst = 10000
smtp_per_minute = 600
smtp_per_hour = 6000
"""

Outcomes = Mapping[tuple[str, str], str]


def scan(folder: Path, standing: Mapping[str, Standing], *words: str) -> Sequence[Mapping[str, Any]]:
    """All findings of ``posture scan --check tls`` on these servers.

    Args:
        words: more of the command line.
    """
    folder.mkdir()
    with resting(name_server(only_the_root)) as resolver, _closed() as closed:
        (folder / "inventory.toml").write_text(_inventory(standing, closed), "utf-8")
        roots = next(iter(standing.values())).pki.roots
        (folder / "posture.toml").write_text(f'resolver = "127.0.0.1:{resolver.port}"\nca_file = "{roots}"\n', "utf-8")
        said = process("scan", "inventory.toml", "--lab", "--check", "tls", *words, cwd=folder)
        assert said.code == 0, said.err
    found = process("findings", "--outcome", "all", "--format", "jsonl", cwd=folder)
    assert found.code == 0, found.err
    return found.records


def outcomes(findings: Sequence[Mapping[str, Any]], standing: Mapping[str, Standing]) -> Outcomes:
    """(server, control) -> outcome, of the controls of TLS; that of its port 80 where the control is about that."""
    names = {one.server.host: name for name, one in standing.items()}
    return {
        (names[found["asset"]], found["control"]): found["outcome"]
        for found in findings
        if found["control"].startswith("tls.")
    }


def _inventory(standing: Mapping[str, Standing], closed: int) -> str:
    today = datetime.now(UTC).date()
    ports = sorted({80, *(one.server.port for one in standing.values())})
    text = (
        'format = "posture-inventory/1"\n[state]\ncode = "ZZ"\nname = "Example Islands"\ntimezone = "UTC"\n'
        '[operator]\nname = "CERT"\ncontact = "soc@cert.example"\n'
        '[[authorisation]]\nid = "zz-lab"\nowner = "Ministry of Tests"\nofficer = "PS"\nbasis = "own"\n'
        f'reference = "Letter 1"\nnot_before = {today - timedelta(days=2)}\nnot_after = {today + timedelta(days=2)}\n'
        f'classes = ["passive", "client", "active"]\nzones = ["{DOMAIN}"]\nnetworks = ["{NETWORK}"]\n'
        f"ports = {[str(port) for port in ports]}\nlab = true\n[authorisation.limits]{_LIMITS}"
        '[[ministry]]\ncode = "lab"\nname = "Ministry of Tests"\nauthorisation = "zz-lab"\n'
    )
    for one in standing.values():
        roles = 'roles = ["web"]\n' if one.server.port == 443 else ""
        text += f'[[ministry.asset]]\nname = "{one.server.host}"\n{roles}ports = [{one.server.port}]\n'
        text += f'addresses = ["{one.place[0]}"]\n'
    for one in standing.values():
        for port, to in ((one.server.port, one.place[1]), (80, closed)):
            text += f'[[lab_port]]\naddress = "{one.place[0]}"\nport = {port}\nto = {to}\nproto = "tcp"\n'
    return text


@contextmanager
def _closed() -> Iterator[int]:
    """A port that is closed on every address, and stays so."""
    with socket.socket() as held:
        held.bind(("0.0.0.0", 0))
        yield held.getsockname()[1]
