"""How scans end, and what they leave: exit codes, refusals, quarantine, partial scans, vantages."""

from __future__ import annotations

import asyncio
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from posture.errors import ConfigurationError, NothingToScan, StoreError, UsageError
from posture.model import Severity
from posture.plan import Selection
from posture.scan import Ended, drift_document, report_of, scan
from posture.store import Store
from tests.lab import free_port
from tests.net.dnsd import Script, name_server
from tests.scan.wiring import (
    PHARMACY,
    PORTAL,
    RECORDS,
    Watch,
    empty_world,
    only_the_root,
    runs_of,
    scanned,
    state_of,
    terms_of,
)

pytestmark = pytest.mark.xdist_group("scans of the range")
ZONE = "fluseason.gov.example"


def edited(inventory: Path, pattern: str, replacement: str, count: int = 0) -> Path:
    text, changes = re.subn(pattern, replacement, inventory.read_text("utf-8"), count=count)
    assert changes
    inventory.write_text(text, "utf-8")
    return inventory


def with_resolver(script: Script, inventory: Path, selection: Selection) -> Ended:
    async def scenario() -> Ended:
        async with name_server(script) as server:
            terms = terms_of(inventory, selection, resolver=("127.0.0.1", server.port))
            return await scan(terms, progress=Watch())

    return asyncio.run(scenario())


# ---- exit codes


def test_a_clean_scan_ends_with_0_and_findings_count_only_from_the_threshold(inventory: Path) -> None:
    ended = scanned(terms_of(inventory, Selection(assets=(PHARMACY,), checks=("services",))))
    worst = max(Severity(row["severity"]).rank for row in ended.rows if row["outcome"] in ("fail", "warn"))

    for severity in Severity:
        assert ended.exit_code(severity) == (1 if severity.rank <= worst else 0), severity
    assert ended.exit_code(None) == 0
    assert ended.outcomes["fail"] == 2


@pytest.mark.parametrize("name", [ZONE, PORTAL])
def test_an_asset_that_answers_nothing_makes_the_scan_incomplete(inventory: Path, name: str) -> None:
    """A zone whose questions are all refused; a host of which not even the address could be learnt."""
    ended = with_resolver(only_the_root, inventory, Selection(assets=(name,)))

    assert ended.silent == (name,)
    assert ended.exit_code(None) == 3
    assert ended.run["state"] == "complete"
    # Mail roles are declared, so that some controls are not applicable without a question; our resolver has no DNSSEC.
    reasons = {row["reason"] for row in ended.rows if row["outcome"] == "unknown"}
    assert reasons - {"vantage_limited"} == {"refused_by_target"}


def test_a_host_that_does_not_exist_has_answered(inventory: Path) -> None:
    ended = with_resolver(empty_world, inventory, Selection(assets=(PORTAL,)))

    assert (ended.silent, ended.exit_code(None), ended.run["state"]) == ((), 0, "complete")
    assert {row["outcome"] for row in ended.rows if row["control"] != "tls.https.available"} == {"not_applicable"}


def test_an_authorisation_that_ended_while_others_run_makes_the_scan_incomplete(inventory: Path) -> None:
    edited(inventory, r"not_after = .*", "not_after = 2020-12-31", count=1)
    edited(inventory, r"not_before = .*", "not_before = 2020-01-01", count=1)
    ended = scanned(terms_of(inventory, Selection(assets=(PORTAL, PHARMACY), checks=("web",))))

    assert ended.lapsed == ("zz-finance-01",)
    assert ended.exit_code(None) == 3
    assert {row["asset"] for row in ended.rows if row["outcome"] != "unknown"} == {PHARMACY}
    assert {(row["reason"], row["code"]) for row in ended.rows if row["asset"] == PORTAL} == {
        ("not_granted", "E-SCOPE-003")
    }
    assert ended.silent == ()


# ---- nothing to scan


def test_nothing_is_sent_when_every_authorisation_has_ended(inventory: Path) -> None:
    terms = terms_of(inventory)
    later = datetime.now(UTC) + timedelta(days=1000)

    with pytest.raises(NothingToScan, match=r"no authorisation is in force at .*zz-finance-01, zz-health-01"):
        scanned(terms, clock=lambda: later)
    assert not terms.config.db.exists()


def test_nothing_is_sent_in_the_name_of_a_placeholder(inventory: Path) -> None:
    terms = terms_of(inventory, lab=False)

    with pytest.raises(NothingToScan, match="placeholder; nothing was sent"):
        scanned(terms)
    assert not terms.config.db.exists()


def test_loopback_is_refused_without_lab_and_the_refusal_says_so(inventory: Path) -> None:
    edited(inventory, "contact = .*", 'contact = "soc@cert.lc"')
    terms = terms_of(inventory, Selection(assets=(PORTAL,)), lab=False)

    with pytest.raises(NothingToScan, match=r"nothing in scope may be asked(.|\n)*E-SCOPE-021"):
        scanned(terms)
    assert runs_of(terms) == []


def test_another_scan_on_the_same_database_is_named(inventory: Path) -> None:
    terms = terms_of(inventory, Selection(assets=(PORTAL,), checks=("web",)))

    with (
        Store.open(terms.config.db, write=True),
        pytest.raises(NothingToScan, match=rf"another scan holds .*process {os.getpid()}"),
    ):
        scanned(terms)


