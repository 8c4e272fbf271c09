"""The entry point: arguments in, exit code out. Every error ends here as words and a number (README: exit codes)."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from typing import TextIO

import typer._click.exceptions as click_errors

from posture.cli import accepting, audit, auditors, daily, db, evidence, keys, rejudge, start, stop, upkeep, verify
from posture.cli.app import app
from posture.cli.arguments import hoist
from posture.cli.result import DISK_FULL, Result
from posture.errors import InventoryError, PostureError, Problem

# Each module registers its commands with the application; the order here is the order in help.
COMMANDS = (start, daily, stop, evidence, rejudge, accepting, auditors, audit, verify, upkeep, db, keys)
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
        code = _answered(words, out, err)
        out.flush()  # here, where a fault can still be answered, and not when the interpreter ends
    except BrokenPipeError:  # who read our output has seen enough
        _let_go_of(out)
        return 0
    except OSError as fault:
        if fault.errno not in DISK_FULL:
            return _bug(fault, err)
        return _disk_full(out, err)
    return code


def _answered(words: Sequence[str], out: TextIO, err: TextIO) -> int:
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
        raise
    except SystemExit as fault:  # typer's, when a pipe breaks inside it: its help's, else a bug's
        return 0 if {"-h", "--help", "--version"} & set(words) else _bug(fault.__context__ or fault, err)
    except MemoryError:
        err.write("posture: out of memory; finished results are saved. Scan fewer assets at a time: --ministry.\n")
        return 5
    except OSError as fault:
        if fault.errno not in DISK_FULL:
            return _bug(fault, err)
        return _disk_full(out, err)
    except Exception as fault:  # noqa: BLE001 (the last line of defence: a bug becomes exit code 5, never a traceback)
        return _bug(fault, err)


def _disk_full(out: TextIO, err: TextIO) -> int:
    _let_go_of(out)
    err.write("posture: the disk is full; finished results are kept. Free some space and try again.\n")
    return 5


def _let_go_of(out: TextIO) -> None:
    """What is still buffered goes nowhere, so that the interpreter's last flush cannot fail
    (https://docs.python.org/3/library/signal.html#note-on-sigpipe)."""
    if out is sys.stdout:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, out.fileno())
        os.close(nowhere)


def _inert(text: str) -> str:
    """For a terminal, line by line: a message may quote a file or an argument."""
    from posture.reporters.cells import terminal

    return "\n".join(map(terminal, text.split("\n")))


def _bug(fault: BaseException, err: TextIO) -> int:
    log.debug("a bug", exc_info=fault)
    where = fault.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    place = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else "?"
    err.write(f"{_inert(f'posture: {type(fault).__name__}: {fault} ({place})')}\n{ISSUES} -vv shows more.\n")
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
        err.write(f"posture: {_inert(message)}\nTry '{command} --help'.\n")
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
        err.write(f"posture: {_inert(str(fault))}\n")
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
