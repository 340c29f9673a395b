"""The bodies of requests and answers, as pydantic models."""

from agent_server.http.schemas.bodies import ChatBody, RunBody, ThreadBody, ToolCallBody
from agent_server.http.schemas.records import (
    AgentRecord,
    CallError,
    ChatAnswer,
    ErrorEnvelope,
    Messages,
    Page,
    RunRecord,
    RunSummary,
    Thread,
    ToolCallResult,
    ToolRecord,
)

__all__ = [
    "AgentRecord",
    "CallError",
    "ChatAnswer",
    "ChatBody",
    "ErrorEnvelope",
    "Messages",
    "Page",
    "RunBody",
    "RunRecord",
    "RunSummary",
    "Thread",
    "ThreadBody",
    "ToolCallBody",
    "ToolCallResult",
    "ToolRecord",
]
