"""What a run left in the history that is in no ministry's records: the State's own leaf, which never leaves the house.

With it everything that a closed run wrote is signed, bit by bit, and ``verify --db`` names whatever was changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from posture.model import AssetKey
from posture.store import RunRecord, Store
from posture.store.silences import begun_with

STATE = ""  # whose leaf it is, among those of the ministries; sorts first

_TERMS = (
    "SELECT lab, selectors, controls, roots_private, inventory, blob.sha256 FROM run LEFT JOIN blob ON blob.id = roots_blob "
    "WHERE run.id = ?"
)
_SCORE = "SELECT tenths, low, high, coverage, grade FROM score WHERE run_id = ? AND ministry = ''"
_AUTHORITY = (
    "SELECT authorisation, sequence, sha256, signers FROM authority WHERE run_id = ? ORDER BY authorisation, sequence"
)
_COVERAGE = "SELECT probe, targeted, answered FROM coverage WHERE run_id = ? ORDER BY probe"
_JUDGED = "SELECT control_id, asked, known, silent FROM judged WHERE run_id = ? ORDER BY control_id"
_DECLARED = (
    "SELECT asset_id, code, body FROM declaration JOIN ministry ON ministry.id = ministry_id WHERE from_run = ? "
    "ORDER BY asset_id"
)
_WITHDRAWN = "SELECT asset_id FROM declaration WHERE to_run = ? ORDER BY asset_id"


def remainder_of(
    store: Store, run: RunRecord, assets: Mapping[int, AssetKey], controls: Mapping[int, str]
) -> Iterator[dict[str, Any]]:
    """The records in their fixed order, without run and ministry. Sets of assets stand as they are packed, in hex."""
    connection, number = store.connection, (run.number,)
    known = store.reader.texts.known
    for row in connection.execute(_TERMS, number):
        yield _record("terms", ("lab", "selectors", "controls", "roots_private", "inventory", "roots_sha256"), row)
    for row in connection.execute(_SCORE, number):
        yield _record("score", ("tenths", "low", "high", "coverage", "grade"), row)
    for row in connection.execute(_AUTHORITY, number):
        yield _record("authority", ("authorisation", "sequence", "sha256", "signers"), row)
    for row in connection.execute(_COVERAGE, number):
        yield _record("coverage", ("probe", "targeted", "answered"), row)
    for control, *sets in connection.execute(_JUDGED, number):
        yield {**_record("judged", ("asked", "known", "silent"), sets), "control": controls[control]}
    for asset, *said in connection.execute(_DECLARED, number):
        yield {**_record("declared", ("code", "body"), said), **_named(assets[asset])}
    for (asset,) in connection.execute(_WITHDRAWN, number):
        yield {"kind": "closed", "what": "declaration", **_named(assets[asset])}
    missed = begun_with(connection, known(run.vantage), run.number)
    for one in sorted(missed, key=lambda one: (one.asset, one.probe, known(one.subject))):
        said = {"probe": one.probe, "subject": one.subject, "detail": one.miss.detail}
        yield {**_named(assets[one.asset]), "kind": "detail", **said}


def judgements_changed(store: Store) -> Iterator[str]:
    """Policies and rules that are not those whose digest every run of theirs signs."""
    query = "SELECT policy, body, policy_sha256, rules, rules_sha256 FROM judgement ORDER BY id"
    for policy, body, policy_sha256, rules, rules_sha256 in store.connection.execute(query):
        for what, text, digest in (("policy", body, policy_sha256), ("rules", rules, rules_sha256)):
            if hashlib.sha256(text.encode()).hexdigest() != digest:
                yield f"the {what} of the judgement {policy} (sha256:{digest})"


def _record(kind: str, names: Iterable[str], values: Iterable[Any]) -> dict[str, Any]:
    plain = (value.hex() if isinstance(value, bytes) else value for value in values)
    return {"kind": kind, **dict(zip(names, plain, strict=True))}


def _named(asset: AssetKey) -> dict[str, str]:
    return {"asset": asset.name, "asset_kind": asset.kind}
