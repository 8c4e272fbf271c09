"""mail.spf.*: who may send in the domain's name (RFC 7208)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from posture.checks.email.policy import applied
from posture.checks.email.role import MailRole, mail_role, outside
from posture.checks.rule import Case, rule
from posture.facts.dns import DmarcFacts, MxFacts, SpfFacts, SpfLookup
from posture.facts.parse_spf import Mechanism, SpfError, SpfRecord, parse_spf
from posture.model import Reason, Verdict

MAX_MX_NAMES = 10  # RFC 7208 section 4.6.4
RECEIVERS_STOP_AT = 10
WIDEST_V4 = 16  # a shorter prefix lets more than 65,536 machines send


@rule("mail.spf.present", needs=(SpfFacts, MxFacts))
def present(case: Case) -> Verdict:
    """Exactly one record (section 4.5). A parked domain without one is mail.parked's to judge."""
    role = mail_role(case)
    if role.receives and not role.sends:
        return outside("NOT_A_SENDER", role, case)
    facts = case.need(SpfFacts)
    args = {"domain": case.asset.name, **role.args}
    if len(facts.records) == 1:
        return Verdict("SPF_ONE_RECORD", {**args, "record": facts.records[0]})
    if facts.records:
        return Verdict("SPF_SEVERAL_RECORDS", {**args, "records": list(facts.records)})
    if role.parked:
        return Verdict("SPF_JUDGED_AS_PARKED", args)
    return Verdict("SPF_TYPE_99_ONLY" if facts.type99 else "SPF_MISSING", args)


@rule("mail.spf.valid", needs=(SpfFacts, MxFacts))
def valid(case: Case) -> Verdict:
    """Whether any receiver would answer permerror (sections 4.6, 5.2 and 6.1)."""
    role = mail_role(case)
    facts = case.need(SpfFacts)
    args = {"domain": case.asset.name, **role.args}
    if _is_out(role, facts):
        return Verdict("NO_SPF_TO_JUDGE", args)
    if len(facts.records) > 1:
        return Verdict("SPF_SEVERAL_RECORDS", {**args, "records": list(facts.records)})
    try:
        record = parse_spf(facts.records[0])
    except SpfError as fault:
        return Verdict("SPF_TERM_INVALID", {**args, "term": fault.term, "record": facts.records[0]})
    if (broken := next(_broken_targets(facts), None)) is not None:
        return Verdict(broken.tag, {**args, **broken.args})
    if _hides(facts):
        raise case.unknown(Reason.TIMEOUT, "a record that the SPF record includes did not answer")
    return _tidiness(case, record, args)


@rule("mail.spf.lookups", needs=(SpfFacts, MxFacts))
def lookups(case: Case) -> Verdict:
    """At most 10 look-ups and 2 void ones, counted in the worst case (section 4.6.4)."""
    role = mail_role(case)
    facts = case.need(SpfFacts)
    args = {"domain": case.asset.name, **role.args}
    if _is_out(role, facts) or _parsed(facts.records) is None:
        return Verdict("NO_SPF_TO_JUDGE", args)
    looped = any(lookup.status == "loop" for lookup in facts.lookups)
    count = len(facts.lookups)
    voids = [lookup.domain for lookup in facts.lookups if lookup.status == "void"]
    args |= {"count": count, "voids": voids, "void_count": len(voids)}
    if looped or count > case.policy.number("mail.spf.lookups_fail_above", case.at):
        return Verdict("SPF_TOO_MANY_LOOKUPS", args)
    if len(voids) > case.policy.number("mail.spf.voids_fail_above", case.at):
        return Verdict("SPF_TOO_MANY_VOIDS", args)
    if crowded := next((lookup for lookup in facts.lookups if lookup.names > MAX_MX_NAMES), None):
        return Verdict("SPF_MX_TOO_LONG", {**args, "term": crowded.term, "names": crowded.names})
    if any(lookup.status in ("silent", "skipped") for lookup in facts.lookups):
        raise case.unknown(Reason.TIMEOUT, "a look-up of the SPF record did not answer")
    if count >= case.policy.number("mail.spf.lookups_warn_from", case.at):
        return Verdict("SPF_LOOKUPS_NEAR_LIMIT", args)
    if len(voids) >= case.policy.number("mail.spf.voids_warn_from", case.at):
        return Verdict("SPF_VOIDS_AT_LIMIT", args)
    return Verdict("SPF_LOOKUPS_FEW", args)


@rule("mail.spf.policy", needs=(SpfFacts, MxFacts, DmarcFacts))
def policy(case: Case) -> Verdict:
    """The last word of the record after redirect (sections 5.1 and 6.1), and what it lets through."""
    role = mail_role(case)
    facts = case.need(SpfFacts)
    args = {"domain": case.asset.name, **role.args}
    record = _parsed(facts.records)
    if _is_out(role, facts) or record is None:
        return Verdict("NO_SPF_TO_JUDGE", args)
    if everybody := _passes_all(facts, case.asset.name, record, set()):
        return Verdict("SPF_ALLOWS_EVERYBODY", {**args, "term": everybody})
    if wide := [mechanism.text for mechanism in _too_wide(record)]:
        return Verdict("SPF_RANGE_TOO_WIDE", {**args, "ranges": wide})
    last = _last_word(case, facts, case.asset.name, record, set())
    match last:
        case "-":
            return Verdict("SPF_HARD_FAIL", args)
        case "?":
            return Verdict("SPF_NEUTRAL", args)
        case "~":
            enforced = _is_enforced(case)
            return Verdict("SPF_SOFT_FAIL_WITH_DMARC" if enforced else "SPF_SOFT_FAIL", args)
        case _:
            return Verdict("SPF_NO_LAST_WORD", args)


