"""A look-up that lists what else is to be asked fails once: that leaves nothing behind when it answers again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from posture.plan import Selection
from posture.reporters.cells import terminal
from posture.scan import scan
from posture.store import Store
from tests.net.dnsd import answer, name_server
from tests.scan.wiring import Forwarder, Watch, state_of, terms_of

pytestmark = pytest.mark.xdist_group("scans of the range")
ZONE = "finance.gov.example"


def rows_of(inventory: Path, control: str) -> list[tuple[str, str]]:
    """(subject, outcome) of a control as it stands."""
    found = state_of(terms_of(inventory))
    return [
        (terminal(row["subject"]), row["outcome"]) for row in found if (row["asset"], row["control"]) == (ZONE, control)
    ]


def test_an_mx_lookup_that_fails_once_leaves_no_unknown_behind(inventory: Path) -> None:
    """Also of the controls that rest on the same answers and were not asked for."""
    resolver = terms_of(inventory).config.resolver
    assert resolver
    script = Forwarder(*resolver)

    def mx_fails(query: dns.message.Message, tcp: bool) -> dns.message.Message:
        if not script.mended and " IN MX" in str(query.question[0]):
            return answer(query, rcode=dns.rcode.SERVFAIL)
        return script(query, tcp)

    selection = Selection(assets=(ZONE,), controls=("mail.starttls",))

    async def looked() -> None:
        async with name_server(mx_fails) as server:
            terms = terms_of(inventory, selection, resolver=("127.0.0.1", server.port))
            await scan(terms, progress=Watch())

    asyncio.run(looked())
    assert rows_of(inventory, "mail.starttls") == [("", "unknown")]
    assert rows_of(inventory, "mail.mx.valid") == [("", "unknown")]

    script.mended = True
    asyncio.run(looked())
    told = rows_of(inventory, "mail.starttls")
    assert told
    assert all(subject.startswith("mx:") for subject, _ in told)
    assert rows_of(inventory, "mail.mx.valid") == []  # nobody asked for it
    with Store.open(terms_of(inventory).config.db, write=False) as store:
        query = "SELECT count(*) FROM miss WHERE probe = 'smtp' AND to_run IS NULL"
        assert store.connection.execute(query).fetchone() == (0,)
