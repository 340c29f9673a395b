"""What an exception raised by a tool says to the model, and what it says to the log."""

import asyncio
import concurrent.futures as cf
import os
import traceback
from pathlib import Path
from types import TracebackType
from typing import Final

import agent_server
from agent_server.errors import ToolError
from agent_server.sandbox.protocol import DETAIL_CHARS, MESSAGE_CHARS, ErrorFrame
from agent_server.tooling.invoke import ArgumentError, ResultError
from agent_server.tooling.text import abridge, sanitize_text

EXCEPTION_CHARS: Final = 500
_LEADING: Final = tuple(
    f"{Path(file).parent}{os.sep}"
    for file in (agent_server.__file__, asyncio.__file__, cf.__file__)
)
_MEMORY: Final = "The tool ran out of memory."


def describe(error: BaseException) -> ErrorFrame:
    """Return the failure that ``error`` makes of a call.

    A ``ToolError``'s message goes to the model word for word, any other exception as its type and
    text, with the traceback, from the tool's own frame on, as the detail for the log.
    """
    if isinstance(error, ToolError):
        message = abridge(sanitize_text(error.message), MESSAGE_CHARS)
        return ErrorFrame(kind="exception", message=message, retryable=error.retryable)
    if isinstance(error, ArgumentError):
        message = abridge(sanitize_text(str(error)), MESSAGE_CHARS)
        return ErrorFrame(kind="invalid_input", message=message, retryable=True)
    if isinstance(error, ResultError):
        return ErrorFrame(kind="exception", message=_text(error))
    if isinstance(error, MemoryError):
        return ErrorFrame(kind="memory", message=_MEMORY)
    if isinstance(error, SystemExit):
        message = f"The tool ended its process: {_named(error)}"
        return ErrorFrame(kind="crashed", message=message, detail=_trace(error))
    return ErrorFrame(kind="exception", message=_named(error), detail=_trace(error))


def _named(error: BaseException) -> str:
    name = "CancelledError" if isinstance(error, asyncio.CancelledError) else type(error).__name__
    text = _text(error)
    return abridge(f"{name}: {text}" if text else name, EXCEPTION_CHARS)


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001 the tool's own __str__ may raise anything
        text = f"(its text cannot be had: {type(broken).__name__})"
    return abridge(sanitize_text(text), EXCEPTION_CHARS)


def _trace(error: BaseException) -> str:
    try:
        lines = traceback.format_exception(type(error), error, _own_part(error.__traceback__))
    except Exception as broken:  # noqa: BLE001 the same: an exception's parts are the tool's code
        return f"(its traceback cannot be had: {type(broken).__name__})"
    text = sanitize_text("".join(lines))
    return text if len(text) <= DETAIL_CHARS else "…" + text[1 - DETAIL_CHARS :]


def _own_part(trace: TracebackType | None) -> TracebackType | None:
    """Skip the frames that lead to the tool's code: this package's and asyncio's."""
    own = trace
    while own is not None and own.tb_frame.f_code.co_filename.startswith(_LEADING):
        own = own.tb_next
    return own or trace
