"""One command line, run in this process or as the console script."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from posture.cli import run
from posture.schemas import schema

PATIENCE = 60  # seconds until a process is given up


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as JSON, valid under the schema that it names."""
        found = json.loads(self.out)
        valid(found)
        return found

    @property
    def records(self) -> list[dict[str, Any]]:
        """Standard output as JSON, one record per line."""
        return [json.loads(line) for line in self.out.splitlines()]


def valid(document: dict[str, Any]) -> None:
    name = document["schema"].removeprefix("posture-").partition("/")[0]
    Draft202012Validator(json.loads(schema(name))).validate(document)


def posture(*words: object) -> Said:
    """In this process."""
    out, err = io.StringIO(), io.StringIO()
    code = run([str(word) for word in words], stdout=out, stderr=err)
    return Said(code, out.getvalue(), err.getvalue())


def script() -> str:
    """The installed console script of this very environment."""
    return str(Path(sys.executable).with_name("posture"))


def process(*words: object, cwd: Path, **environment: str) -> Said:
    """The console script, in a process of its own without a terminal."""
    done = subprocess.run(
        [script(), *map(str, words)],
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)
