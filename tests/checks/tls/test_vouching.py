"""Paths to a root: cross-signed, expired, missing, private; and how much work a chain can make."""

from __future__ import annotations

from datetime import datetime
from itertools import permutations
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from posture.checks import Missing, Reference
from posture.checks.tls import vouching
from posture.checks.tls.vouching import (
    MOST_PATHS,
    MOST_SIGNATURE_CHECKS,
    TOO_MANY,
    paths,
    unexpired,
    vouched,
    vouched_until,
)
from posture.checks.tls.x509 import readable, trust
from posture.facts.parse_x509 import issued
from posture.model import Reason, Unobserved
from tests.checks.tls.pki import AT, DAY, MIDDLE, OTHER_ROOT, ROOT, Pair, issue
from tests.checks.tls.seen import chain, judge

NAME = "www.gov.example"


def key() -> Any:
    return ec.generate_private_key(ec.SECP256R1())


def authority(name: str, by: Pair | None = None, *, of: Any = None, end: datetime = AT + 1000 * DAY) -> Pair:
    return issue(name, by, ca=True, key=of or key(), start=AT - 1000 * DAY, end=end)


CROSS_KEY = key()
CROSS = authority("Cross CA", ROOT, of=CROSS_KEY)
LEAF = issue(NAME, CROSS, names=(NAME,))
# The same authority, signed by others: which one the server sends first must not matter.
ALTERNATIVES = {
    "by an authority of no store": authority("Cross CA", OTHER_ROOT, of=CROSS_KEY),
    "by that, and longer": authority("Cross CA", OTHER_ROOT, of=CROSS_KEY, end=AT + 2000 * DAY),
    "which has ended": authority("Cross CA", ROOT, of=CROSS_KEY, end=AT - DAY),
    "by itself": authority("Cross CA", of=CROSS_KEY),
    "only by name": authority("Cross CA", OTHER_ROOT),
}


@pytest.mark.parametrize("name", ALTERNATIVES)
def test_a_cross_signed_authority_is_trusted_whatever_comes_first(name: str) -> None:
    for order in permutations((CROSS, ALTERNATIVES[name], OTHER_ROOT)):
        found = vouched([LEAF.der, *(one.der for one in order)], ROOT.pem, AT)
        assert found.fault == "", [one.cert.issuer for one in order]
    assert judge("tls.cert.trust", chain(LEAF, ALTERNATIVES[name], CROSS)).tag == "CERT_TRUSTED"


OLD_KEY = key()
OLD_ROOT = authority("Old Root", of=OLD_KEY, end=AT - DAY)
NEW_ROOT = authority("New Root")
BRIDGE = authority("Old Root", NEW_ROOT, of=OLD_KEY)
UNDER_OLD = authority("Old Issuing CA", OLD_ROOT)
OLD_LEAF = issue(NAME, UNDER_OLD, names=(NAME,))


@pytest.mark.parametrize(
    "store",
    [OLD_ROOT.pem + NEW_ROOT.pem, NEW_ROOT.pem + OLD_ROOT.pem, NEW_ROOT.pem],
    ids=["old first", "new first", "new"],
)
def test_an_expired_root_does_not_stand_in_the_way_of_another_path(store: bytes) -> None:
    sent = [OLD_LEAF.der, UNDER_OLD.der, BRIDGE.der]
    assert vouched(sent, store, AT).fault == ""
    assert vouched(sent, store, AT - 2 * DAY).fault == ""


def test_an_expired_root_with_no_other_path_is_a_fault_of_its_own() -> None:
    for sent in ([OLD_LEAF.der, UNDER_OLD.der, BRIDGE.der], [OLD_LEAF.der, UNDER_OLD.der]):
        assert vouched(sent, OLD_ROOT.pem, AT).fault == "expired_issuer"
        assert vouched(sent, OLD_ROOT.pem, AT - 2 * DAY).fault == ""
    tag = judge("tls.cert.trust", chain(OLD_LEAF, UNDER_OLD), {"reference": Reference(OLD_ROOT.pem)}).tag
    assert tag == "CERT_ISSUER_EXPIRED"


