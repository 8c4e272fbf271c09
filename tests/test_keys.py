"""The operator's key: made once, its owner's alone, shown as ssh-keygen shows it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from posture.errors import ConfigurationError, UsageError
from posture.keys import PublicKey, expected_signer, inspect_key, key_path, load_key, load_or_make_key, make_key

SSH_KEYGEN = shutil.which("ssh-keygen")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "posture.db.key"


def test_a_key_is_made_once_and_is_its_owners_alone(path: Path) -> None:
    made, is_new = load_or_make_key(path)
    again, is_newer = load_or_make_key(path)

    assert (is_new, is_newer) == (True, False)
    assert made.public == again.public
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")


def test_a_place_where_nobody_can_look_is_no_bug(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: File name too long"):
        load_or_make_key(tmp_path / ("k" * 300))


def test_an_open_umask_opens_nothing(path: Path) -> None:
    before = os.umask(0)
    try:
        make_key(path)
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_it_signs_verifies_and_nothing_else(path: Path, tmp_path: Path) -> None:
    key, other = make_key(path), make_key(tmp_path / "other")
    signature = key.sign(b"message")

    assert key.public.verifies(signature, b"message")
    assert not key.public.verifies(signature, b"massage")
    assert not other.public.verifies(signature, b"message")
    assert not key.public.verifies(signature[:-1], b"message")
    assert not key.public.verifies(b"", b"message")


@given(raw=st.binary(min_size=32, max_size=32), comment=st.text("abc@. ", max_size=20))
def test_the_openssh_form_is_read_back(raw: bytes, comment: str) -> None:
    key = PublicKey(raw)

    assert PublicKey.parse(key.openssh) == key
    assert PublicKey.parse(f"{key.openssh} {comment}\n") == key
    assert PublicKey.parse(f'namespaces="file" {key.openssh}') == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "ssh-ed25519 !!!!",
        "ssh-rsa AAAAB3NzaC1yc2E=",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==",
    ],
)
def test_no_key_is_read_from_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"no "):
        PublicKey.parse(text)


def test_the_openssh_form_is_what_cryptography_writes(path: Path) -> None:
    key = make_key(path)
    theirs = key.private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)

    assert key.public.openssh.encode() == theirs


@pytest.mark.skipif(SSH_KEYGEN is None, reason="ssh-keygen is not installed")
def test_the_fingerprint_is_what_ssh_keygen_prints(path: Path, tmp_path: Path) -> None:
    key = make_key(path)
    public = tmp_path / "operator.pub"
    public.write_text(key.public.openssh + " soc@cert.example\n")
    done = subprocess.run(["ssh-keygen", "-lf", public], capture_output=True, text=True, check=True)

    assert done.stdout == f"256 {key.public.fingerprint} soc@cert.example (ED25519)\n"


def test_a_second_key_goes_over_none(path: Path) -> None:
    make_key(path)
    before = path.read_bytes()

    with pytest.raises(UsageError, match=r"exists already .* move it away first\."):
        make_key(path)
    assert path.read_bytes() == before


def test_a_link_to_nowhere_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises((UsageError, ConfigurationError)):
        load_or_make_key(path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o601])
def test_a_key_that_others_may_read_signs_nothing(path: Path, mode: int) -> None:
    made = make_key(path)
    path.chmod(mode)

    with pytest.raises(ConfigurationError, match=f"mode 0{mode:o}.*chmod 600"):
        load_key(path)
    shown, found = inspect_key(path)
    assert (shown.public, found) == (made.public, mode)


def pem(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey, password: bytes = b"") -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is damaged"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "is damaged"),
        (pem(Ed25519PrivateKey.generate())[:-40], "is damaged"),
        (bytes(range(256)) * 100, "is damaged"),
        (pem(Ed25519PrivateKey.generate(), b"secret"), "has a passphrase"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "is no Ed25519 key"),
    ],
    ids=["empty", "no DER", "cut", "noise", "passphrase", "elliptic"],
)
def test_a_damaged_key_is_said_to_be_so(path: Path, content: bytes, what: str) -> None:
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(ConfigurationError, match=what):
        load_or_make_key(path)
    assert path.read_bytes() == content


def test_no_key_and_no_folder(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no key .*'posture keys new'"):
        load_key(path)
    with pytest.raises(ConfigurationError, match="cannot be written: No such file"):
        make_key(tmp_path / "nosuch" / "key")


def test_the_key_is_beside_the_database_unless_configured(tmp_path: Path) -> None:
    assert key_path(tmp_path / "lc.db") == tmp_path / "lc.db.key"
    assert key_path(tmp_path / "lc.db", tmp_path / "mine") == tmp_path / "mine"


def test_whose_signature_is_expected(path: Path, tmp_path: Path) -> None:
    public = make_key(path).public
    file = tmp_path / "operator.pub"
    file.write_text(f"{public.openssh} soc@cert.example\n")

    for text in (public.fingerprint, public.openssh, f"{public.openssh} comment", str(file)):
        assert expected_signer(text).fingerprint == public.fingerprint


@pytest.mark.parametrize("text", ["", "SHA256:short", "nosuch.pub", "a\0b", "ssh-ed25519 AAAA", "."])
def test_no_signer_is_read_from_what_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="--key"):
        expected_signer(text)


def test_a_private_key_is_not_asked_for(path: Path) -> None:
    make_key(path)

    with pytest.raises(UsageError, match="is a private key"):
        expected_signer(str(path))
