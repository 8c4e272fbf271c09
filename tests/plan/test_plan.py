"""What is asked of whom, and every refusal with its code. Names are answered by a table; no server is involved.

The addresses are those set aside for documentation, which a lab may ask.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import dns.rdata
import jsonschema
import pytest

from posture.door import Reply
from posture.errors import UsageError
from posture.model import Absent, AbsentCause, NotSeen, Reason, Unobserved
from posture.plan import FOLLOWS, Plan, Selection, Settled, make_plan
from posture.plan.deep import DEEP_PROBES
from posture.policy import load_policy
from posture.reporters.cells import json_default
from posture.schemas import schema
from posture.scope import Scope
from posture.task import Task
from tests.inventory.documents import AT, GOOD, load
from tests.net.desk import Names

OWN, ELSEWHERE = "198.51.100.7", "203.0.113.9"
WWW, SHOP = "www.finance.gov.example", "shop.finance.gov.example"
ALL_CLASSES = (
    'classes = ["passive", "client", "active"]\nnetworks = ["198.51.100.0/24"]\nports = ["1-65535"]\nlab = true'
)
HOST_ONLY = Selection(checks=("tls", "web", "services"))


class Failing(Names):
    """A resolver that cannot say."""

    async def addresses(self, name: str) -> tuple[str, ...]:
        raise NotSeen(Reason.TEMPORARY, name)

    async def ask(self, name: str, rdtype: str) -> Reply:
        raise NotSeen(Reason.TIMEOUT, f"{name} {rdtype}")


def text_of(*assets: str, authority: str = ALL_CLASSES) -> str:
    """The small inventory with assets (TOML of each) and other terms of its authorisation."""
    text = GOOD.replace('classes = ["passive", "client"]', authority)
    return text + "".join(f"\n[[ministry.asset]]\n{asset}\n" for asset in assets)


def planned(
    folder: Path,
    text: str,
    names: dict[str, tuple[str, ...]] | Names,
    selection: Selection = HOST_ONLY,
    *,
    lab: bool = True,
) -> Plan:
    inventory, _ = load(folder, text)
    resolver = names if isinstance(names, Names) else Names(names)
    return asyncio.run(make_plan(inventory, Scope(inventory, lab=lab), resolver, load_policy(), selection, AT))


def host(name: str = WWW, **keys: Any) -> str:
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in {"name": name, **keys}.items())


def rows(plan: Plan, *columns: str) -> set[tuple[Any, ...]]:
    return {tuple(row[column] for column in columns) for row in plan.document()["tasks"]}  # type: ignore[attr-defined]


def settled(plan: Plan) -> dict[str, Any]:
    """By probe; without those that only deep scans run, of which there is nothing to say in others."""
    return {each.probe: each.answer for each in plan.settled if not _is_not_deep(each)}


def _is_not_deep(each: Settled) -> bool:
    return each.probe in DEEP_PROBES and isinstance(each.answer, Unobserved) and each.answer.reason is Reason.NOT_RUN


def valid(plan: Plan) -> Plan:
    published = json.loads(json.dumps(plan.document(), default=json_default))
    jsonschema.Draft202012Validator(json.loads(schema("plan"))).validate(published)
    return plan


def sent(plan: Plan) -> list[Task]:
    """The tasks that send something by themselves, which those that follow others' answers do not."""
    return [task for task in plan.tasks if FOLLOWS not in task.params]


# ---- tasks


def test_a_host_is_asked_on_its_declared_ports_and_swept(tmp_path: Path) -> None:
    plan = valid(planned(tmp_path, text_of(host()), {WWW: (OWN,)}))
    by_probe = {(task.probe, task.port) for task in plan.tasks}

    assert by_probe == {
        ("tls", 443),
        ("tls_legacy", 443),
        ("http", 80),
        ("http", 443),
        ("securitytxt", 443),
        ("ports", None),
        ("crl", None),
        ("key_use", None),
    }
    assert {task.addresses for task in sent(plan)} == {(OWN,)}
    assert rows(plan, "ministry", "asset", "authorisation") == {("finance", WWW, "lc-2026-001")}
    assert (plan.refusals, settled(plan), plan.notes) == ((), {}, ())


