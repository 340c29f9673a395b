"""A provider's HTTP errors become codes, driven through the SDK with the network blocked."""

import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import anthropic
import httpx2
import pytest
import respx
from anthropic.types.shared.error_type import ErrorType

from agent_server.errors import ModelError
from agent_server.messages import text_message
from agent_server.model import MessageStop, ModelRequest
from agent_server.model.anthropic import AnthropicModel
from agent_server.model.errors import _BY_TYPE, SPEND_LIMITS, classify_status, retry_after_s
from tests.fakes.scenarios import SCENARIOS

URL = "https://provider.test/v1/messages"
REQUEST = ModelRequest("m", 10, [text_message("user", "hi")])


@pytest.fixture
async def model(httpx2_mock: respx.Router) -> AsyncIterator[AnthropicModel]:
    """A model on the default transport, which respx intercepts (it does not see aiohttp's)."""
    client = anthropic.DefaultAsyncHttpxClient()
    model = AnthropicModel(api_key="sk-test", base_url="https://provider.test", http_client=client)
    yield model
    await model.aclose()


async def fail(model: AnthropicModel) -> ModelError:
    with pytest.raises(ModelError) as caught:
        async with model.stream(REQUEST):
            pass
    return caught.value


def error_body(kind: str, message: str = "upstream secret", **details: Any) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message, "details": details}}


async def test_the_mock_intercepts_the_sdk(
    model: AnthropicModel, httpx2_mock: respx.Router
) -> None:
    route = httpx2_mock.post(URL).respond(500, json=error_body("api_error"))
    await fail(model)
    assert route.call_count == 1
    assert route.calls.last.request.headers["authorization"] == "Bearer sk-test"


@pytest.mark.parametrize(
    ("status", "kind", "code", "retryable"),
    [
        (400, "invalid_request_error", "upstream_invalid_request", False),
        (401, "authentication_error", "upstream_auth", False),
        (402, "billing_error", "upstream_spend_limit", False),
        (403, "permission_error", "upstream_auth", False),
        (404, "not_found_error", "upstream_invalid_request", False),
        (408, "", "upstream_error", True),
        (409, "conflict_error", "upstream_error", True),
        (412, "", "upstream_invalid_request", False),
        (413, "request_too_large", "upstream_invalid_request", False),
        (422, "invalid_request_error", "upstream_invalid_request", False),
        (429, "rate_limit_error", "upstream_rate_limited", True),
        (429, "", "upstream_rate_limited", True),
        (500, "api_error", "upstream_error", True),
        (500, "overloaded_error", "upstream_overloaded", True),
        (502, "", "upstream_error", True),
        (503, "", "upstream_error", True),
        (504, "timeout_error", "upstream_timeout", True),
        (504, "", "upstream_error", True),
        (529, "overloaded_error", "upstream_overloaded", True),
        (529, "", "upstream_overloaded", True),
        (418, "", "upstream_invalid_request", False),
        (304, "", "upstream_error", False),
    ],
)
async def test_each_status_has_its_code(
    model: AnthropicModel,
    httpx2_mock: respx.Router,
    *,
    status: int,
    kind: str,
    code: str,
    retryable: bool,
) -> None:
    body = error_body(kind) if kind else {"oops": "upstream secret"}
    httpx2_mock.post(URL).respond(status, json=body, headers={"request-id": "req_7"})
    error = await fail(model)
    assert (error.code, error.retryable) == (code, retryable)
    assert (error.upstream_status, error.request_id) == (status, "req_7")
    assert "secret" not in error.message
    assert error.detail is not None
    assert "secret" in error.detail


@pytest.mark.parametrize("code", sorted(SPEND_LIMITS))
async def test_a_spend_limit_is_not_retried_though_its_status_is_429(
    model: AnthropicModel, httpx2_mock: respx.Router, code: str
) -> None:
    body = error_body("rate_limit_error", error_code=code)
    httpx2_mock.post(URL).respond(429, json=body, headers={"x-should-retry": "true"})
    error = await fail(model)
    assert (error.code, error.retryable) == ("upstream_spend_limit", False)


async def test_a_ramp_limit_passes_when_the_provider_says(
    model: AnthropicModel, httpx2_mock: respx.Router
) -> None:
    body = error_body("rate_limit_error", error_code="ramp_limit_exceeded")
    httpx2_mock.post(URL).respond(429, json=body, headers={"retry-after": "30"})
    error = await fail(model)
    assert (error.code, error.retryable, error.retry_after_s) == (
        "upstream_rate_limited",
        True,
        30.0,
    )


@pytest.mark.parametrize(("word", "status"), [("true", 400), ("false", 500)])
async def test_the_provider_may_say_whether_to_retry(
    model: AnthropicModel, httpx2_mock: respx.Router, word: str, status: int
) -> None:
    httpx2_mock.post(URL).respond(status, headers={"x-should-retry": word})
    assert (await fail(model)).retryable is (word == "true")


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (httpx2.ConnectError("refused"), "upstream_unavailable"),
        (httpx2.ReadError("reset"), "upstream_unavailable"),
        (httpx2.RemoteProtocolError("closed"), "upstream_unavailable"),
        (OSError("network is unreachable"), "upstream_unavailable"),
        (httpx2.ConnectTimeout("slow"), "upstream_timeout"),
        (httpx2.PoolTimeout("full"), "upstream_timeout"),
    ],
)
async def test_a_failing_connection_is_retryable(
    model: AnthropicModel, httpx2_mock: respx.Router, raised: Exception, code: str
) -> None:
    httpx2_mock.post(URL).mock(side_effect=raised)
    error = await fail(model)
    assert (error.code, error.retryable, error.upstream_status) == (code, True, None)


async def test_an_error_page_of_a_proxy_is_kept_short(
    model: AnthropicModel, httpx2_mock: respx.Router
) -> None:
    httpx2_mock.post(URL).respond(502, html="<html>" + "x" * 100_000)
    error = await fail(model)
    assert error.code == "upstream_error"
    assert error.detail is not None
    assert len(error.detail) <= 2_000


@pytest.mark.parametrize("body", [None, "text", [1], {"error": "text"}, {"error": {"type": [1]}}])
def test_a_body_of_any_shape_is_classified_by_its_status(body: object) -> None:
    assert classify_status(429, body, {}).code == "upstream_rate_limited"


def test_every_error_type_of_the_sdk_is_known() -> None:
    assert set(ErrorType.__args__) <= _BY_TYPE.keys()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after_s(headers) == expected


def test_a_date_to_come_back_at_is_counted_from_now() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    wait_s = retry_after_s({"retry-after": later})
    assert wait_s is not None
    assert 0 < wait_s <= 3_600


async def test_a_body_that_a_proxy_compressed_nevertheless_is_read(
    model: AnthropicModel, httpx2_mock: respx.Router
) -> None:
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    body = SCENARIOS["text"][0]
    httpx2_mock.post(URL).respond(200, content=gzip.compress(body), headers=headers)
    async with model.stream(REQUEST) as stream:
        items = [item async for item in stream]
    assert isinstance(items[-1], MessageStop)
    assert stream.raw == body
