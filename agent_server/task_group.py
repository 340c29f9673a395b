"""A task group that raises what went wrong, not a group around it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def open_task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """Open a TaskGroup; of the exceptions it ends with, raise the first as it is.

    Callers catch errors by their type; the others of a group follow from the first.
    """
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