@pytest.mark.parametrize(
    ("selection", "whole"),
    [(Selection(), None), (Selection(all_suites=True), True), (Selection(assets=(WWW,), profile="deep"), True)],
)
def test_long_lists_of_suites_are_listed_whole_where_that_is_wanted(
    tmp_path: Path, selection: Selection, whole: bool | None
) -> None:
    plan = planned(tmp_path, text_of(host()), {WWW: (OWN,)}, selection)

    asked = {task.probe: task.params.get("all_suites") for task in plan.tasks if task.probe in ("tls", "tls_legacy")}
    assert asked == {"tls": whole, "tls_legacy": whole}


def test_every_address_of_a_name_is_asked(tmp_path: Path) -> None:
    both = (OWN, "198.51.100.8")
    plan = planned(tmp_path, text_of(host(ports=[443])), {WWW: both}, Selection(checks=("tls",)))

    assert {(task.probe, task.addresses) for task in plan.tasks if task.port == 443} >= {
        ("tls", (address,)) for address in both
    }


def test_a_pinned_address_is_not_resolved(tmp_path: Path) -> None:
    names = Names({WWW: (ELSEWHERE,)})
    plan = planned(tmp_path, text_of(host(addresses=[OWN])), names)

    assert {task.addresses for task in sent(plan)} == {(OWN,)}
    assert names.asked == []


def test_a_name_is_resolved_once(tmp_path: Path) -> None:
    names = Names({WWW: (OWN,)})
    planned(tmp_path, text_of(host()), names)

    assert names.asked == [WWW]


def test_an_address_is_swept_and_its_tls_ports_are_asked(tmp_path: Path) -> None:
    plan = valid(planned(tmp_path, text_of(host(OWN, ports=[443, 8443, 25])), {}))

    assert {(task.kind, task.name, task.addresses) for task in sent(plan)} == {("address", OWN, (OWN,))}
    assert {(task.probe, task.port, task.params.get("starttls")) for task in sent(plan)} == {
        ("tls", 443, None),
        ("tls_legacy", 443, None),
        ("tls", 8443, None),
        ("tls_legacy", 8443, None),
        ("tls", 25, "smtp"),
        ("tls_legacy", 25, "smtp"),
        ("ports", None, None),
    }


def test_a_port_is_tls_when_the_inventory_says_so(tmp_path: Path) -> None:
    plan = planned(tmp_path, text_of(host(ports=["4433/https"])), {WWW: (OWN,)}, Selection(checks=("tls",)))

    assert ("tls", 4433) in {(task.probe, task.port) for task in plan.tasks}


def test_a_sweep_asks_declared_ports_too(tmp_path: Path) -> None:
    plan = planned(tmp_path, text_of(host(ports=[47110])), {WWW: (OWN,)}, Selection(checks=("services",)))
    (sweep,) = plan.tasks

    assert 47110 in sweep.params["ports"]
    assert len(sweep.params["ports"]) == len(rows(plan, "port"))


# ---- settled before any packet


def test_no_declared_port_means_nothing_to_judge_but_a_sweep(tmp_path: Path) -> None:
    plan = valid(planned(tmp_path, text_of(host(ports=[])), {WWW: (OWN,)}))

    assert {task.probe for task in plan.tasks} == {"ports"}
    assert set(settled(plan)) == {"tls", "tls_legacy", "crl", "key_use", "http", "securitytxt", *DEEP_PROBES}
    assert {answer.cause for answer in settled(plan).values()} == {AbsentCause.NOT_DECLARED}


