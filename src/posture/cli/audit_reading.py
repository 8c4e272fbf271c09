"""Reading the audit trail: was it you, and is the evidence whole."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from zoneinfo import ZoneInfo

from posture.audit.answer import When, answer, around, limits, whole_day
from posture.audit.chain import Broken
from posture.audit.records import Head
from posture.audit.search import Address, Asked, search
from posture.audit.trail import trail_path
from posture.audit.verify import Survey, survey
from posture.cli.result import Result
from posture.cli.verified import COMPARE, Verification
from posture.cli.wiring import config_of, now
from posture.errors import PostureError, UsageError
from posture.keys import expected_signer

if TYPE_CHECKING:
    from posture.cli.app import Settings

FORMATS = ("table", "json", "jsonl")
WINDOW = 5  # minutes to each side
SUFFIX = ".audit.jsonl"
_TIMES = "Write 2026-11-24, 2026-11-24T21:03 (the State's local time), 21:03 (the last one), or 2026-11-25T01:03Z."
_TIME = re.compile(r"[0-9]{2}:[0-9]{2}(:[0-9]{2})?")


# ---- was it you


def show_audit(
    settings: Settings,
    asset: str | None,
    address: str | None,
    at: str | None,
    window: int | None,
    trail: Path | None,
    output: str,
) -> Result:
    """``posture audit show``."""
    if output not in FORMATS:
        raise UsageError(f"no format {output!r}. Choose among {', '.join(FORMATS)}.")
    db = config_of(settings).db
    path = trail or trail_path(db)
    try:
        zone, remembered = _known(db, own=trail is None or trail.absolute() == trail_path(db).absolute())
        remark = ""
    except PostureError as fault:
        zone, remembered = ZoneInfo("UTC"), None
        remark = f"warning: times are UTC: the database cannot be asked for the State's time zone: {fault}\n"
    when = _when(at, window, zone)
    first, last = limits(when)
    name = asset.lower().rstrip(".") if asset else None
    asked = Asked(name, _address(address) if address else None, first, last)
    with _open(path) as stream:
        found = search(stream, asked, remembered=remembered)
    document: dict[str, Any] = answer(found, asked, when, zone=zone, path=str(path), now=now())
    return Result(document=document, format=output, remark=remark)


def _known(db: Path, *, own: bool) -> tuple[ZoneInfo, Head | None]:
    """The State's time zone (UTC before any run), and for the database's own trail where that must reach."""
    from posture.store import Store
    from posture.store.trail import last_head

    if not db.exists():
        return ZoneInfo("UTC"), None
    with Store.open(db, write=False) as store:
        newest = next(iter(store.reader.runs()), None)
        head = last_head(store.connection) if own else None
    return ZoneInfo(newest.timezone if newest else "UTC"), Head(*head) if head else None


def _when(at: str | None, window: int | None, zone: ZoneInfo) -> When | None:
    """Raises UsageError: no date and no time, or a window around neither."""
    from posture.store.choice import day_of

    day = day_of(at) if at else None
    if window is not None and (at is None or day is not None):
        raise UsageError(f"--window is about a time, and --at gives none. {_TIMES}")
    if at is None:
        return None
    try:
        if day is not None:
            return whole_day(day, zone)
        asked = _latest(time.fromisoformat(at), zone) if _TIME.fullmatch(at) else datetime.fromisoformat(at)
        return around(asked, WINDOW if window is None else window, zone)
    except (ValueError, OverflowError):
        raise UsageError(f"--at {at[:60]!r} is no date and no time. {_TIMES}") from None


def _latest(clock: time, zone: ZoneInfo) -> datetime:
    """When the State's clocks last showed that."""
    local = now().astimezone(zone).replace(tzinfo=None)
    today = datetime.combine(local, clock)
    return today if today <= local else today - timedelta(days=1)


def _address(text: str) -> Address:
    """Raises UsageError: it is none, in any spelling."""
    try:
        address = ip_address(text.strip().removeprefix("[").removesuffix("]"))
        return getattr(address, "ipv4_mapped", None) or address
    except ValueError:
        raise UsageError(
            f"--address {text[:60]!r} is no address. Write it as 198.51.100.7 or 2001:db8::1, without a port; "
            "a name goes with --asset."
        ) from None


