"""Every exception the product raises, each with a stable ``code``.

AgentServerError
├── ToolError                 a tool's own message to the model
├── ConfigError               the configuration cannot be used              exit 78
│   └── ToolLoadError         a tool file cannot be loaded                  exit 78
├── RequestError              the caller asked for something impossible
│   ├── InvalidRequest        the request is malformed or refused           400 / 422
│   ├── NotFound              no such run, thread, agent, tool …            404
│   ├── Conflict              the state does not allow it                   409
│   └── Unavailable           the server takes no work now                  503
├── ModelError                an attempt at the model failed
├── SandboxUnavailable        no process could be had for a tool call
├── StoreError                the database cannot be used                   exit 74
│   ├── Fenced                another owner has claimed the run
│   ├── StoreLocked           another server holds the database             exit 69
│   └── SchemaMismatch        the database is newer than this program       exit 78
└── IllegalTransition         a run's status may not change that way

Messages are safe to show to a client: they never hold upstream text, secrets or paths of the
server, except ConfigError and StoreError, which only operators see.
"""

from typing import Any, ClassVar, Literal

ModelErrorCode = Literal[
    "upstream_rate_limited",
    "upstream_overloaded",
    "upstream_spend_limit",
    "upstream_auth",
    "upstream_invalid_request",
    "upstream_timeout",
    "upstream_unavailable",
    "upstream_error",
    "stream_truncated",
    "provider_protocol",
]


class AgentServerError(Exception):
    """The base of every exception of this package.

    ``code`` is stable and machine-readable; ``str(error)`` is one sentence for people.
    """

    code: str = "internal_error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class ToolError(AgentServerError):
    """A tool's message to the model: raised by tool code, shown to the model word for word.

    ``retryable`` tells the model (and the events' readers) that trying again may help.
    """

    code = "tool_error"

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class ConfigError(AgentServerError):
    """The configuration cannot be used. One line: file, line or key, and what is wrong."""

    code = "config_invalid"
    exit_code = 78


class ToolLoadError(ConfigError):
    """A tool file cannot be loaded. The message names file and line."""

    code = "tool_load_failed"


class RequestError(AgentServerError):
    """The caller's request cannot be served. ``param`` names the field, as a JSON pointer or name.

    ``details`` are further facts, each ``{"loc": […], "code": …, "message": …}``.
    """

    code = "invalid_request"
    status: int = 400

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        param: str | None = None,
        details: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.param = param
        self.details = details or []
        if status is not None:
            self.status = status


class InvalidRequest(RequestError):
    """The request is well-formed JSON but refused (422), or malformed (``status=400``)."""

    status = 422


class NotFound(RequestError):
    """Nothing of that name or id exists for this tenant."""

    code = "not_found"
    status = 404


class Conflict(RequestError):
    """The state of the run, thread or key does not allow it."""

    code = "conflict"
    status = 409


class Unavailable(RequestError):
    """The server is draining, full, or cannot write. Try again later."""

    code = "unavailable"
    status = 503


class ModelError(AgentServerError):
    """One attempt at the model failed.

    ``retryable``: another attempt may help. ``retry_after_s``: what the provider asked for.
    ``upstream_status``: its HTTP status, None where none was received. ``detail`` is upstream text
    for the log, never for a client.
    """

    code: str = "upstream_error"

    def __init__(
        self,
        message: str,
        *,
        code: ModelErrorCode,
        retryable: bool,
        retry_after_s: float | None = None,
        upstream_status: int | None = None,
        request_id: str | None = None,
        detail: str | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        self.upstream_status = upstream_status
        self.request_id = request_id
        self.detail = detail


class SandboxUnavailable(AgentServerError):
    """No process could be had for a tool call; trying again may help."""

    code = "sandbox_unavailable"


class StoreError(AgentServerError):
    """The database cannot be used: read-only, full, corrupt, or its writer has died."""

    code = "storage_unavailable"
    exit_code = 74


class Fenced(StoreError):
    """Another owner has claimed the run since: this one must stop without a word."""

    code = "fenced"


class StoreLocked(StoreError):
    """Another server holds the database."""

    code = "storage_locked"
    exit_code = 69


class SchemaMismatch(StoreError):
    """The database was written by a newer program, or is no database of ours."""

    code = "schema_mismatch"
    exit_code = 78


class IllegalTransition(AgentServerError):
    """A run's status may not change that way: a fault of ours."""

    code = "illegal_transition"
