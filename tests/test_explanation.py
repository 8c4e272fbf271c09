"""A score line by line: the lines add up to the number shown, whatever the answers were."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings

from posture.errors import UsageError
from posture.explained import explained
from posture.model import Kind
from posture.report import narrow, scorecard_document
from posture.reporters import render
from posture.scorecard import Line, Standing, explain
from tests.reporters import sample
from tests.test_scorecard import AT, LINES, golden, score, standing


def total(lines: tuple[Line, ...]) -> int:
    return sum(line.points for line in lines)


def named(lines: tuple[Line, ...]) -> dict[str, Line]:
    return {line.name: line for line in lines}


@pytest.mark.parametrize("name", ["E1", "E2a", "E2b", "E2c", "E3a", "E3b"])
def test_the_worked_examples_add_up(name: str) -> None:
    found, _ = golden(name)
    lines = explain(found)

    assert found.tenths is not None
    assert total(lines) == found.tenths * 100
    assert {one.control for one in found.addends} <= {line.name for line in lines}
    assert [line.name for line in lines if line.kind == "cap"] == [cap.rule for cap in found.caps]


@settings(max_examples=300, deadline=None)
@given(LINES)
def test_the_lines_of_any_score_add_up(lines: list[Standing]) -> None:
    found = score(lines)
    told = explain(found)

    if found.tenths is None:
        assert told == ()
    else:
        assert total(told) == found.tenths * 100
        assert all(abs(line.points) < 100 + len(told) for line in told if line.kind == "rounding")
        assert all(line.points <= (line.of or 0) for line in told if line.kind == str(Kind.PRACTICE))


def test_a_practice_earns_its_part_of_its_pillars_share() -> None:
    found = score([standing("a", "tls.cert.expiry"), standing("b", "tls.cert.expiry", "warn"),
                   standing("a", "tls.protocol.legacy", "fail"), standing("a", "dns.caa.present")])  # fmt: skip
    lines = named(explain(found))

    # tls has 20 of 40: half. Of it, expiry weighs 6 of 9 and legacy 3.
    assert (lines["tls.cert.expiry"].of, lines["tls.cert.expiry"].points) == (33_333, 25_000)
    assert (lines["tls.protocol.legacy"].of, lines["tls.protocol.legacy"].points) == (16_667, 0)
    assert lines["dns.caa.present"].points == 50_000
    assert lines["tls.cert.expiry"].why == "75.0 % of weight 6 of 9; 2 of 2 assets known"
    assert lines["rounding"].points == 0


def test_rounding_takes_what_is_no_tenth() -> None:
    found = score([standing("a", "svc.baseline"), standing("b", "svc.baseline"), standing("c", "svc.baseline", "warn")])
    lines = named(explain(found))

    assert found.tenths == 833
    assert (lines["svc.baseline"].points, lines["rounding"].points) == (83_333, -33)


def test_a_hazard_only_takes_and_a_pillar_without_practice_starts_from_100() -> None:
    clean = named(explain(score([standing("a", "svc.mgmt.rdp")])))
    assert (clean["base"].points, clean["svc.mgmt.rdp"].points, clean["svc.mgmt.rdp"].of) == (100_000, 0, None)
    assert clean["svc.mgmt.rdp"].why == "not there; 1 of 1 asset known"

    found = named(explain(score([standing("a", "svc.mgmt.rdp", "warn"), standing("b", "svc.mgmt.rdp")])))
    assert found["svc.mgmt.rdp"].points == -9_375  # 15 for a warn, times 1/2 + 1/2 x a quarter affected
    assert found["svc.mgmt.rdp"].why == "on 25.0 % of what is known: 9.38 off its pillar; 2 of 2 assets known"


def test_what_would_take_a_pillar_below_0_takes_nothing() -> None:
    rows = [
        standing("a", "svc.baseline", "fail"),
        standing("b", "svc.mgmt.rdp", "fail"),
        standing("a", "dns.caa.present"),
    ]
    found = score(rows)
    lines = named(explain(found))

    assert lines["svc.mgmt.rdp"].points == -18_000
    assert lines["floor"].points == 18_000
    assert total(explain(found)) == 40_000


def test_an_unknown_control_is_left_out_and_says_so() -> None:
    lines = named(explain(score([standing("a", "dns.caa.present"), standing("a", "tls.cert.expiry", "unknown")])))

    assert lines["dns.caa.present"].points == 100_000
    assert lines["tls.cert.expiry"].why == "left out: 0 of 1 asset known"
    assert lines["tls"].why == "nothing known here: the other pillars share its weight"
    assert lines["tls.cert.expiry"].points == lines["tls"].points == 0


def test_only_the_lowest_cap_takes_and_each_names_what_holds_it() -> None:
    telnet = standing("a", "svc.mgmt.rdp", "fail", first_seen=AT - timedelta(days=60))
    rest = [standing("b", name) for name in ("dns.caa.present", "tls.cert.expiry", "svc.baseline")]
    found = score([telnet, *rest])
    overdue, critical, high = (line for line in explain(found) if line.kind == "cap")

    assert found.raw is not None
    assert 590 < found.raw < 890
    assert [line.name for line in (overdue, critical, high)] == ["overdue", "critical", "high"]
    assert (overdue.points, critical.points, high.points) == (-(found.raw - 390) * 100, 0, 0)
    assert overdue.why == "not above 39.0; svc.mgmt.rdp on a"
    assert critical.why == "not above 59.0: a lower cap holds already; svc.mgmt.rdp on a"
    assert high.why == "not above 89.0: takes nothing, the score is no higher; svc.mgmt.rdp on a"
    assert [one.asset.name for one in overdue.findings] == ["a"]


def test_a_cap_above_the_score_takes_nothing() -> None:
    rows = [standing(name, "tls.cert.expiry", "fail") for name in "abcde"]
    (cap, *_) = [line for line in explain(score(rows)) if line.kind == "cap"]

    assert cap.points == 0
    assert cap.why == (
        "not above 74.0: takes nothing, the score is no higher; "
        "tls.cert.expiry on a, tls.cert.expiry on b, tls.cert.expiry on c and 2 more"
    )


def test_nothing_known_has_no_lines() -> None:
    assert explain(score([standing("a", "tls.cert.expiry", "unknown")])) == ()


# ---- the document


def points(document: dict[str, Any]) -> float:
    found: float = round(sum(line["points"] for line in document["lines"]), 3)
    return found


def test_the_document_of_a_ministry_and_of_the_state_shows_the_scorecards_numbers() -> None:
    report = sample.report()
    card = scorecard_document(report)
    for code, shown in [(None, card["score"]), *((one["ministry"], one["score"]) for one in card["ministries"])]:
        document = explained(report, code)
        assert document["ministry"] == code
        assert points(document) == document["score"] == shown["score"]
        assert document["interval"] == shown["interval"]
    assert explained(report, "finance")["name"] == "Ministry of Finance"


def test_a_ministry_that_is_not_there_and_one_without_assets() -> None:
    with pytest.raises(UsageError, match=r"no ministry 'sport'\. Choose from: finance, health"):
        explained(sample.report(), "sport")
    nothing = explained(narrow(sample.report(), ["health"]), None)
    assert (nothing["score"], nothing["label"], nothing["lines"]) == (None, "no assets", [])
    assert "no score to explain" in shown(nothing)


def shown(document: dict[str, Any], form: str = "table") -> str:
    stream = io.StringIO(newline="")
    render(document, form, stream, width=120)
    return stream.getvalue()


def test_the_table_is_a_sum_that_a_reader_can_check() -> None:
    text = shown(explained(sample.report(), "finance"))
    heading, _, *lines = text.splitlines()
    numbers = [float(line.split()[0]) for line in lines if line[:1] in " +-" and line.strip()[:1] in "+-"]

    assert heading.startswith("Ministry of Finance: 59.0 points, D; coverage ")
    assert heading.endswith("The lines add up to 59.0.")
    assert round(sum(numbers), 3) == 59.0
    assert len(numbers) == len(explained(sample.report(), "finance")["lines"])


def test_csv_has_a_line_each() -> None:
    document = explained(sample.report(), "finance")

    assert shown(document, "csv").splitlines()[0] == "kind,pillar,name,points,of,why"
    assert len(shown(document, "csv").splitlines()) == len(document["lines"]) + 1
