"""Starts the servers of servers.toml on loopback addresses of their own, each once."""

from __future__ import annotations

import contextlib
import random
import socket
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.doors import Place
from tests.lab import need, wait_for_port
from tests.oracles.tls.mail import dovecot, logged, postfix
from tests.oracles.tls.pki import DOMAIN, PASSWORD, Pki, make_pki

HERE = Path(__file__).parent
NETWORK = "127.0.41.0/24"
_PORTS = range(12_000, 32_000)


@dataclass(frozen=True)
class Server:
    """One entry of servers.toml; ``expected`` has every control of the family."""

    name: str
    program: str
    certificates: tuple[str, ...]
    settings: str
    expected: Mapping[str, str]
    port: int = 443
    starttls: str = ""

    @property
    def host(self) -> str:
        """The name by which it is asked for."""
        return f"{self.name}.{DOMAIN}"


@dataclass(frozen=True)
class Standing:
    """A server that answers at ``place``."""

    server: Server
    place: Place
    pki: Pki

    @property
    def files(self) -> list[tuple[Path, Path]]:
        """(chain, key) of its certificates."""
        return [self.pki.files[kind] for kind in self.server.certificates]

    @property
    def settings(self) -> str:
        """The settings, with the files that they name."""
        known = {"{dh_1024}": self.pki.dh_1024, "{staple}": self.pki.staple, "{roots}": self.pki.roots}
        text = self.server.settings
        for word, path in known.items():
            text = text.replace(word, str(path))
        return text


@cache
def servers() -> Mapping[str, Server]:
    """All of servers.toml by name."""
    table = tomllib.loads((HERE / "servers.toml").read_text("utf-8"))
    return {one["name"]: _server(one, table["outcomes"][one.pop("like", "sound")]) for one in table["server"]}


def _server(entry: Mapping[str, Any], usual: Mapping[str, str]) -> Server:
    expected = {**usual, **entry["expected"]}
    return Server(**{**entry, "certificates": tuple(entry["certificates"]), "expected": expected})


@contextmanager
def lab(folder: Path, names: Sequence[str] = ()) -> Iterator[Mapping[str, Standing]]:
    """The servers of these names, or all, but those whose program is missing; stopped at the end of the block."""
    pki = make_pki(folder)
    wanted = [server for server in servers().values() if not names or server.name in names]
    numbers = {name: index for index, name in enumerate(servers(), 1)}
    standing = {
        server.name: Standing(server, (f"127.0.41.{numbers[server.name]}", port), pki)
        for server, port in zip(wanted, _ports(len(wanted)), strict=True)
    }
    by_program: dict[str, list[Standing]] = defaultdict(list)
    for one in standing.values():
        by_program[one.server.program].append(one)
    with ExitStack() as started:
        for program, group in by_program.items():
            own = folder / program
            own.mkdir(mode=0o755)
            try:
                _start(started, program, own, group, standing)
            except pytest.skip.Exception:  # it is missing here, and so are its servers
                standing = {name: one for name, one in standing.items() if one not in group}
        for one in standing.values():
            _wait_for(one, folder / one.server.program)
        yield standing


def _wait_for(one: Standing, own: Path) -> None:
    try:
        wait_for_port(*one.place, seconds=20)
    except TimeoutError as silent:
        logs = "\n".join(
            path.read_text("utf-8", "replace")[-500:]
            for path in (own / "log", own / f"{one.server.name}.log")
            if path.exists()
        )
        raise TimeoutError(f"{one.server.name} does not answer. {logs}") from silent


def _ports(count: int) -> list[int]:
    """Ports that are free on every address, below those that the kernel gives to clients, of which tests make thousands."""
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("0.0.0.0", port))
            found.append(port)
        if len(found) == count:
            break
    return found


def _start(
    started: ExitStack, program: str, own: Path, group: Sequence[Standing], everybody: Mapping[str, Standing]
) -> None:
    if program in _TOGETHER:
        started.enter_context(_TOGETHER[program](own, group, everybody))
    for one in group if program in _ALONE else ():
        started.enter_context(logged(_ALONE[program](one), own / f"{one.server.name}.log"))


# ---- a process each


def _openssl(one: Standing) -> list[str | Path]:
    (chain, key), *_ = one.files
    argv = [need("openssl", "openssl"), "s_server", "-quiet", "-www", "-accept", _colon(one.place)]
    above = one.pki.above[one.server.certificates[0]]
    return [*argv, "-cert", chain, "-cert_chain", above, "-key", key, *one.settings.split()]


def _newest(one: Standing) -> list[str | Path]:
    (chain, key), *_ = one.files
    return [sys.executable, HERE / "newest.py", *map(str, one.place), chain, key, one.settings]


