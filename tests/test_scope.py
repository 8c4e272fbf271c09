from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posture.inventory.records import (
    Asset,
    Authorisation,
    Blackout,
    Inventory,
    Limits,
    Ministry,
    Network,
    Operator,
    State,
    ThirdParty,
)
from posture.inventory.special import special_purpose
from posture.model import ProbeClass, Reason
from posture.scope import Grant, Refusal, Scope

PASSIVE, CLIENT, ACTIVE, INTRUSIVE = ProbeClass
NOON = datetime(2026, 6, 3, 16, tzinfo=UTC)  # a Wednesday, 12:00 in Saint Lucia
OWN, PARTY, ELSEWHERE = "8.8.8.8", "9.9.9.9", "1.1.1.1"
ZONE, HOST = "finance.gov.example", "www.finance.gov.example"

BASE = Authorisation(
    id="lc-1",
    owner="Ministry of Finance",
    officer="PS",
    basis="consent",
    reference="Letter 41",
    not_before=date(2026, 1, 1),
    not_after=date(2026, 12, 31),
    classes=frozenset({PASSIVE, CLIENT, ACTIVE}),
    zones=(ZONE,),
    exclude=("hr.finance.gov.example",),
    networks=(ip_network("8.8.8.0/24"), ip_network("2600:8::/48")),
    ports=((25, 25, ""), (443, 443, ""), (161, 161, "udp")),
    limits=Limits(connections=7),
    third_parties=(ThirdParty("CloudCo", (ip_network("9.9.9.0/28"),), frozenset({CLIENT}), "t"),),
)


def scope_of(*authorisations: Authorisation, lab: bool = False, assets: tuple[str, ...] = (HOST, ZONE)) -> Scope:
    ids = tuple(authorisation.id for authorisation in authorisations)
    inventory = Inventory(
        path=Path("inventory.toml"),
        state=State("LC", "Saint Lucia", "America/St_Lucia"),
        operator=Operator("CERT-LC", "soc@cert.lc"),
        authorisations={authorisation.id: authorisation for authorisation in authorisations},
        ministries=(Ministry("finance", "Ministry of Finance", ids), Ministry("health", "Ministry of Health", ())),
        assets=tuple(Asset(name, "host", "finance") for name in assets),
    )
    return Scope(inventory, lab=lab)


def decide(*authorisations: Authorisation, lab: bool = False, **question: Any) -> Grant | Refusal:
    asked: dict[str, Any] = {
        "ministry": "finance",
        "name": HOST,
        "address": OWN,
        "port": 443,
        "protocol": "tcp",
        "probe_class": CLIENT,
        "at": NOON,
    }
    return scope_of(*(authorisations or (BASE,)), lab=lab).decide(**(asked | question))


def code_of(decision: Grant | Refusal) -> str:
    return decision.via if isinstance(decision, Grant) else decision.code


def test_an_address_of_the_owner_is_granted_with_the_limits_of_the_authorisation() -> None:
    assert decide() == Grant("lc-1", CLIENT, "networks", Limits(connections=7), lab=False, party=None)


