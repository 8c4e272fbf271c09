"""One practice range for all tests of the command line, scanned three times by the command line itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.line import Said, posture
from tests.range.standing import standing_range

TWO = ("--asset", "portal.finance.gov.example", "--asset", "records.health.gov.example")


@dataclass(frozen=True)
class Scanned:
    """A folder with inventory, configuration and history, the range behind it still up.

    Between the first and the second scan of two hosts a fault was mended and another planted; ``finance`` scanned one
    ministry whole.
    """

    folder: Path
    first: Said
    second: Said
    finance: Said

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory.toml"

    @property
    def config(self) -> Path:
        return self.folder / "posture.toml"

    @property
    def db(self) -> Path:
        return self.folder / "posture.db"

    def ask(self, *words: object) -> Said:
        """A command on this folder's configuration."""
        return posture(*words, "--config", self.config)


@pytest.fixture(scope="session")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scanned]:
    folder = tmp_path_factory.mktemp("state")
    with standing_range() as standing:
        inventory = standing.practice.write(folder)
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("POSTURE_")]:
                patch.delenv(name)
            first = posture("scan", inventory, "--lab", *TWO, "--fail-on", "critical")
            standing.change()
            second = posture("scan", inventory, "--lab", *TWO)
            finance = posture("scan", inventory, "--lab", "--ministry", "finance")
        yield Scanned(folder, first, second, finance)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, empty: what a command leaves there is seen."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    return folder
