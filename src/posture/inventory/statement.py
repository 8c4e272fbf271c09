"""What an officer signs: one authorisation as a text, made from what was parsed, so that nothing else can be enforced.

Each line is ``field: value``, fields in a fixed order, values as JSON on one line with everything invisible escaped,
so that no value can look like another line. Lists whose order means nothing are sorted. A new field that has an
effect needs a new first line.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator

from posture.inventory.reading import CONTROL
from posture.inventory.records import Authorisation, Blackout, Limits, State, ThirdParty
from posture.inventory.schedule import DAYS

FORMAT = "posture-authorisation/1"
# A fixed set: what Python calls printable grows with Unicode, and a signature must outlive that.
_INVISIBLE = re.compile(CONTROL.pattern + "|[\u00a0\u2000-\u200a\u202f\u205f\u3000\ufff0-\uffff\U000e0000-\U000e0fff]")


def statement(authorisation: Authorisation, state: State) -> bytes:
    """The canonical text of an authorisation, UTF-8, LF at the end of each line, ``posture-authorisation/1`` first."""
    return "".join(f"{line}\n" for line in (FORMAT, *_lines(authorisation, state))).encode()


def statement_digest(authorisation: Authorisation, state: State) -> str:
    """SHA-256 (hex) of the text."""
    return hashlib.sha256(statement(authorisation, state)).hexdigest()


def _lines(authorisation: Authorisation, state: State) -> Iterator[str]:
    yield f"id: {_json(authorisation.id)}"
    yield f"sequence: {authorisation.sequence}"
    yield f"state: {_json(state.code)}"
    yield f"timezone: {_json(state.timezone)}"
    for name in ("owner", "officer", "basis", "reference", "document_sha256"):
        yield f"{name}: {_json(getattr(authorisation, name))}"
    yield f"not_before: {authorisation.not_before.isoformat()}"
    yield f"not_after: {authorisation.not_after.isoformat()}"
    yield f"classes: {_sorted(authorisation.classes)}"
    yield from _each("zone", authorisation.zones)
    yield from _each("exclude", authorisation.exclude)
    yield from _each("network", map(str, authorisation.networks))
    yield f"hosted_classes: {_sorted(authorisation.hosted_classes)}"
    yield from _each("port", map(_port, authorisation.ports))
    yield f"lab: {_json(authorisation.lab)}"
    for name in Limits.names():
        yield f"limit {name}: {getattr(authorisation.limits, name)}"
    yield from _block("third_party", sorted(map(_third_party, authorisation.third_parties)))
    yield from _block("blackout", sorted(map(_blackout, authorisation.blackouts)))


def _each(name: str, values: Iterable[str]) -> Iterator[str]:
    yield from _block(name, map(_json, sorted(set(values))))


def _block(name: str, written: Iterable[str]) -> Iterator[str]:
    """One line for each, or one that says that there is none."""
    yield from [f"{name}: {each}" for each in written] or [f"{name}: null"]


def _third_party(party: ThirdParty) -> str:
    return (
        f'{{"party": {_json(party.party)}, "networks": {_sorted(party.networks)}, '
        f'"classes": {_sorted(party.classes)}, "reference": {_json(party.reference)}}}'
    )


def _blackout(blackout: Blackout) -> str:
    days = " ".join(DAYS[day].capitalize() for day in sorted(blackout.weekdays))
    hours = f"{_clock(blackout.start)}-{_clock(blackout.end)}"
    return f'{{"days": "{days}", "hours": "{hours}", "classes": {_sorted(blackout.classes)}}}'


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _port(entry: tuple[int, int, str]) -> str:
    low, high, protocol = entry
    return f"{low}{f'-{high}' if high != low else ''}{f'/{protocol}' if protocol else ''}"


def _sorted(values: Iterable[object]) -> str:
    return f"[{', '.join(map(_json, sorted(map(str, values))))}]"


def _json(value: object) -> str:
    return _INVISIBLE.sub(_escape, json.dumps(value, ensure_ascii=False))


def _escape(match: re.Match[str]) -> str:
    """As JSON escapes it, in UTF-16 code units."""
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{int.from_bytes(units[at : at + 2], 'big'):04x}" for at in range(0, len(units), 2))
