"""Checkpoints: the size and root of the log, signed, in a text that can be printed, mailed and typed.

Formats of C2SP (c2sp.org): signed-note and tlog-checkpoint. ::

    gov.example/posture
    365
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

    — gov.example/posture Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from posture.keys import PublicKey

DASH = "\u2014 "  # how a signature line begins
LONGEST = 16_384  # bytes of a note
_ED25519 = b"\x01"
_SIZE = re.compile(r"0|[1-9][0-9]{0,17}")


class NoteError(ValueError):
    """Why a text is no checkpoint, or not one of ours."""


class Signer(Protocol):
    """An operator's key (posture.keys.OperatorKey)."""

    @property
    def public(self) -> PublicKey: ...
    def sign(self, message: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The log as it stood: ``size`` entries under ``root`` (32 bytes). ``origin`` names the log."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed; ends with LF."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode('ascii')}\n"


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature line: the first bytes of the SHA-256 of whose key it is, and 64 bytes of Ed25519."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A checkpoint with its signatures, of which none is checked yet."""

    checkpoint: Checkpoint
    signatures: tuple[Signature, ...]

    def signed_by(self, key: PublicKey) -> bool:
        """Whether one of the signatures is that key's, and good."""
        wanted, message = key_id(self.checkpoint.origin, key), self.checkpoint.text.encode()
        return any(
            each.name == self.checkpoint.origin and each.key_id == wanted and key.verifies(each.signature, message)
            for each in self.signatures
        )


def key_id(name: str, key: PublicKey) -> bytes:
    """Four bytes that tell which key a signature line is of (C2SP signed-note, Ed25519 is type 1)."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + key.raw).digest()[:4]


def sign_note(checkpoint: Checkpoint, signers: Sequence[Signer]) -> str:
    """The signed note, one signature line a signer."""
    message = checkpoint.text.encode()
    lines = [
        DASH
        + checkpoint.origin
        + " "
        + base64.b64encode(key_id(checkpoint.origin, one.public) + one.sign(message)).decode()
        for one in signers
    ]
    return checkpoint.text + "\n" + "\n".join(lines) + "\n"


def open_note(text: str) -> Note:
    """A note from its text, as it stands in a footer or a file.

    Raises:
        NoteError: it is none.
    """
    if len(text) > LONGEST:
        raise NoteError("it is too long for a checkpoint")
    body, blank, rest = text.replace("\r\n", "\n").strip("\n").partition("\n\n")
    lines = body.split("\n")
    if not blank or len(lines) != 3:
        raise NoteError("it has not the three lines of a checkpoint (origin, size, root) and an empty one after them")
    origin, size, root = lines
    if not _is_name(origin) or not _SIZE.fullmatch(size):
        raise NoteError("its first two lines are no origin and no size")
    hashed = _base64(root)
    if len(hashed) != hashlib.sha256().digest_size:
        raise NoteError("its third line is no root hash")
    signatures = [_signature(line) for line in rest.split("\n")]
    return Note(Checkpoint(origin, int(size), hashed), tuple(each for each in signatures if len(each.signature) == 64))


def _signature(line: str) -> Signature:
    """One of another length than Ed25519's is of another kind (a witness, say), which a reader passes over."""
    name, _, encoded = line.removeprefix(DASH).partition(" ")
    blob = _base64(encoded)
    if not line.startswith(DASH) or not _is_name(name) or len(blob) < 5:
        raise NoteError("a line below the empty one is no signature")
    return Signature(name, blob[:4], blob[4:])


def _is_name(text: str) -> bool:
    return bool(text) and text.isprintable() and not any(each.isspace() or each == "+" for each in text)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise NoteError("a line is no base64") from None
