"""Fixtures shared by every test; what they are made of is in ``tests/interaction/harness``."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import structlog

from tests.interaction.harness import Serve, Server, open_server


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One event loop for all tests."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def plain_logs() -> None:
    """One plain line a log entry: the default draws every traceback as a picture."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        cache_logger_on_first_use=False,
    )


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start servers that live until the end of the test."""
    async with AsyncExitStack() as stack:

        async def start(*turns: Any, **options: Any) -> Server:
            return await stack.enter_async_context(open_server(*turns, **options))

        yield start


@pytest.fixture(scope="module")
async def shared(anyio_backend: str) -> AsyncIterator[Server]:
    """A server for tests that change nothing on it; its model has nothing to say."""
    async with open_server() as server:
        yield server
