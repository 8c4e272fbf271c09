"""What deep scans ask beside the others, and that others do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from posture.inventory.records import Port
from posture.model import Reason, Unobserved
from posture.net.governor import SMTP_PORTS
from posture.net.sslyze import STARTTLS, sslyze_arguments
from posture.plan import Selection
from posture.plan.asset import STARTTLS_PORTS, TLS_PORTS
from posture.plan.deep import DEEP_PROBES, deep_probes, is_https
from tests.plan.test_plan import ALL_CLASSES, OWN, WWW, host, planned, text_of

DEEP = Selection(checks=("tls",), profile="deep", assets=(WWW,))
GRANTED = ALL_CLASSES.replace('"active"]', '"active", "intrusive"]')


def asked(
    folder: Path, selection: Selection, authority: str = GRANTED, **keys: Any
) -> set[tuple[str, int | None, str]]:
    plan = planned(folder, text_of(host(**keys), authority=authority), {WWW: (OWN,)}, selection)
    return {
        (task.probe, task.port, str(task.params.get("starttls", "")))
        for task in plan.tasks
        if task.probe in DEEP_PROBES
    }


def test_web_servers_are_asked_everything_and_mail_servers_no_early_data(tmp_path: Path) -> None:
    ports = [80, 443, 993, 143, "8443/https", "8444/tls", 25, 465, 587, 22]

    assert asked(tmp_path, DEEP, ports=ports) == {
        *(("tls_stores", port, "") for port in (443, 993, 8443, 8444)),
        *(("tls_vulnerability", port, "") for port in (443, 993, 8443, 8444)),
        *(("tls_early_data", port, "") for port in (443, 8443)),
        ("tls_stores", 143, "imap"),
        ("tls_vulnerability", 143, "imap"),
    }


def test_without_an_asset_named_what_any_client_does_is_still_asked(tmp_path: Path) -> None:
    selection = Selection(checks=("tls",), profile="deep")

    assert {probe for probe, _, _ in asked(tmp_path, selection)} == {"tls_stores", "tls_early_data"}


@pytest.mark.parametrize("profile", ["standard", "passive"])
def test_other_profiles_know_beforehand_that_nobody_asked(profile: str, tmp_path: Path) -> None:
    selection = Selection(checks=("tls",), profile=profile, assets=(WWW,))
    plan = planned(tmp_path, text_of(host(), authority=ALL_CLASSES), {WWW: (OWN,)}, selection)
    settled = {each.probe: each.answer for each in plan.settled if each.probe in DEEP_PROBES}

    assert set(settled) == set(DEEP_PROBES)
    for answer in settled.values():
        assert isinstance(answer, Unobserved)
        assert (answer.reason, answer.code) == (Reason.NOT_RUN, None)
        assert "--profile deep" in answer.detail
    assert not [refusal for refusal in plan.refusals if refusal.probe in DEEP_PROBES], "nothing was to be granted"


def test_the_kill_switch_and_names_without_addresses_settle_them_like_all_others(tmp_path: Path) -> None:
    plan = planned(tmp_path, text_of(host(), authority=GRANTED), {}, DEEP)

    assert {each.probe for each in plan.settled} >= set(DEEP_PROBES)
    assert plan.tasks == ()


def test_no_port_of_mail_submission_is_ever_asked() -> None:
    for number in sorted({*TLS_PORTS, *STARTTLS_PORTS, *SMTP_PORTS}):
        for service in ("", "https", "tls"):
            starttls = "" if service else STARTTLS_PORTS.get(number, "")
            chosen = list(deep_probes(Port(number, "tcp", service), starttls, starts_tls=True))
            assert bool(chosen) is (number not in SMTP_PORTS)
            if chosen:
                sslyze_arguments(WWW, number, ["certinfo"], "http://127.0.0.1:1/", starttls)


def test_every_protocol_that_our_prober_begins_with_is_sslyzes_too() -> None:
    assert set(STARTTLS_PORTS.values()) - {"smtp"} == STARTTLS


@pytest.mark.parametrize(
    ("port", "https"),
    [
        (Port(443, "tcp", ""), True),
        (Port(8443, "tcp", ""), True),
        (Port(9000, "tcp", "https"), True),
        (Port(443, "tcp", "tls"), False),
        (Port(443, "udp", ""), False),
        (Port(993, "tcp", ""), False),
    ],
)
def test_which_ports_speak_https(port: Port, https: bool) -> None:
    assert is_https(port) is https
