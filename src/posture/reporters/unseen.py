"""What was not seen, and why: questions that got no answer, and those that we may not ask, each said once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from posture.model import AssetKey
from posture.report import Row
from posture.reporters.cells import about, address_in, together
from posture.scanned import Scanned

HOSTED_ELSEWHERE = "E-SCOPE-020"

# What each refusal means to a ministry, and what mends it; said when the refusal's own words are not on record.
MEANINGS: Mapping[str, str] = {
    "E-SCOPE-001": "No authorisation covers it. Sign the letter of consent.",
    "E-SCOPE-002": "Its authorisation lacks signatures. Have the letter signed by those who must.",
    "E-SCOPE-003": "Its authorisation is not in force. Have the letter renewed.",
    "E-SCOPE-004": "Its authorisation was superseded. Use the newest letter.",
    "E-SCOPE-005": "Nobody who can be reached answers for the scans. Give the operator's contact.",
    "E-SCOPE-010": "Its authorisation does not grant this class of question. Add the class to the letter, if you agree.",
    "E-SCOPE-011": "Its authorisation forbids it at this hour. Scan at another hour.",
    "E-SCOPE-012": "Its authorisation does not cover the name. Add the name to the letter, if you agree.",
    HOSTED_ELSEWHERE: "Hosted outside your authorisation: ask the host's owner.",
    "E-SCOPE-021": "It resolves to an address that is not for the public internet. Correct the DNS.",
    "E-SCOPE-022": "It leads to another host, which nobody authorised. Add that host to the letter, if it is yours.",
    "E-SCOPE-023": "Its address changed while it was looked at. Scan again.",
    "E-SCOPE-024": "Its authorisation does not list the port. Add the port to the letter, if you agree.",
    "E-SCOPE-030": "The limit on questions to it was reached. Scan again later.",
    "E-SCOPE-040": "Its authorisation was stopped. Those who stopped it can lift the stop.",
    "E-SCOPE-041": "Scanning was stopped. Those who stopped it can lift the stop.",
}
UNKNOWN_CODE = "Refused under this code. 'posture plan' says more."


@dataclass(frozen=True, slots=True)
class Unseen:
    """One reason why something was not seen, once per provider. ``assets``: with how many questions each."""

    why: Scanned
    provider: Scanned | None
    count: int
    assets: tuple[tuple[AssetKey, int], ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """One thing that we may not ask, with how to mend it; once per host, letter or name."""

    code: str
    words: Scanned
    count: int
    assets: tuple[tuple[AssetKey, int], ...]


def unseen(rows: Iterable[Row]) -> list[Unseen]:
    """Unknown findings by reason; what most of them share first. What we may not ask is :func:`refused`'s."""
    groups: dict[tuple[Scanned, Scanned | None], Counter[AssetKey]] = defaultdict(Counter)
    for row in rows:
        if row["outcome"] == "unknown" and not row.get("code"):
            groups[row["message"], row.get("provider")][_asset(row)] += 1
    found = [Unseen(why, provider, *_counted(counts)) for (why, provider), counts in groups.items()]
    return sorted(found, key=lambda item: (-item.count, item.why))


def refused(rows: Iterable[Row]) -> list[Refused]:
    """Unknown findings behind which stands a refusal of ours; hosts first, then what most of them share."""
    groups: dict[tuple[str, Scanned], Counter[AssetKey]] = defaultdict(Counter)
    for row in rows:
        if row["outcome"] == "unknown" and row.get("code"):
            groups[row["code"], _words(row)][_asset(row)] += 1
    found = [Refused(code, words, *_counted(counts)) for (code, words), counts in groups.items()]
    return sorted(found, key=lambda item: (item.code != HOSTED_ELSEWHERE, -item.count, item.code, item.words))


def _asset(row: Row) -> AssetKey:
    return AssetKey(row["asset"], row["kind"])


def _counted(counts: Counter[AssetKey]) -> tuple[int, tuple[tuple[AssetKey, int], ...]]:
    return counts.total(), tuple(sorted(counts.items()))


def _words(row: Row) -> Scanned:
    said = (row.get("args") or {}).get("detail")
    if row["code"] == HOSTED_ELSEWHERE:
        return _hosted(row, said)
    if said:
        return about(said, row["asset"])
    return together(MEANINGS.get(row["code"], UNKNOWN_CODE))


def _hosted(row: Row, said: Scanned | None) -> Scanned:
    """``hosted at 192.0.2.77, not in your authorisation: ask the host's owner``"""
    address, provider = address_in(row["subject"]) or address_in(said), row.get("provider")
    named = provider if provider != f"the host of {address}" else None
    place = [*(["by ", named] if named else []), *([" " if named else "", "at ", address] if address else [])]
    if not place:
        return together(MEANINGS[HOSTED_ELSEWHERE])
    return together("hosted ", *place, ", not in your authorisation: ask the host's owner")
