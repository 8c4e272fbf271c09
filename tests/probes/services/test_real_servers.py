"""The same identification on the real servers of the distribution."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from posture.facts.service import PortAnswer
from posture.probes.identify import Place, identify
from tests.doors import LoopbackDoor, scripted
from tests.lab import free_port, need, need_root, serve

HOST = "127.0.0.1"


def ask(port: int, real: int) -> PortAnswer:
    """What the probe makes of a server that listens on ``real``, taken for ``port``."""
    door = LoopbackDoor({(HOST, port): (HOST, real)})
    return asyncio.run(identify(Place(door, HOST, port, "db.gov.example", banner_seconds=2)))


@contextmanager
def redis(folder: Path, *options: str) -> Iterator[int]:
    port = free_port()
    argv = [
        need("redis-server", "redis-server"),
        "--port",
        str(port),
        "--bind",
        HOST,
        "--dir",
        str(folder),
        "--save",
        "",
    ]
    with serve([*argv, *options], ready=(HOST, port)):
        yield port


def test_redis_without_a_password_obeys_anybody(tmp_path: Path) -> None:
    with redis(tmp_path, "--protected-mode", "no") as real:
        answer = ask(6379, real)

    assert (answer.service, answer.access) == ("redis", "open")


def test_redis_with_a_password_wants_it(tmp_path: Path) -> None:
    with redis(tmp_path, "--requirepass", "secret") as real:
        answer = ask(6379, real)

    assert (answer.service, answer.access) == ("redis", "login")


def test_memcached_answers_strangers() -> None:
    port = free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with serve([need("memcached", "memcached"), "-l", HOST, "-p", str(port), "-U", "0", *user], ready=(HOST, port)):
        answer = ask(11211, port)

    assert (answer.service, answer.access) == ("memcached", "open")


@contextmanager
def vsftpd(folder: Path, settings: str) -> Iterator[int]:
    binary = need("vsftpd", "vsftpd")
    need_root()
    port = free_port()
    empty = folder / "empty"
    empty.mkdir()
    configuration = folder / "vsftpd.conf"
    configuration.write_text(
        f"listen=YES\nlisten_address={HOST}\nlisten_port={port}\nbackground=NO\nanonymous_enable=NO\n"
        f"local_enable=YES\nsecure_chroot_dir={empty}\nseccomp_sandbox=NO\nisolate=NO\nisolate_network=NO\n{settings}"
    )
    configuration.chmod(0o600)
    with serve([binary, configuration], ready=(HOST, port)):
        yield port


def tls_settings(folder: Path, *, forced: bool) -> str:
    pem = folder / "server.pem"
    issued = trustme.CA().issue_cert("ftp.gov.example")
    issued.private_key_and_cert_chain_pem.write_to_path(str(pem))
    word = "YES" if forced else "NO"
    return f"ssl_enable=YES\nrsa_cert_file={pem}\nforce_local_logins_ssl={word}\nforce_local_data_ssl={word}\n"


@pytest.mark.parametrize(("tls", "access"), [(None, "clear"), ("optional", "tls_optional"), ("forced", "tls_required")])
def test_vsftpd_shows_whether_a_user_name_travels_in_clear(tmp_path: Path, tls: str | None, access: str) -> None:
    settings = tls_settings(tmp_path, forced=tls == "forced") if tls else ""
    with vsftpd(tmp_path, settings) as real:
        answer = ask(21, real)

    assert (answer.service, answer.access) == ("ftp", access)


def test_telnetd_negotiates_options() -> None:
    binary = need("telnetd", "inetutils-telnetd")

    async def run() -> PortAnswer:
        async def like_inetd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            descriptor = os.dup(writer.get_extra_info("socket").fileno())
            os.set_blocking(descriptor, True)
            process = await asyncio.create_subprocess_exec(
                binary, stdin=descriptor, stdout=descriptor, stderr=asyncio.subprocess.DEVNULL
            )
            os.close(descriptor)
            try:
                await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()

        async with scripted(like_inetd) as place:
            door = LoopbackDoor({(HOST, 23): place})
            return await identify(Place(door, HOST, 23, "router.gov.example"))

    answer = asyncio.run(run())

    assert (answer.service, answer.access) == ("telnet", "login")
    assert answer.heard.startswith("\\xff")


@contextmanager
def postgresql() -> Iterator[int]:
    """Runs as its own user, as it must, in a folder of its own: pytest's are private to us."""
    initdb, server = need("initdb", "postgresql"), need("postgres", "postgresql")
    need_root()
    user = pwd.getpwnam("postgres")
    as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    with tempfile.TemporaryDirectory() as folder:
        shutil.chown(folder, user.pw_uid, user.pw_gid)
        data = f"{folder}/data"
        made = [*as_user, initdb, "-D", data, "--no-sync", "-A", "trust", "-E", "UTF8", "--no-locale"]
        subprocess.run(made, check=True, capture_output=True, cwd="/")
        port = free_port()
        options = ["-c", f"listen_addresses={HOST}", "-c", "unix_socket_directories=", "-c", "fsync=off"]
        argv = [*as_user, server, "-D", data, "-p", str(port), *options]
        with serve(argv, ready=(HOST, port), cwd=Path("/"), seconds=30):
            yield port


def test_postgresql_answers_an_ssl_request() -> None:
    with postgresql() as real:
        answer = ask(5432, real)

    assert (answer.service, answer.access) == ("postgresql", "login")


def test_mariadb_greets_us_or_refuses_our_address(tmp_path: Path) -> None:
    binary = need("mariadbd", "mariadb-server")
    install = need("mariadb-install-db", "mariadb-server")
    data, port = tmp_path / "data", free_port()
    me = pwd.getpwuid(os.geteuid()).pw_name
    made = [install, "--no-defaults", f"--datadir={data}", f"--user={me}", "--skip-test-db"]
    subprocess.run(made, check=True, capture_output=True)
    argv = [binary, "--no-defaults", f"--datadir={data}", f"--user={me}", f"--bind-address={HOST}", f"--port={port}"]
    argv += [f"--socket={tmp_path / 's'}", "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0"]
    with serve(argv, ready=(HOST, port), seconds=40):
        answer = ask(3306, port)

    assert answer.service == "mysql"
    # Accounts exist for localhost only, and without name resolution 127.0.0.1 is not that.
    assert (answer.access, answer.heard) == ("denied", "error 1130")
