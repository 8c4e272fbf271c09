"""The probes that ask our own resolver, against unbound and NSD."""

from __future__ import annotations

import pytest

from posture.facts import CaaFacts, DelegationFacts, DmarcFacts, DnssecFacts, MxFacts, SpfFacts
from posture.facts.dns import CaaRecord, DmarcStep, HostAddresses
from posture.model import AbsentCause, NotSeen, NotThere, Reason
from posture.probes import caa, delegation, dmarc, dnssec, mx, spf
from posture.probes.base import Probe
from posture.probes.dmarc import walk
from tests.probes.dns.conftest import DnsLab

(DELEGATION,), (DNSSEC,), (CAA,) = delegation.PROBES, dnssec.PROBES, caa.PROBES
(MX,), (SPF,), (DMARC,) = mx.PROBES, spf.PROBES, dmarc.PROBES


def spf_of(lab: DnsLab, name: str) -> SpfFacts:
    facts = lab.ask(SPF, name)
    assert isinstance(facts, SpfFacts)
    return facts


def walked(lab: DnsLab, name: str) -> list[tuple[str, str]]:
    return [(lookup.term, lookup.status) for lookup in spf_of(lab, name).lookups]


@pytest.mark.parametrize("probe", [DELEGATION, DNSSEC, CAA, MX, SPF, DMARC], ids=lambda probe: probe.name)
def test_a_domain_that_does_not_answer_is_not_seen(lab: DnsLab, probe: Probe) -> None:
    with pytest.raises(NotSeen) as unseen:
        lab.ask(probe, "ministry.broken.test")

    assert unseen.value.reason is Reason.TEMPORARY


@pytest.mark.parametrize("probe", [DELEGATION, DNSSEC, CAA], ids=lambda probe: probe.name)
def test_a_domain_that_does_not_exist_is_not_there(lab: DnsLab, probe: Probe) -> None:
    with pytest.raises(NotThere) as absent:
        lab.ask(probe, "gone.gov.test")

    assert absent.value.cause is AbsentCause.NXDOMAIN


def test_a_delegation_lists_each_server_with_its_addresses(lab: DnsLab) -> None:
    assert lab.ask(DELEGATION, "good.gov.test") == DelegationFacts(
        (
            HostAddresses("ns1.gov.test", "resolved", ("198.51.100.53",)),
            HostAddresses("ns2.gov.test", "resolved", ("2001:db8::53", "203.0.113.53")),
        )
    )


def test_servers_whose_names_lead_nowhere_keep_their_place(lab: DnsLab) -> None:
    facts = lab.ask(DELEGATION, "plain.gov.test")

    assert isinstance(facts, DelegationFacts)
    assert [(server.name, server.status) for server in facts.servers] == [
        ("alias.gov.test", "cname"),
        ("gone.gov.test", "nxdomain"),
        ("ns.broken.test", "silent"),
        ("ns1.gov.test", "resolved"),
        ("text.gov.test", "nodata"),
    ]


def test_a_name_inside_a_zone_has_no_servers_of_its_own(lab: DnsLab) -> None:
    with pytest.raises(NotThere) as absent:
        lab.ask(DELEGATION, "text.gov.test")

    assert absent.value.cause is AbsentCause.NODATA


@pytest.mark.parametrize(
    ("name", "zone", "parent", "keys", "ds", "parent_signed", "cds"),
    [
        ("good.gov.test", "good.gov.test", "gov.test", 1, 1, True, False),
        ("island.gov.test", "island.gov.test", "gov.test", 1, 0, True, True),
        ("plain.gov.test", "plain.gov.test", "gov.test", 0, 0, True, False),
        ("bare.test", "bare.test", "test", 0, 0, False, False),
        ("gov.test", "gov.test", "test", 1, 0, False, False),
        ("www.good.gov.test", "good.gov.test", "gov.test", 1, 1, True, False),
    ],
)
def test_keys_and_ds_of_a_zone_and_its_parent(
    lab: DnsLab, name: str, zone: str, parent: str, keys: int, ds: int, parent_signed: bool, cds: bool
) -> None:
    facts = lab.ask(DNSSEC, name)

    assert isinstance(facts, DnssecFacts)
    assert (facts.zone, facts.parent, facts.parent_signed, facts.cds) == (zone, parent, parent_signed, cds)
    assert (len(facts.keys), len(facts.ds)) == (keys, ds)
    if ds:
        assert facts.ds[0] == (facts.keys[0][2], 13, 2)


