"""What a finding rests on: where its answers stand. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from posture.store.records import RunRecord, Trace, stamp


def by_probe(answers: Mapping[tuple[str, str], Trace]) -> dict[str, dict[str, Trace]]:
    """Probe -> subject -> trace."""
    found: dict[str, dict[str, Trace]] = {}
    for (probe, subject), trace in answers.items():
        found.setdefault(probe, {})[subject] = trace
    return found


def observed_at(seen: RunRecord, traces: Iterable[Trace]) -> str:
    """When the last answer came: exactly if it brought something new, else the start of the run that heard it again."""
    new = [trace.at for trace in traces if trace.since == seen.number]
    return stamp(max(new, default=seen.started_at))


def digest_of(traces: Iterable[Trace]) -> str | None:
    """The digest of the facts; of several, the digest of their sorted list, one a line."""
    digests = sorted({trace.digest for trace in traces if trace.digest})
    if len(digests) > 1:
        return "sha256:" + hashlib.sha256("\n".join(digests).encode()).hexdigest()
    return digests[0] if digests else None
