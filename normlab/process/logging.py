"""How every process of ours logs: a line an event, as JSON or, where a person watches, in colour.

No line holds a key, and no traceback variables: they hold passwords, keys and tensors.

What is bound with `about` is on every line of its thread or request: experiment, attempt, worker, request_id.
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
    """Have the standard library's loggers write so, from INFO on."""
    watched = sys.stderr.isatty()
    rendering: list[Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if watched
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
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering, _without_keys],  # type: ignore[list-item]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _without_keys(logger: WrappedLogger, name: str, line: str) -> str:
    """A key may come where nobody expects it, in a path or a database's message."""
    return _KEY.sub(r"\1…", line)
