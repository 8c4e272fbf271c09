"""Mass-change guard: so much at once is rather a fault of ours, of the link or of a check. Pure.

At least ``MASS_ASSETS`` assets, and more than 10 % of a control's assets flip, or more than 20 % of the answers of a
probe, or of a probe within one ministry or one network (/24, /48), go. First sights and changes of policy or rules are
no flips.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from ipaddress import ip_address, ip_network

from posture.drift import CHANGES, Event, Judged, Probed, address_of
from posture.model import AssetKey

# A run is suspect when this much changes at once; never below MASS_ASSETS assets.
MASS_ASSETS = 10
MASS_FLIPS = 0.10
MASS_SILENCE = 0.20

Probes = Mapping[str, Probed]
Groups = Mapping[str, frozenset[AssetKey]]


def is_suspect(before: Judged, after: Judged, events: Iterable[Event], doubted: Judged | None = None) -> bool:
    """Whether there is any doubt: see :func:`doubts`."""
    return bool(doubts(before, after, events, doubted))


def doubts(before: Judged, after: Judged, events: Iterable[Event], doubted: Judged | None = None) -> tuple[str, ...]:
    """Sentences that say what changed too much at once.

    Args:
        doubted: a run between the two that was suspect itself. What it saw already, ``after`` has confirmed.
    """
    seen: dict[str, set[AssetKey]] = defaultdict(set)
    for asset, control, _ in {*after.answered, *after.ended}:
        seen[control].add(asset)
    probes = None if doubted is None else doubted.probes
    return (
        *mass_flips(flips_of(events, doubted), lambda control: seen[control]),
        *mass_silence(before.probes, after.probes, probes, lambda: _groups(before)),
    )


def flips_of(events: Iterable[Event], doubted: Judged | None) -> dict[str, set[AssetKey]]:
    """By control: the assets on which it changed, and no suspect run had seen it so already."""
    flipped: dict[str, set[AssetKey]] = defaultdict(set)
    for event in events:
        is_flip = event.kind in CHANGES and not event.initial and event.before is not event.after
        if is_flip and not _seen_already(event, doubted):
            flipped[event.finding.control].add(event.finding.asset)
    return flipped


def mass_flips(
    flipped: Mapping[str, Collection[AssetKey]], seen: Callable[[str], Collection[AssetKey]]
) -> Iterator[str]:
    """Controls that changed on too many assets.

    Args:
        seen: of a control the assets on which the later run saw it, or saw it gone; asked only where many changed.
    """
    for control, assets in sorted(flipped.items()):
        if len(assets) < MASS_ASSETS:
            continue
        whole = len({*seen(control), *assets})
        if is_mass(len(assets), whole, MASS_FLIPS):
            yield f"{control} changed on {len(assets)} of {whole} assets at once"


def _seen_already(event: Event, doubted: Judged | None) -> bool:
    if doubted is None:
        return False
    then = doubted.known.get(event.key)
    if then is None:
        return event.key in doubted.ended and event.kind == "fixed"
    return event.key in doubted.answered and then.outcome is event.after


def mass_silence(before: Probes, after: Probes, doubted: Probes | None, groups: Callable[[], Groups]) -> Iterator[str]:
    """Probes that lost too many answers.

    Args:
        groups: assets that may fall silent together, by name; asked only where many are silent.
    """
    known = cache(groups)
    for probe, now in sorted(after.items()):
        then = before.get(probe)
        if then is None:
            continue
        answered = then.answered & now.targeted
        silent = answered - now.answered
        if doubted and probe in doubted:  # silent then already, and still: the next run has confirmed it
            silent -= doubted[probe].targeted - doubted[probe].answered
        if len(silent) < MASS_ASSETS:
            continue
        if is_mass(len(silent), len(answered), MASS_SILENCE):
            yield f"{probe} lost its answer on {len(silent)} of {len(answered)} assets at once"
            continue
        for name, members in sorted(known().items()):
            lost, whole = silent & members, answered & members
            if is_mass(len(lost), len(whole), MASS_SILENCE):
                yield f"{probe} lost its answer on {len(lost)} of {len(whole)} assets of {name} at once"


def _groups(view: Judged) -> Groups:
    return groups_of((key[0], finding.ministry, key[2]) for key, finding in view.known.items())


def groups_of(known: Iterable[tuple[AssetKey, str, str]]) -> Groups:
    """Assets that may fall silent together: of a ministry, of a network (by the addresses of their findings).

    Args:
        known: asset, ministry and subject of each finding.
    """
    members: dict[str, set[AssetKey]] = defaultdict(set)
    networks: dict[str, str] = {}
    for asset, ministry, subject in known:
        members[f"ministry {ministry}"].add(asset)
        if subject not in networks:
            networks[subject] = _network(subject)
        if networks[subject]:
            members[f"network {networks[subject]}"].add(asset)
    return {name: frozenset(assets) for name, assets in members.items() if len(assets) >= MASS_ASSETS}


def _network(subject: str) -> str:
    """The /24 or /48 around the address of a subject; "" for one without."""
    try:
        address = ip_address(address_of(subject))
    except ValueError:
        return ""
    return str(ip_network((address, 24 if address.version == 4 else 48), strict=False))


def is_mass(changed: int, total: int, share: float) -> bool:
    """Whether so many of so many are too many."""
    return changed >= MASS_ASSETS and changed > share * total