@pytest.mark.parametrize(
    ("question", "code", "reason"),
    [
        ({"ministry": "health"}, "E-SCOPE-001", Reason.NOT_GRANTED),
        ({"ministry": "nobody"}, "E-SCOPE-001", Reason.NOT_GRANTED),
        ({"at": datetime(2027, 1, 1, 5, tzinfo=UTC)}, "E-SCOPE-003", Reason.NOT_GRANTED),
        ({"at": datetime(2026, 1, 1, 3, tzinfo=UTC)}, "E-SCOPE-003", Reason.NOT_GRANTED),
        ({"probe_class": INTRUSIVE}, "E-SCOPE-010", Reason.NOT_GRANTED),
        ({"name": "hr.finance.gov.example"}, "E-SCOPE-012", Reason.OUT_OF_SCOPE),
        ({"name": "pay.HR.finance.gov.example."}, "E-SCOPE-012", Reason.OUT_OF_SCOPE),
        ({"name": "pay.thirdparty.example"}, "E-SCOPE-022", Reason.OUT_OF_SCOPE),
        ({"name": "notfinance.gov.example"}, "E-SCOPE-022", Reason.OUT_OF_SCOPE),
        ({"name": "2130706433"}, "E-SCOPE-022", Reason.OUT_OF_SCOPE),
        ({"address": ELSEWHERE}, "E-SCOPE-020", Reason.OUT_OF_SCOPE),
        ({"address": "2600:9::1"}, "E-SCOPE-020", Reason.OUT_OF_SCOPE),
        ({"address": "169.254.169.254"}, "E-SCOPE-021", Reason.OUT_OF_SCOPE),
        ({"address": "0x7f000001"}, "E-SCOPE-021", Reason.OUT_OF_SCOPE),
        ({"address": "0177.0.0.1"}, "E-SCOPE-021", Reason.OUT_OF_SCOPE),
        ({"address": "fe80::1%eth0"}, "E-SCOPE-021", Reason.OUT_OF_SCOPE),
        ({"address": ""}, "E-SCOPE-021", Reason.OUT_OF_SCOPE),
        ({"port": 3389}, "E-SCOPE-024", Reason.NOT_GRANTED),
        ({"port": 161}, "E-SCOPE-024", Reason.NOT_GRANTED),
        ({"port": None}, "E-SCOPE-024", Reason.NOT_GRANTED),
        ({"address": None}, "E-SCOPE-024", Reason.NOT_GRANTED),
    ],
)
def test_what_is_not_covered_is_refused_with_its_code(question: dict[str, Any], code: str, reason: Reason) -> None:
    decision = decide(**question)

    assert isinstance(decision, Refusal)
    assert (decision.code, decision.reason) == (code, reason)
    assert decision.text.rstrip().endswith(".")


def test_texts_name_what_was_asked_and_say_how_to_mend_it() -> None:
    outside = decide(address=ELSEWHERE)
    ended = decide(at=datetime(2027, 1, 3, 12, tzinfo=UTC))
    metadata = decide(address="169.254.169.254")

    assert isinstance(outside, Refusal)
    assert isinstance(ended, Refusal)
    assert isinstance(metadata, Refusal)
    assert f"{HOST} resolves to {ELSEWHERE}, outside the networks of lc-1" in outside.text
    assert 'hosted_classes = ["client"]' in outside.text
    assert "lc-1 ended 2026-12-31 (3 days ago, America/St_Lucia)" in ended.text
    assert "(link-local, cloud metadata)" in metadata.text


def test_dates_are_whole_days_of_the_state() -> None:
    last_minute = datetime(2026, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-4)))

    assert code_of(decide(at=last_minute)) == "networks"
    assert code_of(decide(at=last_minute + timedelta(minutes=1))) == "E-SCOPE-003"


def test_a_draft_permits_nothing() -> None:
    decision = decide(replace(BASE, reference="Draft: to be signed"))

    assert isinstance(decision, Refusal)
    assert decision.code == "E-SCOPE-001"


@pytest.mark.parametrize(("hour", "minute", "code"), [(7, 59, "networks"), (8, 0, "E-SCOPE-011"), (16, 59, "E-SCOPE-011"),
                                                      (17, 0, "networks")])  # fmt: skip
def test_a_blackout_holds_in_local_time_and_only_for_its_classes(hour: int, minute: int, code: str) -> None:
    blackout = Blackout("Wed 08:00-17:00", frozenset({2}), 480, 1020, frozenset({CLIENT}))
    authorisation = replace(BASE, blackouts=(blackout,))
    at = datetime(2026, 6, 3, hour, minute, tzinfo=timezone(timedelta(hours=-4)))

    assert code_of(decide(authorisation, at=at)) == code
    assert code_of(decide(authorisation, at=at, probe_class=ACTIVE)) == "networks"
    assert code_of(decide(authorisation, at=at + timedelta(days=1))) == "networks"


def test_a_third_party_permits_its_own_classes_only() -> None:
    granted = decide(address=PARTY)

    assert isinstance(granted, Grant)
    assert (granted.via, granted.party) == ("third_party", "CloudCo")
    refused = decide(address=PARTY, probe_class=ACTIVE)
    assert isinstance(refused, Refusal)
    assert refused.code == "E-SCOPE-010"
    assert "CloudCo" in refused.text


