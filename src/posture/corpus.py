"""A recorded corpus: answers of some assets in plain files, to try rules and policies on. No database, no network.

    corpus.json        when it was recorded, in a lab or not, and the trust store beside it
    NAME.KIND.json     one asset: its entry in the inventory, and every answer
    verdicts.txt       what is expected of them, one line a verdict

Every file is canonical: the same answers have the same bytes, so that a change is a readable difference.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from posture.checks import Control, Reference
from posture.drift import Key, key_of
from posture.errors import UsageError
from posture.facts import FACTS, decode, encode
from posture.judge import judge
from posture.model import Absent, AbsentCause, Answer, AssetKey, Finding, Observed, Reason, Unobserved
from posture.policy import Policy
from posture.store import AssetEntry, RunRecord, Store, StoredAnswer, moment, stamp
from posture.store.answers import entry_body, entry_from
from posture.store.dockets import docket_of

FORMAT = "posture-corpus/1"
TERMS = "corpus.json"
ROOTS = "roots.pem"
VERDICTS = "verdicts.txt"

Answers = Mapping[tuple[str, str], Answer]


@dataclass(frozen=True, slots=True)
class Corpus:
    """``at``: the time as of which it is judged; ``assets``: each with its answers by (probe, subject)."""

    at: datetime
    lab: bool
    reference: Reference
    assets: tuple[tuple[AssetEntry, Answers], ...]

    def judged(self, policy: Policy, shipped: Mapping[str, Control]) -> dict[Key, Finding]:
        """Every verdict under a policy, unknowns included."""
        found: dict[Key, Finding] = {}
        for entry, answers in self.assets:
            docket = docket_of(entry, {key: StoredAnswer(answer, 0) for key, answer in answers.items()})
            verdicts = judge(docket, policy, self.at, reference=self.reference, lab=self.lab, shipped=shipped)
            found.update((key_of(one), one) for one in verdicts)
        return found


def read_corpus(folder: Path) -> Corpus:
    """Raises UsageError: no such folder, or a file in it that is no part of a corpus; says which and why."""
    terms = _read(folder / TERMS)
    try:
        roots = (folder / ROOTS).read_bytes()
        reference = Reference(roots, f"sha256:{hashlib.sha256(roots).hexdigest()}", bool(terms["private_roots"]))
        at, lab = moment(terms["at"]), bool(terms["lab"])
    except (KeyError, ValueError, TypeError, OSError) as fault:
        raise _faulty(folder / TERMS, fault) from fault
    files = sorted(path for path in folder.glob("*.json") if path.name != TERMS)
    if not files:
        raise UsageError(f"{folder} holds no asset. Name a folder with recorded answers, one asset a file.")
    return Corpus(at, lab, reference, tuple(_asset(path, at) for path in files))


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
        schema = document["schema"]
    except OSError as fault:
        raise UsageError(f"{path} cannot be read: {fault.strerror}. Name a folder with a recorded corpus.") from fault
    except (KeyError, ValueError, TypeError) as fault:
        raise _faulty(path, fault) from fault
    if schema != FORMAT:
        raise _faulty(path, ValueError(f"its schema is not {FORMAT}"))
    found: dict[str, Any] = document
    return found


def _faulty(path: Path, fault: Exception) -> UsageError:
    return UsageError(f"{path} is no part of a corpus: {fault}. Record it anew, or take the file away.")


def _asset(path: Path, at: datetime) -> tuple[AssetEntry, Answers]:
    document = _read(path)
    try:
        key = AssetKey(document["asset"], document["kind"])
        entry = entry_from(key, document["ministry"], json.dumps(document["entry"]))
        return entry, {(row["probe"], row["subject"]): _answer(row, at) for row in document["answers"]}
    except (KeyError, ValueError, TypeError) as fault:
        raise _faulty(path, fault) from fault


def _answer(row: Mapping[str, Any], at: datetime) -> Answer:
    if "facts" in row:
        return Observed(decode(json.dumps(row["facts"]).encode(), FACTS), at)
    if "absent" in row:
        return Absent(AbsentCause(row["absent"]), at, row["detail"])
    return Unobserved(Reason(row["unobserved"]), at, row["detail"], row["code"])


def write_corpus(store: Store, run: RunRecord, folder: Path) -> int:
    """Records what a run knew into a folder, in the place of what was there; the number of assets. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("*.json"), folder / ROOTS):
        old.unlink(missing_ok=True)
    reference, pasts = store.reader.reference(run), store.reader.pasts(run.vantage)
    (folder / ROOTS).write_bytes(reference.roots)
    terms = {"at": stamp(run.end), "lab": run.lab, "private_roots": reference.private_roots}
    _write(folder / TERMS, terms)
    entries = store.reader.entries(run.number)
    for number, key in store.reader.assets().items():
        if key in entries:
            look = {question: stored.answer for question, stored in pasts.of(number, key).look(run.number).items()}
            _write(folder / f"{key.name}.{key.kind}.json", _document(entries[key], look))
    return len(entries)


def _document(entry: AssetEntry, answers: Answers) -> dict[str, Any]:
    return {
        "ministry": entry.ministry,
        "asset": entry.key.name,
        "kind": entry.key.kind,
        "entry": json.loads(entry_body(entry)),
        "answers": [
            {"probe": probe, "subject": subject, **_told(answer)}
            for (probe, subject), answer in sorted(answers.items())
        ],
    }


def _told(answer: Answer) -> dict[str, Any]:
    if isinstance(answer, Observed):
        return {"facts": json.loads(encode(answer.facts))}
    if isinstance(answer, Absent):
        return {"absent": str(answer.cause), "detail": answer.detail}
    return {"unobserved": str(answer.reason), "detail": answer.detail, "code": answer.code}


def _write(path: Path, document: Mapping[str, Any]) -> None:
    body = json.dumps({"schema": FORMAT, **document}, indent=1, sort_keys=True, ensure_ascii=True)
    path.write_text(body + "\n", "ascii")


def verdict_lines(found: Iterable[Finding]) -> list[str]:
    """One line a verdict, sorted: ``asset (kind)  control  subject  outcome  severity  tag or reason``."""
    return sorted(
        f"{one.asset.name} ({one.asset.kind})  {one.control}  {one.subject or '-'}  {one.outcome}  {one.severity}  "
        f"{one.tag or one.reason}"
        for one in found
    )
