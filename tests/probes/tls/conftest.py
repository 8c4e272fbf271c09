"""Certificates for the servers of these tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme


def _write(folder: Path, kind: trustme.KeyType) -> tuple[Path, Path]:
    authority = trustme.CA(key_type=kind)
    issued = authority.create_child_ca(key_type=kind)
    leaf = issued.issue_cert("www.gov.example", key_type=kind)
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(str(key))
    return chain, key


@pytest.fixture(scope="session")
def rsa_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Chain (leaf, intermediate) and key files with RSA keys."""
    return _write(tmp_path_factory.mktemp("rsa"), trustme.KeyType.RSA)


@pytest.fixture(scope="session")
def ecdsa_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Chain (leaf, intermediate) and key files with keys on P-256."""
    return _write(tmp_path_factory.mktemp("ecdsa"), trustme.KeyType.ECDSA)