HOSTED = replace(BASE, hosted_classes=frozenset({CLIENT}))


def test_a_hosted_name_is_looked_at_as_a_browser_would_and_no_further() -> None:
    assert code_of(decide(HOSTED, address=ELSEWHERE)) == "hosted"
    assert code_of(decide(HOSTED, address=ELSEWHERE, probe_class=ACTIVE)) == "E-SCOPE-020"
    assert code_of(decide(HOSTED, address=ELSEWHERE, port=80)) == "E-SCOPE-024"
    assert code_of(decide(HOSTED, address="10.0.0.1")) == "E-SCOPE-021"
    assert code_of(decide(HOSTED, address=ELSEWHERE, name="www.other.example")) == "E-SCOPE-022"


def test_the_mail_exchanger_of_a_covered_zone_is_asked_on_port_25_only() -> None:
    mx: dict[str, Any] = {"name": "mx.provider.example", "address": ELSEWHERE, "port": 25, "mx_of": ZONE}

    assert code_of(decide(HOSTED, **mx)) == "hosted"
    assert code_of(decide(HOSTED, **mx | {"address": OWN})) == "networks"
    assert code_of(decide(HOSTED, **mx | {"port": 443})) == "E-SCOPE-022"
    assert code_of(decide(HOSTED, **mx | {"mx_of": "other.example"})) == "E-SCOPE-012"
    assert code_of(decide(HOSTED, **mx | {"name": "mx.hr.finance.gov.example"})) == "E-SCOPE-012"
    assert code_of(decide(HOSTED, **mx | {"probe_class": ACTIVE})) == "E-SCOPE-020"
    assert code_of(decide(BASE, **mx)) == "E-SCOPE-020"


def test_a_name_server_of_a_covered_zone_may_be_asked_ordinary_questions_wherever_it_stands() -> None:
    ns: dict[str, Any] = {
        "name": ZONE,
        "address": ELSEWHERE,
        "port": 53,
        "protocol": "udp",
        "probe_class": PASSIVE,
        "nameserver_of": ZONE,
    }

    assert code_of(decide(**ns)) == "nameserver"
    assert code_of(decide(**ns | {"address": OWN})) == "networks"
    assert code_of(decide(**ns | {"probe_class": ACTIVE})) == "E-SCOPE-020"
    assert code_of(decide(**ns | {"port": 443})) == "E-SCOPE-020"
    assert code_of(decide(**ns | {"nameserver_of": None})) == "E-SCOPE-020"
    assert code_of(decide(**ns | {"address": "192.168.1.1"})) == "E-SCOPE-021"
    assert code_of(decide(**ns | {"nameserver_of": "other.example", "name": "other.example"})) == "E-SCOPE-022"
    assert code_of(decide(**ns | {"address": OWN, "probe_class": ACTIVE})) == "E-SCOPE-024"


def test_a_question_to_our_own_resolver_needs_only_a_covered_name() -> None:
    question: dict[str, Any] = {"address": None, "port": None, "probe_class": PASSIVE}

    assert code_of(decide(**question)) == "resolver"
    assert code_of(decide(**question, name="hr.finance.gov.example")) == "E-SCOPE-012"
    assert code_of(decide(**question, name=OWN)) == "resolver"
    assert code_of(decide(**question, name=ELSEWHERE)) == "E-SCOPE-020"
    assert code_of(decide(**question, name="10.0.0.1")) == "E-SCOPE-021"


def test_an_asset_that_is_an_address_is_asked_at_itself_and_needs_no_zone() -> None:
    assert code_of(decide(name=OWN, address=OWN)) == "networks"
    assert code_of(decide(name=PARTY, address=PARTY)) == "third_party"
    assert code_of(decide(HOSTED, name=ELSEWHERE, address=ELSEWHERE)) == "E-SCOPE-020"
    assert code_of(decide(name=OWN, address="8.8.8.9")) == "E-SCOPE-022"


