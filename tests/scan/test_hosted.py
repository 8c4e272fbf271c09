"""A site at a provider that shows somebody else's certificate to whoever names nobody: from the inventory to findings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from posture.plan import Selection
from posture.report import Row
from tests.probes.tls.test_hosted import front
from tests.scan.estate import ADDRESS, HOST, resolver, write_inventory
from tests.scan.wiring import scanned, state_of, terms_of

SITE = f"{ADDRESS}:443/tcp"


@dataclass(frozen=True)
class Scan:
    """Findings, and the classes under which something was sent to the provider's machine."""

    rows: list[Row]
    classes: set[str]

    def of(self, control: str) -> Row:
        (row,) = [row for row in self.rows if row["control"] == control and row["subject"] == SITE]
        return row


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scan]:
    folder = tmp_path_factory.mktemp("hosted")
    own, other = trustme.CA(), trustme.CA()
    files = {}
    for who, authority, name in (("own", own, HOST), ("foreign", other, "www.somebody-else.example")):
        leaf = authority.issue_cert(name)
        files[who] = folder / f"{who}.pem", folder / f"{who}-key.pem"
        files[who][0].write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(str(files[who][1]))
    roots = folder / "roots.pem"
    own.cert_pem.write_to_path(str(roots))
    with ExitStack() as stack:
        _, port = stack.enter_context(
            front(folder, files["own"], files["foreign"], "ssl_protocols TLSv1.2 TLSv1.3;", HOST)
        )
        inventory = write_inventory(
            folder,
            {443: port},
            resolver_port=stack.enter_context(resolver()),
            roots=Path(roots),
            declared=[443],
            authorised=[443],
            hosted=True,
        )
        terms = terms_of(inventory, Selection(assets=(HOST,), checks=("tls",)))
        scanned(terms)
        records = [json.loads(line) for line in Path(f"{terms.config.db}.audit.jsonl").read_text("utf-8").splitlines()]
        sent = [one for one in records if one["kind"] == "decision" and one["allowed"] and one["address"] == ADDRESS]
        yield Scan(state_of(terms), {one["class"] for one in sent})


def test_the_site_is_judged_by_what_its_name_is_told(scan: Scan) -> None:
    for control in ("tls.cert.hostname", "tls.cert.trust", "tls.protocol.legacy", "tls.protocol.tls13"):
        assert scan.of(control)["outcome"] == "pass", control


def test_nothing_is_held_against_it_that_somebody_else_is_shown_to_others(scan: Scan) -> None:
    about_certificates = [row for row in scan.rows if row["control"].startswith("tls.cert.")]

    assert about_certificates
    assert not [row for row in about_certificates if row["control"] != "tls.cert.lifetime" and row["outcome"] == "fail"]


def test_only_what_any_client_does_is_done_at_a_provider(scan: Scan) -> None:
    assert scan.classes == {"client"}
    for control in ("tls.protocol.ssl", "tls.cipher.insecure", "tls.compression"):
        row = scan.of(control)
        assert (row["outcome"], row["reason"]) == ("unknown", "out_of_scope"), control


def test_what_there_is_to_mend_is_the_providers(scan: Scan) -> None:
    assert scan.of("tls.cert.hostname")["mends"] == "provider"