# ---- is it whole


def verify_audit(path: Path, key: str | None) -> Verification:
    """``posture verify --audit``. Raises UsageError: there is no such trail."""
    signer = expected_signer(key).fingerprint if key else None
    database = path.name.removesuffix(SUFFIX)
    remembered, doubt = _remembered(path.with_name(database)) if database not in ("", path.name) else (None, "")
    with _open(path) as stream:
        try:
            found = survey(stream, remembered=remembered, signer=signer)
        except Broken as fault:
            return Verification("audit", path, signer, faults=[str(fault)])
    return Verification(
        what="audit",
        path=path,
        signer=signer,
        verdict=_verdict(found, signer),
        keys=[*found.former, *([found.key] if found.key else [])],
        runs=len(set(found.runs)),
        records=found.records,
        checkpoints=found.checkpoints,
        details=_details(found, remembered, doubt),
        advice=COMPARE if found.key and not signer else "",
    )


def _remembered(db: Path) -> tuple[Head | None, str]:
    """Where the trail must reach, or why the database beside it cannot say: that takes nothing from the trail itself."""
    try:
        return _known(db, own=True)[1], ""
    except PostureError as fault:
        return None, f"cannot be asked whether the end is missing: {fault}"


def _verdict(found: Survey, signer: str | None) -> str:
    if signer:
        return "verified; every checkpoint is signed by that key"
    return "consistent; signer not checked" if found.key else "consistent; nothing is signed yet"


def _details(found: Survey, remembered: Head | None, doubt: str) -> list[tuple[str, str]]:
    details = [("records", f"{found.records}{_numbers(found)}: {found.allowed} allowed, {found.refused} refused")]
    details.append(("runs", f"{len(set(found.runs))}{_named(found.runs)}"))
    details.append(("first", found.first_at or "-"))
    details.append(("last", found.last_at or "-"))
    details.append(("checkpoints", f"{found.checkpoints}{_unsigned(found)}"))
    if found.key:
        details.append(("signed by", found.key.fingerprint))
    details += [("before", f"{key.fingerprint}, which handed over to it") for key in found.former]
    if found.before.seq:
        details.append(("follows", f"record {found.before.seq} of an older trail, {found.before.hash}"))
    if remembered:
        details.append(("database", f"remembers record {remembered.seq}, and it is here"))
    if doubt:
        details.append(("database", doubt))
    if found.open:
        details.append(
            ("cut off", f"{found.open} allowed decisions have no closing record: a crash, or a scan under way")
        )
    if found.tears:
        details.append(("torn", f"{found.tears} unfinished lines of crashes, each named by a record"))
    if found.loose:
        details.append(
            ("torn end", f"the last {len(found.loose)} bytes are an unfinished line; the next scan records that")
        )
    return details


def _numbers(found: Survey) -> str:
    return f" ({found.before.seq + 1} to {found.head.seq})" if found.records else ""


def _named(runs: list[str]) -> str:
    several = list(dict.fromkeys(runs))
    if not several:
        return ""
    return f": {', '.join(several)}" if len(several) <= 3 else f": {several[0]} to {several[-1]}"


def _unsigned(found: Survey) -> str:
    """A checkpoint does not sign itself; what follows it is chained to it, and no more."""
    if not found.checkpoints:
        return ""
    after = found.head.seq - found.signed - 1
    return f", the last signs up to record {found.signed}" + (f"; {after} after it are not signed yet" if after else "")


def _open(path: Path) -> BinaryIO:
    """Raises UsageError: there is no such trail, or it cannot be read."""
    try:
        return path.open("rb", buffering=1 << 20)
    except FileNotFoundError:
        raise UsageError(
            f"no audit trail {path}. 'posture scan' writes one beside the database; name another with --db or --audit."
        ) from None
    except OSError as fault:
        raise UsageError(
            f"{path} cannot be read: {fault.strerror}. Mend its permissions, or name another file."
        ) from fault
