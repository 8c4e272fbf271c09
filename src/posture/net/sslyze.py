"""sslyze as a child: executed, never imported (its licence is not ours), with no way to the network but our proxy."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass

from posture.inventory.names import is_address
from posture.model import NotSeen, Reason
from posture.net.broker import BrokerDoor
from posture.net.child import while_open
from posture.net.governor import SMTP_PORTS
from posture.net.proxy import connect_proxy
from posture.net.sandbox import MEBIBYTE, Box, Ran, run_boxed
from posture.net.tunnel import Tunnel

# What it alone knows; all else our own prober sees with fewer connections.
COMMANDS = frozenset({"certinfo", "robot", "heartbleed", "openssl_ccs", "reneg", "early_data"})
# What it can say before TLS begins, by our names.
STARTTLS = frozenset({"ftp", "imap", "ldap", "pop3", "postgres", "rdp", "xmpp", "xmpp-server"})
# It reads our proxy's answer and a greeting behind it in one go, and forgets the greeting.
GREETING_PAUSE = 0.5
SSLYZE_SECONDS = 60.0
# Measured: 28 for all commands against a server that answers.
CONNECTIONS = 60
BOX = Box(memory=2048 * MEBIBYTE, cpu_seconds=60)

_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
# Its arguments come on standard input: on the command line every user of the machine could read the proxy's secret.
_RUN = (
    "import json, runpy, sys; sys.argv[1:] = json.load(sys.stdin);"
    " runpy.run_module('sslyze', run_name='__main__', alter_sys=True)"
)


@dataclass(frozen=True, slots=True)
class SslyzeRan:
    """``ran.stdout`` is its JSON. ``unseen``: why some of its connections were not to be had; where it then says "not
    vulnerable" or "rejected" it may only have met one of them. ``tunnels`` tell which of them it was."""

    ran: Ran
    connections: int
    unseen: tuple[NotSeen, ...]
    tunnels: tuple[Tunnel, ...] = ()


def sslyze_missing() -> bool:
    """Whether it is not installed beside us. It is looked for, not loaded."""
    return importlib.util.find_spec("sslyze") is None


def sslyze_arguments(name: str, port: int, commands: Collection[str], proxy_url: str, starttls: str = "") -> list[str]:
    """What follows the program's name.

    Args:
        name: a host name, or an address: SNI and what our proxy is asked for.
        proxy_url: of our proxy.
        starttls: what to say before TLS, one of STARTTLS.

    Raises:
        ValueError: a name, a port, a protocol or a command that may not be given.
    """
    target = _target(name)
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535 or port in SMTP_PORTS:
        raise ValueError(f"sslyze is never sent to port {port!r}")
    if not commands or not COMMANDS.issuperset(commands):
        raise ValueError(f"no commands of ours: {sorted(set(commands) - COMMANDS)}")
    if starttls and starttls not in STARTTLS:
        raise ValueError(f"sslyze never begins with {starttls!r}")
    return [
        "--https_tunnel",
        proxy_url,
        "--mozilla_config",
        "disable",
        "--slow_connection",
        "--json_out=-",
        *([f"--starttls={starttls.replace('-', '_')}"] if starttls else []),
        *(f"--{command}" for command in sorted(commands)),
        f"{target}:{port}",
    ]


def _target(name: str) -> str:
    """Raises ValueError: no host name and no address."""
    lowered = name.lower() if isinstance(name, str) else ""
    if is_address(lowered):
        return f"[{lowered}]" if ":" in lowered else lowered
    if not _NAME.fullmatch(lowered) or lowered[-1:].isdigit():
        raise ValueError(f"no host name: {name!r}")
    return lowered


async def run_sslyze(
    door: BrokerDoor,
    address: str,
    port: int,
    commands: Collection[str],
    *,
    starttls: str = "",
    budget: int = CONNECTIONS,
    seconds: float = SSLYZE_SECONDS,
) -> SslyzeRan:
    """Runs sslyze against one port of one address of the door's task, whose name it says.

    Raises:
        ValueError: see :func:`sslyze_arguments`.
        NotSeen: OUT_OF_SCOPE, STOPPED, VANTAGE_LIMITED, TOOL_MISSING; what else went wrong with its connections is in
            ``unseen``.
    """
    if sslyze_missing():
        raise NotSeen(Reason.TOOL_MISSING, "sslyze is not installed")
    name = door.task.name
    with ExitStack() as held:
        pause = GREETING_PAUSE if starttls else 0.0
        async with connect_proxy(door, name, address, port, budget=budget, pause=pause) as proxy:
            arguments = sslyze_arguments(name, port, commands, proxy.url, starttls)
            running = run_boxed(
                [sys.executable, "-I", "-c", _RUN],
                stdin=json.dumps(arguments).encode("ascii"),
                deadline=door.clock.deadline(seconds).at,
                box=BOX,
            )
            ran = await while_open(door, running, held)
            return SslyzeRan(ran, proxy.tunnels, tuple(proxy.unseen), tuple(proxy.log))
