from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dns.dnssec
import dns.dnssectypes
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from posture.errors import ConfigurationError
from posture.net.anchors import load_anchors, parse_anchors
from posture.net.resolver import RunResolver
from posture.net.selftest import SelfTest, dnssec_works, has_ipv6_route, selftest
from tests.net.dnsd import Script, answer, name_server, nodata
from tests.net.warp import warped

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SOA = ". 86400 IN SOA a.root.test. hostmaster.root.test. 1 1800 900 604800 86400"


class Root:
    """A root zone of our own, signed for two weeks around a time."""

    def __init__(self, at: datetime = AT) -> None:
        private = ed25519.Ed25519PrivateKey.generate()
        self.key = dns.dnssec.make_dnskey(private.public_key(), dns.dnssectypes.Algorithm.ED25519, flags=257)
        self.keys = dns.rrset.from_rdata(dns.name.root, 3600, self.key)
        signature = dns.dnssec.sign(
            self.keys,
            private,
            dns.name.root,
            self.key,
            inception=at - timedelta(days=7),
            expiration=at + timedelta(days=7),
        )
        self.signature = dns.rrset.from_rdata(dns.name.root, 3600, signature)

    def script(self, *, signed: bool = True) -> Script:
        def respond(query: dns.message.Message, _: bool) -> dns.message.Message:
            question = query.question[0]
            if question.name != dns.name.root:
                address = "192.168.1.10" if question.name.to_text().startswith("inside") else "1.1.1.1"
                return answer(query, f"{question.name} 60 IN A {address}") if question.rdtype == 1 else nodata(query)
            if question.rdtype == 6:
                return answer(query, SOA)
            reply = answer(query)
            reply.answer.extend([self.keys, self.signature] if signed else [self.keys])
            return reply

        return respond

    def anchor(self, folder: Path, form: str) -> Path:
        path = folder / "root.anchor"
        ds = dns.dnssec.make_ds(dns.name.root, self.key, "SHA256")
        path.write_text(f"; ours\n. IN DS {ds}\n" if form == "ds" else f". 172800 IN DNSKEY {self.key} ;{{id = 1}}\n")
        return path


def _test(
    script: Script, anchor: Path | None, *, at: datetime = AT, ipv6: bool = True, names: tuple[str, ...] = ()
) -> SelfTest:
    async def scenario() -> SelfTest:
        async with name_server(script) as server:
            resolver = RunResolver("127.0.0.1", server.port)
            return await selftest(resolver, trust_anchor=anchor, at=at, names=names, route=lambda: ipv6)

    return warped(scenario())


@pytest.mark.parametrize("form", ["ds", "dnskey"])
def test_all_is_well(tmp_path: Path, form: str) -> None:
    root = Root()
    assert _test(root.script(), root.anchor(tmp_path, form)) == SelfTest(True, True, True, True, True)


def test_a_resolver_that_does_not_answer_quarantines() -> None:
    found = _test(lambda query, _: answer(query, rcode=dns.rcode.SERVFAIL), None)
    assert not found.resolver_answers
    assert found.quarantine == "our resolver does not answer"


@pytest.mark.parametrize("days", [-400, -8, 8, 400])
def test_a_wrong_clock_quarantines(tmp_path: Path, days: int) -> None:
    root = Root()
    found = _test(root.script(), root.anchor(tmp_path, "ds"), at=AT + timedelta(days=days))
    assert not found.clock_offset_ok
    assert found.quarantine == "this machine's clock is wrong"
    assert any("2026-11-17" in note and "set its clock" in note for note in found.notes)


def test_a_resolver_that_takes_signatures_away_only_limits_dnssec(tmp_path: Path) -> None:
    root = Root()
    found = _test(root.script(signed=False), root.anchor(tmp_path, "ds"))
    assert (found.resolver_answers, found.passes_dnssec, found.validates) == (True, False, False)
    assert found.quarantine is None


def test_an_anchor_of_another_root_only_limits_dnssec() -> None:
    found = _test(Root().script(), None)
    assert (found.passes_dnssec, found.validates, found.quarantine) == (True, False, None)
    assert any("--trust-anchor" in note for note in found.notes)


def test_a_signature_by_nobody_is_not_taken_for_a_wrong_clock(tmp_path: Path) -> None:
    root = Root()
    root.signature = Root().signature
    found = _test(root.script(), root.anchor(tmp_path, "dnskey"))
    assert (found.validates, found.clock_offset_ok) == (False, True)


def test_a_private_address_of_a_public_name_tells_that_we_look_from_inside() -> None:
    assert not _test(Root().script(), None, names=("www.gov.example",)).private_view
    found = _test(Root().script(), None, names=("inside.gov.example",))
    assert found.private_view
    assert any("192.168.1.10" in note for note in found.notes)


def test_missing_ipv6_is_said() -> None:
    found = _test(Root().script(), None, ipv6=False)
    assert not found.ipv6
    assert any("IPv6" in note for note in found.notes)


def test_asking_for_a_route_sends_nothing() -> None:
    assert has_ipv6_route() in (True, False)  # the fence of the suite would stop a connect


def test_the_installed_libraries_can_verify_dnssec() -> None:
    assert dnssec_works()


def test_libraries_that_believe_everything_or_nothing_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns.dnssec, "validate", lambda *_, **__: None)
    assert not dnssec_works()

    def broken(*_: object, **__: object) -> None:
        raise ImportError("DNSSEC validation requires python cryptography")

    monkeypatch.setattr(dns.dnssec, "validate", broken)
    assert not dnssec_works()


def test_the_shipped_anchors_are_the_two_root_keys() -> None:
    assert [ds.key_tag for ds in load_anchors(None).ds] == [20326, 38696]


@pytest.mark.parametrize(
    "text", ["", "; only a comment\n", "gov.example. IN DS 1 8 2 " + "00" * 32, "no zone file at all", ". IN DS x"]
)
def test_a_file_without_an_anchor_is_an_error_that_says_what_to_do(text: str) -> None:
    with pytest.raises(ConfigurationError, match="root"):
        parse_anchors(text, "root.anchor")


def test_a_missing_anchor_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--trust-anchor"):
        load_anchors(tmp_path / "nothing")
