"""Fixtures shared by every test; what they are made of is in ``tests/interaction/harness``."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.interaction.harness import Serve, Server, open_server


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One event loop for all tests."""
    return "asyncio"


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
