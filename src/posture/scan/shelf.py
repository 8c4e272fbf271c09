"""The operator's own lists, which somebody fetched for the scanner: of revoked certificates (``crls`` in posture.toml), and
of keys whose private half is public (``weak_keys``), such as those of CVE-2008-0166."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from posture.errors import ConfigurationError
from posture.facts.parse_crl import MOST_BYTES, load

MOST_FILES = 1000
_MARK = re.compile(r"[0-9a-fA-F]{20}")


@dataclass(frozen=True, slots=True)
class Shelf:
    """Lists by the name of their issuer in DER; weak keys by :func:`weak_key_mark`. ``remarks``: sentences on files that are
    no list."""

    lists: Mapping[bytes, tuple[x509.CertificateRevocationList, ...]] = field(default_factory=dict)
    weak_keys: frozenset[bytes] = frozenset()
    remarks: tuple[str, ...] = ()

    def of(self, issuer: bytes) -> tuple[x509.CertificateRevocationList, ...]:
        """The lists of an authority, by its name in DER, in the order of their files."""
        return self.lists.get(issuer, ())


def read_shelf(crls: Path | None, weak_keys: Path | None = None) -> Shelf:
    """The lists in a file, or in the files of a folder (not of those below it).

    Args:
        crls: DER or PEM.
        weak_keys: in the form of Debian's openssl-blacklist: a line of 20 hexadecimal digits a key, ``#`` for remarks.

    Raises:
        ConfigurationError: there is no such file or folder, or more files than are read, or a line that is no key.
    """
    lists, remarks = _revocation_lists(crls) if crls else ({}, ())
    return Shelf(lists, _weak_keys(weak_keys) if weak_keys else frozenset(), remarks)


def weak_key_mark(modulus: int) -> bytes:
    """The last ten bytes of the SHA-1 of an RSA modulus as ``openssl rsa -modulus`` writes it."""
    return hashlib.sha1(f"Modulus={modulus:X}\n".encode(), usedforsecurity=False).digest()[10:]


def _weak_keys(path: Path) -> frozenset[bytes]:
    found = set()
    for file in _files(path, "weak_keys"):
        try:
            lines = file.read_text("ascii").splitlines()
        except (OSError, ValueError) as fault:
            raise ConfigurationError(
                f"{file} is no list of weak keys: {fault}. Take it away, or fetch it anew."
            ) from fault
        for number, line in enumerate(lines, 1):
            word = line.strip()
            if not word or word.startswith("#"):
                continue
            if not _MARK.fullmatch(word):
                raise ConfigurationError(
                    f"{file}, line {number}: {word[:40]!r} is no key. A line holds 20 hexadecimal digits, as in Debian's "
                    "openssl-blacklist."
                )
            found.add(bytes.fromhex(word))
    return frozenset(found)


def _files(path: Path, key: str) -> list[Path]:
    try:
        files = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
        if not path.exists():
            raise ConfigurationError(
                f"{path}: there is no such file or folder. '{key}' names a list, or a folder of lists."
            )
    except OSError as fault:
        raise ConfigurationError(f"{path}: {fault.strerror}. '{key}' names a list, or a folder of lists.") from fault
    if len(files) > MOST_FILES:
        raise ConfigurationError(f"{path} holds more than {MOST_FILES} files. '{key}' names a folder of lists alone.")
    return files


def _revocation_lists(path: Path) -> tuple[Mapping[bytes, tuple[x509.CertificateRevocationList, ...]], tuple[str, ...]]:
    found: defaultdict[bytes, list[x509.CertificateRevocationList]] = defaultdict(list)
    remarks = []
    for file in _files(path, "crls"):
        try:
            crl = load(_content(file))
            found[crl.issuer.public_bytes()].append(crl)
        except OSError as fault:
            raise ConfigurationError(f"{file}: {fault.strerror}. 'crls' names a list, or a folder of lists.") from fault
        except ValueError as fault:
            remarks.append(f"{file} is left aside, as it is no revocation list: {str(fault)[:100]}.")
    return {issuer: tuple(lists) for issuer, lists in found.items()}, tuple(remarks)


def _content(file: Path) -> bytes:
    """Raises ValueError: it is larger than what is read."""
    if file.stat().st_size > MOST_BYTES:
        raise ValueError("larger than what is read")
    return file.read_bytes()
