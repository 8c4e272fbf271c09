"""A baseline that fits the catalogue: a name that nothing answers to would be a control that nobody judges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from posture.checks.catalogue import Control, catalogue
from posture.errors import PolicyError
from posture.policy import DEFAULT, Policy, load_policy


def load_baseline(name_or_path: str = DEFAULT, shipped: Mapping[str, Control] | None = None) -> Policy:
    """As :func:`posture.policy.load_policy`, for judging by.

    Args:
        shipped: the controls that it must fit; the shipped catalogue when left out.

    Raises:
        PolicyError: no such baseline, it is none, or it names a control or a verdict that does not exist.
    """
    policy = load_policy(name_or_path)
    if strange := next(_strange(policy, catalogue() if shipped is None else shipped), None):
        raise PolicyError(f"policy {name_or_path!r} names {strange}")
    return policy


def _strange(policy: Policy, shipped: Mapping[str, Control]) -> Iterator[str]:
    """What the baseline names and the catalogue has not, with what may have been meant."""
    for name in (*policy.controls, *policy.verdicts):
        if name not in shipped:
            near = get_close_matches(name, shipped, n=1, cutoff=0.4)
            hint = f"Did you mean {near[0]}?" if near else "'posture controls' lists them."
            yield f"the control {name!r}, which does not exist. {hint}"
    for name, tags in policy.verdicts.items():
        for tag in tags:
            if tag not in shipped[name].tags:
                yield f"the verdict {tag!r} of {name}, which does not exist. It has: {', '.join(shipped[name].tags)}."
