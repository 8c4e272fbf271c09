"""What part a domain plays in mail, which decides the controls that apply to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from posture.checks.rule import Case
from posture.facts.dns import MxFacts, SpfFacts
from posture.facts.parse_spf import SpfError, parse_spf
from posture.model import Verdict

ZONE = ""  # the subject of what was asked about the domain itself, whichever exchanger a case is about


@dataclass(frozen=True, slots=True)
class MailRole:
    """``inferred``: from the domain's MX and SPF records, because the inventory leaves ``mail`` out."""

    sends: bool
    receives: bool
    inferred: bool = False

    @property
    def parked(self) -> bool:
        return not self.sends and not self.receives

    @property
    def args(self) -> dict[str, Any]:
        """For every verdict that leans on the role: how it is known."""
        return {"role": "inferred" if self.inferred else "declared"}


def mail_role(case: Case) -> MailRole:
    """The declared role; else a non-null MX sends and receives, else an SPF record that authorises somebody sends.

    Raises:
        Missing: the role has to be inferred and the MX question, or then the SPF question, was not answered.
    """
    if case.asset.mail is not None:
        return MailRole("sends" in case.asset.mail, "receives" in case.asset.mail)
    if any(record.host.name for record in case.need(MxFacts, ZONE).records):
        return MailRole(sends=True, receives=True, inferred=True)
    return MailRole(_authorises(case.need(SpfFacts, ZONE)), receives=False, inferred=True)


def outside(tag: str, role: MailRole, case: Case) -> Verdict:
    """The verdict of a control that the role does not ask for."""
    return Verdict(tag, {"domain": case.asset.name, **role.args})


def _authorises(facts: SpfFacts) -> bool:
    """Whether the domain's SPF means to let somebody send. Broken or several records were meant to."""
    if len(facts.records) != 1:
        return bool(facts.records)
    try:
        record = parse_spf(facts.records[0])
        if record.authorises_somebody or record.all is not None or not record.redirect:
            return record.authorises_somebody
        targets = [one for one in facts.lookups if one.term.lower().startswith("redirect=")]
        # A chain of redirects ends in the record that counts.
        return not targets or len(targets[-1].records) != 1 or parse_spf(targets[-1].records[0]).authorises_somebody
    except SpfError:
        return True
