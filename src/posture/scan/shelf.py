"""The operator's own copies of revocation lists (``crls`` in posture.toml): files that somebody fetched for the scanner."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from posture.errors import ConfigurationError
from posture.facts.parse_crl import MOST_BYTES, load

MOST_FILES = 1000


@dataclass(frozen=True, slots=True)
class Shelf:
    """Lists by the name of their issuer in DER. ``remarks``: sentences on files that are no list."""

    lists: Mapping[bytes, tuple[x509.CertificateRevocationList, ...]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def of(self, issuer: x509.Name) -> tuple[x509.CertificateRevocationList, ...]:
        """The lists of an authority, in the order of their files."""
        return self.lists.get(issuer.public_bytes(), ())


def read_shelf(path: Path | None) -> Shelf:
    """The lists in a file, or in the files of a folder (not of those below it); DER or PEM.

    Raises:
        ConfigurationError: there is no such file or folder, or more files than are read.
    """
    if path is None:
        return Shelf()
    try:
        files = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
        if len(files) > MOST_FILES:
            raise ConfigurationError(
                f"{path} holds more than {MOST_FILES} files. Name a folder of revocation lists alone."
            )
        found: defaultdict[bytes, list[x509.CertificateRevocationList]] = defaultdict(list)
        remarks = []
        for file in files:
            try:
                crl = load(_content(file))
                found[crl.issuer.public_bytes()].append(crl)
            except ValueError as fault:
                remarks.append(f"{file} is left aside, as it is no revocation list: {str(fault)[:100]}.")
    except OSError as fault:
        raise ConfigurationError(
            f"{path}: {fault.strerror}. 'crls' names a file or a folder of revocation lists."
        ) from fault
    return Shelf({issuer: tuple(lists) for issuer, lists in found.items()}, tuple(remarks))


def _content(file: Path) -> bytes:
    """Raises ValueError: it is larger than what is read."""
    if file.stat().st_size > MOST_BYTES:
        raise ValueError("larger than what is read")
    return file.read_bytes()
