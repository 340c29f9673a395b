"""The Messages API, and whatever speaks it at another base URL.

The official client gives authentication, transport and errors; the body is read as raw bytes (its
event models cost ten times the parse, and its accumulator accepts cut tool inputs). Retries and
time limits are ours. The one module that knows the SDK.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Final, Literal

import anthropic
import anyio
import httpx2
from anthropic import AsyncAnthropic, AsyncStream, DefaultAioHttpClient

from agent_server.errors import ConfigError, ModelError
from agent_server.model import ModelRequest, ModelStream
from agent_server.model.errors import (
    breach,
    classify_status,
    timed_out,
    truncated,
    unauthenticated,
    unavailable,
)
from agent_server.model.request import request_bytes, request_headers
from agent_server.model.stream import ParsedStream

_PATH: Final = "/v1/messages"
_CLOSE_S: Final = 2.0
_MAX_CONNECTIONS: Final = 10_000
_MAX_KEEPALIVE: Final = 100
_KEEPALIVE_S: Final = 15.0


class AnthropicModel:
    """Asks the Messages API. ``http_client`` replaces the transport, for tests and proxies.

    Raises:
        ConfigError: there is nothing to authenticate with, or the base URL is none.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        connect_s: float = 5.0,
        http_client: httpx2.AsyncClient | None = None,
    ) -> None:
        # Nothing bounds reading here: pings would reset such a limit, the turn's watchdogs do not.
        timeout = httpx2.Timeout(None, connect=connect_s, pool=connect_s)
        limits = httpx2.Limits(
            max_connections=_MAX_CONNECTIONS,
            max_keepalive_connections=_MAX_KEEPALIVE,
            keepalive_expiry=_KEEPALIVE_S,
        )
        try:
            self._client = AsyncAnthropic(
                api_key=api_key,
                base_url=base_url,
                max_retries=0,
                timeout=timeout,
                http_client=http_client or DefaultAioHttpClient(timeout=timeout, limits=limits),
                open_telemetry={"traces": False, "propagation": False},
            )
        except (anthropic.AnthropicError, httpx2.InvalidURL) as error:
            raise ConfigError(f"model: {error}") from error
        # A body that is compressed cannot be read byte by byte as it comes.
        self._headers: dict[str, str | anthropic.Omit] = {"Accept-Encoding": "identity"}
        self._authenticate(base_url)

    def _authenticate(self, base_url: str | None) -> None:
        client = self._client
        if client.api_key or client.auth_token or client.credentials:
            return
        if base_url is None:
            raise ConfigError("model: no credentials for the provider: set ANTHROPIC_API_KEY")
        # A server of one's own (llama.cpp, a gateway) may ask for no key.
        self._headers["Authorization"] = anthropic.Omit()

    @property
    def provider(self) -> Literal["anthropic"]:
        """The provider's name."""
        return "anthropic"

    @contextlib.asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStream]:
        """Open one attempt; leaving the context closes the upstream connection.

        Raises:
            ModelError: connection, authentication, rate limit, or a refused request.
        """
        response = await self._open(request)
        try:
            yield ParsedStream(
                _body(response), request_id=response.headers.get("request-id"), classify=_cut
            )
        finally:
            # The connection is of no more use to anyone: how it closes cannot matter.
            with (
                anyio.move_on_after(_CLOSE_S, shield=True),
                contextlib.suppress(httpx2.HTTPError, OSError),
            ):
                await response.aclose()

    async def aclose(self) -> None:
        """Close pooled connections."""
        await self._client.close()

    async def _open(self, request: ModelRequest) -> httpx2.Response:
        headers = {**self._headers, **request_headers(request)}
        try:
            stream = await self._client.post(
                f"{_PATH}?beta=true" if "betas" in request.params else _PATH,
                cast_to=object,
                content=request_bytes(request),
                options={"headers": headers},
                stream=True,
                stream_cls=AsyncStream[object],
            )
        except anthropic.APIStatusError as error:
            raise classify_status(error.status_code, error.body, error.response.headers) from error
        except anthropic.APITimeoutError as error:
            raise timed_out(_describe(error)) from error
        except anthropic.APIConnectionError as error:
            raise unavailable(_describe(error)) from error
        except anthropic.AnthropicError as error:
            raise unauthenticated(_describe(error)) from error
        except (httpx2.HTTPError, OSError) as error:
            # The body of an error answer was cut.
            raise unavailable(_describe(error)) from error
        response = stream.response
        kind = response.headers.get("content-type", "text/event-stream")
        if not kind.lower().startswith("text/event-stream"):
            await response.aclose()
            raise breach(f"a response of type {kind} instead of an event stream")
        return response


def _body(response: httpx2.Response) -> AsyncIterator[bytes]:
    """Read the body as it comes; a proxy may have compressed it nevertheless."""
    if response.headers.get("content-encoding", "identity") == "identity":
        return response.aiter_raw()
    return response.aiter_bytes()


def _cut(error: Exception) -> ModelError:
    """Classify what the transport raised inside the body. All of it means: no whole answer."""
    if isinstance(error, httpx2.TimeoutException):
        return timed_out(_describe(error))
    return truncated(_describe(error))


def _describe(error: BaseException) -> str:
    cause = error.__cause__
    because = f" ({type(cause).__name__}: {cause})" if cause is not None else ""
    return f"{type(error).__name__}: {error}{because}"
