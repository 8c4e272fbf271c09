"""What was learnt about certificates beside the handshakes that showed them: lists of revoked ones, and who shares a key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from posture.facts.base import Facts

FETCHED, FROM_FILE = "fetched", "file"


@dataclass(frozen=True, slots=True)
class RevocationList:
    """What one list said. ``url`` is the distribution point, "" of a file of the operator's that names none.

    ``word`` is one of posture.facts.parse_crl, or the reason word for which nothing was fetched; ``code`` that of our
    refusal to fetch it; ``status`` of an HTTP answer that was no list, else 0. ``revoked_at`` (RFC 3339) and ``reason``
    of a certificate that is listed. Numbers and dates of lists are not kept: they differ every day.
    """

    url: str
    source: str
    word: str
    revoked_at: str = ""
    reason: str = ""
    code: str = ""
    status: int = 0


@dataclass(frozen=True, slots=True)
class CrlFacts(Facts):
    """The lists that the leaf of an endpoint's chain was looked up in (RFC 5280 section 6.3).

    ``leaf`` is the SHA-256 of that certificate in hex; ``lists`` are sorted by ``url``. ``weak_key`` is "listed" when its key
    is on the operator's list of keys whose private half is public, "not_listed" when it is not, "" when there was no list.
    """

    TYPE: ClassVar[str] = "crl"

    leaf: str
    lists: tuple[RevocationList, ...] = ()
    weak_key: str = ""


@dataclass(frozen=True, slots=True)
class KeyUse:
    """One key of an asset, and where else in the run it was seen. ``key`` is the SHA-256 of its SubjectPublicKeyInfo in hex.

    ``endpoints`` are this asset's, ``own`` the names of other assets of the same ministry, both sorted; ``foreign`` is the
    number of other ministries with it: one ministry's evidence does not name another.
    """

    key: str
    endpoints: tuple[str, ...]
    own: tuple[str, ...] = ()
    foreign: int = 0


@dataclass(frozen=True, slots=True)
class WildcardUse:
    """A wildcard in a certificate of the asset, and the number of other ministries with assets whose names it covers."""

    pattern: str
    foreign: int


@dataclass(frozen=True, slots=True)
class KeyUseFacts(Facts):
    """Who else uses the keys of an asset, out of all certificates that one run saw.

    ``keys`` are sorted by ``key``, ``wildcards`` by ``pattern``, and hold only those of several ministries.
    ``unreadable`` is the number of the asset's endpoints whose certificate could not be read.
    """

    TYPE: ClassVar[str] = "key_use"

    keys: tuple[KeyUse, ...]
    wildcards: tuple[WildcardUse, ...] = ()
    unreadable: int = 0