def test_a_name_without_an_address_is_an_answer(tmp_path: Path) -> None:
    plan = valid(planned(tmp_path, text_of(host()), {}))

    assert (plan.tasks, plan.refusals) == ((), ())
    assert {type(answer) for answer in settled(plan).values()} == {Absent}
    assert {answer.cause for answer in settled(plan).values()} == {AbsentCause.NXDOMAIN}
    assert {probe for _, probe, _ in plan.questions()} == set(settled(plan))


def test_a_resolver_that_cannot_say_settles_nothing_about_the_name(tmp_path: Path) -> None:
    plan = planned(tmp_path, text_of(host()), Failing())

    assert plan.tasks == ()
    assert {(type(answer), answer.reason) for answer in settled(plan).values()} == {(Unobserved, Reason.TEMPORARY)}


def test_what_a_zone_lists_is_unknown_when_it_cannot_be_learnt(tmp_path: Path) -> None:
    zone = host("finance.gov.example", kind="zone")
    plan = planned(tmp_path, text_of(zone), Failing(), Selection(checks=("dns", "email")))

    assert {answer.reason for answer in settled(plan).values()} == {Reason.TIMEOUT}
    assert {"nameserver", "axfr", "smtp"} <= settled(plan).keys()
    assert {"spf", "dmarc", "caa", "dnssec", "mx", "delegation"} <= {task.probe for task in plan.tasks}


def test_questions_are_listed_once(tmp_path: Path) -> None:
    plan = planned(tmp_path, text_of(host(), host(SHOP)), {WWW: (OWN,), SHOP: (OWN, ELSEWHERE)})
    questions = list(plan.questions())

    assert len(questions) == len(set(questions)) >= len(plan.tasks)


# ---- refusals


def test_an_address_outside_the_networks_is_refused_and_the_note_counts(tmp_path: Path) -> None:
    plan = valid(planned(tmp_path, text_of(host(), host(SHOP)), {WWW: (OWN,), SHOP: (ELSEWHERE,)}))

    assert {(refusal.asset, refusal.address, refusal.code) for refusal in plan.refusals} == {
        (SHOP, ELSEWHERE, "E-SCOPE-020")
    }
    assert {task.asset for task in plan.tasks} == {WWW}
    assert {answer.code for answer in settled(plan).values()} == {"E-SCOPE-020"}
    assert {answer.reason for answer in settled(plan).values()} == {Reason.OUT_OF_SCOPE}
    assert plan.notes == (
        '1 of 2 names are hosted elsewhere: DNS facts only; to look as a browser would: hosted_classes = ["client"]',
    )
    assert plan.document()["notes"] == list(plan.notes)


def test_hosted_classes_look_as_a_browser_would_and_no_further(tmp_path: Path) -> None:
    text = text_of(host(), authority=f'{ALL_CLASSES}\nhosted_classes = ["client"]')
    plan = valid(planned(tmp_path, text, {WWW: (ELSEWHERE,)}))

    assert {str(task.probe_class) for task in plan.tasks} == {"client"}
    assert {str(refusal.probe_class) for refusal in plan.refusals} == {"active"}
    assert {refusal.code for refusal in plan.refusals} == {"E-SCOPE-020"}
    assert plan.notes == ()


def test_a_class_that_is_not_granted_is_refused(tmp_path: Path) -> None:
    authority = ALL_CLASSES.replace(', "active"', "")
    plan = valid(planned(tmp_path, text_of(host(), authority=authority), {WWW: (OWN,)}))

    assert {(str(refusal.probe_class), refusal.code) for refusal in plan.refusals} == {("active", "E-SCOPE-010")}
    assert {answer.reason for answer in settled(plan).values()} == {Reason.NOT_GRANTED}
    assert {str(task.probe_class) for task in plan.tasks} == {"client"}


