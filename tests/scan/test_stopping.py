"""The kill switch in a scan: before it, in its planning, under way, in the pause before the second look, and lifted."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dns.message
import pytest

from posture.engine.local import run as run_tasks
from posture.errors import NothingToScan
from posture.plan import Selection
from posture.range.layout import ENTRIES
from posture.report import Row
from posture.scan import Ended, Terms, scan
from posture.scan.interruption import Interruption
from posture.scan.run import BUDGET
from posture.scan.stopping import watched
from posture.stop import Order, Orders, StopFile
from posture.store import Store
from tests.cli.line import PATIENCE, process, script
from tests.net.dnsd import name_server
from tests.net.warp import warped
from tests.range.standing import Standing
from tests.scan.tarpits import ONE, TWO, Tarpits, tarpits, until
from tests.scan.test_scan import ZONE, edited
from tests.scan.wiring import PHARMACY, PORTAL, RECORDS, Watch, only_the_root, runs_of, scanned, state_of, terms_of

pytestmark = pytest.mark.xdist_group("scans of the range")
ASSETS = Selection(assets=(ZONE, PORTAL, PHARMACY, RECORDS))
ALL = Order("complaint 12", "root", datetime(2026, 11, 24, 14, 2, tzinfo=UTC))
FINANCE = Order("letter withdrawn", "root", datetime(2026, 11, 24, 14, 2, tzinfo=UTC), authorisation="zz-finance-01")


def stop(terms: Terms, *orders: Order) -> None:
    StopFile(terms.config.db).add(*orders)


def lift(terms: Terms) -> None:
    StopFile(terms.config.db).lift()


def at(terms: Terms, count: int, *orders: Order) -> Callable[[int], None]:
    """Gives the orders when so many answers have arrived."""
    return lambda answers: stop(terms, *orders) if answers == count else None


def keys(rows: list[Row]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    return {
        (row["asset"], row["control"], row["subject"]): (row["outcome"], row["severity"], row["args"]) for row in rows
    }


def known(rows: dict[tuple[Any, ...], tuple[Any, ...]]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Without what nobody ever saw."""
    return {key: row for key, row in rows.items() if row[0] != "unknown"}


def unknown(ended: Ended) -> set[tuple[str, str | None, str | None]]:
    return {(row["asset"], row["reason"], row["code"]) for row in ended.rows if row["outcome"] == "unknown"}


@pytest.fixture
def terms(inventory: Path) -> Terms:
    return terms_of(inventory, ASSETS)


# ---- before a scan


@pytest.mark.parametrize("content", ["stop", "", '{"schema": "posture-stop/1", "orders": []}'])
def test_a_scan_sends_nothing_while_the_file_says_anything(content: str, terms: Terms) -> None:
    StopFile(terms.config.db).path.write_text(content)

    with pytest.raises(NothingToScan, match=r"nothing was sent: E-SCOPE-041 everything was stopped"):
        scanned(terms)
    assert not terms.config.db.exists()


def test_who_stopped_it_when_and_why_is_said(terms: Terms) -> None:
    stop(terms, ALL)

    with pytest.raises(NothingToScan, match=r'by root at 2026-11-24 14:02 UTC \("complaint 12"\)') as told:
        scanned(terms)
    assert told.value.exit_code == 4


def test_with_all_of_a_selection_stopped_nothing_is_sent(inventory: Path) -> None:
    terms = terms_of(inventory, Selection(assets=(PORTAL,)))
    stop(terms, FINANCE)

    with pytest.raises(NothingToScan, match=r"nothing was sent(.|\n)*E-SCOPE-040 zz-finance-01 was stopped"):
        scanned(terms)


def test_what_is_stopped_is_unknown_the_rest_is_scanned_and_nothing_is_evidence(terms: Terms) -> None:
    scanned(terms)
    before = keys(state_of(terms))
    stop(terms, FINANCE)
    ended = scanned(terms)
    stopped = {asset for asset, reason, code in unknown(ended) if (reason, code) == ("stopped", "E-SCOPE-040")}

    assert (ended.run["state"], ended.exit_code(None), ended.silent, ended.lapsed) == ("complete", 3, (), ())
    assert PORTAL in stopped
    assert {row["asset"] for row in ended.rows if row["outcome"] != "unknown"} == {ZONE, PHARMACY, RECORDS} - stopped
    (line,) = ended.stopped
    assert 'E-SCOPE-040 zz-finance-01 was stopped by root at 2026-11-24 14:02 UTC ("letter withdrawn")' in line
    assert known(keys(state_of(terms))) == known(before)
    assert ended.drift is not None
    assert {event["kind"] for event in ended.drift["events"]} <= {"persisting"}
    assert ended.drift["suspect"] is False

    lift(terms)
    again = scanned(terms)
    assert (again.exit_code(None), again.stopped) == (0, ())
    assert keys(state_of(terms)) == before
    assert again.drift is not None
    assert {event["kind"] for event in again.drift["events"]} <= {"persisting"}


