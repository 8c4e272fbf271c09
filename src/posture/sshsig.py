"""Signatures of ``ssh-keygen -Y sign``: public keys and detached signatures read, and verified (OpenSSH PROTOCOL.sshsig).

Total: whatever the bytes, only SshsigError is raised. Ed25519, ECDSA on the NIST curves, RSA of 2048 bits and more with
SHA-2, and both kinds of security keys (PROTOCOL.u2f), which must have been touched.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

MAGIC = b"SSHSIG"
VERSION = 1
MAX_BYTES = 32_768  # of a signature file; one by an RSA key of 16384 bits has 6 kB
RSA_BITS = (2048, 16_384)
USER_PRESENT = 0x01  # flag of a security key: somebody touched it

_ARMOUR = re.compile(
    rb"\s*-----BEGIN SSH SIGNATURE-----\r?\n([A-Za-z0-9+/=\r\n]+?)\r?\n?-----END SSH SIGNATURE-----\s*"
)
_PUBLIC = re.compile(r"([a-z0-9@.-]{1,64}) +([A-Za-z0-9+/]{1,12000}={0,2})(?: +.*)?")
_HASHES: Mapping[bytes, Callable[[bytes], Any]] = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}
_RSA_HASHES: Mapping[bytes, hashes.HashAlgorithm] = {b"rsa-sha2-256": hashes.SHA256(), b"rsa-sha2-512": hashes.SHA512()}
_CURVES: Mapping[bytes, tuple[ec.EllipticCurve, hashes.HashAlgorithm]] = {
    b"nistp256": (ec.SECP256R1(), hashes.SHA256()),
    b"nistp384": (ec.SECP384R1(), hashes.SHA384()),
    b"nistp521": (ec.SECP521R1(), hashes.SHA512()),
}
_SK_ED25519, _SK_ECDSA = b"sk-ssh-ed25519@openssh.com", b"sk-ecdsa-sha2-nistp256@openssh.com"


class SshsigError(Exception):
    """These bytes are no such key or signature, or it does not verify. The message says what is wrong."""


class _Wire:
    """A reader of the SSH wire format (RFC 4251 section 5)."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, count: int) -> bytes:
        if count > len(self._data):
            raise SshsigError("it is cut short")
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def number(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        return self.take(self.number())

    def integer(self) -> int:
        """A positive mpint."""
        value = int.from_bytes(self.string(), "big", signed=True)
        if value <= 0:
            raise SshsigError("a number in it is not positive")
        return value

    def finish(self) -> None:
        if self._data:
            raise SshsigError("something follows its end")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """``blob`` is its wire form, which tells keys apart; ``application`` is a security key's, else b""."""

    algorithm: str
    blob: bytes
    key: ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey = field(compare=False)
    application: bytes = b""

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -l`` prints it: ``SHA256:`` and base64 without padding."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature as read, not verified yet."""

    key: PublicKey
    namespace: str
    hash_name: bytes
    signed: bytes


def parse_public_key(text: str) -> PublicKey:
    """A line of a .pub file: ``ssh-ed25519 AAAA... comment``.

    Raises:
        SshsigError: it is something else, or a key that is not taken.
    """
    match = _PUBLIC.fullmatch(text.strip())
    if match is None:
        raise SshsigError("it is no line of a .pub file")
    key = _key(_base64(match[2].encode()))
    if key.algorithm != match[1]:
        raise SshsigError(f"it says {match[1]} and holds a key of type {key.algorithm}")
    return key


def parse_signature(content: bytes) -> Signature:
    """A .sig file.

    Raises:
        SshsigError: it is something else, or of a kind that is not taken.
    """
    if len(content) > MAX_BYTES:
        raise SshsigError(f"it is longer than {MAX_BYTES} bytes")
    match = _ARMOUR.fullmatch(content)
    if match is None:
        raise SshsigError("it is not what ssh-keygen -Y sign writes")
    wire = _Wire(_base64(re.sub(rb"[\r\n]", b"", match[1])))
    if wire.take(len(MAGIC)) != MAGIC or wire.number() != VERSION:
        raise SshsigError("it is no SSHSIG of version 1")
    key, namespace, reserved, hash_name, signed = (wire.string() for _ in range(5))
    wire.finish()
    if reserved:
        raise SshsigError("its reserved field is not empty")
    if hash_name not in _HASHES:
        raise SshsigError("its hash is neither sha256 nor sha512")
    return Signature(_key(key), namespace.decode("utf-8", "backslashreplace"), hash_name, signed)


def verify(signature: Signature, message: bytes, namespace: str) -> None:
    """Returns when the signature is by its key over exactly this message in this namespace.

    Raises:
        SshsigError: it is not.
    """
    if signature.namespace != namespace:
        raise SshsigError(f"it was made for {signature.namespace[:60]!r}, not with -n {namespace}")
    digest = _HASHES[signature.hash_name](message).digest()
    wrapped = MAGIC + b"".join(map(_string, (namespace.encode(), b"", signature.hash_name, digest)))
    wire = _Wire(signature.signed)
    algorithm, body = wire.string(), wire.string()
    try:
        _check(signature.key, algorithm, body, wire, wrapped)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError) as fault:
        raise SshsigError("it does not match the text") from fault


