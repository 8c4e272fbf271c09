"""Whole scans of two ministries: a revoked certificate by a fetched list and by a file, a list out of scope, a shared key."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dns.message
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from posture.plan import Selection
from posture.policy import load_policy
from posture.scan import scan
from posture.store import Store
from posture.store.rejudging import rejudge
from tests.checks.tls.pki import Pair, issue
from tests.checks.tls.revoking import coded, points, revocation_list
from tests.net.dnsd import answer, name_server, nodata, nxdomain
from tests.scan.wiring import Watch, only_the_root, terms_of

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
FINANCE, HEALTH, LISTS = "www.finance.gov.example", "www.health.gov.example", "crl.finance.gov.example"
ADDRESSES = {FINANCE: "127.0.22.1", LISTS: "127.0.22.2", HEALTH: "127.0.22.3", "crl.authority.example": "127.0.22.4"}
INSIDE, OUTSIDE = f"http://{LISTS}/ca.crl", "http://crl.authority.example/ca.crl"
KEY = ec.generate_private_key(ec.SECP256R1())
SPAN: dict[str, Any] = {"start": NOW - 10 * DAY, "end": NOW + 80 * DAY}
ROOT = issue("Example Root", ca=True, start=NOW - 100 * DAY, end=NOW + 900 * DAY)
LEAVES = {
    FINANCE: issue(FINANCE, ROOT, names=(FINANCE,), key=KEY, extensions=(points(INSIDE),), **SPAN),
    HEALTH: issue(HEALTH, ROOT, names=(HEALTH,), key=KEY, extensions=(points(OUTSIDE),), **SPAN),
}
LIST = revocation_list(LEAVES[FINANCE], by=ROOT, start=NOW - DAY, end=NOW + DAY)
CONTROLS = ("tls.cert.revocation", "tls.cert.shared_key", "tls.cert.key", "tls.cert.trust")


def resolve(query: dns.message.Message, tcp: bool) -> dns.message.Message:
    question = query.question[0]
    name = str(question.name).rstrip(".").lower()
    if not name:
        return only_the_root(query, tcp)
    if name in ADDRESSES and question.rdtype.name == "A":
        return answer(query, f"{name}. 300 IN A {ADDRESSES[name]}")
    return nodata(query) if name in ADDRESSES else nxdomain(query)


def inventory(folder: Path, leads: dict[tuple[str, int], int], resolver: int) -> Path:
    text = 'format = "posture-inventory/1"\n[state]\ncode = "ZZ"\nname = "Example Islands"\ntimezone = "UTC"\n'
    text += '[operator]\nname = "CERT"\ncontact = "soc@cert.example"\n'
    for code, name in (("finance", FINANCE), ("health", HEALTH)):
        text += (
            f'[[authorisation]]\nid = "zz-{code}"\nowner = "Ministry"\nofficer = "PS"\nbasis = "own"\n'
            f'reference = "Letter 1"\nnot_before = {date.today() - timedelta(days=3)}\n'
            f"not_after = {date.today() + timedelta(days=3)}\n"
            f'classes = ["passive", "client", "active"]\nzones = ["{code}.gov.example"]\nnetworks = ["127.0.22.0/24"]\n'
            'ports = ["80", "443"]\nlab = true\n[authorisation.limits]\nconnections_per_address = 8\n'
            "new_connections_per_second = 500\nnew_connections_burst = 1000\n"
            f'[[ministry]]\ncode = "{code}"\nname = "Ministry"\nauthorisation = "zz-{code}"\n'
            f'[[ministry.asset]]\nname = "{name}"\nports = [443]\n'
        )
    for (address, port), to in leads.items():
        text += f'[[lab_port]]\naddress = "{address}"\nport = {port}\nto = {to}\nproto = "tcp"\n'
    path = folder / "inventory.toml"
    path.write_text(text, "utf-8")
    path.with_name("posture.toml").write_text(f'resolver = "127.0.0.1:{resolver}"\nca_file = "root.pem"\n', "utf-8")
    path.with_name("root.pem").write_bytes(ROOT.pem)
    return path


class Estate:
    """The servers, and how often the lists were fetched."""

    def __init__(self, folder: Path, served: bytes) -> None:
        self.folder, self.served, self.fetched = folder, served, 0

    async def _lists(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.fetched += 1
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + self.served)
        await writer.drain()
        writer.close()

    async def scanned(self, **changes: Any) -> dict[tuple[str, str], dict[str, Any]]:
        """A scan of everything under these terms; rows by control and asset."""
        async with AsyncExitStack() as stack:
            leads = {(ADDRESSES[LISTS], 80): await self._serve(stack, ADDRESSES[LISTS], self._lists)}
            for name in (FINANCE, HEALTH):
                context = _context(self.folder, LEAVES[name])
                leads[ADDRESSES[name], 443] = await self._serve(stack, ADDRESSES[name], _hang_up, context)
            resolver = await stack.enter_async_context(name_server(resolve))
            terms = terms_of(inventory(self.folder, leads, resolver.port), Selection(controls=CONTROLS), **changes)
            ended = await scan(terms, progress=Watch())
        return {(row["control"], row["asset"]): dict(row) for row in ended.rows}

    async def _serve(
        self, stack: AsyncExitStack, address: str, talk: Any, context: ssl.SSLContext | None = None
    ) -> int:
        server = await asyncio.start_server(talk, address, 0, ssl=context)
        stack.callback(server.close)
        return int(server.sockets[0].getsockname()[1])


async def _hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


def _context(folder: Path, leaf: Pair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own = folder / str(leaf.cert.serial_number)
    own.mkdir(exist_ok=True)
    context.load_cert_chain(*leaf.write(own, ROOT))
    return context


def told(rows: dict[tuple[str, str], dict[str, Any]], control: str, name: str) -> tuple[Any, ...]:
    row = rows[control, name]
    return row["outcome"], row["tag"], row["reason"], row["code"]


def test_a_list_within_the_grant_is_fetched_and_one_outside_is_not(tmp_path: Path) -> None:
    estate = Estate(tmp_path, coded(LIST))
    rows = asyncio.run(estate.scanned())

    assert told(rows, "tls.cert.revocation", FINANCE) == ("fail", "CERT_REVOKED", None, None)
    assert rows["tls.cert.revocation", FINANCE]["args"]["source"] == f"the list at {INSIDE}"
    outcome, tag, reason, code = told(rows, "tls.cert.revocation", HEALTH)
    assert (outcome, tag) == ("unknown", None)
    assert (reason, code) == ("out_of_scope", "E-SCOPE-022")
    assert estate.fetched == 1
    for name in (FINANCE, HEALTH):
        assert told(rows, "tls.cert.shared_key", name) == ("fail", "KEY_SHARED_ACROSS", None, None)
        assert rows["tls.cert.shared_key", name]["args"]["ministries"] == 1
        assert told(rows, "tls.cert.trust", name) == ("pass", "CERT_TRUSTED", None, None)


def test_a_file_stands_in_for_the_list_of_an_authority_out_of_scope(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "ca.crl").write_bytes(coded(LIST))
    estate = Estate(tmp_path, b"")
    rows = asyncio.run(estate.scanned(crls=tmp_path / "lists"))

    assert told(rows, "tls.cert.revocation", FINANCE) == ("fail", "CERT_REVOKED", None, None)
    assert told(rows, "tls.cert.revocation", HEALTH) == ("pass", "CERT_NOT_LISTED", None, None)
    assert rows["tls.cert.revocation", HEALTH]["args"]["source"] == "the list given to posture"
    assert estate.fetched == 0


def test_judging_again_says_the_same_without_lists_or_network(tmp_path: Path) -> None:
    estate = Estate(tmp_path, coded(LIST))
    rows = asyncio.run(estate.scanned())
    kept = {key for key, row in rows.items() if row["outcome"] != "unknown"}

    with Store.open(tmp_path / "posture.db", write=True) as store:
        again_policy = replace(load_policy(), version="again", body=load_policy().body + " ")
        assert rejudge(store, again_policy, "local").runs == 1
        query = (
            "SELECT control.code, asset.name, outcome FROM finding JOIN control ON control.id = control_id "
            "JOIN asset ON asset.id = asset_id WHERE judgement_id = (SELECT max(id) FROM judgement)"
        )
        again = {(control, name): outcome for control, name, outcome in store.connection.execute(query)}
    assert {key for key in again if key[0] in CONTROLS} == kept
    assert estate.fetched == 1


@pytest.mark.parametrize("served", [b"", b"<html>", coded(LIST)[:-9]], ids=["nothing", "a page", "cut"])
def test_what_is_no_list_leaves_it_unknown(served: bytes, tmp_path: Path) -> None:
    rows = asyncio.run(Estate(tmp_path, served).scanned())
    assert told(rows, "tls.cert.revocation", FINANCE) == ("unknown", None, "malformed", None)
