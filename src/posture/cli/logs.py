"""Logging to stderr, as text or as one JSON object per line."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from posture.errors import UsageError

LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


class JsonLines(logging.Formatter):
    """``{"time", "level", "logger", "message"}`` and ``"trace"`` when there is one."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=True)


def configure(verbose: int, log_format: str) -> None:
    """Sets up the root logger.

    Raises:
        UsageError: an unknown format.
    """
    if log_format not in ("text", "json"):
        raise UsageError(f"no log format {log_format!r}. Choose text or json.")
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonLines() if log_format == "json" else logging.Formatter("%(levelname)s %(name)s: %(message)s")
    )
    level = LEVELS[min(verbose, len(LEVELS) - 1)]
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("httpcore", "httpx", "asyncio"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
