"""A year in which nothing is ever the same again: every certificate is one server's own and new with each change of what
its handshake tells, and no page is like one before. ``python benchmarks/unlike.py DATABASE`` makes it of one of year.py.

Only what the servers told is changed, not what was made of it: for judging again, which reads nothing else.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from year import START

from posture.facts import FACTS, Facts, HttpFacts, TlsFacts, decode, encode
from posture.store.answers import get_blob, put_blob

ROOT_KEY, KEY = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
AUTHORITY = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Unlike Root")])


def _certificate(subject: x509.Name, number: int, public: ec.EllipticCurvePublicKey, run: int, days: int) -> bytes:
    """Valid from a run on. ``number`` 0: the root."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(AUTHORITY)
        .public_key(public)
        .serial_number(number + 1)
        .not_valid_before(START + timedelta(days=run - 2))
        .not_valid_after(START + timedelta(days=run + days))
        .add_extension(x509.BasicConstraints(ca=number == 0, path_length=None), critical=True)
    )
    if number:
        (name,) = (attribute.value for attribute in subject)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(str(name))]), critical=False)
    signed = builder.sign(ROOT_KEY, hashes.SHA256())
    return signed.public_bytes(Encoding.DER if number else Encoding.PEM)


def _own(facts: Facts, asset: int, run: int) -> Facts:
    if isinstance(facts, TlsFacts) and facts.chain:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, facts.name)])
        return replace(facts, chain=(_certificate(subject, asset * 1000 + run, KEY.public_key(), run, 90),))
    if isinstance(facts, HttpFacts):
        mark = ("server", f"unlike/{asset}.{run}")
        return replace(facts, hops=tuple(replace(hop, headers=(*hop.headers, mark)) for hop in facts.hops))
    return facts


def rewrite(connection: sqlite3.Connection, own: Callable[[Facts, int, int], Facts]) -> None:
    (frozen,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'facts_frozen'").fetchone()
    (closed,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'run_frozen'").fetchone()
    connection.execute("DROP TRIGGER facts_frozen")
    connection.execute("DROP TRIGGER run_frozen")
    root = put_blob(connection, _certificate(AUTHORITY, 0, ROOT_KEY.public_key(), 0, 3000))
    connection.execute("UPDATE run SET roots_blob = ?", (root,))
    where = "asset_id = ? AND probe = ? AND subject_id = ? AND vantage_id = ? AND from_run = ?"
    rows = connection.execute("SELECT asset_id, probe, subject_id, vantage_id, from_run, blob_id FROM facts").fetchall()
    for asset, probe, subject, vantage, run, blob in rows:
        if probe in ("tls", "http"):
            told = own(decode(get_blob(connection, blob), FACTS), asset, run)
            place = (put_blob(connection, encode(told)), asset, probe, subject, vantage, run)
            connection.execute(f"UPDATE facts SET blob_id = ? WHERE {where}", place)
    connection.execute(frozen)
    connection.execute(closed)


if __name__ == "__main__":
    with closing(sqlite3.connect(Path(sys.argv[1]))) as database:
        rewrite(database, _own)
        database.commit()
