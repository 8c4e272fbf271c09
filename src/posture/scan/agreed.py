"""What two looks at the same thing agree on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from posture.model import Answer, Unobserved
from posture.store import Question
from posture.store.answers import answer_bytes


@dataclass(frozen=True, slots=True)
class Agreed:
    """``said``: what each second look said of the first: same, other, nothing. ``kept``: first answers that still hold."""

    said: dict[Question, str] = field(default_factory=dict)
    kept: dict[Question, Answer] = field(default_factory=dict)


def agreed(
    first: Mapping[Question, Answer | None], second: Mapping[Question, Answer | None], critical: Collection[Question]
) -> Agreed:
    """A second look that saw nothing does not wipe out what the first one saw.

    Args:
        first, second: by question; what the first look could not see is no news, and left out.
        critical: what open critical findings rest on; that they are fixed is believed only if seen twice.
    """
    found = Agreed()
    for question, now in second.items():
        before = first.get(question)
        if before is None or isinstance(before, Unobserved):
            continue
        if isinstance(now, Unobserved):
            found.said[question] = "nothing"
            if question not in critical:
                found.kept[question] = before
        elif now is not None:
            found.said[question] = "same" if answer_bytes(now) == answer_bytes(before) else "other"
    return found
