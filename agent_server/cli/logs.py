"""How the server's own log lines look: JSON objects, or coloured text on a terminal."""

import logging
import sys
from typing import Any, TextIO

import structlog

_SHARED: tuple[Any, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
)
_TRACEBACKS: Any = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)
"""Tracebacks as data, without local variables: those hold prompts, results and secrets."""


def configure_logs(
    *, debug: bool = False, quiet: bool = False, stream: TextIO | None = None
) -> None:
    """Send structlog and the standard library's loggers to one place: stdout, a line each.

    Libraries speak from WARNING on, our own loggers from INFO; ``debug`` lowers both, ``quiet``
    leaves only warnings.
    """
    out = stream or sys.stdout
    level = logging.DEBUG if debug else logging.WARNING if quiet else logging.INFO
    renderer: Any = structlog.processors.JSONRenderer()
    traces: tuple[Any, ...] = (_TRACEBACKS,)
    if out.isatty():
        renderer, traces = structlog.dev.ConsoleRenderer(timestamp_key="ts"), ()
    structlog.configure(
        processors=[*_SHARED, *traces, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    sink = logging.StreamHandler(out)
    sink.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_SHARED, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *traces,
                renderer,
            ],
        )
    )
    logging.basicConfig(
        handlers=[sink], level=logging.INFO if debug else logging.WARNING, force=True
    )
