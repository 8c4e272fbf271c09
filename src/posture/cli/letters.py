"""Texts for others to sign or to read: the statement of an authorisation, probing.txt."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from posture.cli.result import DISK_FULL, Result
from posture.cli.wiring import config_of, inventory_of, now
from posture.errors import PostureError, UsageError

if TYPE_CHECKING:
    from posture.cli.app import Settings
    from posture.inventory.records import Inventory


def show_statement(settings: Settings, identifier: str, file: Path | None, out: Path | None) -> Result:
    """``posture inventory statement``: what the officer of an authorisation signs.

    Raises:
        UsageError: no such authorisation, or FILE cannot be written.
    """
    from posture.inventory.reading import meant
    from posture.inventory.statement import statement
    from posture.signatures import NAMESPACE

    inventory, _ = inventory_of(settings, file or config_of(settings, file).inventory)
    if identifier not in inventory.authorisations:
        known = ", ".join(inventory.authorisations) or "none"
        hint = meant(identifier, inventory.authorisations)
        raise UsageError(f"no authorisation {identifier!r} in {inventory.path}.{hint} Known: {known}.")
    text = statement(inventory.authorisations[identifier], inventory.state)
    sign = shlex.join(["ssh-keygen", "-Y", "sign", "-n", NAMESPACE, "-f", "KEY", str(out or f"{identifier}.txt")])
    following = (
        f"Next: the officer reads it and runs {sign}; then signatures = [...] of the authorisation names the .sig\n"
    )
    return _written(text, out, "" if settings.quiet else following)


def signing_remarks(settings: Settings, file: Path | None, inventory: Inventory) -> tuple[str, ...]:
    """What a scan would say of the signatures: those that do not count, and the authorisations that grant nothing.

    Raises:
        ConfigurationError: posture.toml cannot be used.
    """
    from posture.scan.authority import authorities_of, barred_by, remarks

    config = config_of(settings, file)
    authorities = authorities_of(inventory, config)
    try:
        barred = barred_by(config, authorities)
    except PostureError as fault:
        return (f"the history, which remembers the sequence of letters, cannot be asked: {fault}",)
    refused = (f"{refusal.code} {refusal.text}" for refusal in barred.values())
    return (*remarks(authorities, barred), *refused)


def write_attribution(settings: Settings, file: Path | None, out: Path | None) -> Result:
    """``posture attribution``.

    Raises:
        UsageError: the contact is a placeholder, or FILE cannot be written.
    """
    from posture.reporters.attribution import probing_txt

    inventory, _ = inventory_of(settings, file or config_of(settings, file).inventory)
    text = probing_txt(inventory, now())
    where = "Next: serve it as https://HOST/.well-known/probing.txt, HOST being the reverse DNS name of this machine\n"
    return _written(text.encode(), out, "" if settings.quiet else where)


def _written(content: bytes, out: Path | None, remark: str) -> Result:
    """On stdout when no file is named."""
    if out is None or str(out) == "-":
        return Result(text=content.decode(), remark=remark)
    try:
        out.write_bytes(content)
    except OSError as fault:
        if fault.errno in DISK_FULL:
            raise
        raise UsageError(f"{out} cannot be written: {fault.strerror}. Choose another file with --out.") from fault
    return Result(text=f"wrote {out}\n", remark=remark)
