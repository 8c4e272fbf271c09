"""What the history holds of one asset, ready to be judged."""

from __future__ import annotations

from collections.abc import Mapping

from posture.judge import Docket
from posture.store.records import AssetEntry, StoredAnswer

Answers = Mapping[tuple[str, str], StoredAnswer]


def docket_of(entry: AssetEntry, answers: Answers) -> Docket:
    """One asset ready to be judged, from what the history holds of it."""
    return Docket(
        ministry=entry.ministry,
        declared=entry.declared,
        answers={key: stored.answer for key, stored in answers.items()},
        authority={key: stored.authorisation for key, stored in answers.items() if stored.authorisation},
        providers=entry.providers,
        digests={key: stored.digest for key, stored in answers.items() if stored.digest},
    )
