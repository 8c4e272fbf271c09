"""README, CHANGELOG, the help and the code say the same; no file of the project names where packages come from."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from posture.cli import run
from posture.errors import (
    ConfigurationError,
    InventoryError,
    NothingToScan,
    PolicyError,
    PostureError,
    StoreError,
    UsageError,
)
from posture.scan import Ended
from tests.house.test_contracts import ROOT

README = (ROOT / "README.md").read_text("utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
MARKED = re.compile(r"^<!-- (\w+) -->\n```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
GROUPS = ("inventory", "range", "audit", "db", "keys", "dispute")
# Hosts and files that a machine's own package settings would leave behind.
PACKAGE_HOSTS = re.compile(rb"(?i)\b(?:pypi\.org|pythonhosted|index-url|artifactory|devpi|nexus)")


def helped(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = run([*words, "--help"], stdout=io.StringIO(), stderr=io.StringIO())
    return code, capsys.readouterr().out


def lines_of(document: str) -> Iterator[str]:
    """Every ``posture ...`` line of a document's fences, without its comment and its pipes."""
    for block in FENCE.findall(document):
        for line in block.splitlines():
            for part in re.split(r"&&|\|", line):
                words = shlex.split(part.partition(">")[0], comments=True)
                place = next((at for at, word in enumerate(words) if word.rpartition("/")[2] == "posture"), None)
                if place is not None:
                    yield shlex.join(["posture", *words[place + 1 :]])