def test_a_port_that_is_not_granted_is_refused(tmp_path: Path) -> None:
    authority = ALL_CLASSES.replace("1-65535", "443")
    plan = valid(planned(tmp_path, text_of(host(), authority=authority), {WWW: (OWN,)}))
    (sweep,) = (task for task in plan.tasks if task.probe == "ports")

    assert {(refusal.port, refusal.code) for refusal in plan.refusals} == {(80, "E-SCOPE-024"), (None, "E-SCOPE-024")}
    assert any("ports of the matrix are not granted here: 21, 22," in refusal.text for refusal in plan.refusals)
    assert sweep.params["ports"] == [443]
    assert {task.port for task in sent(plan) if task.probe != "ports"} == {443}


def test_one_refusal_stands_for_a_whole_sweep(tmp_path: Path) -> None:
    authority = ALL_CLASSES.replace("1-65535", "9")
    plan = planned(tmp_path, text_of(host(), authority=authority), {WWW: (OWN,)}, Selection(checks=("services",)))

    assert [refusal.code for refusal in plan.refusals] == ["E-SCOPE-024"]
    assert settled(plan)["ports"].code == "E-SCOPE-024"


@pytest.mark.parametrize(
    ("assets", "code"),
    [
        (host(), "E-SCOPE-021"),
        (host("www.elsewhere.test"), "E-SCOPE-012"),
    ],
    ids=["special-purpose address", "name outside the zones"],
)
def test_other_refusals(tmp_path: Path, assets: str, code: str) -> None:
    plan = valid(planned(tmp_path, text_of(assets), {WWW: ("127.0.0.1",), "www.elsewhere.test": (OWN,)}, lab=False))

    assert plan.tasks == ()
    assert {refusal.code for refusal in plan.refusals} == {code}
    assert all(refusal.text.endswith(".") for refusal in plan.refusals)


def test_a_private_answer_for_a_public_name_is_an_inside_view(tmp_path: Path) -> None:
    plan = planned(tmp_path, text_of(host()), {WWW: ("10.0.0.7",)}, lab=False)

    assert len(plan.notes) == 1
    assert WWW in plan.notes[0]
    assert "you look from inside" in plan.notes[0]


# ---- profiles and selectors


def test_the_passive_profile_asks_no_host(tmp_path: Path) -> None:
    plan = valid(planned(tmp_path, text_of(host()), {WWW: (OWN,)}, replace(HOST_ONLY, profile="passive")))

    assert plan.tasks == ()
    assert {answer.reason for answer in settled(plan).values()} == {Reason.NOT_RUN}
    assert plan.refusals == ()


@pytest.mark.parametrize(
    ("selection", "probes"),
    [
        (Selection(checks=("web",)), {"http", "securitytxt"}),
        (Selection(checks=("svc",)), {"ports"}),
        (Selection(checks=("services",)), {"ports"}),
        (Selection(controls=("web.securitytxt",)), {"securitytxt"}),
        (Selection(controls=("svc.*",)), {"ports"}),
        (Selection(controls=("tls.protocol.tls13",)), {"tls"}),
        (Selection(checks=("web",), controls=("*.securitytxt",)), {"securitytxt"}),
    ],
)
def test_only_what_the_chosen_controls_need_is_asked(tmp_path: Path, selection: Selection, probes: set[str]) -> None:
    plan = planned(tmp_path, text_of(host()), {WWW: (OWN,)}, selection)

    assert {task.probe for task in plan.tasks} == probes


