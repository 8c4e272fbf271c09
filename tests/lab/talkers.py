"""Real servers of protocols in which TLS is asked for, or starts at once: each listens on loopback for the length of a block.

with dovecot(folder, Identity(chain, key)) as places:
    places["imap"]
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab import free_port, need, need_root, serve, wait_for_port

HOST = "127.0.0.1"
Place = tuple[str, int]


@dataclass(frozen=True)
class Identity:
    """PEM files: the chain that a server shows, and its key."""

    chain: Path
    key: Path

    def together(self, folder: Path) -> Path:
        """Key and chain in one file that only its owner may read."""
        path = folder / "together.pem"
        path.write_bytes(self.key.read_bytes() + self.chain.read_bytes())
        path.chmod(0o600)
        return path

    def copied(self, folder: Path, user: str) -> Identity:
        """The same files where ``user`` may read them, and nobody else the key."""
        copy = Identity(folder / "chain.pem", folder / "key.pem")
        copy.chain.write_bytes(self.chain.read_bytes())
        copy.key.write_bytes(self.key.read_bytes())
        copy.key.chmod(0o600)
        for path in (copy.chain, copy.key):
            shutil.chown(path, user)
        return copy


@contextmanager
def postfix(folder: Path, identity: Identity, settings: str = "") -> Iterator[Place]:
    """Postfix with STARTTLS; ``settings`` are further lines of main.cf."""
    binary = need("postfix", "postfix")
    need_root()
    port = free_port()
    etc = folder / "etc"
    for path in (etc, folder / "queue", folder / "data"):
        path.mkdir()
    shutil.chown(folder / "data", "postfix")
    (etc / "main.cf").write_text(
        f"compatibility_level = 3.6\nqueue_directory = {folder}/queue\ndata_directory = {folder}/data\n"
        f"myhostname = mail.gov.example\nmydestination =\ninet_interfaces = {HOST}\ninet_protocols = ipv4\n"
        "smtpd_peername_lookup = no\nlocal_recipient_maps =\nalias_maps =\nmaillog_file = /dev/stdout\n"
        f"smtpd_tls_security_level = may\nsmtpd_tls_chain_files = {identity.together(folder)}\n{settings}\n"
    )
    (etc / "master.cf").write_text(
        f"{HOST}:{port} inet n - n - - smtpd\ncleanup unix n - n - 0 cleanup\nrewrite unix - - n - - trivial-rewrite\n"
        "tlsmgr unix - - n 1000? 1 tlsmgr\nanvil unix - - n - 1 anvil\npostlog unix-dgram n - n - 1 postlogd\n"
    )
    with serve([binary, "-c", etc, "start-fg"], ready=(HOST, port)):
        try:
            yield HOST, port
        finally:  # its master leaves the session of the command that started it
            subprocess.run([binary, "-c", str(etc), "stop"], check=True, capture_output=True)


@contextmanager
def dovecot(folder: Path, identity: Identity) -> Iterator[Mapping[str, Place]]:
    """Dovecot's "imap", "imaps", "pop3" and "pop3s"."""
    binary = need("dovecot", "dovecot-imapd dovecot-pop3d")
    need_root()
    ports = {name: free_port() for name in ("imap", "imaps", "pop3", "pop3s")}
    listening = "".join(
        f"service {name}-login {{\n  chroot =\n"
        f"  inet_listener {name} {{\n    address = {HOST}\n    port = {ports[name]}\n  }}\n"
        f"  inet_listener {name}s {{\n    address = {HOST}\n    port = {ports[name + 's']}\n    ssl = yes\n  }}\n}}\n"
        for name in ("imap", "pop3")
    )
    configuration = folder / "dovecot.conf"
    configuration.write_text(
        f"base_dir = {folder}/run\nstate_dir = {folder}\nprotocols = imap pop3\nlog_path = {folder}/log\nlisten = {HOST}\n"
        f"ssl = yes\nssl_cert = <{identity.chain}\nssl_key = <{identity.key}\nssl_min_protocol = TLSv1.2\n"
        f"passdb {{\n  driver = static\n}}\nuserdb {{\n  driver = static\n}}\n{listening}"
    )
    with serve([binary, "-F", "-c", configuration]) as process:
        for port in ports.values():
            wait_for_port(HOST, port, process=process)
        yield {name: (HOST, port) for name, port in ports.items()}


@contextmanager
def vsftpd(folder: Path, identity: Identity | None) -> Iterator[Place]:
    """vsftpd, with AUTH TLS when there is an identity."""
    binary = need("vsftpd", "vsftpd")
    need_root()
    port = free_port()
    (folder / "empty").mkdir()
    secured = (
        f"ssl_enable=YES\nrsa_cert_file={identity.chain}\nrsa_private_key_file={identity.key}\n" if identity else ""
    )
    configuration = folder / "vsftpd.conf"
    configuration.write_text(
        f"listen=YES\nlisten_address={HOST}\nlisten_port={port}\nbackground=NO\nanonymous_enable=NO\nlocal_enable=YES\n"
        f"secure_chroot_dir={folder}/empty\nseccomp_sandbox=NO\nisolate=NO\nisolate_network=NO\n{secured}"
    )
    configuration.chmod(0o600)
    with serve([binary, configuration], ready=(HOST, port)):
        yield HOST, port


