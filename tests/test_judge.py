"""What any release recorded can be read by this one, in words or at least by its tag."""

from __future__ import annotations

from dataclasses import replace

import pytest

from posture.judge import words_of
from posture.model import Finding
from posture.reporters.cells import terminal
from tests.checks.dns.test_rules import COUNT, GOOD, zone
from tests.checks.zone import findings


def recorded() -> Finding:
    (finding,) = findings(COUNT, zone(GOOD))
    return finding


@pytest.mark.parametrize(
    "older",
    [
        replace(recorded(), args={"domain": "gov.example"}),  # what the text names was not told yet
        replace(recorded(), tag="NAMESERVERS_TOO_FEW_BY_FAR"),
        replace(recorded(), control="dns.ns.gone"),
    ],
    ids=["fewer arguments", "another tag", "another control"],
)
def test_a_finding_that_this_release_would_word_otherwise_keeps_its_tag(older: Finding) -> None:
    assert terminal(words_of(older)) == f"{older.tag} (this release has no words for it)."


def test_a_finding_of_this_release_has_its_words() -> None:
    assert "lists 1 of at least 2 name servers" in terminal(words_of(recorded()))
