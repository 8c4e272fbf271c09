"""The project's tasks: tests (default), durability, faults, lint, docs, bench. `nox -l` lists them, `nox -s NAME` runs one."""

from __future__ import annotations

import ctypes.util
import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["tests"]
nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"

# The lab's servers: binary -> Debian package.
LAB = {
    "nginx": "nginx-light",
    "openssl": "openssl",
    "curl": "curl",
    "apache2": "apache2-bin",
    "haproxy": "haproxy",
    "gnutls-serv": "gnutls-bin",
    "nsd": "nsd",
    "unbound": "unbound",
    "dig": "bind9-dnsutils",
    "postfix": "postfix",
    "redis-server": "redis-server",
    "memcached": "memcached",
    "vsftpd": "vsftpd",
    "telnetd": "inetutils-telnetd",
    "postgres": "postgresql",
    "mariadbd": "mariadb-server",
    "chromium": "chromium",
    "ip": "iproute2",
    "nft": "nftables",
    "nmap": "nmap",
    "ssh-keygen": "openssh-client",
}
# Shared libraries that a package of Python's leans on: name -> Debian package.
LIBRARIES = {"pangoft2-1.0": "libpangoft2-1.0-0", "harfbuzz-subset": "libharfbuzz-subset0"}
SBIN = ["/usr/sbin", "/sbin", *(str(path) for path in Path("/usr/lib/postgresql").glob("*/bin"))]


def install(session: nox.Session, requirements: str) -> None:
    """The pinned set, then posture itself without asking for more."""
    session.install("--quiet", "-r", f"requirements/{requirements}.txt")
    session.install("--quiet", "--no-deps", ".")


def install_lab(session: nox.Session) -> None:
    """As root on Debian: whatever server of the lab is missing. Elsewhere those tests are skipped and say what to install."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *SBIN])
    missing = sorted(
        [package for binary, package in LAB.items() if not shutil.which(binary, path=path)]
        + [package for name, package in LIBRARIES.items() if not ctypes.util.find_library(name)]
    )
    if not missing:
        return
    line = f"apt-get install -y --no-install-recommends {' '.join(missing)}"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        session.log(f"some servers of the lab are missing; their tests are skipped. As root: {line}")
        return
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    session.run("apt-get", "update", "-qq", external=True, silent=True, env=quiet)
    session.run(*line.split(), "-qq", external=True, silent=True, env=quiet)


@nox.session
def tests(session: nox.Session) -> None:
    """The whole suite against real servers on loopback. Arguments go to pytest: nox -- tests/checks -x"""
    install(session, "tests")
    install_lab(session)
    session.run("pytest", "-n", "auto", "--dist", "loadgroup", *session.posargs)


@nox.session
def durability(session: nox.Session) -> None:
    """The long loops over the history: 200 kills, 400 power cuts, full and damaged disks, 60 killed migrations."""
    install(session, "tests")
    full = {"POSTURE_DURABILITY": "full"}
    session.run("pytest", "-n", "auto", "--dist", "loadgroup", "tests/durability", *session.posargs, env=full)


@nox.session
def faults(session: nox.Session) -> None:
    """Each call of a small scan to DNS, sockets, files, SQLite or child processes fails once; `tests` takes a sample."""
    install(session, "tests")
    install_lab(session)
    session.run("pytest", "tests/faults", *session.posargs, env={"POSTURE_FAULTS": "all"})


@nox.session
def fuzz(session: nox.Session) -> None:
    """Coverage-guided fuzzing of what reads a server's answer: nox -s fuzz -- -max_total_time=600"""
    install(session, "tests")
    session.install("--quiet", "-r", "requirements/fuzz.txt")
    session.run("python", "-m", "tests.fuzz.flights", *(session.posargs or ["-max_total_time=60"]))


@nox.session
def lint(session: nox.Session) -> None:
    """Style, types and the direction of imports."""
    install(session, "lint")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy")
    session.run("lint-imports", "--no-cache")


@nox.session
def docs(session: nox.Session) -> None:
    """Writes the catalogue of controls anew; fails when the committed one was stale. `nox -s docs -- --write` keeps it."""
    install(session, "pip")
    session.run("python", "-m", "posture.checks.document", *(session.posargs or ["--check"]))


@nox.session
def bench(session: nox.Session) -> None:
    """The measurements that README and CHANGELOG speak of; prints ratios."""
    install(session, "tests")
    for script in sorted(Path("benchmarks").glob("bench_*.py")):
        session.run("python", str(script), *session.posargs)
