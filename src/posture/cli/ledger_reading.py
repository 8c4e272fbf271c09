"""Is the history what was signed; is an export what the history was?"""

from __future__ import annotations

import base64
import sys
import zipfile
import zlib
from collections.abc import Sequence
from lzma import LZMAError
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posture.audit import trail_path
from posture.audit.ledger import Reached, ledger_reached
from posture.cli.progress import Counting
from posture.cli.verified import COMPARE, Verification
from posture.cli.wiring import config_of
from posture.errors import UsageError
from posture.keys import expected_signer
from posture.ledger.check import Checked, blobs_changed, check_database
from posture.ledger.export import Verified, verify_export
from posture.ledger.note import Note, NoteError, open_note
from posture.ledger.remainder import judgements_changed

if TYPE_CHECKING:
    from posture.cli.app import Settings

MEMBERS = ("records.jsonl", "proof.json", "checkpoint.txt", "key.pub")
LONGEST_MEMBER = 1 << 30  # bytes
MOST_UNPACKED = 200  # bytes from one; what posture writes packs 3 to 30 to one
ROOM = 1 << 20  # bytes that may unpack from however little
LONGEST_NOTE = 1 << 20
NAMED = 3
COMPARE_ELSEWHERE = (
    "Compare the fingerprint with the operator's, from elsewhere than this machine, or give it here: --key."
)


# ---- the history


def verify_history(settings: Settings, key: str | None, checkpoint: Path | None) -> Verification:
    """``posture verify --db``.

    Raises:
        UsageError: there is no such database, or the kept checkpoint is none.
    """
    from posture.store import Store

    signer = expected_signer(key).fingerprint if key else None
    kept = _kept(checkpoint) if checkpoint else None
    path = config_of(settings).db
    reached = ledger_reached(trail_path(path))
    counting = Counting(sys.stderr, "checking", of="runs", quiet=settings.quiet)
    with Store.open(path, write=False) as store, counting as progress:
        found = check_database(store, signer=signer, kept=kept, reached=reached, heard=progress.at)
        for sha256 in blobs_changed(store.connection):
            found.add(f"facts sha256:{sha256} are not the bytes of that name: they were changed")
        for what in judgements_changed(store):
            found.add(f"{what} are not the text of that digest: they were changed")
    return Verification(
        what="history",
        path=path,
        signer=signer,
        verdict=_verdict(signer) if found.entries else f"nothing is signed yet: {_waiting(found)}",
        keys=found.keys,
        faults=found.faults,
        runs=found.runs,
        records=found.records,
        checkpoints=found.checkpoints,
        ledger=_ledger(found.origin, found.entries, found.root) if found.entries else None,
        details=_details(found, kept, reached) if found.entries else (),
        advice="" if signer or not found.entries else COMPARE_ELSEWHERE,
    )


def _waiting(found: Checked) -> str:
    return f"{len(found.unsigned)} runs wait for the next scan, which enters them" if found.unsigned else "no run yet"


def _details(found: Checked, kept: Note | None, reached: Reached | None) -> list[tuple[str, str]]:
    details = [
        ("runs", f"{found.runs}, every one in the ledger"),
        ("records", f"{found.records}, each as it was signed"),
        ("checkpoints", f"{found.checkpoints}, the last signs {found.entries} entries"),
        ("ledger", found.origin),
        ("root", base64.b64encode(found.root).decode()),
        *(("signed by", key.fingerprint) for key in found.keys),
    ]
    if kept:
        details.append(("kept", f"the checkpoint over {kept.checkpoint.size} entries is a beginning of this ledger"))
    seen = f"saw {reached.size} entries, and they are here" if reached else "beside it says nothing of a ledger"
    return [*details, ("trail", seen)]


def _kept(path: Path) -> Note:
    """Raises UsageError: it is no checkpoint."""
    try:
        with path.open("rb") as file:
            return open_note(file.read(LONGEST_NOTE).decode("utf-8"))
    except OSError as fault:
        raise UsageError(f"{path} cannot be read: {fault.strerror}. Name a file with a checkpoint's text.") from fault
    except (UnicodeDecodeError, NoteError) as fault:
        raise UsageError(
            f"{path} holds no checkpoint: {fault}. Copy it as it stands in a scorecard's footer, with its signature line."
        ) from fault


# ---- an export


def verify_file(path: Path, key: str | None) -> Verification:
    """``posture verify FILE.zip``.

    Raises:
        UsageError: no such file, or no export with proof.
    """
    signer = expected_signer(key).fingerprint if key else None
    records, proof, note, public = _members(path)
    found = verify_export(records, proof, note, public, signer=signer)
    return Verification(
        what="export",
        path=path,
        signer=signer,
        verdict=_verdict(signer),
        keys=found.keys,
        faults=found.faults,
        runs=len(found.runs),
        records=found.records,
        checkpoints=1 if found.origin else 0,
        ledger=_ledger(found.origin, found.size, found.root) if found.origin else None,
        details=_told(found),
        advice="" if signer else COMPARE,
    )


def _members(path: Path) -> tuple[bytes, bytes, bytes, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            missing = [name for name in MEMBERS if name not in archive.namelist()]
            if missing:
                raise UsageError(
                    f"{path} has no {missing[0]}: it is no export with proof. 'posture export --proof --out FILE.zip' writes one."
                )
            records, proof, note, public = (_member(archive, name) for name in MEMBERS)
            return records, proof, note, public
    except OSError as fault:
        raise UsageError(f"{path} cannot be read: {fault.strerror or fault}. Name an export (FILE.zip).") from fault
    except (
        zipfile.BadZipFile,
        zlib.error,
        LZMAError,
        NotImplementedError,
        RuntimeError,
        EOFError,
        ValueError,
    ) as fault:
        raise UsageError(f"{path} is no whole zip file: {fault}. Fetch it again from whoever made it.") from fault


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """As much as its directory says and no more, whatever it unpacks to."""
    if archive.namelist().count(name) > 1:
        raise ValueError(f"it holds two files {name}, and the one that is checked may not be the one that is read")
    packed = archive.getinfo(name)
    if packed.file_size > min(LONGEST_MEMBER, ROOM + MOST_UNPACKED * packed.compress_size):
        raise ValueError(f"{name} would unpack to {packed.file_size >> 20} MB, which no export of ours does")
    with archive.open(name) as stream:
        return stream.read(packed.file_size)


def _told(found: Verified) -> list[tuple[str, str]]:
    details = [
        ("ministries", ", ".join(found.ministries) or "none"),
        ("runs", f"{len(found.runs)}{_span(found.runs)}, none missing between them"),
        ("records", f"{found.records}, each as it was signed"),
        *(
            [
                (
                    "earlier",
                    f"{found.earlier} of them are of earlier runs; whether more of those were left out is not proved",
                )
            ]
            if found.earlier
            else []
        ),
        ("ledger", f"{found.origin}, {found.size} entries"),
        *(("signed by", key.fingerprint) for key in found.keys),
    ]
    if found.after:
        details.append(("after", f"the ledger went on for {found.after} entries past this range"))
    return details


def _span(runs: Sequence[str]) -> str:
    if not runs:
        return ""
    return f" ({', '.join(runs)})" if len(runs) <= NAMED else f" ({runs[0]} to {runs[-1]})"


# ---- both


def _verdict(signer: str | None) -> str:
    return "verified; signed by that key" if signer else "consistent; signer not checked"


def _ledger(origin: str, size: int, root: bytes) -> dict[str, Any]:
    return {"origin": origin, "size": size, "root": base64.b64encode(root).decode()}