def _gnutls(one: Standing) -> list[str | Path]:
    """It knows no address to bind to: it listens on all of them."""
    (chain, key), *_ = one.files
    argv = [need("gnutls-serv", "gnutls-bin"), "--quiet", "--http", "--port", str(one.place[1])]
    return [*argv, "--x509certfile", chain, "--x509keyfile", key, "--priority", one.settings]


_ALONE = {"openssl": _openssl, "newest": _newest, "gnutls": _gnutls}


# ---- one process for all


@contextmanager
def _nginx(folder: Path, group: Sequence[Standing], _all: Mapping[str, Standing]) -> Iterator[None]:
    configuration = folder / "nginx.conf"
    paths = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    blocks = "\n".join(_nginx_block(one) for one in group)
    header = 'add_header Strict-Transport-Security "max-age=31536000" always;'
    configuration.write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log stderr crit; worker_processes 1; events {{ }}\n"
        f"http {{ access_log off; {paths} {header}\n{blocks}\n}}\n"
    )
    with logged([need("nginx", "nginx"), "-e", "stderr", "-p", folder, "-c", configuration], folder / "log"):
        yield


def _nginx_block(one: Standing) -> str:
    settings = one.settings.removeprefix("http2;")
    listen = f"listen {_colon(one.place)} ssl{' http2' if settings != one.settings else ''};"
    files = " ".join(f"ssl_certificate {chain}; ssl_certificate_key {key};" for chain, key in one.files)
    return f"server {{ {listen} server_name {one.server.host}; {files} {settings} location / {{ return 200; }} }}"


@contextmanager
def _java(_folder: Path, group: Sequence[Standing], _all: Mapping[str, Standing]) -> Iterator[None]:
    need("javac", "default-jdk-headless")
    doors = "".join(
        f"{one.place[0]} {one.place[1]} {','.join(str(one.pki.pfx[kind]) for kind in one.server.certificates)} "
        f"{one.settings}\n"
        for one in group
    )
    options = ["-Xshare:auto", "-XX:TieredStopAtLevel=1", "-Djdk.tls.ephemeralDHKeySize=1024"]
    argv = [need("java", "default-jdk-headless"), *options, str(HERE / "Server.java"), PASSWORD]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{doors}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.communicate()


@contextmanager
def _haproxy(folder: Path, group: Sequence[Standing], everybody: Mapping[str, Standing]) -> Iterator[None]:
    configuration = folder / "haproxy.cfg"
    configuration.write_text(
        "defaults\n timeout connect 5s\n timeout client 10s\n timeout server 10s\n"
        + "".join(_haproxy_front(folder, one, everybody) for one in group)
    )
    with logged([need("haproxy", "haproxy"), "-db", "-f", configuration], folder / "log"):
        yield


def _haproxy_front(folder: Path, one: Standing, everybody: Mapping[str, Standing]) -> str:
    kind, _, rest = one.settings.partition(" ")
    if kind == "tls":
        chain, key = one.files[0]
        pem = folder / f"{one.server.name}.pem"
        pem.write_bytes(chain.read_bytes() + key.read_bytes())
        bind = f"bind {_colon(one.place)} ssl crt {pem} {rest}"
        return f"frontend {one.server.name}\n mode http\n {bind}\n http-request return status 200\n"
    behind, *inspect = rest.split()
    if behind not in everybody:
        pytest.skip(f"{behind} does not stand")
    looking = (
        " tcp-request inspect-delay 5s\n tcp-request content accept if { req.ssl_hello_type 1 }\n"
        " tcp-request content reject if { req.len gt 0 } !{ req.ssl_hello_type 1 }\n"
    )
    return (
        f"listen {one.server.name}\n mode tcp\n bind {_colon(one.place)}\n{looking if inspect else ''}"
        f" server behind {_colon(everybody[behind].place)}\n"
    )


@contextmanager
def _postfix(_folder: Path, group: Sequence[Standing], _all: Mapping[str, Standing]) -> Iterator[None]:
    with ExitStack() as started:
        for one in group:
            started.enter_context(postfix(one.place, *one.files[0], one.settings))
        yield


@contextmanager
def _dovecot(_folder: Path, group: Sequence[Standing], _all: Mapping[str, Standing]) -> Iterator[None]:
    with dovecot({one.settings: one.place for one in group}, *group[0].files[0]):
        yield


_TOGETHER: Mapping[str, Any] = {
    "nginx": _nginx, "java": _java, "haproxy": _haproxy, "postfix": _postfix, "dovecot": _dovecot,
}  # fmt: skip


def _colon(place: Place) -> str:
    return f"{place[0]}:{place[1]}"
