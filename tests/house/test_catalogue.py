"""Rules, controls.toml, the shipped catalogue, the baseline and the tests speak of the same controls and tags."""

from __future__ import annotations

import importlib
import pkgutil
from collections import defaultdict
from collections.abc import Iterator
from string import Formatter

import pytest

import tests.checks
from posture.checks import FAMILIES, Control, catalogue
from posture.checks.document import TARGET, document
from posture.facts import FACTS
from posture.model import Outcome, Reason
from posture.policy import load_policy
from posture.probes import PROBES
from tests.house.test_contracts import ROOT

CONTROLS = list(catalogue().values())


def cases() -> Iterator[tuple[str, object]]:
    """(control id, expected tag or Reason) of every row of every CASES table under tests/checks."""
    for module in pkgutil.walk_packages(tests.checks.__path__, "tests.checks."):
        for row in getattr(importlib.import_module(module.name), "CASES", ()):
            yield row[0], row[-1]


# Whoever changes a published baseline changes judgements that were made: publish a new one instead.
FIRST_BASELINE = "34d81fa2ae684a5f8bbf936ba6b0a3f04fb0176d33c66a6e030d2ee84878b85b"

TESTED: dict[str, set[object]] = defaultdict(set)
for _control, _expected in cases():
    TESTED[_control].add(_expected)


def test_every_family_contributes() -> None:
    assert {control.family for control in CONTROLS} == set(FAMILIES)


def test_the_baseline_scores_exactly_the_built_controls() -> None:
    assert set(load_policy().controls) == set(catalogue())


def test_an_older_baseline_stays_as_it_was_published_and_its_controls_are_still_built() -> None:
    first = load_policy("oecs-baseline/2026.1")

    assert first.digest == FIRST_BASELINE
    assert set(first.controls) < set(catalogue())
    assert set(first.thresholds.items()) <= set(load_policy().thresholds.items())


def test_probes_record_every_facts_type_once() -> None:
    assert sorted(probe.name for probe in PROBES) == sorted(FACTS)
    assert all(probe.name == probe.facts.TYPE for probe in PROBES)


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.id)
def test_every_declared_tag_is_emitted_by_a_test(control: Control) -> None:
    tested = {tag for tag in TESTED[control.id] if not isinstance(tag, Reason)} - {"NOTHING_THERE"}

    assert tested == set(control.tags)


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.id)
def test_every_outcome_of_the_row_is_tested_and_unknown_always(control: Control) -> None:
    outcomes = {control.tags[tag].outcome for tag in TESTED[control.id] if isinstance(tag, str) and tag in control.tags}
    row = {Outcome.PASS} | ({Outcome.WARN} if control.warns else set()) | ({Outcome.FAIL} if control.fails else set())

    assert row <= outcomes, "an outcome that the row can have is not tested"
    assert outcomes <= row | {Outcome.INFO, Outcome.NOT_APPLICABLE}, "an outcome that the row does not have"
    assert any(isinstance(reason, Reason) for reason in TESTED[control.id]), "unknown is not tested"


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.id)
def test_texts_are_whole_and_neutral(control: Control) -> None:
    for text in (control.title, control.meaning, control.remedy, control.observed, control.passes, control.sources):
        assert text
        assert text == text.strip()
    for tag in control.tags.values():
        assert tag.text.endswith((".", "?")), tag
        assert all(name is None or name.isidentifier() for _, name, _, _ in Formatter().parse(tag.text)), tag


def test_the_catalogue_page_is_generated() -> None:
    assert (ROOT / TARGET).read_text("utf-8") == document()
