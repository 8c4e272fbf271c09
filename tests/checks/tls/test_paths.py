"""What is remembered of a path is never another path's, another store's or another time's."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import crypto

from posture.checks import Reference
from posture.checks.tls.x509 import Trust, _fault, name_of, path, readable, trust, trust_until
from posture.facts.parse_x509 import certificate
from tests.checks.tls.pki import AT, DAY, Pair, issue
from tests.checks.tls.seen import chain as chain_seen
from tests.checks.tls.seen import judge

SECOND = timedelta(seconds=1)
KEY, MIDDLE_KEY = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())


def slowly(chain: Sequence[bytes], roots: bytes, at: datetime) -> tuple[str, str, datetime | None]:
    """Every path built anew, at the very time asked: what trust() says, remembering nothing."""
    certs = readable(chain)
    leaf = certs[0]
    moment = max(min(at, leaf.not_valid_after_utc - SECOND), leaf.not_valid_before_utc)
    walked = path(certs)
    others = [certs[index] for index in (*walked, *set(range(len(certs))).difference(walked)) if index]
    store = crypto.X509Store()
    for part in roots.split(b"-----END CERTIFICATE-----\n")[:-1]:
        store.add_cert(crypto.load_certificate(crypto.FILETYPE_PEM, part + b"-----END CERTIFICATE-----\n"))
    store.set_time(moment.astimezone(UTC).replace(tzinfo=None))
    context = crypto.X509StoreContext(
        store, crypto.X509.from_cryptography(leaf), [crypto.X509.from_cryptography(one) for one in others]
    )
    try:
        context.verify_certificate()
    except crypto.X509StoreContextError as fault:
        named = certificate(crypto.dump_certificate(crypto.FILETYPE_ASN1, fault.certificate))
        return _fault(fault.errors[0], fault.errors[1], leaf), name_of(named), None
    issuers = (context.get_verified_chain() or [])[1:]
    return "", "", min((one.to_cryptography().not_valid_after_utc for one in issuers), default=None)


def told(found: Trust) -> tuple[str, str, datetime | None]:
    return found.fault, found.subject, found.ends


ROOT = issue("Root", ca=True, key=KEY, start=AT - 900 * DAY, end=AT + 900 * DAY)
LATER_ROOT = issue("Root", ca=True, key=KEY, start=AT + 20 * DAY, end=AT + 80 * DAY)
STRANGER = issue("Stranger", ca=True, start=AT - 900 * DAY, end=AT + 900 * DAY)
MIDDLES = [
    issue("Middle", ROOT, ca=True, key=MIDDLE_KEY, start=AT + start * DAY, end=AT + end * DAY)
    for start, end in ((-90, 30), (10, 60), (50, 400))
]
LEAVES = [
    issue("www.gov.example", MIDDLES[0], start=AT + start * DAY, end=AT + end * DAY)
    for start, end in ((-60, 300), (15, 45), (-5, 5))
]
CHAINS = [
    (leaf.der, *(middle.der for middle in middles))
    for leaf, middles in product(LEAVES, ([], MIDDLES[:1], MIDDLES[1:2], MIDDLES[:2], MIDDLES[::-1], [*MIDDLES, ROOT]))
] + [(STRANGER.der,), (LEAVES[0].der, STRANGER.der), (LEAVES[0].der, b"no certificate", MIDDLES[0].der)]
STORES = [b"".join(one.pem for one in roots) for roots in ((ROOT,), (LATER_ROOT,), (ROOT, LATER_ROOT), (STRANGER,))]


STEPS = (-DAY, -SECOND, timedelta(0), timedelta(milliseconds=400), SECOND, 2 * SECOND, DAY)


def moments(steps: Sequence[timedelta] = STEPS) -> list[datetime]:
    """Around every end of every validity, to the second, and a little after, and far away."""
    certs = [pair.cert for pair in (ROOT, LATER_ROOT, STRANGER, *MIDDLES, *LEAVES)]
    ends = {moment for cert in certs for moment in (cert.not_valid_before_utc, cert.not_valid_after_utc)}
    return [moment + step for moment in ends for step in steps] + [AT - 4000 * DAY, AT, AT + 4000 * DAY]


def test_as_if_every_path_were_built_anew() -> None:
    # In no order, so that what was remembered is of other times, stores and chains.
    asked = random.Random(7).sample(list(product(CHAINS, STORES, moments())), 2500)
    found = [told(trust(*one)) for one in asked]
    assert [one for one, said in zip(asked, found, strict=True) if said != slowly(*one)] == []
    assert set(found) >= {
        ("", "", MIDDLES[0].cert.not_valid_after_utc),
        ("expired_issuer", "Middle", None),
        ("expired_issuer", "Root", None),
        ("unknown_issuer", "www.gov.example", None),
        ("self_signed", "Stranger", None),
    }


@pytest.mark.parametrize("roots", STORES, ids=range(len(STORES)))
@pytest.mark.parametrize("chain", CHAINS, ids=range(len(CHAINS)))
def test_a_fault_lasts_until_it_is_said_to(chain: tuple[bytes, ...], roots: bytes) -> None:
    said = {at: slowly(chain, roots, at) for at in sorted(moments((-SECOND, SECOND)))}
    for at in list(said)[::4]:
        until = trust_until(chain, roots, at)
        assert all(found == said[at] for one, found in said.items() if at < one and (until is None or one < until))
        assert until is None or slowly(chain, roots, until) != said[at]


def test_an_issuer_that_is_not_valid_yet_is_no_lasting_fault() -> None:
    chain, store = (LEAVES[0].der, MIDDLES[1].der), STORES[0]
    assert trust(chain, store, AT).fault == "expired_issuer"
    assert trust_until(chain, store, AT) == MIDDLES[1].cert.not_valid_before_utc
    assert trust(chain, store, AT + 11 * DAY).fault == ""
    told = judge("tls.cert.trust", chain_seen(*chain), {"reference": Reference(store, "sha256:1")})
    assert (told.tag, told.good_until) == ("CERT_ISSUER_EXPIRED", MIDDLES[1].cert.not_valid_before_utc)


def test_a_root_is_recognised_however_its_name_is_written() -> None:
    """OpenSSL compares names without minding case: the root's dates count."""
    shouting = issue("ROOT", ca=True, key=KEY, start=AT - 900 * DAY, end=AT + 40 * DAY)
    chain: Pair = MIDDLES[2]
    late = issue("late.gov.example", chain, start=AT - 60 * DAY, end=AT + 300 * DAY)
    sent = (late.der, issue("Middle", ROOT, ca=True, key=MIDDLE_KEY, end=AT + 400 * DAY).der)
    for at in (AT, AT + 39 * DAY, AT + 41 * DAY, AT + 100 * DAY, AT):
        assert told(trust(sent, shouting.pem, at)) == slowly(sent, shouting.pem, at)
    assert trust(sent, shouting.pem, AT).fault == ""
    assert trust(sent, shouting.pem, AT + 41 * DAY).fault == "expired_issuer"
