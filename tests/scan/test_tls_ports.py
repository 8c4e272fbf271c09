"""From an inventory to findings about TLS on every kind of port, in front of real servers that listen on loopback."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from posture.plan import Selection
from posture.report import Row
from tests.lab import free_port, talkers
from tests.probes.tls.asking import openssl_server
from tests.scan.estate import ADDRESS, HOST, resolver, write_inventory
from tests.scan.wiring import scanned, state_of, terms_of

MX = f"mx:{HOST}:25"
STARTTLS = (21, 110, 143, 389, 587, 3389, 5222, 5269, 5432)
DIRECT = (465, 636, 993, 5061)
DIRECTORY = (389, 636)  # the distribution's OpenLDAP still speaks TLS 1.0
CLOSED, FORBIDDEN, UNDECLARED = 853, 990, 995


pytestmark = pytest.mark.xdist_group("ports with TLS")


@dataclass(frozen=True)
class Scan:
    """Findings, and connections by port."""

    rows: list[Row]
    contacts: Counter[int]

    def of(self, control: str) -> dict[str, str]:
        """Outcomes by subject."""
        return {row["subject"]: row["outcome"] for row in self.rows if row["control"] == control}


def endpoint(port: int) -> str:
    return f"{ADDRESS}:{port}/tcp"


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scan]:
    folder = tmp_path_factory.mktemp("ports")
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    leaf = authority.issue_cert(HOST, key_type=trustme.KeyType.RSA)
    chain, key, roots = folder / "chain.pem", folder / "key.pem", folder / "roots.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(str(key))
    authority.cert_pem.write_to_path(str(roots))
    identity = talkers.Identity(chain, key)
    with ExitStack() as stack:

        def home() -> Path:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            path.chmod(0o755)
            return path

        enter = stack.enter_context
        mail = enter(talkers.postfix(home(), identity, "smtpd_tls_protocols = >=TLSv1.2"))[1]
        boxes = enter(talkers.dovecot(home(), identity))
        directory = enter(talkers.slapd(home(), identity))
        chat = enter(talkers.prosody(home(), identity, HOST))
        plain = enter(openssl_server(chain, key, "-min_protocol", "TLSv1.2"))[1]
        leads = {
            21: enter(talkers.vsftpd(home(), identity))[1],
            25: mail,
            587: mail,
            465: plain,
            5061: plain,
            110: boxes["pop3"][1],
            143: boxes["imap"][1],
            993: boxes["imaps"][1],
            UNDECLARED: boxes["pop3s"][1],
            389: directory["ldap"][1],
            636: directory["ldaps"][1],
            FORBIDDEN: plain,
            CLOSED: free_port(),
            5222: chat["xmpp"][1],
            5269: chat["xmpp-server"][1],
            3389: enter(talkers.xrdp(home(), identity))[1],
            5432: enter(talkers.postgres(home(), identity))[1],
        }
        inventory = write_inventory(
            folder,
            leads,
            resolver_port=enter(resolver()),
            roots=roots,
            declared=[*STARTTLS, *DIRECT, CLOSED, FORBIDDEN],
            authorised=[25, *STARTTLS, *DIRECT, CLOSED, UNDECLARED],
        )
        terms = terms_of(inventory, Selection(checks=("tls", "email")))
        scanned(terms)
        trail = Path(f"{terms.config.db}.audit.jsonl").read_text("utf-8").splitlines()
        records = [json.loads(line) for line in trail]
        made = [
            one for one in records if one["kind"] == "decision" and one["allowed"] and one.get("address") == ADDRESS
        ]
        contacts = Counter(one["port"] for one in made)
        yield Scan(state_of(terms), contacts)


@pytest.mark.parametrize("port", [*STARTTLS, *DIRECT])
def test_every_declared_port_is_judged_by_its_own_answers(scan: Scan, port: int) -> None:
    for control in ("tls.protocol.tls13", "tls.cert.hostname", "tls.cert.trust", "tls.cert.expiry", "tls.protocol.ssl"):
        assert scan.of(control)[endpoint(port)] == "pass", control
    old = "fail" if port in DIRECTORY else "pass"
    assert scan.of("tls.protocol.legacy")[endpoint(port)] == old


def test_the_exchanger_is_judged_once_by_its_name(scan: Scan) -> None:
    for control in (
        "mail.starttls",
        "tls.protocol.tls13",
        "tls.protocol.legacy",
        "tls.protocol.ssl",
        "tls.cert.expiry",
    ):
        assert scan.of(control)[MX] == "pass", control
    assert scan.of("tls.cipher.insecure")[MX] == "fail", "suites without a certificate, as Postfix has them by default"


@pytest.mark.parametrize("port", [25, 465, 587])
def test_a_mail_server_gets_six_connections(scan: Scan, port: int) -> None:
    assert 0 < scan.contacts[port] <= 6


@pytest.mark.parametrize("port", [*STARTTLS, *DIRECT])
def test_nothing_is_unknown_but_what_the_server_leaves_open(scan: Scan, port: int) -> None:
    left = [row for row in scan.rows if row["subject"] == endpoint(port) and row["outcome"] == "unknown"]
    unknown = {row["control"] for row in left if row["reason"] != "not_run"}  # that is for deep scans to ask

    # OpenLDAP hangs up where others send an alert.
    assert unknown == ({"tls.fallback_scsv"} if port in DIRECTORY else set())


def test_a_port_that_is_not_authorised_is_not_touched(scan: Scan) -> None:
    told = {row["reason"] for row in scan.rows if row["subject"] == endpoint(FORBIDDEN)}

    assert told == {"not_granted"}
    assert scan.contacts[FORBIDDEN] == 0


def test_a_declared_port_that_is_closed_has_nothing_to_judge(scan: Scan) -> None:
    told = {row["outcome"] for row in scan.rows if row["subject"] == endpoint(CLOSED)}

    assert told == {"not_applicable"}


def test_an_open_port_that_nobody_declared_is_not_asked_for_tls(scan: Scan) -> None:
    assert scan.contacts[UNDECLARED] == 0
    assert not any(row["subject"] == endpoint(UNDECLARED) for row in scan.rows)