# ---- planning


def test_an_order_while_planning_ends_it_before_anything_is_sent(inventory: Path) -> None:
    terms = terms_of(inventory, ASSETS)

    def throw(query: dns.message.Message, tcp: bool) -> dns.message.Message | None:
        if str(query.question[0]).startswith(". IN"):
            return only_the_root(query, tcp)
        stop(terms, ALL)
        return None  # the planner would wait for this answer for ten seconds

    async def scenario() -> int:
        nonlocal terms
        async with name_server(throw) as server:
            terms = terms_of(inventory, ASSETS, resolver=("127.0.0.1", server.port))
            with pytest.raises(NothingToScan, match="E-SCOPE-041"):
                await scan(terms, progress=Watch())
            asked = len(server.queries)
            await asyncio.sleep(2.5)  # the first repetition of an unanswered question would be due
            return len(server.queries) - asked

    assert asyncio.run(scenario()) == 0
    assert runs_of(terms) == []


# ---- under way


def test_everything_stopped_under_way_keeps_what_is_finished(terms: Terms) -> None:
    scanned(terms)
    before = keys(state_of(terms))
    watch = Watch(at(terms, 3, ALL))
    ended = scanned(terms, watch)

    assert (ended.run["state"], ended.exit_code(None), ended.drift, ended.silent) == ("stopped", 3, None, ())
    assert len(watch.asked) == 1
    codes = {getattr(answer, "code", None) for answer in watch.answers.values()}
    assert codes == {None, "E-SCOPE-041"}
    (line,) = ended.stopped
    assert "answers are kept: E-SCOPE-041 everything was stopped by root" in line
    assert not line.startswith("0 of ")
    assert [run["state"] for run in runs_of(terms)] == ["stopped", "complete"]
    after = state_of(terms)
    assert before.keys() <= keys(after).keys()
    assert {row["reason"] for row in after if row["last_seen"] is None} <= {"stopped", "vantage_limited"}
    with Store.open(terms.config.db, write=False) as store:
        assert store.connection.execute("SELECT count(DISTINCT run_id) FROM score").fetchone() == (1,)

    lift(terms)
    assert scanned(terms, resume=True).run["state"] == "complete"


def test_a_part_stopped_under_way_lets_the_others_go_on(terms: Terms) -> None:
    ended = scanned(terms, Watch(at(terms, 1, FINANCE)))
    stopped = {asset for asset, reason, code in unknown(ended) if (reason, code) == ("stopped", "E-SCOPE-040")}

    assert (ended.run["state"], ended.exit_code(None), ended.silent) == ("partial", 3, ())
    assert stopped == {PORTAL}
    assert {row["asset"] for row in ended.rows if row["outcome"] != "unknown"} >= {PHARMACY, RECORDS}
    assert [line.partition(":")[0] for line in ended.stopped] == [PORTAL]


def test_resumed_after_an_interruption_what_was_stopped_is_asked_once_it_is_lifted(terms: Terms) -> None:
    import signal

    def act(answers: int) -> None:
        if answers == 1:
            stop(terms, FINANCE)
        if answers == 12:
            os.kill(os.getpid(), signal.SIGINT)

    assert scanned(terms, Watch(act)).exit_code(None) == 130
    lift(terms)
    ended = scanned(terms, resume=True)

    assert (ended.exit_code(None), ended.stopped) == (0, ())
    assert not [row for row in ended.rows if row["reason"] == "stopped"]


# ---- the pause before a second look


def test_an_order_in_the_pause_before_the_second_look_ends_it(inventory: Path, standing: Standing) -> None:
    edited(inventory, "contact = .*", 'contact = "soc@cert.lc"')
    selection = Selection(assets=(PORTAL,), checks=("services",))
    scanned(terms_of(inventory, selection))
    _telnet_opens(inventory, standing)
    terms = replace(terms_of(inventory, selection), lab=False)

    class Throwing(Watch):
        def said(self, remark: str) -> None:
            super().said(remark)
            stop(terms, ALL)

    watch = Throwing()
    ended = scanned(terms, watch)

    assert [remark.endswith("looking again in 60 s") for remark in watch.remarks] == [True]
    assert len(watch.asked) == 1  # nothing was asked again, and nobody waited for a minute
    assert (ended.run["state"], ended.exit_code(None)) == ("stopped", 3)


