"""The model seam: one attempt at one turn, as a stream of the provider's own items."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from agent_server.messages import JsonObject, Message

__all__ = [
    "BlockDelta",
    "BlockStart",
    "BlockStop",
    "MessageDelta",
    "MessageStart",
    "MessageStop",
    "Model",
    "ModelItem",
    "ModelRequest",
    "ModelStream",
    "RawItem",
]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One request to the model, complete: the same value gives the same bytes on the wire.

    ``params`` are the allow-listed ``model_params`` (thinking, temperature, betas, …);
    ``tools`` and ``system`` are byte-stable over the turns of a run, for the prompt cache.
    """

    model: str
    max_tokens: int
    messages: list[Message]
    system: str | None = None
    tools: list[JsonObject] = field(default_factory=list)
    params: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MessageStart:
    """``message_start``: the response's head."""

    message: JsonObject


@dataclass(frozen=True, slots=True)
class BlockStart:
    """``content_block_start``: ``block`` is the provider's object, verbatim."""

    index: int
    block: JsonObject


@dataclass(frozen=True, slots=True)
class BlockDelta:
    """``content_block_delta``: ``delta`` is the provider's object, verbatim."""

    index: int
    delta: JsonObject


@dataclass(frozen=True, slots=True)
class BlockStop:
    """``content_block_stop``: the whole block, as it must be sent back.

    ``partial_json`` is the concatenated input text of a tool block, None for other blocks. The
    block's ``input`` is its strict parse, or ``{}`` where ``input_error`` says why it has none.
    """

    index: int
    block: JsonObject
    partial_json: str | None = None
    input_error: str | None = None


@dataclass(frozen=True, slots=True)
class MessageDelta:
    """``message_delta``: stop reason and usage so far, merged over the stream."""

    stop_reason: str | None
    stop_details: JsonObject | None
    usage: JsonObject


@dataclass(frozen=True, slots=True)
class MessageStop:
    """``message_stop``: the stream is complete. Always the last item of a complete stream."""


@dataclass(frozen=True, slots=True)
class RawItem:
    """An event, delta or block type this version does not know, verbatim.

    An unknown *block* also comes as BlockStart … BlockStop: it belongs to the message.
    """

    event: JsonObject


ModelItem = (
    MessageStart | BlockStart | BlockDelta | BlockStop | MessageDelta | MessageStop | RawItem
)


class ModelStream(Protocol):
    """An open response. Iterate it once.

    ``raw`` holds the exact bytes received so far. A stream that ends without ``MessageStop``
    raises ``ModelError(code="stream_truncated")``.

    Raises (while iterating):
        ModelError: the provider failed, cut the stream or broke its protocol.
    """

    @property
    def raw(self) -> bytes:
        """The exact body bytes received so far."""
        ...

    @property
    def request_id(self) -> str | None:
        """The provider's id of this request."""
        ...

    def __aiter__(self) -> AsyncIterator[ModelItem]:
        """Yield the items in order."""
        ...


class Model(Protocol):
    """A provider. Stateless: one instance serves every run."""

    @property
    def provider(self) -> str:
        """``anthropic``, ``demo`` or ``scripted``."""
        ...

    def stream(self, request: ModelRequest) -> AbstractAsyncContextManager[ModelStream]:
        """Open one attempt; leaving the context closes the upstream connection.

        Raises (on entering):
            ModelError: connection, authentication, rate limit, or a refused request.
        """
        ...

    async def aclose(self) -> None:
        """Close pooled connections."""
        ...
