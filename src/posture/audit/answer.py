"""The answer to "was it you?": one plain sentence first, then what was sent, as a published document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from posture.audit.records import moment, stamp
from posture.audit.search import ENDPOINT, Asked, Contacts, Found
from posture.scanned import Scanned

SCHEMA = "posture-audit/1"
NAMED = 3  # runs and authorities that a sentence lists
_WORDS: Mapping[str, tuple[str, str]] = {
    "connection": ("connection", "connections"),
    "sweep": ("port-sweep connection", "port-sweep connections"),
    "datagram": ("datagram", "datagrams"),
    "child": ("connection at most of a child process", "connections at most of child processes"),
}
_COPIED = ("run", "allowed", "code", "authorisation", "via", "ministry", "asset", "probe", "class", "traffic")


@dataclass(frozen=True, slots=True)
class When:
    """The time asked about, in words and as two instants (both included); ``words`` begins with "on" or "between"."""

    words: str
    first: datetime
    last: datetime


def whole_day(day: date, zone: ZoneInfo) -> When:
    """A day in the State's time zone; 23 or 25 hours when clocks change."""
    begin = datetime.combine(day, datetime.min.time(), zone)
    end = datetime.combine(day + timedelta(days=1), datetime.min.time(), zone)
    return When(f"on {day}", begin.astimezone(UTC), end.astimezone(UTC) - timedelta(milliseconds=1))


def around(at: datetime, minutes: int, zone: ZoneInfo) -> When:
    """So many minutes to each side. A time without a zone is the State's; one that its clocks show twice is both."""
    both = [at] if at.tzinfo else [at.replace(tzinfo=zone, fold=fold) for fold in (0, 1)]
    margin = timedelta(minutes=minutes)
    first = min(each.astimezone(UTC) for each in both) - margin
    last = max(each.astimezone(UTC) for each in both) + margin
    # Somebody who says 21:03 means all of that minute.
    if not (at.second or at.microsecond):
        last += timedelta(seconds=59, milliseconds=999)
    return When(f"between {_local(first, zone)} and {_local(last, zone)}", first, last)


def answer(
    found: Found, asked: Asked, when: When | None, *, zone: ZoneInfo, path: str, now: datetime
) -> dict[str, Any]:
    """``posture-audit/1``.

    Args:
        now: to tell a time to come from one at which nothing was sent.
    """
    contacts = sorted(found.contacts, key=lambda each: (not each.said.get("allowed"), each.first_at))
    return {
        "schema": SCHEMA,
        "answer": " ".join(_sentences(found, asked, when, zone, now)),
        "asked": {
            "asset": asked.asset,
            "address": str(asked.address) if asked.address else None,
            "from": asked.first,
            "to": asked.last,
            "timezone": zone.key,
        },
        "trail": {
            "path": path,
            "records": found.records,
            "first_at": found.first_at or None,
            "last_at": found.last_at or None,
            "broken": found.broken or None,
        },
        "contacts": [_row(each, found, zone) for each in contacts],
    }


def _row(contacts: Contacts, found: Found, zone: ZoneInfo) -> dict[str, Any]:
    said = contacts.said
    authorisation = said.get("authorisation")
    return {
        **{name: said.get(name) for name in _COPIED},
        "owner": found.owners.get(str(authorisation)) if authorisation else None,
        "purpose": said.get("purpose"),
        # A redirect may have led to that name; an address that was refused may be any text.
        "name": Scanned(str(said.get("name") or "")),
        "address": Scanned(str(said.get("address") or "")),
        "protocol": said.get("protocol"),
        "ports": sorted(contacts.ports),
        "connections": None if said.get("traffic") == ENDPOINT else contacts.connections,
        "first_at": contacts.first_at,
        "last_at": contacts.last_at,
        "local": _span(contacts.first_at, contacts.last_at, zone).removeprefix("from ").removeprefix("at "),
        "sent": contacts.sent,
        "received": contacts.received,
        "ends": dict(contacts.ends.most_common()),
    }


def _sentences(found: Found, asked: Asked, when: When | None, zone: ZoneInfo, now: datetime) -> Iterable[str]:
    if found.broken:
        yield (
            f"This trail does not hold: {found.broken}. What follows is what it says, not proof; "
            "'posture verify --audit FILE' looks closer."
        )
    yield from _main(found, asked, when, zone, now)
    refused = sum(each.connections for each in found.contacts if not each.said.get("allowed"))
    if refused:
        yield f"{refused} {'attempt was' if refused == 1 else 'attempts were'} refused by posture itself and not sent."
    if found.shared:
        yield f"{found.shared} times an answer that another asset's connection had brought served here too."
    first, last = limits(when)
    ever = when is None and bool(found.first_at) and found.before.seq > 0
    if ever or (first and last and first < found.first_at <= last):
        yield f"Of the time before {_read(found.first_at, zone)} this trail says nothing.{_older(found)}"


