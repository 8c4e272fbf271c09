"""Keeps the corpus.

python -m tests.corpus.record              the expected verdicts, from the answers as they are recorded
python -m tests.corpus.record --answers    the answers too: scans the practice range anew
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from posture.checks import catalogue
from posture.cli.progress import TerminalProgress
from posture.corpus import VERDICTS, read_corpus, verdict_lines, write_corpus
from posture.policy import load_policy
from posture.range import PracticeRange
from posture.scan import scan
from posture.store import Store
from tests.scan.wiring import terms_of

FOLDER = Path(__file__).with_name("facts")
UPDATE = "python -m tests.corpus.record"


def expected() -> list[str]:
    """The verdicts as they were last accepted."""
    return (FOLDER / VERDICTS).read_text("utf-8").splitlines()


def verdicts() -> list[str]:
    """The verdicts of the rules and the baseline as they are now."""
    return verdict_lines(read_corpus(FOLDER).judged(load_policy(), catalogue()).values())


async def _record() -> None:
    with tempfile.TemporaryDirectory() as made:
        async with PracticeRange() as practice:
            terms = terms_of(practice.write(Path(made)))
            await scan(terms, progress=TerminalProgress(sys.stderr))
        with Store.open(terms.config.db, write=False) as store:
            write_corpus(store, store.reader.runs()[0], FOLDER)


def main(words: list[str]) -> int:
    if words not in ([], ["--answers"]):
        print(__doc__, file=sys.stderr)
        return 2
    if words:
        asyncio.run(_record())
    (FOLDER / VERDICTS).write_text("\n".join(verdicts()) + "\n", "utf-8")
    print(f"{FOLDER / VERDICTS}: {len(expected())} verdicts. Look at the difference before you commit it: git diff")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
