"""The workshop's log: one JSON object a line, so that it can be searched by request, run or person."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from glassbox.workshop.requests import request_id


class JsonLines(logging.Formatter):
    """time, level, logger, message, the request's id, what was given as `extra={"fields": …}`, and a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if identity := request_id():
            line["request"] = identity
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def log_to_standard_error(level: str = "info") -> None:
    """Send everything, uvicorn's own lines too, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.getLogger("uvicorn.access").disabled = True  # `Requests` says it with the request's id
    logging.getLogger("alembic").setLevel(logging.WARNING)
