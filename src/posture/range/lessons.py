"""Five lessons on the range: what to look for, what it means, how it is mended."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lesson:
    """``assets`` are the names of the inventory that the lesson is about; ``task`` and ``answer`` are paragraphs."""

    number: int
    title: str
    assets: tuple[str, ...]
    task: str
    answer: str

    def markdown(self) -> str:
        """The lesson as LESSON.md: the answer comes last, so that it can be read after the scan."""
        names = "\n".join(f"- {name}" for name in self.assets)
        return (
            f"# Lesson {self.number}: {self.title}\n\n{self.task}\n\nIn this lesson:\n\n{names}\n\n"
            "Leave the range running and, in another terminal and in this folder:\n\n"
            "```sh\nposture plan --lab\nposture scan --lab\nposture findings\nposture explain CONTROL\n```\n\n"
            f"## What you should have found, and how it is mended\n\n{self.answer}\n"
        )


LESSONS = (
    Lesson(
        1,
        "Certificates",
        (
            "portal.finance.gov.example",
            "customs.finance.gov.example",
            "tenders.finance.gov.example",
            "clinic.health.gov.example",
            "registry.health.gov.example",
        ),
        "Five sites offer HTTPS. A browser opens one of them without a complaint. Find out what is wrong with each of the "
        "other four before a citizen does, and say who has to do what.",
        "The portal is in order. The certificate of customs ended ten days ago: automate its renewal (ACME) and alert at a "
        "third of the lifetime. Tenders sends its own certificate without the intermediate: configure the full chain "
        "(fullchain.pem) and do not trust the browser that hides it. The clinic signs for itself: install a certificate of "
        "a public authority; it costs nothing. The registry shows the certificate of its old name: issue one that "
        "includes the new name.",
    ),
    Lesson(
        2,
        "Old encryption",
        ("portal.finance.gov.example", "tax.finance.gov.example"),
        "Two sites, both with a valid certificate and a lock in the browser. One of them has not been touched since 2011. "
        "Which versions and cipher suites does it still accept, and why does the lock not tell?",
        "The tax site accepts TLS 1.0 and 1.1, suites without forward secrecy, and suites without any authentication; "
        "TLS 1.3 is missing, port 80 serves the same pages without encryption, and nothing (HSTS) tells a browser to "
        "insist. A browser shows a lock because it negotiates the best that both sides know; an attacker asks for the "
        "worst. Set the minimum version to TLS 1.2, use the six ECDHE AEAD suites, redirect port 80, then send HSTS.",
    ),
    Lesson(
        3,
        "Mail that cannot be forged",
        (
            "finance.gov.example",
            "budget2024.gov.example",
            "mail.finance.gov.example",
            "health.gov.example",
            "fluseason.gov.example",
            "mail.health.gov.example",
        ),
        "Somebody sends invoices in the name of the Ministry of Health. Nobody has broken into anything. Compare the two "
        "ministries' zones and mail servers and explain how that is possible, and why it would not work with Finance.",
        "Health publishes SPF that ends in ?all (no opinion) and DMARC with p=none (watch only): receivers deliver forgeries. "
        "Its campaign name fluseason has no policy at all, and its mail server offers no STARTTLS, so that mail travels "
        "readable. Read the DMARC reports, go from p=none over quarantine to reject, end SPF in -all, publish for every "
        "name without mail what budget2024 publishes (v=spf1 -all, DMARC reject, MX 0 .), and switch STARTTLS on.",
    ),
    Lesson(
        4,
        "The name system",
        ("finance.gov.example", "health.gov.example"),
        "If the name system lies or falls silent, every other protection is worth nothing. Compare the two zones: their "
        "signatures, their name servers, and who may issue certificates for them.",
        "Finance is signed and its parent holds the DS record; a CAA record names its certificate authority. Health is not "
        "signed: turn on signing at the DNS host and send the DS to the registry. Of its two name servers ns2 refuses to "
        "answer for it (a lame delegation, which somebody else may take over): mend or remove it. ns1 hands the whole "
        "zone to anybody who asks: allow transfers with a key (TSIG) only. Publish CAA.",
    ),
    Lesson(
        5,
        "Doors that nobody meant to open",
        (
            "portal.finance.gov.example",
            "mail.health.gov.example",
            "records.health.gov.example",
            "pharmacy.health.gov.example",
            "hospital.health.gov.example",
        ),
        "The inventory says which ports each host should have open. Find the ones that it does not mention, and decide "
        "which must be closed today. One host will not answer you: what may you conclude from that?",
        "Records runs a data store (6379) that answers anybody without a password: close it at the firewall within the hour, "
        "then look for theft. Pharmacy offers Telnet (23), where passwords travel in clear: use SSH through a VPN; its site "
        "has no HTTPS either. Mail runs FTP (21) without encryption: replace it. The hospital takes the connection and "
        "says nothing: that is unknown, neither good nor bad; ask again, or from elsewhere, before you judge.",
    ),
)


def lesson(number: int) -> Lesson:
    """The lesson of that number.

    Raises:
        KeyError: there is none.
    """
    for candidate in LESSONS:
        if candidate.number == number:
            return candidate
    raise KeyError(number)
