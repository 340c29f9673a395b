"""The bodies that clients send, as pydantic models. Unknown fields are refused."""

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError, to_json

from agent_server.agents import Overrides, nearest
from agent_server.budgets import RunLimits
from agent_server.http.schemas.inputs import check_input
from agent_server.messages import JsonObject, Message

MAX_METADATA_BYTES = 16 * 1024
MAX_NAME_CHARS = 64

ShortText = Annotated[str, Field(min_length=1, max_length=200)]


class Body(BaseModel):
    """A request's body: an unknown field is refused by name, with the nearest known one."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _know_all(cls, data: Any) -> Any:
        return _refuse_unknown(data, cls.model_fields)


def _refuse_unknown(data: Any, known: Collection[str]) -> Any:
    """Name the first unknown field, and the nearest known one."""
    unknown = [name for name in data if name not in known] if isinstance(data, dict) else []
    if unknown:
        name = unknown[0][:MAX_NAME_CHARS]
        raise PydanticCustomError(
            "unknown_field",
            "Unknown field {name}.{hint}",
            {"name": repr(name), "hint": nearest(name, known)},
        )
    return data


def _know_limits(limits: Any) -> Any:
    return _refuse_unknown(limits, RunLimits.model_fields)


def _check_size(metadata: JsonObject) -> JsonObject:
    if len(to_json(metadata)) > MAX_METADATA_BYTES:
        raise PydanticCustomError("metadata_too_large", "At most 16 KiB of JSON.")
    return metadata


class InputMessage(Body):
    """One message of the client's: ``content`` is text, or blocks of the Messages API."""

    role: Literal["user", "assistant"]
    content: Annotated[
        Annotated[Annotated[str, Field(min_length=1)], Tag("text")]
        | Annotated[Annotated[list[JsonObject], Field(min_length=1)], Tag("blocks")],
        Discriminator(lambda value: "text" if isinstance(value, str) else "blocks"),
    ]

    def as_message(self) -> Message:
        """Return the message with its content as blocks."""
        content = self.content
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        return {"role": self.role, "content": blocks}


Messages = Annotated[list[InputMessage], Field(min_length=1, max_length=10_000)]


class RunBody(Body):
    """What ``POST /v1/runs`` takes."""

    input: Annotated[
        Annotated[str, Tag("text")] | Annotated[Messages, Tag("messages")],
        Discriminator(lambda value: "text" if isinstance(value, str) else "messages"),
    ] = Field(description="The user's text, or messages")
    agent: ShortText = Field(default="default", description="A configured agent's name")
    thread_id: ShortText | None = Field(
        default=None, description="The thread to go on with, by id or external id; default: new"
    )
    stream: bool = Field(default=False, description="Answer with the run's event stream")
    wait: bool = Field(default=False, description="Answer when the run has ended")
    model: ShortText | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    system: str | None = None
    tools: list[ShortText] | None = Field(
        default=None, description="Names or globs of the tools the model may use"
    )
    model_params: JsonObject | None = Field(
        default=None, description="Further parameters of the Messages API: thinking, tool_choice, …"
    )
    limits: Annotated[RunLimits | None, BeforeValidator(_know_limits)] = Field(
        default=None, description="Smaller than the agent's"
    )
    on_disconnect: Literal["cancel", "continue"] | None = Field(
        default=None,
        description="What becomes of the run when nobody follows it any more, after a grace time. "
        "Default: cancel with stream=true, else continue",
    )
    on_busy: Literal["reject"] = Field(
        default="reject", description="When the thread has an active run: refuse with 409"
    )
    metadata: JsonObject = Field(default_factory=dict, description="Yours; at most 16 KiB of JSON")

    _check_metadata = field_validator("metadata")(_check_size)

    @model_validator(mode="after")
    def _check(self) -> "RunBody":
        check_input(self.messages())
        if self.stream and self.wait:
            raise PydanticCustomError("conflicting_fields", "Ask for stream or wait, not for both.")
        return self

    def messages(self) -> list[Message]:
        """Return the input as messages."""
        if isinstance(self.input, str):
            return [{"role": "user", "content": [{"type": "text", "text": self.input}]}]
        return [message.as_message() for message in self.input]

    def overrides(self) -> Overrides:
        """Return what the request wants different from its agent."""
        limits = self.limits.model_dump(exclude_unset=True) if self.limits else None
        return Overrides(
            model=self.model,
            max_tokens=self.max_tokens,
            system=self.system,
            tools=None if self.tools is None else tuple(self.tools),
            model_params=self.model_params,
            limits=limits,
        )


class ThreadBody(Body):
    """What ``POST /v1/threads`` takes."""

    external_id: ShortText | None = Field(default=None, description="Your own id for it, unique")
    metadata: JsonObject = Field(default_factory=dict, description="Yours; at most 16 KiB of JSON")

    _check_metadata = field_validator("metadata")(_check_size)


class ToolCallBody(Body):
    """What ``POST /v1/tools/{name}/calls`` takes."""

    input: JsonObject = Field(description="The tool's arguments, by its input_schema")


class ChatBody(Body):
    """What ``POST /chat`` takes."""

    messages: Messages
    stream: bool = True
    max_tokens: int = Field(default=1024, ge=1, description="At most 4096, unless configured")

    @model_validator(mode="after")
    def _check(self) -> "ChatBody":
        check_input(self.as_messages())
        return self

    def as_messages(self) -> list[Message]:
        """Return the messages with their content as blocks."""
        return [message.as_message() for message in self.messages]