def test_the_second_look_has_what_the_first_left_of_the_budget(
    inventory: Path, standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    budgets: list[float] = []

    def spied(*args: Any, budget: float, **options: Any) -> Any:
        budgets.append(budget)
        return run_tasks(*args, budget=budget, **options)

    selection = Selection(assets=(PORTAL,), checks=("services",))
    scanned(terms_of(inventory, selection))
    _telnet_opens(inventory, standing)
    monkeypatch.setattr("posture.scan.run.run_tasks", spied)
    scanned(terms_of(inventory, selection))

    first, second = budgets
    assert second < first <= BUDGET


def _telnet_opens(inventory: Path, standing: Standing) -> None:
    """Where nothing listened: what does is of no concern, as long as it lets us in."""
    address = next(entry.address for entry in ENTRIES if entry.name == PORTAL)
    _, open_port = standing.dialled(PORTAL, 443)
    row = rf'(\[\[lab_port\]\]\naddress = "{address}"\nport = 23\nto = )\d+'
    edited(inventory, row, rf"\g<1>{open_port}", count=1)


# ---- processes


@contextmanager
def scanning(pits: Tarpits) -> Iterator[subprocess.Popen[str]]:
    """``posture scan`` of all tarpits, all of which hold it."""
    command = [script(), "scan", "inventory.toml", "--lab", "--check", "tls"]
    with subprocess.Popen(
        command, cwd=pits.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            until(lambda: all(one.open for one in pits.seen) or child.poll() is not None)
            assert child.poll() is None, child.communicate()
            yield child
        finally:
            child.kill()


def test_a_scan_in_fifty_tarpits_is_stopped_by_another_process(tmp_path: Path) -> None:
    with tarpits(tmp_path, 50) as pits, scanning(pits) as child:
        said = process("stop", "--reason", "complaint 12", cwd=tmp_path)
        until(lambda: pits.open() == 0)
        heard = pits.heard
        out, err = child.communicate(timeout=PATIENCE)

        assert (said.code, said.err) == (0, "")
        assert (child.returncode, err.count("Traceback")) == (3, 0), out + err
        assert pits.heard == heard
        assert "stopped: 0 of " in out
        assert "E-SCOPE-041 everything was stopped by" in out
        assert "Next: posture stop --lift\nNext: posture scan" in out
        refused = process("scan", "inventory.toml", "--lab", "--check", "tls", cwd=tmp_path)
        assert refused.code == 4
        assert "E-SCOPE-041" in refused.err
        assert pits.heard == heard
    rows = process("findings", "--run", "latest", "--format", "json", cwd=tmp_path).document
    assert rows["run"]["state"] == "stopped"
    # One port is not in the authorisation: that was settled before any packet.
    told = {(row["reason"], row["code"]) for row in rows["findings"]}
    assert told - {("not_granted", "E-SCOPE-024")} == {("stopped", "E-SCOPE-041")}


@pytest.mark.parametrize("how", ["echo stop > posture.db.stop", "mkdir posture.db.stop", "ln -s x posture.db.stop"])
def test_no_command_is_needed_to_stop_a_scan(how: str, tmp_path: Path) -> None:
    with tarpits(tmp_path, 2) as pits, scanning(pits) as child:
        subprocess.run(how, shell=True, cwd=tmp_path, check=True)
        until(lambda: pits.open() == 0)
        child.communicate(timeout=PATIENCE)

        assert child.returncode == 3


def test_one_authorisation_stopped_leaves_the_other_alone(tmp_path: Path) -> None:
    with tarpits(tmp_path, 10) as pits, scanning(pits) as child:
        said = process("stop", "--authorisation", ONE, "--reason", "letter withdrawn", cwd=tmp_path)
        until(lambda: pits.open(ONE) == 0)
        assert said.code == 0
        assert pits.open(TWO) >= 5
        pits.release()
        out, _ = child.communicate(timeout=PATIENCE)

        assert child.returncode == 3
        assert f"stopped: 5 assets: E-SCOPE-040 {ONE} was stopped by" in out
        assert "no answer at all: h1." not in out
    rows = process("findings", "--run", "latest", "--format", "json", cwd=tmp_path).document
    assert rows["run"]["state"] == "partial"
    stopped = {row["ministry"] for row in rows["findings"] if row["reason"] == "stopped"}
    assert stopped == {ONE}


def test_our_resolver_is_ended_with_everything_and_those_who_wait_are_told_first() -> None:
    class Closing:
        closed_when: bool | None = None

        async def aclose(self) -> None:
            self.closed_when = stopped.event.is_set()

    given: list[Order] = []
    stopped, resolver = Interruption(), Closing()

    async def scenario() -> None:
        async with watched(lambda: Orders(tuple(given)), stopped, resolver):
            given.append(FINANCE)
            await asyncio.sleep(1.0)
            assert (stopped.order, resolver.closed_when) == (None, None)
            given.append(ALL)
            await asyncio.sleep(1.0)
            assert (stopped.order, resolver.closed_when) == (ALL, True)

    warped(scenario())
