"""Which DMARC record applies to a domain, and what it asks of receivers (RFC 9989 section 4.10.1)."""

from __future__ import annotations

from dataclasses import dataclass

from posture.facts.dns import DmarcFacts, DmarcStep
from posture.facts.parse_dmarc import DmarcRecord, is_dmarc, parse_dmarc


@dataclass(frozen=True, slots=True)
class Applied:
    """The record in force and where it was found. ``own``: at the domain itself; ``suffix``: at a public suffix (psd=y)."""

    record: DmarcRecord
    domain: str
    own: bool
    suffix: bool = False

    @property
    def asked(self) -> str:
        """p of the domain's own record, sp of one above, before ``t`` is looked at."""
        return self.record.policy if self.own else self.record.subdomain_policy

    @property
    def policy(self) -> str:
        """What receivers do: reject, quarantine or none."""
        return self.record.effective(self.asked) if self.record.usable else "none"


def valid_records(step: DmarcStep) -> tuple[str, ...]:
    """Those that are DMARC records; several at one name are all discarded."""
    return tuple(text for text in step.records if is_dmarc(text))


def applied(facts: DmarcFacts) -> Applied | None:
    """The domain's own record, else that of its organisational domain, else that of the public suffix.

    The organisational domain is the one that says psd=n, else the one below psd=y, else the highest with a record
    (section 4.10.2).
    """
    found: list[Applied] = []
    for index, step in enumerate(facts.steps):
        if len(valid := valid_records(step)) == 1:
            record = parse_dmarc(valid[0])
            found.append(Applied(record, step.domain, own=index == 0, suffix=index > 0 and record.psd == "y"))
    if not found or found[0].own:
        return found[0] if found else None
    top = found[-1]
    if not top.suffix:
        return top
    # The organisational domain stands right below the suffix in the walk; without a record of its own the suffix's holds.
    position = next(index for index, step in enumerate(facts.steps) if step.domain == top.domain)
    below = facts.steps[position - 1].domain
    return next((one for one in found if one.domain == below), top)
