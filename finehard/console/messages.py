"""What finehard's loggers say, on standard error."""

from __future__ import annotations

import logging


class _Formatter(logging.Formatter):
    """Prefixes warnings and errors with "finehard: "; other messages are plain lines."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        return message if record.levelno < logging.WARNING else f"finehard: {message}"


def log_to_stderr() -> None:
    """Shows the messages of finehard, and the warnings of all others."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter())
    # Beam says so on every start where its extra for Google Cloud is not installed
    handler.addFilter(lambda record: "apitools not found" not in str(record.msg))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("finehard").setLevel(logging.INFO)
