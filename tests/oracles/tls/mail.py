"""A Postfix and a Dovecot of one's own: configuration, queue and data in a directory that their users may enter."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.doors import Place
from tests.lab import need, need_root

_MAIN = """compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
myhostname = mail.gov.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
local_recipient_maps =
smtpd_client_restrictions =
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
alias_maps =
maillog_file_prefixes = {folder}
maillog_file = {folder}/log
smtpd_tls_security_level = may
smtpd_tls_chain_files = {pem}
{settings}
"""
_MASTER = """{address}:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
rewrite unix - - n - - trivial-rewrite
tlsmgr unix - - n 1000? 1 tlsmgr
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""
_DOVECOT = """base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap pop3
listen = {addresses}
ssl = yes
ssl_cert = <{chain}
ssl_key = <{key}
default_internal_user = dovecot
default_login_user = dovenull
default_internal_group = dovecot
mail_location = maildir:{folder}/mail
passdb {{
  driver = static
}}
service imap-login {{
{imap}
}}
service pop3-login {{
{pop3}
}}
"""


@contextmanager
def logged(argv: Sequence[str | Path], log: Path) -> Iterator[None]:
    """A process that may say as much as it likes: thousands of failed handshakes would fill a pipe and stop it."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def postfix(place: Place, chain: Path, key: Path, settings: str) -> Iterator[None]:
    """A Postfix whose smtpd answers there."""
    binary = need("postfix", "postfix")
    with _enterable() as folder:
        _configure_postfix(folder, place, chain, key, settings)
        with logged([binary, "-c", folder / "etc", "start-fg"], folder / "out"):
            try:
                yield
            finally:  # its master leaves the session of the command that started it
                subprocess.run([binary, "-c", folder / "etc", "stop"], check=True, capture_output=True)


def _configure_postfix(folder: Path, place: Place, chain: Path, key: Path, settings: str) -> None:
    for name in ("etc", "queue", "data"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    pem = folder / "server.pem"
    pem.write_bytes(key.read_bytes() + chain.read_bytes())
    pem.chmod(0o600)
    address, port = place
    values = {"folder": folder, "address": address, "port": port, "pem": pem, "settings": settings}
    (folder / "etc" / "main.cf").write_text(_MAIN.format(**values))
    (folder / "etc" / "master.cf").write_text(_MASTER.format(**values))


@contextmanager
def dovecot(places: Mapping[str, Place], chain: Path, key: Path) -> Iterator[None]:
    """A Dovecot that answers as "imap", "imaps" or "pop3" at these places."""
    binary = need("dovecot", "dovecot-imapd")
    with _enterable() as folder:
        doors = {name: [_door(kind, places.get(kind)) for kind in kinds] for name, kinds in _KINDS.items()}
        (folder / "dovecot.conf").write_text(
            _DOVECOT.format(
                folder=folder,
                addresses=", ".join(address for address, _ in places.values()),
                chain=chain,
                key=key,
                **{name: "".join(found) for name, found in doors.items()},
            )
        )
        with logged([binary, "-F", "-c", folder / "dovecot.conf"], folder / "out"):
            yield


@contextmanager
def _enterable() -> Iterator[Path]:
    """A directory through which other users may pass; those of pytest are their owner's alone."""
    need_root()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


_KINDS = {"imap": ("imap", "imaps"), "pop3": ("pop3", "pop3s")}


def _door(kind: str, place: Place | None) -> str:
    if place is None:
        return f"  inet_listener {kind} {{\n    port = 0\n  }}\n"
    ssl = "    ssl = yes\n" if kind.endswith("s") else ""
    return f"  inet_listener {kind} {{\n    address = {place[0]}\n    port = {place[1]}\n{ssl}  }}\n"