def commands(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Every command as help lists it: ``inventory check``, ``plan``."""
    found = []
    for name in listed(helped(capsys)[1]):
        found += [f"{name} {sub}" for sub in listed(helped(capsys, name)[1])] if name in GROUPS else [name]
    return found


def listed(text: str) -> list[str]:
    """The commands under the headings of a help page (its own usage and options left out)."""
    blocks = re.findall(r"^([A-Z][\w ]+):\n((?:  .*\n)+)", text, re.MULTILINE)
    return [
        name
        for title, rows in blocks
        if title != "Options"
        for name in re.findall(r"^  ([a-z]+)  ", rows, re.MULTILINE)
    ]


def test_readme_has_exactly_the_two_marked_commands_on_one_line_each() -> None:
    marked = MARKED.findall(README)

    assert [name for name, _ in marked] == ["run", "test"]
    assert re.findall(r"<!-- (\w+) -->", README) == ["run", "test"]
    assert all(len(body.splitlines()) == 1 for _, body in marked)
    assert marked[0][1].rstrip().endswith("posture demo")
    assert marked[1][1].rstrip().endswith("nox")
    assert "sudo" not in README


@pytest.mark.parametrize("line", sorted({*lines_of(README), *lines_of(CONTRIBUTING)}))
def test_commands_in_the_documents_exist(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line)[1:]
    command = words[:2] if words[0] in GROUPS else words[:1]
    code, text = helped(capsys, *command)
    _, everywhere = helped(capsys)

    assert code == 0
    options = {word.partition("=")[0] for word in words if word.startswith("-")}
    assert options <= {*OPTION.findall(text), *OPTION.findall(everywhere)}


def test_examples_in_the_help_exist(capsys: pytest.CaptureFixture[str]) -> None:
    for command in commands(capsys):
        _, text = helped(capsys, *command.split())
        _, everywhere = helped(capsys)
        body, _, example = text.partition("Example: ")
        assert " ".join(example.split()).startswith(f"posture {command}")
        options = {word for word in example.split(",")[0].split() if word.startswith("--")}
        assert options <= {*OPTION.findall(body), *OPTION.findall(everywhere)}


def test_the_changelog_names_every_command_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    block = re.search(r"^- Commands: (.*?)\.$", CHANGELOG, re.MULTILINE | re.DOTALL)

    assert block
    assert sorted(re.findall("`([^`]+)`", block[1])) == sorted(commands(capsys))


def test_documents_name_no_command_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    known = commands(capsys)
    for document in (README, CHANGELOG, CONTRIBUTING, (ROOT / "inventories" / "README.md").read_text("utf-8")):
        for said in re.findall(r"`posture ([a-z]+(?: [a-z]+)?)", document):
            assert any(f"{said} ".startswith(f"{name} ") or name == said.split()[0] for name in known), said


def exit_codes() -> dict[str, str]:
    """The rows of README's table."""
    table = README.partition("| exit code | meaning |")[2].partition("\n\n")[0]
    return dict(re.findall(r"^\| (\d[\d, ]*) \| (.+) \|$", table, re.MULTILINE))


def test_the_table_of_exit_codes_is_true() -> None:
    table = exit_codes()
    words = {
        "0": "done",
        "1": "--fail-on",
        "2": "usage",
        "3": "incomplete",
        "4": "nothing was sent",
        "5": "could not work",
    }

    assert list(table) == [*words, "130, 143"]
    assert all(word in table[code] for code, word in words.items())
    assert "interrupted" in table["130, 143"]
    assert {fault.exit_code for fault in (UsageError, InventoryError, ConfigurationError, PolicyError)} == {2}
    assert (NothingToScan.exit_code, StoreError.exit_code, PostureError.exit_code) == (4, 5, 5)
    assert Ended.exit_code.__doc__ is not None
    assert all(code in Ended.exit_code.__doc__ for code in ("130", "143", "1 for", "3 when"))


def test_the_help_tells_the_same_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(helped(capsys)[1].split())

    assert re.search(r"Exit codes: 0 done, 1 .*, 2 usage, 3 incomplete, 4 nothing was sent, 5 ", text)


def test_the_map_of_the_house_is_the_house() -> None:
    table = README.partition("| room | what it does |")[2].partition("\n\n")[0]
    rooms = {
        name for row in re.findall(r"^\| (`.*?) \| ", table, re.MULTILINE) for name in re.findall("`([^`]+)`", row)
    }

    assert rooms
    assert [room for room in rooms if not (ROOT / "src" / "posture" / room).exists()] == []
    packages = {f"{path.parent.name}/" for path in (ROOT / "src" / "posture").glob("*/__init__.py")}
    assert packages - rooms <= {"scan/", "schemas/"}


def test_links_in_the_documents_lead_somewhere() -> None:
    for document in (README, CONTRIBUTING):
        targets = [each for each in re.findall(r"\]\(([^)#]+)\)", document) if "://" not in each]
        assert [each for each in targets if not (ROOT / each).exists()] == []


def tracked() -> list[str]:
    """The project's files as git knows them; without git, what a release ships."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0 and done.stdout:
        return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]
    return [
        str(path.relative_to(ROOT))
        for place in ("src", "tests", "requirements")
        for path in (ROOT / place).rglob("*.*")
    ]


def test_no_file_names_where_packages_come_from() -> None:
    own = "tests/house/test_documents.py"
    told = [name for name in tracked() if name != own and PACKAGE_HOSTS.search((ROOT / name).read_bytes())]

    assert told == []
    assert [name for name in tracked() if name.endswith((".lock", "Pipfile.lock"))] == []


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.name)
def test_requirements_pin_versions_and_hashes_and_no_addresses(path: Path) -> None:
    text = path.read_text("utf-8")

    assert "://" not in text
    assert not re.search(r"(?m)^\s*(?:-i|--(?:extra-)?index-url|--find-links|--trusted-host)", text)
    for entry in re.split(r"\n(?=\S)", "\n".join(line for line in text.splitlines() if not line.startswith("#"))):
        assert re.match(r"[\w.\[\]-]+==[\w.+!]+ ", f"{entry.strip()} ") or entry.startswith("-r ") or not entry.strip()
        assert "--hash=sha256:" in entry or entry.startswith("-r ") or not entry.strip()
