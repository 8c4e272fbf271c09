"""The entry point: arguments in, exit code out. Every error ends here as words and a number (CONTRACT: exit codes)."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from typing import TextIO

import typer._click.exceptions as click_errors

from posture.cli.app import app
from posture.cli.arguments import hoist
from posture.cli.result import Result
from posture.errors import InventoryError, PostureError, Problem

log = logging.getLogger(__name__)
ISSUES = "Please report it with the lines above: it is a fault of posture, not yours."


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str], *, stdout: TextIO | None = None, stderr: TextIO | None = None) -> int:
    """Runs one command line and returns its exit code; never raises."""
    out, err = stdout or sys.stdout, stderr or sys.stderr
    words = hoist(arguments)
    try:
        outcome = app(args=words, prog_name="posture", standalone_mode=False)
        return _printed(outcome, out, err)
    except click_errors.ClickException as fault:
        return _usage(fault, words, out, err)
    except PostureError as fault:
        return _failed(fault, words, out, err)
    except KeyboardInterrupt:
        err.write("posture: interrupted; finished results are saved.\n")
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except MemoryError:
        err.write("posture: out of memory; finished results are saved. Scan fewer assets at a time: --ministry.\n")
        return 5
    except Exception as fault:  # noqa: BLE001 (the last line of defence: a bug becomes exit code 5, never a traceback)
        return _bug(fault, err)


def _bug(fault: Exception, err: TextIO) -> int:
    log.debug("a bug", exc_info=fault)
    where = fault.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    place = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else "?"
    err.write(f"posture: {type(fault).__name__}: {fault} ({place})\n{ISSUES} -v shows more.\n")
    return 5


def _printed(outcome: object, out: TextIO, err: TextIO) -> int:
    if isinstance(outcome, Result):
        from posture.cli.printer import show

        show(outcome, out, err)
        return outcome.exit_code
    return outcome if isinstance(outcome, int) else 0


def _usage(fault: click_errors.ClickException, words: Sequence[str], out: TextIO, err: TextIO) -> int:
    message = fault.format_message() or "Missing command."
    context = getattr(fault, "ctx", None)
    if isinstance(fault, click_errors.NoArgsIsHelpError):
        err.write(message + "\n")
    elif _wants_json(words):
        _errors_json([Problem("E-USAGE", "", None, "", message, "See --help.")], out)
    else:
        command = context.command_path if context else "posture"
        err.write(f"posture: {message}\nTry '{command} --help'.\n")
    return 2


def _failed(fault: PostureError, words: Sequence[str], out: TextIO, err: TextIO) -> int:
    problems = fault.problems if isinstance(fault, InventoryError) else ()
    if _wants_json(words):
        _errors_json(problems or [Problem(fault.code, "", None, "", str(fault), "")], out)
    elif problems:
        from posture.reporters.cells import terminal

        err.writelines(f"{problem.code} {terminal(str(problem))}\n" for problem in problems)
        count = len(problems)
        err.write(f"posture: {count} problem{'s' if count != 1 else ''}; nothing was changed or sent.\n")
    else:
        err.write(f"posture: {fault}\n")
    return fault.exit_code


def _wants_json(words: Sequence[str]) -> bool:
    pairs = zip(words, [*words[1:], ""], strict=True)
    return any(word == "--format=json" or (word == "--format" and value == "json") for word, value in pairs)


def _errors_json(problems: Sequence[Problem], out: TextIO) -> None:
    rows = [
        {
            "code": problem.code,
            "file": problem.file,
            "line": problem.line,
            "field": problem.field,
            "message": problem.message,
            "next": problem.next,
        }
        for problem in problems
    ]
    json.dump({"schema": "posture-errors/1", "errors": rows}, out, indent=2, ensure_ascii=True)
    out.write("\n")
