"""A rule that judges the recorded answers otherwise is seen: as a difference that a person reads and accepts, or not."""

from __future__ import annotations

import difflib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from posture.checks import Case, Control, catalogue
from posture.corpus import TERMS, read_corpus, verdict_lines, write_corpus
from posture.errors import UsageError
from posture.facts import SpfFacts
from posture.model import Outcome, Verdict
from posture.policy import DEFAULT, load_policy
from posture.store import Store
from tests.cli.line import posture
from tests.corpus.record import FOLDER, UPDATE, expected, verdicts
from tests.store import HTTPS, SITE, World, absent, silence, tls

ANSWERS = [path for path in FOLDER.glob("*.json") if path.name != TERMS]


def difference(before: list[str], after: list[str]) -> str:
    """What moved, and how to accept it."""
    lines = [*difflib.unified_diff(before, after, "expected", "judged now", n=0, lineterm="")]
    if not lines:
        return ""
    return "\n".join(
        [
            "A rule or the baseline now judges recorded answers otherwise:",
            *(line for line in lines if not line.startswith("@@")),
            "If that is meant, raise the version of the rule and accept it: " + UPDATE,
        ]
    )


def test_the_rules_judge_the_recorded_answers_as_expected() -> None:
    if moved := difference(expected(), verdicts()):
        pytest.fail(moved, pytrace=False)


def test_the_corpus_has_what_a_rule_can_move() -> None:
    lines = [line.split("  ") for line in expected()]
    assert {line[3] for line in lines} >= {"pass", "warn", "fail", "not_applicable", "unknown"}
    told = {line[1] for line in lines if line[3] in ("pass", "warn", "fail")}
    assert {name.partition(".")[0] for name in told} == {"tls", "dns", "mail", "svc", "web"}


def lenient() -> Mapping[str, Control]:
    """The catalogue, with a rule about SPF that finds nothing wrong."""

    control = catalogue()["mail.spf.present"]
    fine = next(name for name, tag in control.tags.items() if tag.outcome is Outcome.PASS)

    def judge(case: Case) -> Verdict:
        case.need(SpfFacts)
        return Verdict(fine)

    return {**catalogue(), control.id: replace(control, rule=replace(control.rule, judge=judge))}


def test_a_changed_rule_is_told_verdict_by_verdict() -> None:
    now = verdict_lines(read_corpus(FOLDER).judged(load_policy(), lenient()).values())
    moved = difference(expected(), now)
    assert re.search(r"^-\S+ \(zone\)  mail\.spf\.present  -  not_applicable", moved, re.MULTILINE)
    assert re.search(r"^\+\S+ \(zone\)  mail\.spf\.present  -  pass", moved, re.MULTILINE)
    assert UPDATE in moved
    others = [line for line in moved.splitlines() if line[:1] in "+-" and "mail.spf.present" not in line]
    assert others == ["--- expected", "+++ judged now"]


def strict(folder: Path) -> Path:
    """A baseline that wants larger keys."""
    body = json.loads(load_policy().body)
    body["version"] = "strict"
    rows = body["thresholds"]["tls.cert.ec_bits_fail_below"]
    rows[0]["value"] = 384
    path = folder / "strict.toml"
    thresholds = [f'"{name}" = {json.dumps(rows).replace(":", " =")}' for name, rows in body["thresholds"].items()]
    head = [f"name = {json.dumps(body['name'])}", 'version = "strict"', f"controls = {json.dumps(body['controls'])}"]
    path.write_text("\n".join([*head, "[thresholds]", *thresholds]) + "\n")
    return path


def test_two_policies_are_compared_over_the_corpus(tmp_path: Path) -> None:
    said = posture("rejudge", "--facts", FOLDER, "--compare", DEFAULT, strict(tmp_path), "--format", "json")
    assert said.code == 0, said.err
    document = said.document
    assert document["over"] == {"kind": "facts", "name": str(FOLDER), "assets": len(ANSWERS)}
    assert document["counts"] == {"worse": len(document["findings"])}
    assert {(row["control"], row["before"], row["after"]) for row in document["findings"]} == {
        ("tls.cert.key", "pass", "fail")
    }


def test_the_same_policy_moves_nothing() -> None:
    said = posture("rejudge", "--facts", FOLDER, "--compare", DEFAULT, DEFAULT)
    assert (said.code, said.err) == (0, "")
    assert "no verdict moves" in said.out


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    world = World(tmp_path / "posture.db")
    other = (SITE, "tls", "198.51.100.8:443/tcp")
    third = (SITE, "tls", "198.51.100.9:443/tcp")
    world.scan({(SITE, "tls", HTTPS): tls("bad"), other: silence(), third: absent()})
    with Store.open(world.path, write=False, shipped=world.controls) as store:
        run = store.reader.runs()[0]
        assert write_corpus(store, run, tmp_path / "one") == 1
    corpus = read_corpus(tmp_path / "one")
    ((entry, answers),) = corpus.assets
    assert entry.key == SITE
    assert [type(answers["tls", subject]).__name__ for _, _, subject in ((SITE, "tls", HTTPS), other, third)] == [
        "Observed", "Unobserved", "Absent",
    ]  # fmt: skip
    found = {
        key[2]: str(one.outcome)
        for key, one in corpus.judged(world.policy, world.controls).items()
        if key[1] == "t.cert"
    }
    assert found == {HTTPS: "fail", other[2]: "unknown", third[2]: "not_applicable"}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (TERMS, "{", "corpus.json is no part of a corpus"),
        (TERMS, '{"schema": "posture-runs/1"}', "its schema is not posture-corpus/1"),
        (
            TERMS,
            '{"schema": "posture-corpus/1", "at": "yesterday", "private_roots": true, "lab": true}',
            "Invalid isoformat",
        ),
        ("zz.host.json", '{"schema": "posture-corpus/1"}', "zz.host.json is no part of a corpus"),
        ("zz.host.json", "[]", "zz.host.json is no part of a corpus"),
    ],
)
def test_a_file_that_is_none_of_a_corpus_is_named(tmp_path: Path, name: str, content: str, says: str) -> None:
    folder = tmp_path / "facts"
    shutil.copytree(FOLDER, folder)
    (folder / name).write_text(content)
    with pytest.raises(UsageError, match=re.escape(says)):
        read_corpus(folder)


def test_a_folder_without_a_corpus(tmp_path: Path) -> None:
    said = posture("rejudge", "--facts", tmp_path, "--compare", DEFAULT, DEFAULT)
    assert (said.code, said.out) == (2, "")
    assert "Name a folder with a recorded corpus" in said.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--facts", "x"), "--compare OLD NEW"),
        (("--facts", "x", "--compare", "a", "b", "--run", "latest"), "--facts has no runs"),
        (("--facts", "x", "--compare", "a", "b", "--ministry", "finance"), "--facts"),
        (("--compare", "a", "b", "--policy", "c"), "Leave --policy out"),
        (("--run", "latest", "--all"), "--run and --all"),
        (("--facts", "x", "--compare", "recorded", DEFAULT), "Name two policies"),
        (("--facts", "x", "--compare", "none.toml", DEFAULT), "no policy"),
    ],
)
def test_options_that_do_not_go_together(words: tuple[Any, ...], says: str) -> None:
    said = posture("rejudge", *words)
    assert said.code == 2
    assert says in said.err
