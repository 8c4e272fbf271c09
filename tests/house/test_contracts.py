"""The direction of imports, and what the command line may load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = (
    "sslyze",
    "httpx",
    "httpcore",
    "dns",
    "jinja2",
    "sqlite_utils",
    "nmap",
    "OpenSSL",
    "cryptography",
    "asyncio",
    "rich",
)


def test_imports_go_downwards_only() -> None:
    """The contracts of .importlinter hold; a module without a floor breaks them."""
    pytest.importorskip("importlinter", reason="import-linter is in requirements/lint.txt")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-4000:]


def test_help_loads_none_of_the_heavy_packages() -> None:
    script = (
        "import sys; from posture.cli import run; run(['--help']);"
        f"print('LOADED', sorted({{m.partition('.')[0] for m in sys.modules}} & set({HEAVY!r})))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "LOADED []"


@pytest.mark.parametrize("path", sorted((ROOT / "src" / "posture").rglob("*.py")), ids=lambda path: path.name)
def test_files_can_be_held_in_the_head(path: Path) -> None:
    """At most 450 lines a file, and no room without a name."""
    assert len(path.read_text("utf-8").splitlines()) <= 450
    assert path.stem not in ("util", "utils", "helper", "helpers", "misc", "common")
