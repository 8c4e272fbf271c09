"""Logging to stderr, as text or as one JSON object per line. A record is one line, whatever it quotes."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from posture.errors import UsageError
from posture.scanned import Scanned, visible

LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


class Lines(logging.Formatter):
    """``LEVEL logger: message``, with every control character written out; a trace follows, indented.

    So nothing that a scanned system said in an error of ours moves the terminal, or passes for a record.
    """

    def format(self, record: logging.LogRecord) -> str:
        head = f"{record.levelname} {record.name}: {visible(message_of(record), None)}"
        return "\n".join([head, *(f"    {visible(line, None)}" for line in self._trace(record).splitlines())])

    def _trace(self, record: logging.LogRecord) -> str:
        return self.formatException(record.exc_info) if record.exc_info else ""


class JsonLines(logging.Formatter):
    """``{"time", "level", "logger", "message"}`` and ``"trace"`` when there is one. ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message_of(record),
        }
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=True)


def message_of(record: logging.LogRecord) -> str:
    """The message; scanned text among its arguments is encoded as for a terminal."""
    if isinstance(record.args, tuple) and any(isinstance(argument, Scanned) for argument in record.args):
        from posture.reporters.cells import terminal

        shown = (terminal(argument) if isinstance(argument, Scanned) else argument for argument in record.args)
        return str(record.msg) % tuple(shown)
    return record.getMessage()


def configure(verbose: int, log_format: str) -> None:
    """Sets up the root logger.

    Raises:
        UsageError: an unknown format.
    """
    if log_format not in ("text", "json"):
        raise UsageError(f"no log format {log_format!r}. Choose text or json.")
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if log_format == "json" else Lines())
    level = LEVELS[min(verbose, len(LEVELS) - 1)]
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("httpcore", "httpx", "asyncio"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