def test_a_ministrys_own_name_outside_its_zones_is_told_apart_from_a_redirect() -> None:
    scope = scope_of(BASE, assets=("www.treasury.example",))

    decision = scope.decide(
        ministry="finance",
        name="www.treasury.example",
        address=OWN,
        port=443,
        protocol="tcp",
        probe_class=CLIENT,
        at=NOON,
    )

    assert code_of(decision) == "E-SCOPE-012"


@pytest.mark.parametrize(("lab_flag", "lab_key", "code"), [(True, True, "networks"), (True, False, "E-SCOPE-021"),
                                                          (False, True, "E-SCOPE-021")])  # fmt: skip
def test_special_addresses_need_both_the_key_and_the_flag(lab_flag: bool, lab_key: bool, code: str) -> None:
    authorisation = replace(BASE, lab=lab_key, networks=(ip_network("127.0.0.0/8"),))

    decision = decide(authorisation, lab=lab_flag, address="127.0.20.1")

    assert code_of(decision) == code


def test_a_lab_keeps_every_other_rule() -> None:
    authorisation = replace(BASE, lab=True, networks=(ip_network("127.0.0.0/8"),))

    granted = decide(authorisation, lab=True, address="127.0.20.1")
    assert isinstance(granted, Grant)
    assert granted.lab
    assert code_of(decide(authorisation, lab=True, address="10.0.0.1")) == "E-SCOPE-020"
    assert code_of(decide(authorisation, lab=True, address="127.0.20.1", port=22)) == "E-SCOPE-024"
    assert code_of(decide(authorisation, lab=True, address="127.0.20.1", name="x.example")) == "E-SCOPE-022"


def test_any_authorisation_is_enough_and_the_nearest_refusal_is_told() -> None:
    ended = replace(BASE, id="old", not_after=date(2026, 1, 31))
    other_zone = replace(BASE, id="zone", zones=("other.example",))
    no_port = replace(BASE, id="port", ports=())

    assert decide(ended, other_zone, no_port, BASE) == decide(BASE)
    refusal = decide(no_port, ended, other_zone)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.authorisation) == ("E-SCOPE-024", "port")


@pytest.mark.parametrize(
    "text",
    ["0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "168.63.129.16", "169.254.169.254", "172.31.255.255",
     "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
     "255.255.255.255", "::", "::1", "::7f00:1", "::ffff:8.8.8.8", "::ffff:169.254.169.254", "64:ff9b::808:808",
     "64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1", "2001:10::1",
     "2001:db8::1", "2002:7f00:1::", "2620:4f:8000::1", "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254",
     "fe80::1", "fec0::1", "ff02::1"],
)  # fmt: skip
def test_special_purpose_addresses_are_known(text: str) -> None:
    assert special_purpose(ip_address(text))


@pytest.mark.parametrize(
    "text",
    ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1", "198.17.255.255",
     "198.20.0.1", "223.255.255.255", "2600::1", "2001:200::1", "2001:4860:4860::8888", "2a00:1450::1", "3ffe::1"],
)  # fmt: skip
def test_ordinary_addresses_are_not_special(text: str) -> None:
    assert special_purpose(ip_address(text)) == ""


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("::ffff:10.0.0.1", "10.0.0.1 (private)"),
        ("64:ff9b::a9fe:a9fe", "169.254.169.254 (link-local, cloud metadata)"),
        ("2002:7f00:1::", "127.0.0.1 (loopback)"),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "192.0.2.45 (documentation)"),
    ],
)
def test_an_ipv4_address_hidden_in_ipv6_is_named(text: str, inside: str) -> None:
    assert inside in special_purpose(ip_address(text))