@contextmanager
def slapd(folder: Path, identity: Identity | None) -> Iterator[Mapping[str, Place]]:
    """OpenLDAP's server: "ldap", with StartTLS, and "ldaps" when there is an identity."""
    binary = need("slapd", "slapd")
    names = ("ldap", "ldaps") if identity else ("ldap",)
    ports = {name: free_port() for name in names}
    secured = f"TLSCertificateFile {identity.chain}\nTLSCertificateKeyFile {identity.key}\n" if identity else ""
    configuration = folder / "slapd.conf"
    configuration.write_text(f"pidfile {folder}/pid\nargsfile {folder}/args\n{secured}")
    urls = " ".join(f"{name}://{HOST}:{port}" for name, port in ports.items())
    with serve([binary, "-d", "0", "-h", urls, "-f", configuration]) as process:
        for port in ports.values():
            wait_for_port(HOST, port, process=process)
        yield {name: (HOST, port) for name, port in ports.items()}


@contextmanager
def postgres(folder: Path, identity: Identity | None) -> Iterator[Place]:
    """PostgreSQL, with TLS when there is an identity; run as nobody when we are root, which it refuses to be."""
    initdb, binary = need("initdb", "postgresql"), need("postgres", "postgresql")
    user, data, port = "nobody" if os.geteuid() == 0 else "", folder / "data", free_port()
    data.mkdir()
    if user:
        shutil.chown(data, user)
    as_user = ["setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups"] if user else []
    argv: list[str | Path] = [*as_user, initdb, "-D", data, "-A", "trust", "--no-sync"]
    subprocess.run(argv, check=True, capture_output=True, cwd=folder)
    owned = identity.copied(data, user) if identity and user else identity
    secured = f"ssl = on\nssl_cert_file = '{owned.chain}'\nssl_key_file = '{owned.key}'\n" if owned else ""
    with (data / "postgresql.conf").open("a") as settings:
        settings.write(f"listen_addresses = '{HOST}'\nport = {port}\nunix_socket_directories = ''\n{secured}")
    with serve([*as_user, binary, "-D", data], ready=(HOST, port), cwd=folder):
        yield HOST, port


@contextmanager
def prosody(folder: Path, identity: Identity, name: str) -> Iterator[Mapping[str, Place]]:
    """Prosody serving the XMPP domain ``name``: "xmpp" for clients and "xmpp-server" for servers."""
    binary = need("prosody", "prosody")
    need_root()
    ports = {"xmpp": free_port(), "xmpp-server": free_port()}
    folder.chmod(0o755)
    home = folder / "data"
    home.mkdir()
    shutil.chown(home, "prosody")
    owned = identity.copied(home, "prosody")
    configuration = folder / "prosody.cfg.lua"
    configuration.write_text(
        f'data_path = "{home}"\nplugin_paths = {{}}\npidfile = "{home}/pid"\ndaemonize = false\n'
        'modules_enabled = { "saslauth", "tls", "disco" }\nmodules_disabled = { "posix" }\n'
        f'interfaces = {{ "{HOST}" }}\nlocal_interfaces = {{ "{HOST}" }}\n'
        f"c2s_ports = {{ {ports['xmpp']} }}\ns2s_ports = {{ {ports['xmpp-server']} }}\n"
        "c2s_direct_tls_ports = {}\ns2s_direct_tls_ports = {}\nhttp_ports = {}\nhttps_ports = {}\n"
        f'log = {{ {{ levels = {{ min = "warn" }}, to = "console" }} }}\n'
        f'ssl = {{ certificate = "{owned.chain}", key = "{owned.key}" }}\nVirtualHost "{name}"\n'
    )
    as_user = ["setpriv", "--reuid=prosody", "--regid=prosody", "--clear-groups"]
    with serve([*as_user, binary, "--config", configuration, "-F"], cwd=home) as process:
        for port in ports.values():
            wait_for_port(HOST, port, process=process)
        yield {name: (HOST, port) for name, port in ports.items()}


@contextmanager
def xrdp(folder: Path, identity: Identity | None) -> Iterator[Place]:
    """xrdp, with TLS when there is an identity, else with RDP's own encryption only."""
    binary = need("xrdp", "xrdp")
    need_root()
    port = free_port()
    layer = f"tls\ncertificate={identity.chain}\nkey_file={identity.key}" if identity else "rdp"
    configuration = folder / "xrdp.ini"
    configuration.write_text(
        f"[Globals]\nini_version=1\nfork=true\nport=tcp://{HOST}:{port}\nuse_vsock=false\nruntime_user=\n"
        f"security_layer={layer}\nssl_protocols=TLSv1.2, TLSv1.3\ncrypt_level=high\nbitmap_cache=true\n"
        f"[Logging]\nLogFile={folder}/log\nLogLevel=WARNING\nEnableSyslog=false\n[Xorg]\nname=Xorg\nlib=libxup.so\n"
    )
    with serve([binary, "--nodaemon", "--config", configuration], ready=(HOST, port)):
        yield HOST, port
