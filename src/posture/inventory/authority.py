"""Reading ``[[authorisation]]``: what an owner permits, with third parties, blackouts, limits and signatures."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from posture.inventory.names import parse_name, parse_network
from posture.inventory.reading import Fault, Table
from posture.inventory.records import Authorisation, Blackout, Limits, SignatureFile, ThirdParty
from posture.inventory.schedule import parse_port_range, parse_windows
from posture.model import ProbeClass
from posture.sshsig import MAX_BYTES

BASES = ("consent", "statute", "contract", "own")
CLASSES = tuple(str(probe_class) for probe_class in ProbeClass)
LONGEST_DAYS = 400
# What an ordinary client of a mail, web or name server uses; more has to be written down.
DEFAULT_PORTS = ((25, 25, ""), (53, 53, ""), (80, 80, ""), (443, 443, ""))
HIGHEST_LIMIT = 100_000
HIGHEST_SEQUENCE = 1_000_000_000
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def parse_id(text: str) -> str:
    """An identifier of a ministry or an authorisation.

    Raises:
        Fault: INV-006.
    """
    if not _ID.fullmatch(text):
        raise Fault(
            "INV-006", f"is not an identifier: {text[:80]!r}.", "Use letters, digits, '.', '_' and '-'; at most 64."
        )
    return text


def read_authorisation(table: Table, folder: Path) -> Authorisation | None:
    """One authorisation; None when it has no usable id or dates (the problems are noted).

    Args:
        folder: what ``document`` and ``signatures`` are relative to.
    """
    identifier = table.parsed("id", parse_id, required=True)
    owner, officer, emergency = table.text("owner", required=True), table.text("officer"), table.text("emergency")
    basis, reference = table.choice("basis", BASES, "consent"), table.text("reference")
    document = table.text("document")
    not_before, not_after = table.day("not_before"), table.day("not_after")
    classes = _classes(table.choices("classes", CLASSES, required=True))
    zones, exclude = table.items("zones", parse_name), table.items("exclude", parse_name)
    networks = table.items("networks", parse_network)
    hosted_classes = _classes(table.choices("hosted_classes", ("client",)))
    ports = table.items("ports", parse_port_range, numbers=True)
    lab = table.boolean("lab")
    sequence = table.integer("sequence", 0, low=0, high=HIGHEST_SEQUENCE)
    signatures = table.items("signatures", lambda name: _signature(folder, name))
    limits = _limits(table.table("limits"), lab=lab)
    third_parties = tuple(filter(None, map(_third_party, table.tables("third_party"))))
    blackouts = tuple(part for each in table.tables("blackout") for part in _blackouts(each))
    table.finish()
    if not reference and basis != "own":
        table.warn("INV-108", "reference", "names no letter, act or contract.", 'Write reference = "Letter ... of ..."')
    if not_before and not_after:
        _check_dates(table, (not_after - not_before).days)
    if identifier is None or not_before is None or not_after is None:
        return None
    return Authorisation(
        id=identifier,
        owner=owner,
        officer=officer,
        basis=basis,
        reference=reference,
        not_before=not_before,
        not_after=not_after,
        classes=classes,
        zones=zones or (),
        exclude=exclude or (),
        networks=networks or (),
        hosted_classes=hosted_classes,
        ports=DEFAULT_PORTS if ports is None else ports,
        lab=lab,
        document=document,
        document_sha256=_digest(table, folder / document) if document else "",
        emergency=emergency,
        limits=limits,
        third_parties=third_parties,
        blackouts=blackouts,
        sequence=sequence,
        signatures=signatures or (),
    )


def _classes(names: tuple[str, ...] | None) -> frozenset[ProbeClass]:
    return frozenset(map(ProbeClass, names or ()))


def _check_dates(table: Table, days: int) -> None:
    if days < 0:
        table.error("INV-022", "not_after", "is before not_before.", "Exchange or correct the dates.")
    elif days > LONGEST_DAYS:
        table.warn(
            "INV-106",
            "not_after",
            f"is {days} days after not_before; a permission of more than {LONGEST_DAYS} days is easily forgotten.",
            "Prefer one year, renewed.",
        )


def _digest(table: Table, path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError) as fault:
        words = getattr(fault, "strerror", None) or "not a file name"
        table.error("INV-031", "document", f"cannot be read: {words}.", "Paths are relative to the inventory.")
        return ""


def _signature(folder: Path, name: str) -> SignatureFile:
    """Raises Fault: INV-031."""
    try:
        with (folder / name).open("rb") as file:
            return SignatureFile(name, file.read(MAX_BYTES + 1))
    except (OSError, ValueError) as fault:
        words = getattr(fault, "strerror", None) or "not a file name"
        raise Fault(
            "INV-031",
            f"{name[:80]!r} cannot be read: {words}.",
            "Paths are relative to the inventory. Until it is signed leave it out; "
            "'posture inventory statement ID --out FILE' writes what is to be signed.",
        ) from None


def _limits(table: Table, *, lab: bool) -> Limits:
    defaults = Limits()
    chosen: dict[str, int] = {}
    for name in Limits.names():
        default: int = getattr(defaults, name)
        value = table.integer(name, default, low=1, high=HIGHEST_LIMIT)
        if value > default and not lab:
            table.error(
                "INV-025",
                name,
                f"is {value}, above the polite {default}.",
                "Limits may be lowered freely and raised only in an authorisation with lab = true.",
            )
        chosen[name] = value
    table.finish()
    return Limits(**chosen)


def _third_party(table: Table) -> ThirdParty | None:
    party = table.text("party", required=True)
    networks = table.items("networks", parse_network, required=True) or ()
    classes = _classes(table.choices("classes", CLASSES, required=True))
    reference = table.text("reference")
    table.finish()
    return ThirdParty(party, networks, classes, reference) if party else None


def _blackouts(table: Table) -> tuple[Blackout, ...]:
    """The windows of one ``[[authorisation.blackout]]``; ``classes`` left out means all."""
    when = table.text("when")
    windows = table.parsed("when", parse_windows, required=True) or ()
    classes = table.choices("classes", CLASSES)
    table.finish()
    barred = _classes(CLASSES if classes is None else classes)
    return tuple(Blackout(when, window.weekdays, window.start, window.end, barred) for window in windows)
