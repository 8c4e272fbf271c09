"""mail.mx.valid and mail.starttls: each mail exchanger, subject ``mx:NAME:25``."""

from __future__ import annotations

import ipaddress
from typing import Any

from posture.checks.email.role import ZONE, mail_role, outside
from posture.checks.rule import Case, Missing, rule
from posture.facts.dns import CNAME, NODATA, NXDOMAIN, RESOLVED, HostAddresses, MxFacts, SpfFacts
from posture.facts.smtp import SmtpAnswer, SmtpFacts
from posture.model import Absent, AbsentCause, Confidence, Reason, Verdict

GOOD_TLS = ("TLS 1.2", "TLS 1.3")
REFUSALS = ("closed", "rejected")


@rule("mail.starttls", needs=(SmtpFacts, MxFacts, SpfFacts))
def starttls(case: Case) -> Verdict:
    """Every address completes TLS 1.2 or later; a closed port says nothing here, silence and 4xx never say no."""
    role = mail_role(case)
    if not role.receives:
        return outside("NOT_A_RECEIVER", role, case)
    answers = case.need(SmtpFacts).answers
    args: dict[str, Any] = {"host": _host(case), **role.args}
    without = [one.address for one in answers if one.state == "greeted" and one.starttls == "not_offered"]
    if without:
        return Verdict("STARTTLS_NOT_OFFERED", {**args, "addresses": without})
    failing = [one.address for one in answers if one.tls == "refused"]
    if failing:
        return Verdict("STARTTLS_FAILS", {**args, "addresses": failing})
    outdated = [one for one in answers if one.tls == "accepted" and one.version not in GOOD_TLS]
    if outdated:
        versions = sorted({one.version for one in outdated})
        return Verdict(
            "STARTTLS_OUTDATED", {**args, "addresses": [one.address for one in outdated], "versions": versions}
        )
    asked = [one for one in answers if one.state != "closed"]
    if not asked:
        raise Missing(Absent(AbsentCause.CLOSED, case.at, "port 25"))
    confidence = _settle(case, asked, [one for one in asked if one.tls == "accepted"])
    return Verdict("STARTTLS_WORKS", {**args, "versions": sorted({one.version for one in asked} - {""})}, confidence)


@rule("mail.mx.valid", needs=(SmtpFacts, MxFacts, SpfFacts))
def valid(case: Case) -> Verdict:
    """The name leads to public addresses (RFC 5321 section 5.1, RFC 2181 section 10.3) and 220 greets on port 25."""
    role = mail_role(case)
    if not role.receives:
        return outside("NOT_A_RECEIVER", role, case)
    name = _host(case)
    args: dict[str, Any] = {"host": name, **role.args}
    host = next((one.host for one in case.need(MxFacts, ZONE).records if one.host.name == name), None)
    if host is not None and (tag := _wrong_name(case, host)):
        return Verdict(tag, {**args, "addresses": list(host.addresses)})
    answers = case.need(SmtpFacts).answers
    greeting = [one for one in answers if one.state == "greeted"]
    refusing = [one.address for one in answers if one.state in REFUSALS]
    if refusing and (greeting or _another_greets(case)):
        return Verdict("MX_REFUSES", {**args, "addresses": refusing})
    return Verdict("MX_ANSWERS", args, _settle(case, answers, greeting))


def _host(case: Case) -> str:
    return case.subject.removeprefix("mx:").removesuffix(":25")


def _wrong_name(case: Case, host: HostAddresses) -> str:
    """The tag for what DNS alone shows to be wrong; ""  when nothing is."""
    if _is_address(host.name):
        return "MX_IS_ADDRESS"
    if host.status in (CNAME, NXDOMAIN, NODATA):
        return {CNAME: "MX_IS_ALIAS", NXDOMAIN: "MX_DOES_NOT_EXIST", NODATA: "MX_WITHOUT_ADDRESS"}[host.status]
    if host.status != RESOLVED:
        raise case.unknown(Reason.TIMEOUT, f"{host.name} did not resolve")
    private = not case.lab and any(not ipaddress.ip_address(address).is_global for address in host.addresses)
    return "MX_PRIVATE_ADDRESS" if private else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _another_greets(case: Case) -> bool:
    others = (facts for subject, facts in case.every(SmtpFacts).items() if subject != case.subject)
    return any(one.state == "greeted" for facts in others if isinstance(facts, SmtpFacts) for one in facts.answers)


def _settle(case: Case, answers: tuple[SmtpAnswer, ...] | list[SmtpAnswer], good: list[SmtpAnswer]) -> Confidence:
    """How sure a pass is: addresses that this machine has no way to are a stated gap, all other silence is unknown.

    Raises:
        Missing: an address gave no evidence.
    """
    unseen = [one for one in answers if one not in good]
    beyond_us = [one for one in unseen if one.state == Reason.VANTAGE_LIMITED]
    if unseen and (len(beyond_us) < len(unseen) or not good):
        silent = next((one for one in unseen if one not in beyond_us), unseen[0])
        raise case.unknown(_reason(silent), silent.address, silent.code or None)
    return Confidence.PROBABLE if beyond_us else Confidence.CONFIRMED


def _reason(answer: SmtpAnswer) -> Reason:
    """Why an address that was asked gave no evidence."""
    if answer.state in (*REFUSALS, "temporary"):
        return Reason.REFUSED_BY_TARGET
    if answer.state == "greeted":
        return Reason.BLOCKED if answer.starttls == "masked" else Reason.TEMPORARY
    return Reason(answer.state)