def _is_out(role: MailRole, facts: SpfFacts) -> bool:
    """Whether there is nothing for the finer controls: a domain that only receives, or no record (mail.spf.present)."""
    return (role.receives and not role.sends) or not facts.records


def _parsed(records: tuple[str, ...]) -> SpfRecord | None:
    try:
        return parse_spf(records[0]) if len(records) == 1 else None
    except SpfError:
        return None


def _is_pointer(lookup: SpfLookup) -> bool:
    """Whether the term leads to another record: include or redirect."""
    return lookup.term.lower().lstrip("+-~?").startswith(("include:", "redirect="))


def _broken_targets(facts: SpfFacts) -> Iterator[Verdict]:
    for lookup in filter(_is_pointer, facts.lookups):
        args = {"term": lookup.term, "target": lookup.domain, "by": lookup.by}
        if lookup.status == "loop":
            yield Verdict("SPF_LOOP", args)
        elif lookup.status in ("void", "malformed") or (lookup.status == "answer" and not lookup.records):
            yield Verdict("SPF_TARGET_WITHOUT_SPF", args)
        elif lookup.status == "answer" and _parsed(lookup.records) is None:
            yield Verdict("SPF_TARGET_INVALID", args)


def _hides(facts: SpfFacts) -> bool:
    """Whether a record that receivers would come to was not seen; what lies past their limit they never read."""
    reached = [lookup for lookup in facts.lookups if lookup.status != "skipped"]
    past_limit = len(reached) > RECEIVERS_STOP_AT
    return any(
        lookup.status == "silent" or (lookup.status == "skipped" and not past_limit)
        for lookup in filter(_is_pointer, facts.lookups)
    )


def _tidiness(case: Case, record: SpfRecord, args: dict[str, object]) -> Verdict:
    args = {**args, "record": record.text}
    if ptr := next((one.text for one in record.mechanisms if one.name == "ptr"), None):
        return Verdict("SPF_USES_PTR", {**args, "term": ptr})
    if record.unknown:
        return Verdict("SPF_UNKNOWN_MODIFIER", {**args, "modifiers": list(record.unknown)})
    limit = case.policy.number("mail.spf.octets_warn_above", case.at)
    if len(record.text) > limit:
        return Verdict("SPF_LONG", {**args, "octets": len(record.text), "limit": limit})
    return Verdict("SPF_VALID", args)


def _passes_all(facts: SpfFacts, domain: str, record: SpfRecord, seen: set[str]) -> str:
    """The term through which anybody passes: +all here, or in a record that is included or redirected to; else ""."""
    if record.all is not None and record.all.qualifier == "+":
        return record.all.text
    for lookup in _pointers(facts, domain, record):
        target = _parsed(lookup.records)
        if target is None or lookup.domain in seen:
            continue
        if _passes_all(facts, lookup.domain, target, seen | {domain, lookup.domain}):
            return lookup.term
    return ""


def _pointers(facts: SpfFacts, domain: str, record: SpfRecord) -> Iterator[SpfLookup]:
    """Look-ups of the record's own include and redirect terms that let a pass through."""
    terms = {one.text for one in record.evaluated if one.name == "include" and one.qualifier == "+"}
    if record.all is None and record.redirect:
        terms.add(f"redirect={record.redirect}")
    return (lookup for lookup in facts.lookups if lookup.by == domain and lookup.term in terms)


def _too_wide(record: SpfRecord) -> Iterator[Mechanism]:
    """Own ip4 ranges shorter than /16; what a provider's included record lists is the provider's."""
    for mechanism in record.evaluated:
        network = mechanism.network
        if mechanism.qualifier == "+" and isinstance(network, ipaddress.IPv4Network) and network.prefixlen < WIDEST_V4:
            yield mechanism


def _last_word(case: Case, facts: SpfFacts, domain: str, record: SpfRecord, seen: set[str]) -> str:
    """The qualifier of ``all`` after redirects; "" when there is none. Raises Missing when a target did not answer."""
    if record.all is not None:
        return record.all.qualifier
    redirects = [
        lookup for lookup in facts.lookups if lookup.by == domain and lookup.term == f"redirect={record.redirect}"
    ]
    if not redirects or domain in seen:
        return ""
    if redirects[0].status in ("silent", "skipped", "macro"):
        raise case.unknown(Reason.TIMEOUT, f"{redirects[0].domain} did not answer")
    target = _parsed(redirects[0].records)
    return _last_word(case, facts, redirects[0].domain, target, seen | {domain}) if target else ""


def _is_enforced(case: Case) -> bool:
    found = applied(case.need(DmarcFacts))
    return found is not None and found.policy in ("quarantine", "reject")