def test_everything_that_python_calls_not_global_is_special() -> None:
    """A second opinion over many addresses; Python's own tables err on the open side, never ours."""
    for number in range(0, 2**32, 2**32 // 20011):
        address = IPv4Address(number)
        assert special_purpose(address) or (address.is_global and not address.is_multicast), address


def test_ended_lists_only_what_leaves_a_ministry_without_authority() -> None:
    old = replace(BASE, id="old", not_after=date(2026, 5, 31))

    assert [each.id for each in scope_of(old).ended(NOON)] == ["old"]
    assert scope_of(old, BASE).ended(NOON) == ()
    assert scope_of(BASE).ended(NOON) == ()


def test_in_force_leaves_out_drafts_the_ended_and_the_future() -> None:
    others = (
        replace(BASE, id="old", not_after=date(2026, 5, 31)),
        replace(BASE, id="new", not_before=date(2026, 7, 1)),
        replace(BASE, id="draft", reference="DRAFT"),
    )

    assert [each.id for each in scope_of(*others, BASE).in_force(NOON)] == ["lc-1"]
    assert scope_of(*others).in_force(NOON) == ()


# ---- A slow and obvious oracle, written from the documentation without a look at the code.

NETWORKS: tuple[Network, ...] = tuple(
    map(ip_network, ("8.8.8.0/24", "9.9.9.0/28", "127.0.0.0/8", "10.0.0.0/8", "2600:8::/48", "::1/128", "fd00::/16"))
)
ADDRESSES = ("8.8.8.8", "9.9.9.9", "1.1.1.1", "127.0.0.1", "10.9.9.9", "169.254.169.254", "2600:8::1", "2600:9::1", "::1",
             "fd00::1", "::ffff:8.8.8.8")  # fmt: skip
SPECIAL = {"127.0.0.1", "10.9.9.9", "169.254.169.254", "::1", "fd00::1", "::ffff:8.8.8.8"}
NAMES = ("finance.gov.example", "www.finance.gov.example", "hr.finance.gov.example", "a.hr.finance.gov.example",
         "xfinance.gov.example", "mx.provider.example", "8.8.8.8", "10.9.9.9")  # fmt: skip
CLASS_SETS = st.frozensets(st.sampled_from(list(ProbeClass)))

authorisations = st.builds(
    replace,
    st.just(BASE),
    reference=st.sampled_from(["Letter", "Letter", "Letter", "DRAFT"]),
    not_before=st.sampled_from([date(2026, 1, 1), date(2026, 6, 1)]),
    not_after=st.sampled_from([date(2026, 6, 1), date(2026, 12, 31)]),
    classes=CLASS_SETS,
    zones=st.sampled_from([(), ("finance.gov.example",), ("gov.example",), ("provider.example",)]),
    exclude=st.sampled_from([(), ("hr.finance.gov.example",)]),
    networks=st.lists(st.sampled_from(NETWORKS), max_size=4).map(tuple),
    hosted_classes=st.sampled_from([frozenset(), frozenset({CLIENT})]),
    ports=st.sampled_from([(), ((443, 443, ""),), ((25, 25, "tcp"), (53, 53, "udp")), ((1, 65535, ""),)]),
    lab=st.booleans(),
    third_parties=st.lists(
        st.builds(
            ThirdParty,
            party=st.just("CloudCo"),
            networks=st.lists(st.sampled_from(NETWORKS), max_size=2).map(tuple),
            classes=CLASS_SETS,
            reference=st.just("t"),
        ),
        max_size=2,
    ).map(tuple),
    blackouts=st.lists(
        st.builds(
            Blackout,
            when=st.just("w"),
            weekdays=st.frozensets(st.integers(0, 6)),
            start=st.sampled_from([0, 480]),
            end=st.sampled_from([720, 1440]),
            classes=CLASS_SETS,
        ),
        max_size=1,
    ).map(tuple),
)
questions = st.fixed_dictionaries(
    {
        "name": st.sampled_from(NAMES),
        "address": st.sampled_from([*ADDRESSES, None]),
        "port": st.sampled_from([25, 53, 80, 443, None]),
        "protocol": st.sampled_from(["tcp", "udp"]),
        "probe_class": st.sampled_from(list(ProbeClass)),
        "at": st.sampled_from([NOON + timedelta(hours=step) for step in (-4000, -60, -9, 0, 9, 60, 4000, 9000)]),
        "nameserver_of": st.sampled_from([None, None, "finance.gov.example", "xfinance.gov.example"]),
        "mx_of": st.sampled_from([None, None, "finance.gov.example", "xfinance.gov.example"]),
    }
)


def allowed(authorisation: Authorisation, lab: bool, asked: dict[str, Any]) -> bool:
    """Whether every clause of the authorisation is met."""
    if authorisation.reference == "DRAFT":
        return False
    local = asked["at"] - timedelta(hours=4)  # Saint Lucia has no summer time
    if local.date() < authorisation.not_before or local.date() > authorisation.not_after:
        return False
    minute = local.hour * 60 + local.minute
    for blackout in authorisation.blackouts:
        if (
            asked["probe_class"] in blackout.classes
            and local.weekday() in blackout.weekdays
            and blackout.start <= minute < blackout.end
        ):
            return False
    if asked["probe_class"] not in authorisation.classes:
        return False
    return name_allowed(authorisation, asked) and place_allowed(authorisation, lab, asked)


def labels_below(name: str, zone: str) -> bool:
    own, above = name.split("."), zone.split(".")
    return len(own) >= len(above) and own[len(own) - len(above) :] == above


def service_of(asked: dict[str, Any]) -> str | None:
    """The zone whose name server or mail exchanger is asked, when it is asked as that."""
    if asked["nameserver_of"] and asked["port"] in (53, None):
        return str(asked["nameserver_of"])
    if asked["mx_of"] and asked["port"] in (25, None):
        return str(asked["mx_of"])
    return None


def name_allowed(authorisation: Authorisation, asked: dict[str, Any]) -> bool:
    if asked["name"][0].isdigit():
        return asked["address"] in (None, asked["name"])
    if any(labels_below(asked["name"], each) for each in authorisation.exclude):
        return False
    about = service_of(asked) or asked["name"]
    return any(labels_below(about, each) for each in authorisation.zones) and not any(
        labels_below(about, each) for each in authorisation.exclude
    )


def place_allowed(authorisation: Authorisation, lab: bool, asked: dict[str, Any]) -> bool:
    is_address_asset = asked["name"][0].isdigit()
    target = asked["address"] or (asked["name"] if is_address_asset else None)
    if asked["address"] is None and asked["port"] is not None:
        return False
    if target is None:
        return True
    if target in SPECIAL and not (authorisation.lab and lab):
        return False
    address: IPv4Address | IPv6Address = ip_address(target)
    by_owner = any(address in network for network in authorisation.networks)
    by_party = any(
        address in network and asked["probe_class"] in party.classes
        for party in authorisation.third_parties
        for network in party.networks
    )
    by_hosting = not is_address_asset and asked["probe_class"] == CLIENT and CLIENT in authorisation.hosted_classes
    as_resolver = bool(asked["nameserver_of"]) and asked["port"] == 53 and asked["probe_class"] == PASSIVE
    if not (by_owner or by_party or by_hosting or (as_resolver and not is_address_asset)):
        return False
    if asked["address"] is None or as_resolver:
        return True
    return asked["port"] is not None and any(
        low <= asked["port"] <= high and protocol in ("", asked["protocol"])
        for low, high, protocol in authorisation.ports
    )


@settings(deadline=None)
@given(st.lists(authorisations, min_size=1, max_size=3), st.booleans(), questions)
def test_the_decision_is_that_of_an_obvious_oracle(
    given_authorisations: list[Authorisation], lab: bool, asked: dict[str, Any]
) -> None:
    numbered = [replace(each, id=f"a-{number}") for number, each in enumerate(given_authorisations)]

    decision = scope_of(*numbered, lab=lab).decide(ministry="finance", **asked)

    permitting = [each.id for each in numbered if allowed(each, lab, asked)]
    assert isinstance(decision, Grant) == bool(permitting)
    if isinstance(decision, Grant):
        assert decision.authorisation == permitting[0]
        assert decision.lab == (lab and next(each.lab for each in numbered if each.id == permitting[0]))
    else:
        assert decision.authorisation in [each.id for each in numbered]


@settings(deadline=None)
@given(st.text(max_size=30), st.text(max_size=40) | st.none(), st.integers() | st.none())
def test_no_text_makes_it_grant_or_raise(name: str, address: str | None, port: int | None) -> None:
    decision = decide(name=name, address=address, port=port)

    if isinstance(decision, Grant):
        assert name.lower().removesuffix(".").endswith(ZONE)
