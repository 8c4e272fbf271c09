"""Two looks at what changed: silence of the second takes nothing from the first, unless a critical finding would be mended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from posture.model import Answer, Severity
from posture.plan import Selection
from posture.scan import scan
from posture.scan.agreed import Agreed, agreed
from posture.store import Question
from posture.store.records import SEVERITIES
from posture.task import Task
from tests.net.dnsd import answer, name_server, nodata
from tests.scan.wiring import Forwarder, Watch, state_of, terms_of
from tests.store import HTTPS, SITE, absent, silence, tls
from tests.store.keeping import tamper

pytestmark = pytest.mark.xdist_group("scans of the range")
ZONE, CONTROL = "finance.gov.example", "mail.dmarc.present"
IT: Question = (SITE, "tls", HTTPS)


@pytest.mark.parametrize(
    ("first", "second", "critical", "said", "kept"),
    [
        (tls("good"), tls("good"), False, "same", False),
        (tls("good"), tls("bad"), False, "other", False),
        (tls("good"), absent(), False, "other", False),
        (tls("good"), silence(), False, "nothing", True),
        (tls("good"), silence(), True, "nothing", False),
        (absent(), silence(), False, "nothing", True),
        (absent(), silence(), True, "nothing", False),
        (tls("good"), tls("good"), True, "same", False),
        (silence(), tls("good"), False, None, False),
        (silence(), silence(), False, None, False),
        (None, tls("good"), False, None, False),
        (tls("good"), None, False, None, False),  # nobody asked again
    ],
)
def test_two_looks(first: Answer | None, second: Answer | None, critical: bool, said: str | None, kept: bool) -> None:
    found = agreed({IT: first}, {IT: second}, {IT} if critical else ())

    assert found == Agreed({IT: said} if said else {}, {IT: first} if kept and first else {})


@dataclass
class BetweenLooks(Watch):
    """``second`` is set when a batch is asked for the second time."""

    second: list[bool] = field(default_factory=list)

    def started(self, tasks: Sequence[Task]) -> None:
        Watch.started(self, tasks)
        if len(self.asked) > 1:
            self.second.append(True)


@pytest.mark.parametrize(
    ("severity", "told"), [(Severity.HIGH, ("pass", None)), (Severity.CRITICAL, ("fail", "temporary"))]
)
def test_a_mend_that_only_one_look_saw(severity: Severity, told: tuple[str, str | None], inventory: Path) -> None:
    """DMARC is missing; then a first look finds it, and at the second the resolver fails."""
    resolver = terms_of(inventory).config.resolver
    assert resolver
    selection = Selection(assets=(ZONE,), controls=(CONTROL,))
    script, watch = Forwarder(*resolver), BetweenLooks()

    def dmarc(query: dns.message.Message, tcp: bool) -> dns.message.Message:
        asked = str(query.question[0]).startswith(f"_dmarc.{ZONE}.")
        if asked and not script.mended:
            return nodata(query)
        if asked and watch.second:
            return answer(query, rcode=dns.rcode.SERVFAIL)
        return script(query, tcp)

    async def looked(progress: Watch) -> None:
        async with name_server(dmarc) as server:
            await scan(terms_of(inventory, selection, resolver=("127.0.0.1", server.port)), progress=progress)

    def state() -> tuple[str, str | None]:
        (row,) = [row for row in state_of(terms_of(inventory)) if (row["asset"], row["control"]) == (ZONE, CONTROL)]
        return row["outcome"], row["unseen"]

    asyncio.run(looked(Watch()))
    assert state() == ("fail", None)
    number = SEVERITIES.index(severity)
    tamper(
        terms_of(inventory).config.db,
        "DROP TRIGGER verdict_frozen",
        f"UPDATE verdict SET said = said / 8 * 8 + {number}",
    )  # no control about the DNS is critical

    script.mended = True
    asyncio.run(looked(watch))
    assert watch.second
    assert state() == told
