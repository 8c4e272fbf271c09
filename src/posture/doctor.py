"""What works on this machine, what is degraded, and how to mend it. Sends nothing but DNS to our own resolver."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path

import posture
from posture.config import Config
from posture.errors import ConfigurationError
from posture.model import NotSeen
from posture.net.resolver import RunResolver, system_resolver
from posture.net.sandbox import run_boxed
from posture.net.selftest import SelfTest, dnssec_works, selftest
from posture.net.sslyze import sslyze_missing

OK, DEGRADED, BROKEN = "ok", "degraded", "broken"
# What a program would add; no control of this release needs it.
PROGRAMS = {"nmap": "service versions will come from it in a later release"}
DEEP = "deep scans leave tls.vuln.*, tls.reneg, tls.early_data and the trust stores of others unknown"
BOX_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Remark:
    """One line of the examination. ``mend`` is empty when all is well."""

    state: str
    subject: str
    finding: str
    mend: str = ""


async def examine(config: Config, at: datetime) -> tuple[Remark, ...]:
    """All remarks, in reading order; a ``broken`` one means that a scan could not be believed."""
    return (*_installation(), await _sslyze(), *(await _network(config, at)), *_files(config))


def _installation() -> Iterator[Remark]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Remark(OK, "posture", f"{posture.__version__} on Python {version}, SQLite {sqlite3.sqlite_version}")
    installed = ", ".join(f"{name} {metadata.version(name)}" for name in ("dnspython", "cryptography", "pyOpenSSL"))
    if dnssec_works():
        yield Remark(OK, "DNSSEC library", f"a test signature validates ({installed})")
    else:
        yield Remark(
            BROKEN,
            "DNSSEC library",
            f"no signature can be validated: these do not go together ({installed})",
            "pip install -r requirements/pip.txt",
        )
    for program, purpose in PROGRAMS.items():
        # A program of the same environment counts, also when that environment is not on the path.
        found = shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))
        where = found or f"not on the path; {purpose}"
        yield Remark(OK if found else DEGRADED, program, where, "" if found else f"install {program}, or leave it")


async def _sslyze() -> Remark:
    """Whether it is there, and whether programs of others can be boxed here; it is not started."""
    if sslyze_missing():
        mend = "pip install 'sslyze>=6.3.1', or leave it"
        return Remark(DEGRADED, "sslyze", f"not installed beside posture; {DEEP} (tool_missing)", mend)
    deadline = asyncio.get_running_loop().time() + BOX_SECONDS
    try:
        ran = await run_boxed([sys.executable, "-I", "-S", "-c", ""], deadline=deadline)
    except NotSeen as unseen:
        mend = "run deep scans on Linux 5.3 or newer, or leave it"
        return Remark(
            DEGRADED, "sslyze", f"no box for it on this machine ({unseen.detail}); {DEEP} ({unseen.reason})", mend
        )
    if not ran.succeeded:
        return Remark(
            DEGRADED, "sslyze", f"programs do not end well in the box ({ran.end}); {DEEP}", "report it, please"
        )
    return Remark(OK, "sslyze", f"{metadata.version('sslyze')}, for deep scans; it runs in a box of its own")


async def _network(config: Config, at: datetime) -> list[Remark]:
    address = config.resolver or system_resolver()
    if address is None:
        return [Remark(BROKEN, "resolver", "none is configured and the system names none", "--resolver ADDR[:PORT]")]
    resolver = RunResolver(*address)
    try:
        seen = await selftest(resolver, trust_anchor=config.trust_anchor, at=at)
    except ConfigurationError as fault:
        return [Remark(BROKEN, "trust anchor", str(fault), "--trust-anchor FILE")]
    finally:
        await resolver.aclose()
    return _seen(seen, f"{address[0]} port {address[1]}")


def _seen(seen: SelfTest, where: str) -> list[Remark]:
    if not seen.resolver_answers:
        return [Remark(BROKEN, "resolver", f"{where} does not answer", "--resolver ADDR[:PORT]")]
    remarks = [Remark(OK, "resolver", f"{where} answers")]
    if not seen.clock_offset_ok:
        remarks.append(Remark(BROKEN, "clock", "; ".join(seen.notes), "set the clock (timedatectl, NTP)"))
    if seen.passes_dnssec and seen.validates:
        remarks.append(Remark(OK, "DNSSEC", "the root's signatures arrive and validate against the trust anchor"))
    else:
        mend = "use a resolver that hands DNSSEC signatures on; until then dns.dnssec.* is unknown"
        remarks.append(Remark(DEGRADED, "DNSSEC", "; ".join(seen.notes) or "signatures do not validate", mend))
    if seen.ipv6:
        remarks.append(Remark(OK, "IPv6", "there is a route"))
    else:
        remarks.append(Remark(DEGRADED, "IPv6", "no route: IPv6 addresses are unknown from here", "optional"))
    return remarks


def _files(config: Config) -> Iterator[Remark]:
    yield Remark(OK, "configuration", str(config.path) if config.path else "no posture.toml; defaults hold")
    tried = ", ".join(canary.text for canary in config.canaries)
    yield Remark(OK, "canaries", tried or "none; a dead line of ours cannot be told from dead targets")
    signers = ", ".join(sorted({signer.name for signer in config.trusted_signers}))
    needed = f"{config.signature_threshold} needed" if config.require_signatures else "not required"
    yield Remark(OK, "signatures", f"{needed}; trusted signers: {signers or 'none'}")
    for name, path in (("inventory", config.inventory), ("history", config.db)):
        yield Remark(OK, name, f"{path}{'' if path.exists() else ' (not there yet)'}")