@pytest.mark.parametrize(
    ("name", "found_at", "climbed"),
    [
        ("good.gov.test", "gov.test", ("good.gov.test", "gov.test")),
        ("web.good.gov.test", "web.good.gov.test", ("web.good.gov.test",)),
        ("www.good.gov.test", "www.good.gov.test", ("www.good.gov.test",)),
        ("bare.test", "", ("bare.test", "test")),
    ],
)
def test_caa_is_climbed_for_and_aliases_followed(
    lab: DnsLab, name: str, found_at: str, climbed: tuple[str, ...]
) -> None:
    facts = lab.ask(CAA, name)

    assert isinstance(facts, CaaFacts)
    assert (facts.found_at, facts.climbed) == (found_at, climbed)


def test_caa_properties(lab: DnsLab) -> None:
    gov, web = lab.ask(CAA, "gov.test"), lab.ask(CAA, "web.good.gov.test")

    assert isinstance(gov, CaaFacts)
    assert isinstance(web, CaaFacts)
    assert gov.records == (CaaRecord(0, "iodef", "mailto:soc@gov.test"), CaaRecord(0, "issue", "ca.test"))
    assert web.records == (CaaRecord(128, "issue", ";"),)


def mx_of(lab: DnsLab, name: str) -> MxFacts:
    facts = lab.ask(MX, name)
    assert isinstance(facts, MxFacts)
    return facts


def test_exchangers_in_order_of_preference(lab: DnsLab) -> None:
    facts = mx_of(lab, "good.gov.test")

    assert [(one.preference, one.host.name, one.host.addresses) for one in facts.records] == [
        (10, "mx1.good.gov.test", ("198.51.100.25", "2001:db8::25")),
        (20, "mx2.good.gov.test", ("203.0.113.25",)),
    ]


def test_exchangers_that_lead_nowhere(lab: DnsLab) -> None:
    assert [(one.host.name, one.host.status) for one in mx_of(lab, "mail.plain.gov.test").records] == [
        ("198.51.100.25", "nxdomain"),
        ("gone.plain.gov.test", "nxdomain"),
        ("aliased.plain.gov.test", "cname"),
        ("text.gov.test", "nodata"),
        ("mx.broken.test", "silent"),
    ]


def test_null_mx_no_mx_and_no_domain_are_three_answers(lab: DnsLab) -> None:
    assert mx_of(lab, "plain.gov.test").null
    assert mx_of(lab, "text.gov.test") == MxFacts("nodata", ())
    assert mx_of(lab, "implicit.plain.gov.test") == MxFacts("nodata", (), has_address=True)
    assert mx_of(lab, "gone.gov.test") == MxFacts("nxdomain", ())


def test_the_strings_of_an_spf_record_are_joined_and_its_terms_walked(lab: DnsLab) -> None:
    facts = spf_of(lab, "good.gov.test")

    assert facts.records == ("v=spf1 mx include:_spf.good.gov.test -all",)
    assert [(one.term, one.status, one.names) for one in facts.lookups] == [
        ("mx", "answer", 2),
        ("include:_spf.good.gov.test", "answer", 0),
    ]
    assert facts.lookups[1].records == ("v=spf1 ip4:198.51.100.0/24 ?all",)


