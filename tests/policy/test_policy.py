"""Baselines as data: what is read, what is refused, what one that extends another is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from posture.checks import catalogue
from posture.checks.baseline import load_baseline
from posture.errors import PolicyError
from posture.model import Outcome
from posture.policy import DEFAULT, load_policy, parse_policy, shipped_policies

AT = datetime(2026, 11, 24, tzinfo=UTC)
OWN = """
name = "own"
version = "1"
extends = "oecs-baseline/2026.2"

[thresholds]
"tls.hsts.max_age_pass" = [{ from = "2020-01-01", value = 7 }]

[verdicts]
"tls.cipher.cbc" = { CBC_TOO = "fail" }
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    return path


def test_what_is_shipped() -> None:
    assert shipped_policies() == (
        "nl-2025/05", "oecs-baseline/2026.1", "oecs-baseline/2026.2", "tlsref-6.0/intermediate", "tlsref-6.0/modern",
    )  # fmt: skip


@pytest.mark.parametrize("name", shipped_policies())
def test_every_shipped_one_fits_the_catalogue(name: str) -> None:
    policy = load_baseline(name)
    assert policy.id == name
    assert set(policy.controls) <= set(catalogue())
    assert policy.thresholds.keys() <= load_policy(DEFAULT).thresholds.keys()
    assert parse_policy(policy.body) == policy


@pytest.mark.parametrize("name", shipped_policies())
def test_every_verdict_that_a_shipped_one_sets_is_not_the_usual_one(name: str) -> None:
    for control, tags in load_policy(name).verdicts.items():
        for tag, outcome in tags.items():
            assert catalogue()[control].tags[tag].outcome is not outcome, f"{control} {tag}"


def test_a_name_alone_where_there_is_one_version() -> None:
    assert load_policy("nl-2025").id == "nl-2025/05"


def test_what_extends_is_the_whole(own: Path) -> None:
    below, policy = load_policy(DEFAULT), load_policy(str(own))
    assert policy.controls == below.controls
    assert policy.number("tls.hsts.max_age_pass", AT) == 7
    assert policy.number("tls.hsts.max_age_warn", AT) == below.number("tls.hsts.max_age_warn", AT)
    assert policy.outcome("tls.cipher.cbc", "CBC_TOO", Outcome.WARN) is Outcome.FAIL
    assert policy.outcome("tls.cipher.cbc", "NO_AEAD", Outcome.FAIL) is Outcome.FAIL
    assert parse_policy(policy.body) == policy
    assert "extends" not in policy.body


def test_an_older_baseline_keeps_its_digest() -> None:
    assert load_policy("oecs-baseline/2026.1").digest.startswith("34d81fa2ae68")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"fail"', '"unknown"', "verdicts.tls.cipher.cbc.CBC_TOO is 'unknown', not one of fail, info, pass, warn"),
        ('"fail"', "3", "verdicts.tls.cipher.cbc.CBC_TOO is 3"),
        ('"fail"', "[]", "verdicts.tls.cipher.cbc.CBC_TOO is []"),
        ("oecs-baseline/2026.2", "tlsref-6.0/modern", "which extends oecs-baseline/2026.2. Extend that one"),
        ("oecs-baseline/2026.2", "gone/1", "it extends 'gone/1', which is not among the shipped: nl-2025/05"),
        ('version = "1"', 'versoin = "1"', "it holds versoin, which means nothing in a policy"),
        ('"own"', "own", "cannot be used"),
        ("2020-01-01", "soon", "cannot be used"),
        ("value = 7", "vaule = 7", "it has no 'value'"),
        ("[verdicts]", "[verdicts", "cannot be used"),
        ('{ CBC_TOO = "fail" }', '"fail"', "cannot be used"),
    ],
)
def test_what_is_wrong_is_said(own: Path, old: str, new: str, words: str) -> None:
    own.write_text(OWN.replace(old, new))
    with pytest.raises(PolicyError, match=r"cannot be used: .*\. Compare it with oecs-baseline/2026\.2\.") as caught:
        load_policy(str(own))
    assert words in str(caught.value)
    assert "own.toml" in str(caught.value)


@pytest.mark.parametrize("name", ["gone", "tlsref-6.0", "oecs-baseline"])
def test_a_name_that_is_none_or_not_one_alone(name: str) -> None:
    with pytest.raises(PolicyError, match=r"one of the shipped: nl-2025/05, oecs-baseline/2026\.1, .*modern\."):
        load_policy(name)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("tls.cipher.cbc", "tls.cipher.cdc", "the control 'tls.cipher.cdc', which does not exist. Did you mean tls.cipher.cbc?"),
        ("tls.cipher.cbc", "??", "the control '??', which does not exist. 'posture controls' lists them."),
        ("CBC_TOO", "CBC_TO", "the verdict 'CBC_TO' of tls.cipher.cbc, which does not exist. It has: ONLY_AEAD,"),
    ],
)  # fmt: skip
def test_what_the_catalogue_has_not(own: Path, old: str, new: str, words: str) -> None:
    own.write_text(OWN.replace(old, new))
    with pytest.raises(PolicyError) as caught:
        load_baseline(str(own))
    assert words in str(caught.value)
