"""Who signed an authorisation, and whether that is enough.

The officer signs the statement of the authorisation (posture.inventory.statement):

    posture inventory statement lc-2026-001 --out lc-2026-001.txt
    ssh-keygen -Y sign -n posture-authorisation -f KEY lc-2026-001.txt

The text is never read back: it is made again from what was parsed, so that exactly what is enforced is what was signed.
Whose keys count stands in the operator's configuration, never in the inventory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from posture.inventory.reading import Fault
from posture.inventory.records import Authorisation, SignatureFile, State
from posture.inventory.statement import statement, statement_digest
from posture.sshsig import PublicKey, SshsigError, parse_public_key, parse_signature, verify

NAMESPACE = "posture-authorisation"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


@dataclass(frozen=True, slots=True)
class Signer:
    """Somebody whose signature counts. One with two keys counts once."""

    name: str
    key: PublicKey


@dataclass(frozen=True, slots=True)
class Authority:
    """An authorisation as signed. ``sha256`` (hex) is of its statement; ``signers`` are distinct trusted names, sorted;
    ``faults`` say in words which signatures do not count."""

    authorisation: str
    sequence: int
    sha256: str
    signers: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What earlier runs saw of an authorisation: the highest sequence, when first, and signed texts under it."""

    sequence: int
    at: datetime
    signed: frozenset[str] = frozenset()


def parse_signer(text: str) -> Signer:
    """An entry of ``trusted_signers``: ``ps-finance ssh-ed25519 AAAA...``.

    Raises:
        Fault: no such name and key.
    """
    name, _, line = text.partition(" ")
    advice = 'Write "NAME KEY", the key as in a .pub file: "ps-finance ssh-ed25519 AAAA...".'
    if not _NAME.fullmatch(name):
        raise Fault("E-CONFIG", f"has no usable name: {text[:60]!r}.", advice)
    try:
        return Signer(name, parse_public_key(line))
    except SshsigError as fault:
        raise Fault("E-CONFIG", f"{name} has no usable key: {fault}.", advice) from None


def authority(authorisation: Authorisation, state: State, trusted: Sequence[Signer]) -> Authority:
    """Every signature of an authorisation, verified."""
    text = statement(authorisation, state)
    signers: set[str] = set()
    faults: list[str] = []
    for file in authorisation.signatures:
        try:
            signers.add(_signer(file, text, trusted))
        except SshsigError as fault:
            faults.append(f"{authorisation.id}: the signature {file.name} does not count: {fault}.")
    return Authority(
        authorisation.id,
        authorisation.sequence,
        statement_digest(authorisation, state),
        tuple(sorted(signers)),
        tuple(faults),
    )


def _signer(file: SignatureFile, text: bytes, trusted: Sequence[Signer]) -> str:
    signature = parse_signature(file.content)
    name = next((signer.name for signer in trusted if signer.key == signature.key), None)
    if name is None:
        raise SshsigError(f"it is by the unknown key {signature.key.fingerprint}")
    try:
        verify(signature, text, NAMESPACE)
    except SshsigError as fault:
        raise SshsigError(f"it is by {name}'s key, but {fault}") from fault
    return name


def lacking(one: Authority, trusted: Sequence[Signer], threshold: int) -> str:
    """Why the signatures are not enough, or ""; the last sentence is the next step."""
    if len(one.signers) >= threshold:
        return ""
    others = sorted({signer.name for signer in trusted} - set(one.signers))
    missing = ", ".join(others) or "trusted_signers of posture.toml names nobody else"
    required = f"{threshold} required signature{'s' if threshold != 1 else ''}"
    verify_ = "verifies" if threshold == 1 else "verify"
    faults = "".join(
        f" {fault.removeprefix(f'{one.authorisation}: the ').replace('signature', 'Signature', 1)}"
        for fault in one.faults
    )
    return (
        f"{one.authorisation}: {len(one.signers)} of {required} {verify_} (missing: {missing}). Nothing was sent.{faults} "
        f"Have the text of 'posture inventory statement {one.authorisation}' signed."
    )


def superseded(one: Authority, seen: Mapping[str, Seen]) -> str:
    """Why an earlier run's sequence forbids this one, or ""; the last sentence is the next step."""
    before = seen.get(one.authorisation)
    if before is None or one.sequence > before.sequence:
        return ""
    if one.sequence < before.sequence:
        return (
            f"{one.authorisation}: sequence {one.sequence} was superseded by {before.sequence} on {before.at:%Y-%m-%d}. "
            "Nothing was sent. Use the newest letter, or have a new one made with a higher sequence."
        )
    if one.signers and before.signed and one.sha256 not in before.signed:
        return (
            f"{one.authorisation}: another text was signed as sequence {one.sequence} and used on {before.at:%Y-%m-%d}. "
            f"Nothing was sent. Write sequence = {one.sequence + 1} and have that signed."
        )
    return ""
