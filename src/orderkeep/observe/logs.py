"""Structured logs: one JSON object a line."""

import logging
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

import msgspec
import structlog

from orderkeep.observe.failures import written


def set_up_logs(level: str, role: str) -> None:
    """Send every log line of this process to stderr as JSON, from ``level`` upwards."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(lambda failed: written(failed[1])),
            structlog.processors.JSONRenderer(serializer=_dump),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Patient(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)
    logging.basicConfig(handlers=[_Libraries()], level=logging.WARNING, force=True)


class _Libraries(logging.Handler):
    """Takes over what other people's code logs: without it, errors would be printed whole."""

    def emit(self, record: logging.LogRecord) -> None:
        # What follows the first line is asyncio's list of what it saw, with errors in full.
        said = record.getMessage().partition("\n")[0]
        failed = record.exc_info[1] if record.exc_info else None
        structlog.get_logger().log(
            record.levelno, "library.said", library=record.name, said=said, exc_info=failed
        )


class _Patient:
    """A stream that never fails its writer: a full disk must not end the worker that reports it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            return self._stream.write(text)
        return 0

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def _dump(event: dict[str, Any], **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()
