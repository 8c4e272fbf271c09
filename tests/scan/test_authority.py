"""Signatures that are required, letters that are superseded, canaries that are silent: in whole scans of the range."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from posture.errors import NothingToScan, StoreError, UsageError
from posture.inventory import load_inventory
from posture.inventory.statement import statement
from posture.plan import Plan, Selection
from posture.report import Letter, scorecard_document
from posture.scan import Ended, Terms, report_of, scan
from posture.signatures import Authority, Signer
from posture.store import Store
from posture.store.authority import authority_of, put_authority, seen_before
from posture.store.database import connect_read, connect_write
from tests.doors import scripted
from tests.lab import free_port
from tests.scan.wiring import PHARMACY, PORTAL, Watch, runs_of, scanned, state_of, terms_of
from tests.test_sshsig import KINDS, make_key, public, sign

pytestmark = pytest.mark.xdist_group("scans of the range")
FINANCE, HEALTH = "zz-finance-01", "zz-health-01"
WEB = Selection(assets=(PORTAL, PHARMACY), checks=("web",))
MAIL_ZONE = "finance.gov.example"


class Officer:
    """Somebody with a key, who signs what the inventory says at that moment."""

    def __init__(self, folder: Path, name: str) -> None:
        self.key = make_key(folder, *KINDS["ed25519"], name=name)
        self.signer = Signer(name, public(self.key))

    def signs(self, inventory: Path, identifier: str) -> None:
        loaded, _ = load_inventory(inventory)
        name = f"{identifier}.{self.signer.name}.sig"
        text = statement(loaded.authorisations[identifier], loaded.state)
        inventory.with_name(name).write_bytes(sign(self.key, text))
        content = inventory.read_text("utf-8")
        if f'"{name}"' not in content:
            write(inventory, rf'(id = "{identifier}"\n)', rf'\1signatures = ["{name}"]' + "\n")


def write(inventory: Path, pattern: str, replacement: str) -> None:
    text, changes = re.subn(pattern, replacement, inventory.read_text("utf-8"), count=1)
    assert changes
    inventory.write_text(text, "utf-8")


@pytest.fixture
def officer(tmp_path: Path) -> Officer:
    return Officer(tmp_path, "ps-finance")


def binding(inventory: Path, *officers: Officer, selection: Selection = WEB, **changes: Any) -> Terms:
    signers = tuple(officer.signer for officer in officers)
    return terms_of(inventory, selection, require_signatures=True, trusted_signers=signers, **changes)


def planned(terms: Terms) -> Plan:
    async def scenario() -> Plan:
        resolver = terms.resolver()
        try:
            return await terms.plan(resolver, datetime.now(UTC))
        finally:
            await resolver.aclose()

    return asyncio.run(scenario())


def codes_of(rows: Any, asset: str) -> set[tuple[str | None, str | None]]:
    return {(row["reason"], row["code"]) for row in rows if row["asset"] == asset}


# ---- signatures


def test_without_a_signature_nothing_is_sent_when_they_are_required(inventory: Path, officer: Officer) -> None:
    terms = binding(inventory, officer)

    with pytest.raises(NothingToScan, match=r"E-SCOPE-002 zz-finance-01: 0 of 1 required .*missing: ps-finance"):
        scanned(terms)
    assert not terms.config.db.exists()
    refusals = planned(terms).refusals
    assert {refusal.code for refusal in refusals} == {"E-SCOPE-002"}
    assert {refusal.asset for refusal in refusals} == {PORTAL, PHARMACY}


def test_what_is_signed_is_scanned_and_what_is_not_makes_the_run_incomplete(inventory: Path, officer: Officer) -> None:
    officer.signs(inventory, HEALTH)
    terms = binding(inventory, officer)
    ended = scanned(terms)

    assert ended.lapsed == (FINANCE,)
    assert ended.exit_code(None) == 3
    assert codes_of(ended.rows, PORTAL) == {("not_granted", "E-SCOPE-002")}
    assert any(row["outcome"] != "unknown" for row in ended.rows if row["asset"] == PHARMACY), ended.rows
    with closing(connect_read(terms.config.db)) as connection:
        rows = authority_of(connection, 1)
    assert rows == {HEALTH: next(one for one in terms.authorities if one.authorisation == HEALTH)}
    assert rows[HEALTH].signers == ("ps-finance",)


def test_the_threshold_counts_people(inventory: Path, tmp_path: Path, officer: Officer) -> None:
    head = Officer(tmp_path, "cert-head")
    officer.signs(inventory, HEALTH)
    terms = binding(inventory, officer, head, signature_threshold=2)

    assert "1 of 2 required signatures verify (missing: cert-head)" in terms.barred[HEALTH].text
    name = f"{HEALTH}.cert-head.sig"
    write(inventory, r'signatures = \["', f'signatures = ["{name}", "')
    inventory.with_name(name).write_bytes(b"")
    head.signs(inventory, HEALTH)
    assert HEALTH not in binding(inventory, officer, head, signature_threshold=2).barred


WIDENED = [
    (r"(classes = \[)", r'\1"intrusive", '),
    (r"not_after = \d+", "not_after = 2199"),
    (r"(zones = \[)", r'\1"gov.test", '),
]


@pytest.mark.parametrize("changed", WIDENED)
def test_one_word_changed_after_signing_bars_the_authorisation(
    inventory: Path, officer: Officer, changed: tuple[str, str]
) -> None:
    officer.signs(inventory, FINANCE)
    assert FINANCE not in binding(inventory, officer).barred
    write(inventory, *changed)

    refusal = binding(inventory, officer).barred[FINANCE]

    assert refusal.code == "E-SCOPE-002"
    assert "by ps-finance's key, but it does not match the text" in refusal.text


def test_unless_required_a_bad_signature_is_a_warning_and_counts_as_none(inventory: Path, officer: Officer) -> None:
    officer.signs(inventory, FINANCE)
    terms = terms_of(inventory, WEB)

    assert not terms.barred
    [remark] = terms.remarks
    assert (
        "zz-finance-01: the signature zz-finance-01.ps-finance.sig does not count: it is by the unknown key SHA"
        in remark
    )
    assert "counts as unsigned" in remark
    assert terms_of(inventory, WEB, trusted_signers=(officer.signer,)).remarks == ()


# ---- sequence


def test_a_letter_that_was_replaced_cannot_come_back(inventory: Path) -> None:
    first = inventory.read_text("utf-8")
    write(inventory, r'(id = "zz-health-01"\n)', r"\1sequence = 3" + "\n")
    ended = scanned(terms_of(inventory, WEB))
    assert ended.lapsed == ()
    inventory.write_text(first, "utf-8")

    terms = terms_of(inventory, WEB)
    again = scanned(terms)

    day = str(ended.run["started_at"])[:10]
    assert terms.barred[HEALTH].text.startswith(f"{HEALTH}: sequence 0 was superseded by 3 on {day}.")
    assert again.lapsed == (HEALTH,)
    assert codes_of(again.rows, PHARMACY) == {("not_granted", "E-SCOPE-004")}
    assert {refusal.code for refusal in planned(terms).refusals} >= {"E-SCOPE-004"}
    # What was refused is not remembered as if it had been in use.
    before = seen_before(terms.config.db)[HEALTH]
    assert before.sequence == 3
    # And whatever else a later run says, the highest counts.
    with closing(connect_write(terms.config.db)) as connection:
        put_authority(connection, 2, [Authority(HEALTH, 1, "00" * 32, ("ps",))])
    assert seen_before(terms.config.db)[HEALTH] == before


def test_two_signed_texts_cannot_have_one_sequence(inventory: Path, officer: Officer) -> None:
    officer.signs(inventory, HEALTH)
    scanned(binding(inventory, officer))
    write(inventory, r'(id = "zz-health-01"\n(?:.*\n)*?owner = ")', r"\1The ")
    officer.signs(inventory, HEALTH)

    terms = binding(inventory, officer)

    assert (terms.barred[HEALTH].code, "Write sequence = 1" in terms.barred[HEALTH].text) == ("E-SCOPE-004", True)
    write(inventory, r'(id = "zz-health-01"\n)', r"\1sequence = 1" + "\n")
    officer.signs(inventory, HEALTH)
    assert HEALTH not in binding(inventory, officer).barred


def test_what_remembers_may_be_absent_empty_or_something_else(tmp_path: Path) -> None:
    empty, other = tmp_path / "empty.db", tmp_path / "other.db"
    empty.touch()
    other.write_bytes(b"no database at all" * 100)

    assert seen_before(tmp_path / "none.db") == seen_before(empty) == {}
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(UsageError, match="no posture database"):
        seen_before(other)


def test_where_nobody_can_look_there_is_no_bug(tmp_path: Path) -> None:
    """A name that no file system takes: whether there is a file cannot even be asked."""
    nowhere = tmp_path / ("n" * 300)

    with pytest.raises(StoreError, match="cannot be looked at: File name too long"):
        seen_before(nowhere)
    with pytest.raises(StoreError, match="cannot be looked at: File name too long"):
        connect_read(nowhere)


# ---- the scorecard says so


def test_the_scorecard_states_who_signed(inventory: Path, officer: Officer) -> None:
    officer.signs(inventory, HEALTH)
    terms = terms_of(inventory, WEB, trusted_signers=(officer.signer,))
    scanned(terms)

    report = report_of(terms.config, terms.inventory)
    letters = {ministry.code: ministry.letters for ministry in report.ministries}
    references = {name: each.reference for name, each in terms.inventory.authorisations.items()}
    assert letters["health"] == (Letter(HEALTH, references[HEALTH], ("ps-finance",)),)
    assert letters["finance"] == (Letter(FINANCE, references[FINANCE], ()),)
    rows = {each["ministry"]: each["authorisations"] for each in scorecard_document(report)["ministries"]}
    assert rows["health"] == [{"id": HEALTH, "reference": references[HEALTH], "signed_by": ["ps-finance"]}]
    # Without the inventory, what the findings were made under; with another text than the run's, no reference.
    alone = {ministry.code: ministry.letters for ministry in report_of(terms.config, None).ministries}
    assert alone["health"] == (Letter(HEALTH, "", ("ps-finance",)),)
    write(inventory, r'(id = "zz-health-01"\n(?:.*\n)*?owner = ")', r"\1The ")
    changed = report_of(terms.config, load_inventory(inventory)[0])
    assert next(each.letters for each in changed.ministries if each.code == "health")[0].reference == ""


def test_words_about_signatures() -> None:
    said = [Letter("a", "", signers).words for signers in (None, (), ("ps", "cert"))]

    assert said == ["not recorded for this run", "unsigned", "signed by ps, cert"]


# ---- canaries


def with_canaries(inventory: Path, texts: Callable[[int], tuple[str, ...]], **options: Any) -> Ended:
    """A scan while one server listens on the port that ``texts`` is given."""

    async def scenario() -> Ended:
        async with scripted(silent) as (_, port):
            listed = ", ".join(f'"{text}"' for text in texts(port))
            config = inventory.with_name("posture.toml")
            config.write_text(f"canaries = [{listed}]\n" + config.read_text("utf-8"), "utf-8")
            return await scan(terms_of(inventory, **options), progress=Watch())

    return asyncio.run(scenario())


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


def test_a_run_that_reaches_a_canary_goes_on(inventory: Path) -> None:
    ended = with_canaries(inventory, lambda port: (f"tcp://127.0.0.1:{port}",), selection=WEB)

    assert (ended.quarantine, ended.run["state"]) == ("", "complete")


def test_a_run_that_reaches_none_is_quarantined_and_leaves_nothing(inventory: Path) -> None:
    shut = f"tcp://127.0.0.1:{free_port()}"
    ended = with_canaries(inventory, lambda _port: (shut,), selection=WEB)

    assert (ended.run["state"], ended.exit_code(None), ended.rows) == ("quarantined", 3, ())
    assert f"none of the canaries was reached ({shut}: 127.0.0.1 says closed)" in ended.quarantine
    terms = terms_of(inventory)
    assert state_of(terms) == []
    assert [run["state"] for run in runs_of(terms)] == ["quarantined"]


def test_an_interrupted_run_is_kept_when_the_line_is_down_at_its_resumption(inventory: Path) -> None:
    import signal

    terms = terms_of(inventory, WEB)
    stopped = scanned(terms, Watch(at_answer=lambda count: signal.raise_signal(signal.SIGINT) if count == 1 else None))
    assert stopped.signal == signal.SIGINT
    with Store.open(terms.config.db, write=True) as store:
        leftover = store.leftover("local")
        assert leftover is not None
        kept = leftover.done()
    ended = with_resumption(inventory)

    assert ended.quarantine
    assert ended.exit_code(None) == 3
    with Store.open(terms.config.db, write=True) as store:
        again = store.leftover("local")
        assert again is not None
        assert (again.run.id, again.done()) == (leftover.run.id, kept)


def with_resumption(inventory: Path) -> Ended:
    config = inventory.with_name("posture.toml")
    config.write_text(f'canaries = ["tcp://127.0.0.1:{free_port()}"]\n' + config.read_text("utf-8"), "utf-8")
    return scanned(terms_of(inventory, WEB), resume=True)


def test_silent_mail_canaries_alone_make_mail_servers_unknown_and_nothing_else(inventory: Path) -> None:
    mail = Selection(assets=(MAIL_ZONE,), checks=("email",))
    shut = free_port()
    ended = with_canaries(
        inventory, lambda port: (f"tcp://127.0.0.1:{port}", f"smtp://127.0.0.1:{shut}"), selection=mail
    )

    assert ended.run["state"] == "complete"
    limited = {row["control"] for row in ended.rows if row["reason"] == "vantage_limited"}
    assert "mail.starttls" in limited
    assert "mail.spf.policy" not in limited
    assert not any(row["control"] == "mail.starttls" and row["outcome"] != "unknown" for row in ended.rows)


def test_an_authority_is_written_as_it_was_seen(inventory: Path) -> None:
    terms = terms_of(inventory, WEB)
    scanned(terms)

    with closing(connect_read(terms.config.db)) as connection:
        found = authority_of(connection, 1)
    assert found == {one.authorisation: Authority(one.authorisation, 0, one.sha256) for one in terms.authorities}
    assert set(found) == {FINANCE, HEALTH}
