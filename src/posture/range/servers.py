"""What every host of the range serves: the layout's notes, as servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from ssl import SSLContext

from posture.range import tls
from posture.range.certificates import Authority, Credentials, self_signed
from posture.range.layout import CONTACT
from posture.range.listening import Conversation
from posture.range.mail import MailExchanger
from posture.range.services import ftp, redis, tarpit, telnet
from posture.range.web import GOOD_HEADERS, Page, Site, security_txt, welcome

_SECURITY_TXT_DAYS = 180
_HALF_A_YEAR = ("Strict-Transport-Security", "max-age=15768000")


@dataclass(frozen=True, slots=True)
class Service:
    """A conversation behind a port, encrypted from the first byte when ``tls`` is set."""

    conversation: Conversation
    tls: SSLContext | None = None


Services = Mapping[int, Service]


def finance(authority: Authority, now: datetime) -> dict[str, Services]:
    """The hosts of the Ministry of Finance: services by port, as the internet would see them."""
    portal, tax = "portal.finance.gov.example", "tax.finance.gov.example"
    customs, tenders = "customs.finance.gov.example", "tenders.finance.gov.example"
    mail = "mail.finance.gov.example"
    returns = Site({"/": welcome("Tax returns", "File your return by 31 March.")}, server="Apache/2.2.15")
    return {
        portal: _good_site(portal, "Ministry of Finance", authority.issue(portal), now),
        tax: {
            80: Service(returns.serve),
            443: Service(returns.serve, tls.legacy(authority.issue(tax, rsa=True))),
        },
        customs: _good_site(customs, "Customs", authority.issue(customs, lapsed=True), now),
        mail: {25: Service(MailExchanger(mail, tls.modern(authority.issue(mail))).serve)},
        tenders: _good_site(tenders, "Public tenders", authority.issue(tenders, with_intermediate=False), now),
        "archive.finance.gov.example": {},
    }


def health(authority: Authority, now: datetime) -> dict[str, Services]:
    """The hosts of the Ministry of Health."""
    clinic, registry = "clinic.health.gov.example", "registry.health.gov.example"
    records, mail = "records.health.gov.example", "mail.health.gov.example"
    stock = Site({"/": welcome("Pharmacy", "What is in stock today.")}, server="lighttpd/1.4.28")
    shorter = (_HALF_A_YEAR, *GOOD_HEADERS[1:])
    return {
        clinic: _good_site(clinic, "Clinics", self_signed(clinic, now), now),
        registry: _good_site(registry, "Births and deaths", authority.issue("registry.moh.example"), now),
        mail: {25: Service(MailExchanger(mail).serve), 21: Service(ftp)},
        records: {
            **_good_site(records, "Patient records", authority.issue(records), now, headers=shorter),
            6379: Service(redis),
        },
        "pharmacy.health.gov.example": {80: Service(stock.serve), 23: Service(telnet)},
        "hospital.health.gov.example": {80: Service(tarpit), 443: Service(tarpit)},
    }


def _good_site(
    name: str,
    title: str,
    credentials: Credentials,
    now: datetime,
    *,
    headers: tuple[tuple[str, str], ...] = GOOD_HEADERS,
) -> Services:
    """A site in order but for what the caller gives it: redirect, current TLS, headers, security.txt."""
    expires = (now + timedelta(days=_SECURITY_TXT_DAYS)).strftime("%Y-%m-%dT%H:%M:%SZ")
    pages: dict[str, Page] = {
        "/": welcome(title, "Welcome to the Example Islands."),
        "/.well-known/security.txt": security_txt(name, CONTACT, expires),
    }
    return {
        80: Service(Site(redirect=f"https://{name}/").serve),
        443: Service(Site(pages, headers).serve, tls.modern(credentials)),
    }
