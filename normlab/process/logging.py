"""The log of every process: one line an event, as JSON, or in colour if standard error is a terminal.

A line holds no API key, and a traceback holds no variables: they hold passwords, keys and tensors.

Values bound with `about` are on every line of the current thread or request: experiment, attempt, worker, request_id.
"""

import logging
import re
import sys

import structlog
from structlog.contextvars import bound_contextvars as about
from structlog.processors import ExceptionRenderer
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import Processor, WrappedLogger

__all__ = ["about", "log_to_stderr"]

_KEY = re.compile(r"(normlab_[0-9a-f]{1,16}_)[A-Za-z0-9_-]+")


def log_to_stderr() -> None:
    """Make the standard library's loggers write to standard error, from level INFO on."""
    renderers: list[Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if sys.stderr.isatty()
        else [
            ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers, _without_keys],  # type: ignore[list-item]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _without_keys(logger: WrappedLogger, name: str, line: str) -> str:
    """Remove the secrets of API keys from the whole line: a path or a database's message may hold one."""
    return _KEY.sub(r"\1…", line)