def test_a_selector_that_matches_nothing_is_refused_before_anything(inventory: Path) -> None:
    with pytest.raises(UsageError, match="no asset 'nobody"):
        terms_of(inventory, Selection(assets=("nobody.gov.example",)))


# ---- our own side is broken


def test_without_a_resolver_the_run_is_quarantined_and_what_was_known_stays(inventory: Path) -> None:
    selection = Selection(assets=(PORTAL,), checks=("web",))
    good = terms_of(inventory, selection)
    scanned(good)
    before = state_of(good)
    ended = scanned(terms_of(inventory, selection, resolver=("127.0.0.1", free_port())))

    assert (ended.run["state"], ended.quarantine) == ("quarantined", "our resolver does not answer")
    assert (ended.exit_code(None), ended.exit_code(Severity.INFO)) == (3, 3)
    assert (ended.rows, ended.drift) == ((), None)
    outcomes = [(row["control"], row["subject"], row["outcome"], row["last_seen"]) for row in before]
    assert [(row["control"], row["subject"], row["outcome"], row["last_seen"]) for row in state_of(good)] == outcomes


def test_a_wrong_clock_quarantines_the_run(inventory: Path) -> None:
    wrong = datetime.now(UTC) + timedelta(days=300)
    ended = scanned(terms_of(inventory, Selection(assets=(PORTAL,))), clock=lambda: wrong)

    assert (ended.quarantine, ended.run["state"]) == ("this machine's clock is wrong", "quarantined")
    assert any("set its clock" in note for note in ended.notes)


def test_a_database_that_cannot_be_written_is_an_error_of_the_store(inventory: Path, tmp_path: Path) -> None:
    terms = terms_of(inventory, Selection(assets=(PORTAL,)), db=tmp_path / "nowhere" / "posture.db")

    with pytest.raises(StoreError, match=r"cannot be written.*folder exists"):
        scanned(terms)


def test_a_trust_store_without_certificates_is_refused(inventory: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing\n")

    for path in (empty, tmp_path / "missing.pem"):
        with pytest.raises(ConfigurationError, match="needs a PEM file"):
            terms_of(inventory, ca_file=path)


# ---- partial scans, vantages, reading back


def test_a_partial_scan_changes_only_what_it_asked(inventory: Path) -> None:
    whole = terms_of(inventory, Selection(assets=(PORTAL, PHARMACY, RECORDS)))
    scanned(whole)
    before = {(row["asset"], row["control"], row["subject"]): row for row in state_of(whole)}
    later = datetime.now(UTC) + timedelta(hours=1)
    ended = scanned(terms_of(inventory, Selection(assets=(PHARMACY,), checks=("svc",))), clock=lambda: later)
    after = {(row["asset"], row["control"], row["subject"]): row for row in state_of(whole)}
    renewed = {key for key, row in after.items() if row["last_seen"] != before[key]["last_seen"]}

    assert after.keys() == before.keys()
    assert {(asset, control.partition(".")[0]) for asset, control, _ in renewed} == {(PHARMACY, "svc")}
    assert {key: after[key] for key in after.keys() - renewed} == {key: before[key] for key in after.keys() - renewed}
    assert {(row["asset"], row["control"], row["subject"]) for row in ended.rows} == renewed
    assert ended.run["state"] == "complete"


def test_vantages_do_not_mix(inventory: Path) -> None:
    here = terms_of(inventory, Selection(assets=(PORTAL,), checks=("web",)))
    there = terms_of(inventory, Selection(assets=(PHARMACY,), checks=("web",)), vantage="abroad")
    scanned(here)
    ended = scanned(there)

    assert ended.drift is None
    assert {row["asset"] for row in ended.state_rows} == {PHARMACY}
    assert {row["asset"] for row in state_of(here, vantage="local")} == {PORTAL}
    assert {(row["asset"], row["vantage"]) for row in state_of(here, vantage="abroad")} == {(PHARMACY, "abroad")}


def test_passive_sends_nothing_to_a_host_and_says_what_was_left_out(inventory: Path) -> None:
    ended = scanned(terms_of(inventory, Selection(assets=(ZONE, PORTAL), profile="passive")))
    host = [row for row in ended.rows if row["asset"] == PORTAL]

    assert {(row["outcome"], row["reason"]) for row in host} == {("unknown", "not_run")}
    assert any(row["outcome"] == "fail" for row in ended.rows if row["asset"] == ZONE)
    assert (ended.exit_code(None), ended.silent) == (0, ())


def test_what_a_scan_left_is_read_back(inventory: Path) -> None:
    terms = terms_of(inventory, Selection(assets=(PORTAL,), checks=("web",)))
    with pytest.raises(UsageError, match="no such database"):
        report_of(terms.config, terms.inventory)
    first, second = scanned(terms), scanned(terms)
    drift = drift_document(terms.config.db, "previous", "latest")

    assert {event["kind"] for event in drift["events"]} <= {"persisting"}
    assert (drift["from"], drift["to"]) == (first.run, second.run)
    assert report_of(terms.config, terms.inventory) is not None
