"""Whether anybody in the trust store vouches for a certificate, on any path: what a browser finds out.

OpenSSL takes the first issuer of the right name and never turns back. A cross-signed authority has several certificates of
one name and key, and a store may hold a root that has ended beside the one that follows it; so other paths are tried, too.
The work is bounded: so many signatures are checked and so many paths tried, and what is beyond them is told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from posture.checks.tls.x509 import Trust, edges, readable, root_certificates, self_issued, trust
from posture.facts.parse_x509 import issued, issuer_name, subject_name

MOST_SIGNATURE_CHECKS = 64
MOST_PATHS = 8
# Nobody vouches on the paths that were tried, and there are more.
TOO_MANY = "too_many"
# Faults of a path that another one need not have.
_OF_THE_PATH = frozenset({"private_root", "unknown_issuer", "expired_issuer", "other"})


def vouched(chain: Sequence[bytes], roots: bytes, at: datetime) -> Trust:
    """As :func:`posture.checks.tls.x509.trust`, on whichever path there is; of the first one when none leads to a root.

    Raises:
        Malformed: the leaf cannot be read.
    """
    found = trust(chain, roots, at)
    if found.fault not in _OF_THE_PATH:
        return found
    certs = tuple(readable(chain))
    usable = unexpired(roots, _moment(certs[0], at))
    walks, all_seen = paths(certs)
    for walk in walks:
        if len(walk) == len(certs) and usable == roots and len(walks) == 1:
            break  # the one path there is has been tried
        other = trust([certs[index].public_bytes(Encoding.DER) for index in walk], usable, at)
        if not other.fault:
            return other
    return found if all_seen else Trust(TOO_MANY, found.subject)


def vouched_until(chain: Sequence[bytes], roots: bytes, at: datetime) -> datetime | None:
    """The first time after ``at`` when :func:`vouched` finds otherwise, because an issuer's validity begins or ends.

    Raises:
        Malformed: the leaf cannot be read.
    """
    now = vouched(chain, roots, at)
    return next((edge for edge in edges(tuple(chain), roots) if edge > at and vouched(chain, roots, edge) != now), None)


def _moment(leaf: x509.Certificate, at: datetime) -> datetime:
    """The time as trust() takes it: moved into the leaf's validity."""
    return max(min(at, leaf.not_valid_after_utc - timedelta(seconds=1)), leaf.not_valid_before_utc)


@lru_cache(maxsize=64)  # several rules ask about the same chain
def paths(chain: tuple[x509.Certificate, ...]) -> tuple[tuple[tuple[int, ...], ...], bool]:
    """Every path up from the leaf, as indexes, as far as the chain as sent goes; and whether these are all."""
    found: list[tuple[int, ...]] = []
    checked: dict[tuple[int, int], bool] = {}
    waiting: list[tuple[int, ...]] = [(0,)]
    while waiting:
        if len(found) == MOST_PATHS:
            return tuple(found), False
        walk = waiting.pop()  # depth first: what waits stays short, however much the certificates vouch for each other
        last = chain[walk[-1]]
        above = [] if self_issued(last) else _issuers(chain, walk, checked)
        if above is None:
            return (*found, walk), False
        if above:
            waiting += [(*walk, index) for index in reversed(above)]
        else:
            found.append(walk)
    return tuple(found), True


def _issuers(
    chain: tuple[x509.Certificate, ...], walk: tuple[int, ...], checked: dict[tuple[int, int], bool]
) -> list[int] | None:
    """Those that issued the last of a walk; None when that would take more signature checks than there are."""
    last = walk[-1]
    name, above = issuer_name(chain[last]), []
    for index, candidate in enumerate(chain):
        if index in walk or subject_name(candidate) != name:
            continue
        if (index, last) not in checked:
            if len(checked) == MOST_SIGNATURE_CHECKS:
                return None
            checked[index, last] = issued(candidate, chain[last])
        if checked[index, last]:
            above.append(index)
    return above


@lru_cache(maxsize=8)
def unexpired(pem: bytes, moment: datetime) -> bytes:
    """The roots of a store without those that are not valid at a time; the store itself when all are."""
    roots = root_certificates(pem)
    valid = [root for root in roots if root.not_valid_before_utc <= moment <= root.not_valid_after_utc]
    return pem if len(valid) == len(roots) else b"".join(root.public_bytes(Encoding.PEM) for root in valid)
