"""Staples: read in clear and in a whole handshake, kept where they say more than good or the certificate demands one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from posture.facts.tls import STAPLE
from tests.checks.tls.pki import Pair, issue
from tests.probes.tls.asking import NAME, ask, nginx, told


def with_feature(folder: Path) -> tuple[Path, Path, Path]:
    """Chain, key, and a file with a staple (any bytes: nginx sends what it is given) of a certificate that demands one."""
    now = datetime.now(UTC)
    authority = issue("Example CA", ca=True, start=now - timedelta(days=9), end=now + timedelta(days=9))
    feature = x509.TLSFeature([x509.TLSFeatureType.status_request])
    made = issue(NAME, authority, names=(NAME,), start=now, end=now + timedelta(days=8), extensions=(feature,))
    chain, key = made.write(folder, authority)
    staple = folder / "staple.der"
    staple.write_bytes(_response(made, authority, now))
    return chain, key, staple


def _response(made: Pair, authority: Pair, now: datetime) -> bytes:
    builder = ocsp.OCSPResponseBuilder().add_response(
        made.cert, authority.cert, hashes.SHA256(), ocsp.OCSPCertStatus.GOOD, now, now + timedelta(days=3), None, None
    )
    signed = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, authority.cert).sign(authority.key, hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


@pytest.mark.parametrize("versions", ["TLSv1.2 TLSv1.3", "TLSv1.3"])
def test_a_staple_is_read_in_clear_and_in_a_whole_handshake(versions: str, tmp_path: Path) -> None:
    chain, key, staple = with_feature(tmp_path)
    settings = f"ssl_protocols {versions}; ssl_stapling on; ssl_stapling_file {staple};"
    with nginx(tmp_path, chain, key, settings) as place:
        facts, _, _ = ask(place)

    assert told(facts, STAPLE)[0] == "accepted"
    assert facts.staple == staple.read_bytes()


def test_a_missing_staple_is_a_refusal(tmp_path: Path) -> None:
    chain, key, _ = with_feature(tmp_path)
    with nginx(tmp_path, chain, key, "ssl_protocols TLSv1.3;") as place:
        facts, _, _ = ask(place)

    assert told(facts, STAPLE)[0] == "refused"
    assert facts.staple == b""


@pytest.mark.parametrize("good", [True, False])
def test_a_good_staple_that_nobody_demands_is_not_kept_and_any_other_is(good: bool, tmp_path: Path) -> None:
    """A good one changes from day to day, and facts about the same thing are to be the same."""
    now = datetime.now(UTC)
    authority = issue("Example CA", ca=True, start=now - timedelta(days=9), end=now + timedelta(days=9))
    made = issue(NAME, authority, names=(NAME,), start=now, end=now + timedelta(days=8))
    chain, key = made.write(tmp_path, authority)
    staple = tmp_path / "staple.der"
    staple.write_bytes(_response(made, authority, now if good else now - timedelta(days=4)))
    with nginx(tmp_path, chain, key, f"ssl_stapling on; ssl_stapling_file {staple};") as place:
        facts, _, _ = ask(place)

    assert told(facts, STAPLE) == ("accepted", ("good",) if good else ())
    assert facts.staple == (b"" if good else staple.read_bytes())