def test_a_fault_is_told_until_another_path_begins_or_ends() -> None:
    later = issue("Old Root", NEW_ROOT, ca=True, key=OLD_KEY, start=AT + 5 * DAY, end=AT + 9 * DAY)
    sent, store = [OLD_LEAF.der, UNDER_OLD.der, later.der], OLD_ROOT.pem + NEW_ROOT.pem
    assert vouched(sent, store, AT).fault == "expired_issuer"
    assert vouched_until(sent, store, AT) == AT + 5 * DAY
    assert vouched(sent, store, AT + 5 * DAY).fault == ""
    ended = vouched_until(sent, store, AT + 5 * DAY)
    # The last second is over for older releases of OpenSSL, and counts for newer ones.
    assert ended in (AT + 9 * DAY, AT + 9 * DAY + DAY / 86_400)
    assert ended is not None
    assert vouched(sent, store, ended).fault == "expired_issuer"
    verdict = judge("tls.cert.trust", chain(OLD_LEAF, UNDER_OLD, later), {"reference": Reference(store)})
    assert (verdict.tag, verdict.good_until) == ("CERT_ISSUER_EXPIRED", AT + 5 * DAY)


def test_a_new_root_in_the_store_outlives_the_old_one_that_signed_it() -> None:
    """A server that still sends the new root as once signed by the old one, which has ended."""
    old = authority("Very Old Root", end=AT - DAY)
    signed_by_old = authority("New Root", old, of=NEW_ROOT.key)
    under_new = authority("New Issuing CA", NEW_ROOT)
    leaf = issue(NAME, under_new, names=(NAME,))
    sent = [leaf.der, under_new.der, signed_by_old.der]
    assert vouched(sent, NEW_ROOT.pem, AT).fault == ""
    assert vouched(sent, NEW_ROOT.pem + old.pem, AT).fault == ""
    assert vouched(sent, old.pem, AT).fault == "expired_issuer"


@pytest.mark.parametrize(
    ("sent", "fault", "trust", "chained"),
    [
        ((LEAF,), "unknown_issuer", "CERT_ISSUER_UNKNOWN", "CHAIN_INCOMPLETE"),
        ((issue(NAME, names=(NAME,)),), "self_signed", "CERT_SELF_SIGNED", "CHAIN_SELF_SIGNED"),
        ((issue(NAME, OTHER_ROOT, names=(NAME,)), OTHER_ROOT), "private_root", "CERT_PRIVATE_ROOT", "CHAIN_UNTIDY"),
        ((LEAF, MIDDLE), "unknown_issuer", "CERT_ISSUER_UNKNOWN", "CHAIN_INCOMPLETE"),
    ],
    ids=["the intermediate is missing", "self-signed", "a private authority", "the wrong intermediate"],
)
def test_faults_keep_their_names(sent: tuple[Pair, ...], fault: str, trust: str, chained: str) -> None:
    assert vouched([one.der for one in sent], ROOT.pem, AT).fault == fault
    assert judge("tls.cert.trust", chain(*sent)).tag == trust
    assert judge("tls.cert.chain", chain(*sent)).tag == chained


def test_a_store_loses_what_has_ended_and_is_itself_when_nothing_has() -> None:
    assert unexpired(ROOT.pem + NEW_ROOT.pem, AT) == ROOT.pem + NEW_ROOT.pem
    assert unexpired(ROOT.pem + OLD_ROOT.pem, AT) == ROOT.pem
    assert unexpired(OLD_ROOT.pem, AT) == b""


# ---- work: counted, not timed


