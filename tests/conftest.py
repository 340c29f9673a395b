"""Fixtures shared by every test; what they are made of is in ``tests/interaction/harness``."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.interaction.harness import Serve, Server, open_server


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start servers that live until the end of the test."""
    async with AsyncExitStack() as stack:

        async def start(*turns, **options) -> Server:  # type: ignore[no-untyped-def]  # noqa: ANN002, ANN003 (as Serve says)
            return await stack.enter_async_context(open_server(*turns, **options))

        yield start