def _check(key: PublicKey, algorithm: bytes, body: bytes, wire: _Wire, message: bytes) -> None:
    if key.application:
        # A security key signs what it was told and how it was asked (PROTOCOL.u2f, "Signatures").
        asked = wire.take(5)
        if not asked[0] & USER_PRESENT:
            raise SshsigError("the security key was not touched")
        message = hashlib.sha256(key.application).digest() + asked + hashlib.sha256(message).digest()
    wire.finish()
    if isinstance(key.key, rsa.RSAPublicKey):
        if algorithm not in _RSA_HASHES:
            raise SshsigError("it is an RSA signature without SHA-2")
        padded = body.rjust(key.key.key_size // 8, b"\0")
        key.key.verify(padded, message, padding.PKCS1v15(), _RSA_HASHES[algorithm])
        return
    if algorithm != key.algorithm.encode():
        raise SshsigError("its algorithm is not that of its key")
    if isinstance(key.key, ed25519.Ed25519PublicKey):
        key.key.verify(body, message)
        return
    numbers = _Wire(body)
    pair = numbers.integer(), numbers.integer()
    numbers.finish()
    hashing = next(hashing for curve, hashing in _CURVES.values() if curve.name == key.key.curve.name)
    key.key.verify(encode_dss_signature(*pair), message, ec.ECDSA(hashing))


def _key(blob: bytes) -> PublicKey:
    wire = _Wire(blob)
    kind = wire.string()
    try:
        key, application = _KEYS[kind](wire) if kind in _KEYS else _ecdsa(wire, kind)
    except (UnsupportedAlgorithm, ValueError) as fault:
        raise SshsigError("its key is malformed") from fault
    wire.finish()
    return PublicKey(kind.decode(), blob, key, application)


def _ed25519(wire: _Wire) -> tuple[ed25519.Ed25519PublicKey, bytes]:
    return ed25519.Ed25519PublicKey.from_public_bytes(wire.string()), b""


def _sk_ed25519(wire: _Wire) -> tuple[ed25519.Ed25519PublicKey, bytes]:
    return _ed25519(wire)[0], _application(wire)


def _ecdsa(wire: _Wire, kind: bytes) -> tuple[ec.EllipticCurvePublicKey, bytes]:
    name = kind.removeprefix(b"ecdsa-sha2-")
    if name == kind or name not in _CURVES:
        raise SshsigError(f"keys of type {kind[:40].decode('ascii', 'backslashreplace')} are not taken")
    if wire.string() != name:
        raise SshsigError("its key is of another curve than it says")
    return ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[name][0], wire.string()), b""


def _sk_ecdsa(wire: _Wire) -> tuple[ec.EllipticCurvePublicKey, bytes]:
    return _ecdsa(wire, b"ecdsa-sha2-nistp256")[0], _application(wire)


def _application(wire: _Wire) -> bytes:
    application = wire.string()
    if not application:
        raise SshsigError("its security key names no application")
    return application


def _rsa(wire: _Wire) -> tuple[rsa.RSAPublicKey, bytes]:
    exponent, modulus = wire.integer(), wire.integer()
    low, high = RSA_BITS
    if not low <= modulus.bit_length() <= high:
        raise SshsigError(f"its RSA key has {modulus.bit_length()} bits; {low} are needed")
    return rsa.RSAPublicNumbers(exponent, modulus).public_key(), b""


_KEYS: Mapping[bytes, Callable[[_Wire], tuple[Any, bytes]]] = {
    b"ssh-ed25519": _ed25519,
    b"ssh-rsa": _rsa,
    _SK_ED25519: _sk_ed25519,
    _SK_ECDSA: _sk_ecdsa,
}


def _base64(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as fault:
        raise SshsigError("its base64 is broken") from fault


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data