@pytest.mark.parametrize("selection", [Selection(assets=(SHOP,)), Selection(ministries=("health",))])
def test_assets_are_chosen_by_name_and_by_ministry(tmp_path: Path, selection: Selection) -> None:
    health = '\n[[ministry]]\ncode = "health"\nname = "Ministry of Health"\nauthorisation = ["lc-2026-001"]\n'
    text = text_of(host()) + health + f"\n[[ministry.asset]]\n{host(SHOP)}\n"
    names = Names({WWW: (OWN,), SHOP: (OWN,)})
    plan = planned(tmp_path, text, names, selection)

    assert {task.asset for task in plan.tasks} == {SHOP}
    assert [asset.name for asset in plan.assets] == [SHOP]
    assert names.asked == [SHOP]


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (Selection(ministries=("tourism",)), "no ministry 'tourism' .*There are: finance"),
        (Selection(assets=("nobody.gov.example",)), "no asset 'nobody.gov.example'"),
        (Selection(checks=("mainframe",)), "no check 'mainframe'. Choose among tls, dns, email"),
        (Selection(controls=("tls.nothing.*",)), "leave no control"),
        (Selection(checks=("dns",), controls=("tls.*",)), "leave no control"),
    ],
)
def test_selectors_that_match_nothing_are_refused(tmp_path: Path, selection: Selection, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        planned(tmp_path, text_of(host()), {}, selection)


def test_a_name_that_could_not_be_looked_up_is_noted(tmp_path: Path) -> None:
    plan = planned(tmp_path, text_of(host()), Failing({}))

    assert any(note.startswith("1 names could not be looked up now (www.finance.gov.example)") for note in plan.notes)


class Exchangers(Names):
    """Of a zone with one mail exchanger at two addresses."""

    async def ask(self, name: str, rdtype: str) -> Reply:
        records: tuple[Any, ...] = ()
        if (name, rdtype) == ("finance.gov.example", "MX"):
            records = (dns.rdata.from_text("IN", "MX", "10 mx.finance.gov.example."),)
        elif name == "mx.finance.gov.example" and rdtype == "A":
            records = tuple(dns.rdata.from_text("IN", "A", address) for address in (OWN, ELSEWHERE))
        return Reply("noerror" if records else "nodata", records, name)


class Nameservers(Names):
    """Of a zone with two name servers, one of which is excluded."""

    async def ask(self, name: str, rdtype: str) -> Reply:
        texts = {
            ("finance.gov.example", "NS"): ("hr.finance.gov.example.", "ns.elsewhere.example."),
            ("hr.finance.gov.example", "A"): (OWN,),
            ("ns.elsewhere.example", "A"): (ELSEWHERE,),
        }.get((name, rdtype), ())
        return Reply(
            "noerror" if texts else "nodata", tuple(dns.rdata.from_text("IN", rdtype, each) for each in texts), name
        )


def test_an_excluded_name_server_is_left_alone_and_each_is_called_by_its_name(tmp_path: Path) -> None:
    authority = f'{ALL_CLASSES}\nexclude = ["hr.finance.gov.example"]'
    text = text_of(host("finance.gov.example", kind="zone"), authority=authority)
    plan = valid(planned(tmp_path, text, Nameservers({}), Selection(checks=("dns",))))
    refused = {(each.address, each.code): each.text for each in plan.refusals}

    asked = {(task.probe, task.subject) for task in plan.tasks if task.port == 53}
    assert asked == {("nameserver", "ns:ns.elsewhere.example")}
    assert refused[OWN, "E-SCOPE-012"].startswith("hr.finance.gov.example is excluded by ")
    assert refused[ELSEWHERE, "E-SCOPE-020"].startswith(f"ns.elsewhere.example resolves to {ELSEWHERE},")


def test_a_refused_address_of_an_exchanger_goes_along_and_is_not_asked(tmp_path: Path) -> None:
    zone = host("finance.gov.example", kind="zone")
    plan = valid(planned(tmp_path, text_of(zone), Exchangers({}), Selection(checks=("email", "tls"))))
    exchanger = {task.probe: task for task in plan.tasks if task.subject == "mx:mx.finance.gov.example:25"}

    assert set(exchanger) == {"smtp", "tls", "tls_legacy"}
    assert all(task.addresses == (OWN,) for task in exchanger.values())
    assert all(task.params["refused"] == {ELSEWHERE: "out_of_scope"} for task in exchanger.values())
    assert (ELSEWHERE, "E-SCOPE-020") in {(refusal.address, refusal.code) for refusal in plan.refusals}
