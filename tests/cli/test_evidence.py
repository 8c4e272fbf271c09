"""controls, explain, schema and doctor."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from posture.checks import catalogue
from posture.schemas import NAMES
from tests.cli.conftest import Scanned
from tests.cli.line import posture


def test_controls_lists_the_catalogue() -> None:
    rows = posture("controls", "--format", "json").document["controls"]
    table = posture("controls").out

    assert [row["id"] for row in rows] == list(catalogue())
    assert all(f"{row['id']} " in table for row in rows)


def test_controls_of_one_family() -> None:
    mail = posture("controls", "--check", "email", "--format", "json")

    assert {row["id"].partition(".")[0] for row in mail.document["controls"]} == {"mail"}
    assert mail == posture("controls", "--check", "mail", "--format", "json")


@pytest.mark.parametrize("control", list(catalogue()))
def test_explain_every_control(control: str) -> None:
    said = posture("explain", control)

    assert (said.code, said.err) == (0, "")
    assert control in said.out
    assert catalogue()[control].title in said.out


def test_explain_suggests_what_was_meant() -> None:
    said = posture("explain", "mail.dmarc.polcy")

    assert (said.code, said.out) == (2, "")
    assert "Did you mean mail.dmarc.policy" in said.err


def test_explain_something_else_says_where_to_look() -> None:
    assert "posture controls" in posture("explain", "@@@@@@@@").err


@pytest.mark.parametrize("name", NAMES)
def test_every_published_schema(name: str) -> None:
    said = posture("schema", name)
    found = json.loads(said.out)

    assert (said.code, said.err) == (0, "")
    Draft202012Validator.check_schema(found)
    assert found["$schema"].endswith("2020-12/schema")


def test_doctor_finds_a_resolver_that_works(scanned: Scanned) -> None:
    said = scanned.ask("doctor")

    assert "DNSSEC library  a test signature validates" in said.out
    assert any(line.startswith("ok") and str(scanned.db) in line for line in said.out.splitlines())
    assert any(" resolver " in line for line in said.out.splitlines())


def test_doctor_tells_of_a_resolver_that_does_not() -> None:
    said = posture("doctor", "--resolver", "127.0.20.99:9")

    assert said.code == 5
    assert "broken    resolver" in said.out
    assert "mend: --resolver" in said.out
