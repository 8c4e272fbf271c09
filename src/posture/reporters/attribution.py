"""probing.txt: who is behind the probes, for whoever finds them in a log (RFC 9511 section 2.2, format of RFC 9116).

It belongs at https://HOST/.well-known/probing.txt, HOST being the name that the scanner's address has in reverse DNS.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from urllib.parse import quote, urlsplit

import posture
from posture.errors import UsageError
from posture.inventory.names import is_placeholder
from posture.inventory.records import Inventory, Operator

# RFC 9116 section 2.5.5 wants less than a year; a month is left for renewing it.
VALID_DAYS = 335
_PHONE = re.compile(r"\+?[0-9][0-9 ()./-]{4,30}")


def probing_txt(inventory: Inventory, at: datetime) -> str:
    """The file's text.

    Raises:
        UsageError: nobody real could be asked by it.
    """
    operator = inventory.operator
    who = operator.name or operator.contact
    page = f" More: {operator.url}" if operator.url else ""
    expires = (at + timedelta(days=VALID_DAYS)).strftime("%Y-%m-%dT%H:%M:%SZ")
    fields = [
        *(("Canonical", url) for url in _canonical(operator)),
        ("Contact", _contact(operator, inventory)),
        ("Expires", expires),
        ("Preferred-Languages", "en"),
        (
            "Description",
            f"{who} looks at systems of {inventory.state.name} whose owners have authorised it in writing, and at nothing "
            f"else, with posture (User-Agent: posture/{posture.__version__}). Write to the contact to ask about a "
            f"connection or to have it stopped.{page}",
        ),
    ]
    return "".join(f"{name}: {value}\n" for name, value in fields)


def _canonical(operator: Operator) -> tuple[str, ...]:
    """Where the file will be, as far as the operator's page tells: over https, as RFC 9116 section 2.5.2 wants."""
    host = urlsplit(operator.url).netloc if operator.url else ""
    return (f"https://{host}/.well-known/probing.txt",) if host else ()


def _contact(operator: Operator, inventory: Inventory) -> str:
    """A URI (RFC 9116 section 2.5.3)."""
    contact = operator.contact
    if is_placeholder(contact):
        raise UsageError(
            f"the operator's contact {contact!r} is a placeholder: nobody could be asked. "
            f"Set [operator] contact in {inventory.path} to an address that somebody reads."
        )
    if contact.startswith("https://"):
        return contact
    if "@" in contact:
        return "mailto:" + quote(contact, safe="@!$&'*+-./=^_`{|}~")
    if _PHONE.fullmatch(contact):
        return "tel:" + re.sub(r"[^+0-9]", "-", contact)
    raise UsageError(
        f"the operator's contact {contact!r} is no address that a program can use. "
        f"Set [operator] contact in {inventory.path} to an e-mail address."
    )
