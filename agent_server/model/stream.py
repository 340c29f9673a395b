"""An open response: chunks of bytes in, ModelItems out, the exact bytes kept."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final, Self

from agent_server.errors import ModelError
from agent_server.model import MessageStop, ModelItem
from agent_server.model.errors import truncated
from agent_server.model.parse import ProviderParser

_DRAIN_S: Final = 0.25
"""How long a provider may take to end its response after ``message_stop``."""


def cut_off(error: Exception) -> ModelError:
    """Classify what a transport raised between two chunks: the answer was cut."""
    return truncated(f"{type(error).__name__}: {error}")


class ParsedStream:
    """A ModelStream over chunks of the provider's bytes.

    ``MessageStop`` is held back until the response ends, so that the connection can be used again
    and nothing that follows it goes unseen, but no longer than a quarter of a second.
    """

    def __init__(
        self,
        chunks: AsyncIterator[bytes],
        *,
        request_id: str | None = None,
        classify: Callable[[Exception], ModelError] = cut_off,
    ) -> None:
        self._chunks = chunks
        self._request_id = request_id
        self._classify = classify
        self._parser = ProviderParser()
        self._raw: list[bytes] = []
        self._items: deque[ModelItem] = deque()
        self._ended = False

    @property
    def raw(self) -> bytes:
        """The exact body bytes received so far."""
        return b"".join(self._raw)

    @property
    def request_id(self) -> str | None:
        """The provider's id of this request."""
        return self._request_id

    def __aiter__(self) -> Self:
        """Iterate once: the items are not kept."""
        return self

    async def __anext__(self) -> ModelItem:
        """Return the next item.

        Raises:
            ModelError: the provider failed, cut the stream or broke its protocol.
        """
        while True:
            if self._items:
                item = self._items.popleft()
                if type(item) is MessageStop and not self._ended:
                    await self._drain()
                return item
            if self._parser.failure is not None:
                raise self._parser.failure
            if self._ended:
                raise StopAsyncIteration
            await self._read()

    async def _read(self) -> None:
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            self._ended = True
            self._items.extend(self._parser.finish())
            return
        except ModelError:
            raise
        except Exception as error:
            raise self._classify(error) from error
        self._raw.append(chunk)
        self._items.extend(self._parser.feed(chunk))

    async def _drain(self) -> None:
        """Read what follows the message's end; a connection that breaks now changes nothing."""
        try:
            async with asyncio.timeout(_DRAIN_S):
                while not self._ended and self._parser.failure is None:
                    await self._read()
        except (TimeoutError, ModelError):
            self._ended = True
        if self._parser.failure is not None:
            raise self._parser.failure
