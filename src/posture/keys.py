"""The operator's key: Ed25519, in NAME.db.key beside the database. It signs the audit trail and the history.

The private half is PKCS #8 PEM (RFC 5958, RFC 8410), readable by its owner alone. The public half is shown as OpenSSH
does, and its fingerprint is what ``ssh-keygen -lf`` prints, so that it can be compared with tools at hand.
"""

from __future__ import annotations

import base64
import binascii
import errno
import hashlib
import os
import re
import stat
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from posture.errors import ConfigurationError, StoreError, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KIND = "ssh-ed25519"
RAW_BYTES = 32
PRIVATE_MODE = 0o600
OTHERS = 0o077
LONGEST_FILE = 16_384  # bytes; a key has some hundreds

_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_OPENSSH = re.compile(rf"(?:^|\s){KIND}\s+([A-Za-z0-9+/]+={{0,2}})(?:\s|$)")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The half to give away; ``raw`` is the 32 bytes of RFC 8032."""

    raw: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """From an OpenSSH public key, as in ``id_ed25519.pub`` or a line of ``authorized_keys``.

        Raises:
            ValueError: there is no Ed25519 key in the text.
        """
        found = _OPENSSH.search(text)
        if found is None:
            raise ValueError(f"no {KIND} key")
        try:
            blob = base64.b64decode(found[1], validate=True)
        except binascii.Error:
            raise ValueError("no base64") from None
        head = _wire(KIND.encode()) + struct.pack(">I", RAW_BYTES)
        if not blob.startswith(head) or len(blob) != len(head) + RAW_BYTES:
            raise ValueError(f"no whole {KIND} key")
        return cls(blob[len(head) :])

    @property
    def openssh(self) -> str:
        """One line without a comment (RFC 4253 section 6.6, RFC 8709 section 4)."""
        return f"{KIND} {base64.b64encode(self._blob).decode()}"

    @property
    def fingerprint(self) -> str:
        """``SHA256:...`` exactly as ``ssh-keygen -lf`` prints it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self._blob).digest()).decode().rstrip("=")

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the private half made this signature (64 bytes) of that message."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    @property
    def _blob(self) -> bytes:
        return _wire(KIND.encode()) + _wire(self.raw)


@dataclass(frozen=True, slots=True)
class OperatorKey:
    """The private half, read from ``path``."""

    path: Path
    private: Ed25519PrivateKey

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.private.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """64 bytes (RFC 8032)."""
        return self.private.sign(message)


def key_path(database: Path, configured: Path | None = None) -> Path:
    """Where the key is: as configured, else beside the database."""
    return configured or database.with_name(database.name + ".key")


def make_key(path: Path) -> OperatorKey:
    """A new key in a new file, readable by its owner alone.

    Raises:
        UsageError: there is such a file already, which is left as it is.
        ConfigurationError: it cannot be written.
        StoreError: the disk is full.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_MODE)
    except FileExistsError:
        raise UsageError(
            f"{path} exists already and was left as it is. 'posture keys show' shows it; to begin anew, move it away first."
        ) from None
    except OSError as fault:
        raise _unwritable(path, fault) from fault
    try:
        with os.fdopen(opened, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
    except OSError as fault:
        with suppress(OSError):
            path.unlink()  # half a key is worse than none
        if fault.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(f"the disk is full: {path} cannot be written. Free some space and try again.") from fault
        raise _unwritable(path, fault) from fault
    return OperatorKey(path, private)


def load_key(path: Path) -> OperatorKey:
    """The operator's key.

    Raises:
        ConfigurationError: there is none, others may read it, or it is damaged.
    """
    mode, content = _read(path)
    if mode & OTHERS:
        raise ConfigurationError(
            f"the operator's key {path} may be read by others (mode {mode:04o}), so what it signs proves nothing; "
            f"nothing was sent. If nobody has copied it: chmod 600 {path}; else move it away, for a new one."
        )
    return OperatorKey(path, _private(path, content))


def load_or_make_key(path: Path) -> tuple[OperatorKey, bool]:
    """The operator's key, and whether it was made just now. Raises ConfigurationError."""
    try:
        there = path.exists() or path.is_symlink()
    except OSError as fault:
        raise _unreadable(path, fault) from fault
    return (load_key(path), False) if there else (make_key(path), True)


def inspect_key(path: Path) -> tuple[OperatorKey, int]:
    """The key and the mode of its file, whoever may read it. Raises ConfigurationError: there is none, or it is damaged."""
    mode, content = _read(path)
    return OperatorKey(path, _private(path, content)), mode


@dataclass(frozen=True, slots=True)
class Expected:
    """Whose signature is expected: ``text`` as it was given, ``fingerprint`` of that key."""

    text: str
    fingerprint: str


def expected_signer(text: str) -> Expected:
    """From a fingerprint, an OpenSSH public key, or a file that holds one.

    Raises:
        UsageError: it is neither.
    """
    if _FINGERPRINT.fullmatch(text.strip()):
        return Expected(text, text.strip())
    with suppress(ValueError):
        return Expected(text, PublicKey.parse(text).fingerprint)
    try:
        content = _beginning(Path(text))
    except (OSError, ValueError):
        raise UsageError(
            f"--key {text[:200]!r} is no fingerprint, no {KIND} public key, and no file that can be read. "
            "'posture keys show' on the operator's machine prints both."
        ) from None
    if b"PRIVATE KEY" in content:
        raise UsageError(f"{text} is a private key. Give the public one, or the fingerprint: 'posture keys show'.")
    try:
        return Expected(text, PublicKey.parse(content.decode("utf-8", "replace")).fingerprint)
    except ValueError:
        raise UsageError(f"{text} holds no {KIND} public key. 'posture keys show' prints one.") from None


def _read(path: Path) -> tuple[int, bytes]:
    """Mode and content of a key file. Raises ConfigurationError."""
    try:
        with path.open("rb") as file:
            return stat.S_IMODE(os.fstat(file.fileno()).st_mode), file.read(LONGEST_FILE)
    except FileNotFoundError:
        raise ConfigurationError(f"there is no key {path}. The first scan makes one, or: 'posture keys new'.") from None
    except OSError as fault:
        raise _unreadable(path, fault) from fault


def _private(path: Path, content: bytes) -> Ed25519PrivateKey:
    """Raises ConfigurationError: damaged, behind a passphrase, or of another kind."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(content, password=None)
    except TypeError:
        raise ConfigurationError(
            f"the operator's key {path} has a passphrase. Take it off, or use another key."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError(
            f"the operator's key {path} is damaged: no private key can be read from it. "
            "Restore it from a backup, or move it away: then 'posture keys new' makes another."
        ) from None
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigurationError(f"{path} is no Ed25519 key. 'posture keys new --out FILE' makes one.")
    return private


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LONGEST_FILE)


def _wire(value: bytes) -> bytes:
    """A string of the SSH protocol (RFC 4251 section 5)."""
    return struct.pack(">I", len(value)) + value


def _unreadable(path: Path, fault: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"the operator's key {path} cannot be read: {fault.strerror}. "
        "Mend its permissions, or name another: key in posture.toml."
    )


def _unwritable(path: Path, fault: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"the operator's key {path} cannot be written: {fault.strerror}. "
        "Check that its folder exists and that you may write there."
    )