class Counted:
    """Counts signature checks and path validations."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.checks = self.validations = 0

        def counting_issued(issuer: x509.Certificate, cert: x509.Certificate) -> bool:
            self.checks += 1
            return issued(issuer, cert)

        def counting_trust(*asked: Any) -> Any:
            self.validations += 1
            return trust(*asked)

        monkeypatch.setattr(vouching, "issued", counting_issued)
        monkeypatch.setattr(vouching, "trust", counting_trust)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    paths.cache_clear()
    return Counted(monkeypatch)


def mutual(count: int) -> list[Pair]:
    """Two authorities that vouch for each other in many certificates: paths without number."""
    keys = key(), key()
    first = authority("First CA", of=keys[0]), authority("Second CA", of=keys[1])
    names = ("First CA", "Second CA")
    turns = [number % 2 for number in range(count)]
    return [authority(names[turn], first[1 - turn], of=keys[turn]) for turn in turns]


def test_paths_without_number_cost_a_few(counted: Counted) -> None:
    several = mutual(12)
    leaf = issue(NAME, several[0], names=(NAME,))
    found = vouched([leaf.der, *(one.der for one in several)], ROOT.pem, AT)

    assert found.fault == TOO_MANY
    assert counted.checks <= MOST_SIGNATURE_CHECKS
    assert counted.validations <= 1 + MOST_PATHS


@pytest.mark.parametrize("same_key", [True, False])
def test_a_hundred_authorities_of_one_name_cost_a_few_checks(counted: Counted, same_key: bool) -> None:
    shared = key() if same_key else None
    many = [authority("Same CA", ROOT if number % 2 else None, of=shared) for number in range(100)]
    leaf = issue(NAME, many[-1], names=(NAME,))
    found = vouched([leaf.der, *(one.der for one in many)], OTHER_ROOT.pem, AT)

    assert found.fault == TOO_MANY
    assert counted.checks <= MOST_SIGNATURE_CHECKS
    assert counted.validations <= 1 + MOST_PATHS


def test_more_paths_than_are_tried_are_unknown_and_never_a_verdict(counted: Counted) -> None:
    several = mutual(12)
    seen = chain(issue(NAME, several[0], names=(NAME,)), *several)
    for control in ("tls.cert.trust", "tls.cert.chain", "tls.cert.lifetime", "tls.cert.ct"):
        with pytest.raises(Missing) as missing:
            judge(control, seen)
        assert isinstance(missing.value.answer, Unobserved)
        assert missing.value.answer.reason is Reason.MALFORMED
    assert counted.checks <= MOST_SIGNATURE_CHECKS


def test_paths_are_walked_to_their_ends_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten certificates give thousands of paths with fewer signature checks than are allowed: their steps are few all the same."""
    several = mutual(10)
    certs = tuple(readable([issue(NAME, several[0], names=(NAME,)).der, *(one.der for one in several)]))
    steps: list[int] = []
    upwards = vouching._issuers

    def counting(*asked: Any) -> Any:
        steps.append(len(asked[1]))
        return upwards(*asked)

    paths.cache_clear()
    monkeypatch.setattr(vouching, "_issuers", counting)
    found, all_seen = paths(certs)
    assert (len(found), all_seen) == (MOST_PATHS, False)
    assert len(steps) <= MOST_PATHS * len(certs)


def test_a_good_path_among_too_many_is_still_found() -> None:
    several = mutual(10)
    first = authority("First CA", ROOT, of=several[0].key)
    leaf = issue(NAME, first, names=(NAME,))
    assert vouched([leaf.der, first.der, *(one.der for one in several)], ROOT.pem, AT).fault == ""


def test_the_paths_of_an_ordinary_chain_are_one() -> None:
    certs = tuple(readable([issue(NAME, MIDDLE).der, MIDDLE.der, ROOT.der]))
    assert paths(certs) == (((0, 1, 2),), True)
    assert paths(certs[:1]) == (((0,),), True)


def test_a_chain_that_is_fine_is_validated_once(counted: Counted) -> None:
    assert vouched([issue(NAME, MIDDLE).der, MIDDLE.der], ROOT.pem, AT).fault == ""
    assert (counted.validations, counted.checks) == (1, 0)
    assert vouched([issue(NAME, MIDDLE).der], ROOT.pem, AT).fault == "unknown_issuer"
    assert counted.validations == 2