def test_no_spf_several_and_the_retired_type(lab: DnsLab) -> None:
    assert spf_of(lab, "text.gov.test") == SpfFacts(())
    assert spf_of(lab, "gone.gov.test") == SpfFacts(())
    assert spf_of(lab, "old.plain.gov.test") == SpfFacts((), type99=True)
    assert spf_of(lab, "plain.gov.test") == SpfFacts(("v=spf1 -all", "v=spf1 mx -all"))


def test_voids_and_what_takes_the_sender_to_know(lab: DnsLab) -> None:
    assert walked(lab, "voids.plain.gov.test") == [
        ("a:gone.plain.gov.test", "void"),
        ("mx:text.gov.test", "void"),
        ("exists:gone.plain.gov.test", "void"),
        ("exists:%{i}.x.test", "macro"),
        ("ptr", "macro"),
    ]


def test_silence_and_impossible_names_inside_a_record(lab: DnsLab) -> None:
    assert walked(lab, "broken.plain.gov.test") == [
        ("include:spf.broken.test", "silent"),
        ("include:text.gov.test", "answer"),
        ("a:x..y.test", "malformed"),
    ]


def test_a_loop_is_noticed(lab: DnsLab) -> None:
    assert walked(lab, "loop.plain.gov.test") == [
        ("include:loop2.plain.gov.test", "answer"),
        ("include:loop.plain.gov.test", "loop"),
        ("include:%{d}", "loop"),
    ]


def test_redirect_is_followed_last(lab: DnsLab) -> None:
    assert walked(lab, "redirected.plain.gov.test") == [
        ("a:implicit.plain.gov.test", "answer"),
        ("redirect=_spf.good.gov.test", "answer"),
    ]


def test_a_record_with_a_mistake_is_not_walked(lab: DnsLab) -> None:
    assert walked(lab, "invalid.plain.gov.test") == []


def test_exchangers_of_an_mx_mechanism_are_counted(lab: DnsLab) -> None:
    assert [one.names for one in spf_of(lab, "many.plain.gov.test").lookups] == [15]


def test_the_walk_stops_after_the_eleventh_look_up(lab: DnsLab) -> None:
    statuses = [status for _, status in walked(lab, "chain0.plain.gov.test")]

    assert statuses.count("answer") == 11
    assert set(statuses[11:]) == {"skipped"}


def steps(lab: DnsLab, name: str) -> tuple[DmarcStep, ...]:
    facts = lab.ask(DMARC, name)
    assert isinstance(facts, DmarcFacts)
    return facts.steps


def test_the_tree_walk_of_dmarc_keeps_what_was_meant_as_dmarc(lab: DnsLab) -> None:
    record = "v=DMARC1; p=reject; rua=mailto:d@good.gov.test"

    assert steps(lab, "good.gov.test") == (
        DmarcStep("good.gov.test", (record,)),
        DmarcStep("gov.test", ()),
        DmarcStep("test", ()),
    )
    assert steps(lab, "meant.plain.gov.test")[0].records == ("v=dmarc1; p=reject",)
    assert len(steps(lab, "twice.plain.gov.test")[0].records) == 2


def test_the_tree_walk_ends_at_a_public_suffix(lab: DnsLab) -> None:
    assert [step.domain for step in steps(lab, "ministry.psd.test")] == ["ministry.psd.test", "psd.test"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("test", ["test"]),
        ("gov.test", ["gov.test", "test"]),
        ("a.b.c.d.e.f.g.test", ["a.b.c.d.e.f.g.test", "b.c.d.e.f.g.test", "c.d.e.f.g.test", "d.e.f.g.test"]),
        ("a.b.c.d.e.f.g.h.i.test", ["a.b.c.d.e.f.g.h.i.test", "d.e.f.g.h.i.test", "e.f.g.h.i.test", "f.g.h.i.test"]),
    ],
)
def test_long_names_jump_to_seven_labels(name: str, expected: list[str]) -> None:
    names = list(walk(name))

    assert names[:4] == expected
    assert len(names) <= 8
    assert names[-1] == "test"
