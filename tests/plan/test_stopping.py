"""What the kill switch bars is refused by the plan, not even looked up; intrusive probes are asked for one by one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from posture.inventory.records import Inventory
from posture.model import ProbeClass, Reason, Unobserved
from posture.plan import FOLLOWS, Plan, Selection, make_plan
from posture.plan.deep import DEEP_PROBES
from posture.policy import load_policy
from posture.scope import Scope
from posture.stop import Order, Orders
from tests.inventory.documents import AT, load
from tests.net.desk import Names
from tests.plan.test_plan import ALL_CLASSES, OWN, WWW, Failing, host, text_of

ZONE = "finance.gov.example"
OTHER = "198.51.100.8"
EVERYTHING = Order("complaint 12", "root")
THEIRS = Order("revoked", "root", authorisation="lc-2026-001")


def planned(inventory: Inventory, names: Names, *orders: Order, selection: Selection | None = None) -> Plan:
    scope = Scope(inventory, lab=True, orders=lambda: Orders(orders))
    return asyncio.run(make_plan(inventory, scope, names, load_policy(), selection or Selection(), AT))


@pytest.mark.parametrize(("order", "code"), [(EVERYTHING, "E-SCOPE-041"), (THEIRS, "E-SCOPE-040")], ids=["all", "one"])
def test_nothing_of_what_is_stopped_is_looked_up(order: Order, code: str, tmp_path: Path) -> None:
    inventory, _ = load(tmp_path, text_of(host(), host(ZONE, kind="zone", roles=["web"])))
    names = Names({WWW: (OWN,)})
    plan = planned(inventory, names, order)

    assert (plan.tasks, plan.notes, names.asked) == ((), (), [])
    assert {(each.answer.reason, each.answer.code) for each in plan.settled if isinstance(each.answer, Unobserved)} == {
        (Reason.STOPPED, code)
    }
    probes = {each.probe for each in plan.settled if each.key.kind == "zone"}
    assert probes >= {"delegation", "dnssec", "caa", "mx", "spf", "dmarc", "nameserver", "smtp", "tls", "http", "ports"}
    assert {refusal.code for refusal in plan.refusals} == {code}
    assert all("was stopped by root" in refusal.text for refusal in plan.refusals)


def test_our_own_resolver_is_not_asked_either(tmp_path: Path) -> None:
    class Deaf(Failing):
        async def ask(self, name: str, rdtype: str) -> None:  # type: ignore[override]  # it never answers
            raise AssertionError(name)

    inventory, _ = load(tmp_path, text_of(host(ZONE, kind="zone")))

    assert planned(inventory, Deaf(), EVERYTHING).tasks == ()
    with pytest.raises(AssertionError):
        planned(inventory, Deaf())


def test_one_stopped_address_leaves_the_others(tmp_path: Path) -> None:
    inventory, _ = load(tmp_path, text_of(host()))
    order = Order("printer", "root", address=f"::ffff:{OWN}")
    plan = planned(inventory, Names({WWW: (OWN, OTHER)}), order, selection=Selection(checks=("tls", "services")))

    assert {task.addresses for task in plan.tasks if FOLLOWS not in task.params} == {(OTHER,)}
    assert {(each.code, each.address) for each in plan.refusals} == {("E-SCOPE-041", OWN)}
    stopped = {each.subject for each in plan.settled if each.probe not in DEEP_PROBES}
    assert stopped >= {f"{OWN}:443/tcp", OWN}
    assert all(OWN in subject for subject in stopped)


def test_an_asset_that_is_the_stopped_address(tmp_path: Path) -> None:
    inventory, _ = load(tmp_path, text_of(host(OWN), host(OTHER)))
    plan = planned(inventory, Names(), Order("printer", "root", address=OWN))

    assert {task.asset for task in plan.tasks} == {OTHER}
    assert {each.asset for each in plan.refusals if each.code == "E-SCOPE-041"} == {OWN}


# ---- intrusive probes


GRANTED = ALL_CLASSES.replace('"active"]', '"active", "intrusive"]')


@pytest.mark.parametrize(
    ("selection", "authority", "why"),
    [
        (Selection(checks=("tls",), profile="deep", assets=(WWW,)), GRANTED, None),
        (Selection(checks=("tls",), profile="deep"), GRANTED, "named by --asset"),
        (Selection(checks=("tls",), profile="deep", ministries=("finance",)), GRANTED, "named by --asset"),
        (Selection(checks=("tls",), profile="standard", assets=(WWW,)), GRANTED, "--profile deep"),
        (Selection(checks=("tls",), profile="passive", assets=(WWW,)), GRANTED, "--profile deep"),
        (Selection(checks=("tls",), profile="deep", assets=(WWW,)), ALL_CLASSES, "grants active"),
    ],
    ids=["all three", "no asset", "a ministry is no asset", "standard", "passive", "not granted"],
)
def test_intrusive_needs_the_class_the_profile_and_the_asset(
    selection: Selection, authority: str, why: str | None, tmp_path: Path
) -> None:
    inventory, _ = load(tmp_path, text_of(host(), authority=authority))
    plan = planned(inventory, Names({WWW: (OWN,)}), selection=selection)
    intrusive = [task for task in plan.tasks if task.probe_class is ProbeClass.INTRUSIVE]
    settled = [each.answer for each in plan.settled if each.probe == "tls_vulnerability"]

    if why is None:
        assert [task.probe for task in intrusive] == ["tls_vulnerability"]
        assert settled == []
        return
    assert intrusive == []
    (answer,) = settled
    assert isinstance(answer, Unobserved)
    assert (answer.reason, answer.code) in ((Reason.NOT_RUN, None), (Reason.NOT_GRANTED, "E-SCOPE-010"))
    assert why in answer.detail
