"""Signatures of ``ssh-keygen -Y``, against ssh-keygen itself in both directions."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from posture.sshsig import MAX_BYTES, PublicKey, SshsigError, parse_public_key, parse_signature, verify
from tests.lab import need

TEXT = b'posture-authorisation/1\nid: "lc-2026-001"\n'
SPACE = "posture-authorisation"
KINDS = {
    "ed25519": ("-t", "ed25519"),
    "ecdsa-256": ("-t", "ecdsa", "-b", "256"),
    "ecdsa-384": ("-t", "ecdsa", "-b", "384"),
    "ecdsa-521": ("-t", "ecdsa", "-b", "521"),
    "rsa-2048": ("-t", "rsa", "-b", "2048"),
    "rsa-3072": ("-t", "rsa", "-b", "3072"),
}


def make_key(folder: Path, *options: str, name: str = "key") -> Path:
    path = folder / name
    keygen = need("ssh-keygen", "openssh-client")
    subprocess.run([keygen, "-q", *options, "-N", "", "-C", "ps", "-f", path], check=True, stdin=subprocess.DEVNULL)
    return path


def sign(key: Path, text: bytes, *options: str, namespace: str = SPACE) -> bytes:
    """What ssh-keygen writes on its standard output for what it reads there."""
    argv = [need("ssh-keygen", "openssh-client"), "-Y", "sign", "-q", "-n", namespace, "-f", str(key), *options]
    return subprocess.run(argv, input=text, capture_output=True, check=True).stdout


def public(key: Path) -> PublicKey:
    return parse_public_key(key.with_suffix(".pub").read_text("ascii"))


def string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def mpint(value: int) -> bytes:
    return string(value.to_bytes(value.bit_length() // 8 + 1, "big"))


def armoured(blob: bytes) -> bytes:
    body = base64.encodebytes(blob)
    return b"-----BEGIN SSH SIGNATURE-----\n" + body + b"-----END SSH SIGNATURE-----\n"


def envelope(key: bytes, signed: bytes, *, namespace: bytes = SPACE.encode(), reserved: bytes = b"") -> bytes:
    parts = (key, namespace, reserved, b"sha512", signed)
    return armoured(b"SSHSIG" + (1).to_bytes(4, "big") + b"".join(map(string, parts)))


def to_be_signed(text: bytes, namespace: bytes = SPACE.encode()) -> bytes:
    return b"SSHSIG" + b"".join(map(string, (namespace, b"", b"sha512", hashlib.sha512(text).digest())))


@pytest.mark.parametrize("kind", KINDS)
def test_what_ssh_keygen_signs_verifies_and_nothing_near_it_does(tmp_path: Path, kind: str) -> None:
    key = make_key(tmp_path, *KINDS[kind])
    signature = parse_signature(sign(key, TEXT))

    assert signature.key == public(key)
    verify(signature, TEXT, SPACE)
    for text in (TEXT + b"\n", TEXT[:-1], TEXT.replace(b"lc", b"LC"), b""):
        with pytest.raises(SshsigError, match="does not match"):
            verify(signature, text, SPACE)


@pytest.mark.parametrize("name", ["sha256", "sha512"])
def test_both_hashes_are_taken(tmp_path: Path, name: str) -> None:
    key = make_key(tmp_path, *KINDS["ed25519"])

    verify(parse_signature(sign(key, TEXT, "-O", f"hashalg={name}")), TEXT, SPACE)


def test_a_signature_for_another_purpose_does_not_count(tmp_path: Path) -> None:
    signature = parse_signature(sign(make_key(tmp_path, *KINDS["ed25519"]), TEXT, namespace="git"))

    with pytest.raises(SshsigError, match="made for 'git', not with -n posture-authorisation"):
        verify(signature, TEXT, SPACE)


def test_a_fingerprint_is_the_one_that_ssh_keygen_prints(tmp_path: Path) -> None:
    key = make_key(tmp_path, *KINDS["ecdsa-384"])
    argv = [need("ssh-keygen", "openssh-client"), "-l", "-f", str(key)]

    assert public(key).fingerprint == subprocess.run(argv, capture_output=True, check=True, text=True).stdout.split()[1]


def sk_ed25519(application: bytes, flags: int) -> bytes:
    """What a security key would have signed: made in software, since the tests have no hardware."""
    private = ed25519.Ed25519PrivateKey.generate()
    raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    kind, asked = b"sk-ssh-ed25519@openssh.com", bytes([flags]) + (7).to_bytes(4, "big")
    message = hashlib.sha256(application).digest() + asked + hashlib.sha256(to_be_signed(TEXT)).digest()
    return envelope(
        string(kind) + string(raw) + string(application), string(kind) + string(private.sign(message)) + asked
    )


def sk_ecdsa(application: bytes, flags: int) -> bytes:
    private = ec.generate_private_key(ec.SECP256R1())
    point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    kind, asked = b"sk-ecdsa-sha2-nistp256@openssh.com", bytes([flags]) + (7).to_bytes(4, "big")
    message = hashlib.sha256(application).digest() + asked + hashlib.sha256(to_be_signed(TEXT)).digest()
    pair = decode_dss_signature(private.sign(message, ec.ECDSA(hashes.SHA256())))
    key = string(kind) + string(b"nistp256") + string(point) + string(application)
    return envelope(key, string(kind) + string(b"".join(map(mpint, pair))) + asked)


@pytest.mark.parametrize("make", [sk_ed25519, sk_ecdsa])
def test_a_security_key_counts_when_it_was_touched_and_ssh_keygen_agrees(
    tmp_path: Path, make: Callable[[bytes, int], bytes]
) -> None:
    content = make(b"ssh:", 1)
    signature = parse_signature(content)
    verify(signature, TEXT, SPACE)
    with pytest.raises(SshsigError, match="does not match"):
        verify(signature, TEXT + b"x", SPACE)
    with pytest.raises(SshsigError, match="not touched"):
        verify(parse_signature(make(b"ssh:", 0)), TEXT, SPACE)

    (tmp_path / "text.sig").write_bytes(content)
    line = f"ps {signature.key.algorithm} {base64.b64encode(signature.key.blob).decode()}\n"
    (tmp_path / "allowed").write_text(line)
    argv = [need("ssh-keygen", "openssh-client"), "-Y", "verify", "-n", SPACE, "-I", "ps"]
    argv += ["-f", str(tmp_path / "allowed"), "-s", str(tmp_path / "text.sig")]
    assert subprocess.run(argv, input=TEXT, capture_output=True, check=False).returncode == 0


def small_rsa() -> bytes:
    modulus = (1 << 1023) + 1
    return string(b"ssh-rsa") + mpint(65537) + mpint(modulus)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not what ssh-keygen"),
        (b"-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n", "cut short"),
        (b"-----BEGIN SSH SIGNATURE-----\nAAA\n-----END SSH SIGNATURE-----\n", "base64"),
        (b"x" * (MAX_BYTES + 1), "longer than"),
        (armoured(b"SSHSIG" + (2).to_bytes(4, "big")), "version 1"),
        (armoured(b"SSHSIX" + (1).to_bytes(4, "big")), "version 1"),
        (envelope(string(b"ssh-dss") + string(b"x"), b""), "type ssh-dss are not taken"),
        (envelope(string(b"ssh-ed25519") + string(b"short"), b""), "malformed"),
        (envelope(string(b"ssh-ed25519") + string(bytes(32)) + b"x", b""), "follows its end"),
        (envelope(string(b"ecdsa-sha2-nistp256") + string(b"nistp384") + string(b"\4"), b""), "another curve"),
        (envelope(small_rsa(), b""), "1024 bits; 2048 are needed"),
        (envelope(string(b"ssh-ed25519") + string(bytes(32)), b"", reserved=b"x"), "reserved"),
    ],
)
def test_what_is_no_signature_is_told_so(content: bytes, why: str) -> None:
    with pytest.raises(SshsigError, match=why):
        parse_signature(content)


def test_an_rsa_signature_needs_sha_2(tmp_path: Path) -> None:
    key = public(make_key(tmp_path, *KINDS["rsa-2048"]))
    signature = parse_signature(envelope(key.blob, string(b"ssh-rsa") + string(bytes(256))))

    with pytest.raises(SshsigError, match="without SHA-2"):
        verify(signature, TEXT, SPACE)


@pytest.mark.parametrize("text", ["", "ssh-ed25519", "ssh-ed25519 ####", "ssh-rsa AAAA", "-----BEGIN PUBLIC KEY-----"])
def test_what_is_no_public_key(text: str) -> None:
    with pytest.raises(SshsigError):
        parse_public_key(text)


def test_a_line_that_lies_about_its_key(tmp_path: Path) -> None:
    line = make_key(tmp_path, *KINDS["ed25519"]).with_suffix(".pub").read_text()

    with pytest.raises(SshsigError, match="says ssh-rsa and holds a key of type ssh-ed25519"):
        parse_public_key(line.replace("ssh-ed25519", "ssh-rsa", 1))


def judged(content: bytes) -> None:
    """Parses, and verifies what parses; anything but SshsigError fails the test."""
    try:
        verify(parse_signature(content), TEXT, SPACE)
    except SshsigError:
        return
    raise AssertionError("arbitrary bytes verified")


KINDS_OF_KEY = (b"ssh-ed25519", b"ssh-rsa", b"ecdsa-sha2-nistp256", b"sk-ssh-ed25519@openssh.com")
wire = st.lists(st.binary(max_size=300), max_size=6).map(lambda parts: b"".join(map(string, parts)))


@given(st.one_of(st.binary(max_size=400), st.binary(max_size=400).map(armoured)))
def test_arbitrary_bytes_raise_nothing_else(content: bytes) -> None:
    judged(content)


@given(st.sampled_from(KINDS_OF_KEY), wire, wire, st.binary(max_size=8))
def test_well_framed_nonsense_raises_nothing_else(kind: bytes, key: bytes, signed: bytes, rest: bytes) -> None:
    judged(envelope(string(kind) + key, signed + rest))


@given(st.integers(0, 2**16), st.integers(0, 255), st.data())
def test_a_true_signature_with_bytes_changed_raises_nothing_else(place: int, value: int, data: st.DataObject) -> None:
    blob = bytearray(TRUE)
    blob[place % len(blob)] ^= value
    changed = bytes(blob[: data.draw(st.integers(0, len(blob)))])
    if changed != TRUE:
        judged(armoured(changed))


@given(st.text(max_size=200))
def test_arbitrary_lines_are_keys_or_an_error(text: str) -> None:
    with pytest.raises(SshsigError):
        parse_public_key(text)


def _true() -> bytes:
    private = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    key, signed = (
        string(b"ssh-ed25519") + string(raw),
        string(b"ssh-ed25519") + string(private.sign(to_be_signed(TEXT))),
    )
    parts = (key, SPACE.encode(), b"", b"sha512", signed)
    return b"SSHSIG" + (1).to_bytes(4, "big") + b"".join(map(string, parts))


TRUE = _true()


def test_the_signature_that_the_others_are_bent_from_is_true() -> None:
    verify(parse_signature(armoured(TRUE)), TEXT, SPACE)