def _main(found: Found, asked: Asked, when: When | None, zone: ZoneInfo, now: datetime) -> Iterable[str]:
    sent = [each for each in found.contacts if each.said.get("allowed")]
    own = [each for each in sent if each.said.get("traffic") == ENDPOINT]
    to_others = [each for each in sent if each.said.get("traffic") != ENDPOINT]
    if to_others:
        yield _yes(to_others, found, asked, zone)
    if own:
        yield _endpoints(own, zone)
    if sent:
        return
    if not found.first_at:
        yield "The trail is empty: it can tell nothing."
    elif when and when.first > now:
        yield f"That time has not come yet: nothing can be told of {_bare(when)} ({zone.key})."
    elif when and stamp(when.last) < found.first_at:
        yield (
            f"This trail cannot tell: it begins at {_read(found.first_at, zone)} ({zone.key}), "
            f"after the time that was asked.{_older(found)}"
        )
    else:
        yield _no(found, asked, when, zone)


def _yes(sent: Sequence[Contacts], found: Found, asked: Asked, zone: ZoneInfo) -> str:
    counts: Counter[str] = Counter()
    for each in sent:
        counts[str(each.said.get("traffic"))] += each.connections
    words = [f"{count} {_WORDS.get(kind, (kind, kind))[count != 1]}" for kind, count in counts.most_common()]
    runs = list(dict.fromkeys(str(each.said.get("run")) for each in sent))
    letters = list(dict.fromkeys(str(each.said.get("authorisation")) for each in sent))
    under = [f"{letter} of {found.owners[letter]}" if letter in found.owners else letter for letter in letters]
    span = _span(min(each.first_at for each in sent), max(each.last_at for each in sent), zone)
    whom = f" to {_target(asked)}" if asked.asset or asked.address else ""
    return (
        f"Yes: {_joined(words)}{whom} by {_several(runs, 'runs')} under {_several(under, 'authorisations')}, "
        f"{span} ({zone.key})."
    )


def _endpoints(own: Sequence[Contacts], zone: ZoneInfo) -> str:
    """The operator's own machines are asked without an authorisation, and not counted one by one."""
    purposes = sorted({str(each.said.get("purpose")) for each in own})
    addresses = sorted({str(each.said.get("address")) for each in own})
    runs = list(dict.fromkeys(str(each.said.get("run")) for each in own))
    span = _span(min(each.first_at for each in own), max(each.last_at for each in own), zone)
    return (
        f"The operator's own {_joined(purposes)} ({_several(addresses, 'addresses')}) served {_several(runs, 'runs')}, "
        f"{span} ({zone.key})."
    )


def _no(found: Found, asked: Asked, when: When | None, zone: ZoneInfo) -> str:
    covered = f"the trail covers {_span(found.first_at, found.last_at, zone).removeprefix('at ')}"
    if when and stamp(when.first) > found.last_at:
        covered = f"no scan has begun since the trail's last record, at {_read(found.last_at, zone)}"
    time = f" {when.words}" if when else ""
    return f"No: nothing was sent to {_target(asked)}{time} ({zone.key}); {covered}."


def _older(found: Found) -> str:
    if not found.before.seq:
        return ""
    return f" An older one, up to record {found.before.seq}, was moved away: ask it with --audit FILE."


def _target(asked: Asked) -> str:
    if asked.address and asked.asset:
        return f"{asked.address} for {asked.asset}"
    return str(asked.address or asked.asset or "anybody")


def _bare(when: When) -> str:
    return when.words.removeprefix("on ")


def _several(names: Sequence[str], what: str) -> str:
    """A few by name, many by their number; runs with that word before them, because an id alone says little."""
    if len(names) > NAMED:
        return f"{len(names)} {what} ({names[0]} to {names[-1]})"
    word = ("runs " if len(names) > 1 else "run ") if what == "runs" else ""
    return word + _joined(names)


def _joined(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _span(first: str, last: str, zone: ZoneInfo) -> str:
    """``from 2026-11-24 21:03:05 to 21:04:11``, the second date only when it is another."""
    begin, end = (_read(each, zone) for each in (first, last))
    if begin == end:
        return f"at {begin}"
    return f"from {begin} to {end[11:] if begin[:10] == end[:10] else end}"


def _read(text: str, zone: ZoneInfo) -> str:
    """A record's time in local time; as it stands there when somebody has put something else in its place."""
    try:
        return _local(moment(text), zone)
    except (ValueError, OverflowError):
        return text


def _local(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def limits(when: When | None) -> tuple[str | None, str | None]:
    """The time asked about as stamps."""
    return (stamp(when.first), stamp(when.last)) if when else (None, None)
