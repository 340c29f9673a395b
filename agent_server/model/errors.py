"""What a provider's failure means for us: a code, whether to try again, and when.

The ``error.type`` of the body decides before the HTTP status: an error inside a stream comes with
status 200. Upstream text goes to ``detail`` only, never into a message that clients see.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from agent_server.errors import ModelError, ModelErrorCode
from agent_server.messages import JsonObject

_MAX_DETAIL: Final = 2_000


@dataclass(frozen=True, slots=True)
class _Kind:
    code: ModelErrorCode
    retryable: bool
    message: str


_RATE_LIMITED: Final = _Kind(
    "upstream_rate_limited", retryable=True, message="The model provider limits our requests."
)
_OVERLOADED: Final = _Kind(
    "upstream_overloaded", retryable=True, message="The model provider is overloaded."
)
_SPEND_LIMIT: Final = _Kind(
    "upstream_spend_limit",
    retryable=False,
    message="The account with the model provider has reached its spend limit.",
)
_AUTH: Final = _Kind(
    "upstream_auth",
    retryable=False,
    message="The model provider did not accept the server's credentials.",
)
_INVALID: Final = _Kind(
    "upstream_invalid_request",
    retryable=False,
    message="The model provider refused the request as invalid.",
)
_TIMEOUT: Final = _Kind("upstream_timeout", retryable=True, message="Upstream model timed out.")
_UNAVAILABLE: Final = _Kind(
    "upstream_unavailable", retryable=True, message="The model provider cannot be reached."
)
_ERROR: Final = _Kind("upstream_error", retryable=True, message="Upstream model error.")
_FATAL: Final = _Kind("upstream_error", retryable=False, message="Upstream model error.")
_TRUNCATED: Final = _Kind(
    "stream_truncated", retryable=True, message="The model provider's answer was cut off."
)
_BREACH: Final = _Kind(
    "provider_protocol", retryable=True, message="The model provider broke its protocol."
)

_BY_TYPE: Final[dict[str, _Kind]] = {
    "authentication_error": _AUTH,
    "permission_error": _AUTH,
    "billing_error": _SPEND_LIMIT,
    "invalid_request_error": _INVALID,
    "not_found_error": _INVALID,
    "request_too_large": _INVALID,
    "memory_precondition_failed_error": _INVALID,
    "exceed_context_size_error": _INVALID,
    "not_supported_error": _INVALID,
    "rate_limit_error": _RATE_LIMITED,
    "overloaded_error": _OVERLOADED,
    "unavailable_error": _OVERLOADED,
    "timeout_error": _TIMEOUT,
    "api_error": _ERROR,
    "server_error": _ERROR,
    "conflict_error": _ERROR,
    "memory_path_conflict_error": _ERROR,
}
"""Anthropic's ``error.type`` values, and those of llama.cpp's server."""

_BY_STATUS: Final[dict[int, _Kind]] = {
    401: _AUTH,
    402: _SPEND_LIMIT,
    403: _AUTH,
    408: _ERROR,
    409: _ERROR,
    429: _RATE_LIMITED,
    499: _ERROR,
    529: _OVERLOADED,
}

SPEND_LIMITS: Final = frozenset(
    {
        "contract_spend_limit_reached",
        "enforced_spend_limit_reached",
        "linked_organization_billing_unavailable",
        "linked_organization_spend_limit_reached",
        "organization_on_hold",
    }
)
"""``error.details.error_code`` values that no waiting mends. A ramp limit is none of them: the
provider says when to come back."""


def classify_status(
    status: int, body: object, headers: Mapping[str, str], *, request_id: str | None = None
) -> ModelError:
    """Make the error for an HTTP answer that is no stream."""
    error = _error_object(body)
    kind = _kind_of(error, status)
    retryable = kind.retryable
    should_retry = headers.get("x-should-retry")
    if should_retry in {"true", "false"} and kind is not _SPEND_LIMIT:
        retryable = should_retry == "true"
    return ModelError(
        kind.message,
        code=kind.code,
        retryable=retryable,
        retry_after_s=retry_after_s(headers),
        upstream_status=status,
        request_id=request_id or headers.get("request-id"),
        detail=_detail(error or body),
    )


def classify_event(event: JsonObject) -> ModelError:
    """Make the error for an ``error`` event in a stream, of Anthropic's or llama.cpp's shape."""
    error = _error_object(event) or event
    code = error.get("code")
    status = code if isinstance(code, int) else 500
    kind = _kind_of(error, status)
    request_id = event.get("request_id")
    return ModelError(
        kind.message,
        code=kind.code,
        retryable=kind.retryable,
        request_id=request_id if isinstance(request_id, str) else None,
        detail=_detail(error),
    )


def timed_out(detail: str) -> ModelError:
    """Make the error for a connection that did not come about in time."""
    return _plain(_TIMEOUT, detail)


def unavailable(detail: str) -> ModelError:
    """Make the error for a provider that cannot be reached."""
    return _plain(_UNAVAILABLE, detail)


def unauthenticated(detail: str) -> ModelError:
    """Make the error for credentials that could not even be sent."""
    return _plain(_AUTH, detail)


def truncated(detail: str) -> ModelError:
    """Make the error for a stream that ended before its ``message_stop``."""
    return _plain(_TRUNCATED, detail)


def breach(detail: str) -> ModelError:
    """Make the error for a stream that is not what the Messages API promises."""
    return _plain(_BREACH, detail)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Read how long the provider asks us to wait: ``retry-after-ms``, seconds or an HTTP date."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else -1.0
    except ValueError:
        return None
    return number if number >= 0 and math.isfinite(number) else None


def _kind_of(error: JsonObject | None, status: int) -> _Kind:
    if error is not None:
        details = error.get("details")
        if isinstance(details, dict) and str(details.get("error_code")) in SPEND_LIMITS:
            return _SPEND_LIMIT
        kind = _BY_TYPE.get(str(error.get("type")))
        if kind is not None:
            return kind
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:  # noqa: PLR2004 (HTTP's class of server errors)
        return _ERROR
    return _INVALID if status >= 400 else _FATAL  # noqa: PLR2004 (HTTP's class of client errors)


def _error_object(body: object) -> JsonObject | None:
    error: Any = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else None


def _detail(value: object) -> str:
    if isinstance(value, dict) and "message" in value:
        value = f"{value.get('type')}: {value.get('message')}"
    return str(value)[:_MAX_DETAIL]


def _plain(kind: _Kind, detail: str) -> ModelError:
    return ModelError(
        kind.message, code=kind.code, retryable=kind.retryable, detail=detail[:_MAX_DETAIL]
    )
