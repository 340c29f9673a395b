"""The options of ``@tool``, each with what it means."""

from typing import Any, Literal, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from agent_server.messages import JsonObject
from agent_server.tooling.parameters import DeclarationError
from agent_server.tooling.spec import Approval, Effects
from agent_server.tooling.text import did_you_mean

__all__ = ["PARAM_FIELDS", "ToolOptions", "check_options"]

PARAM_FIELDS = (
    "strict",
    "input_examples",
    "defer_loading",
    "allowed_callers",
    "eager_input_streaming",
    "cache_control",
)
"""Options that go to the provider as they are, beside name, description and schema."""


@with_config(ConfigDict(extra="forbid", strict=False))
class ToolOptions(TypedDict, total=False):
    """What ``@tool`` may be told. Durations are seconds; all have defaults (see ToolSpec)."""

    name: str
    """Default: the function's name. Letters, digits, _ and -, at most 64."""
    description: str
    """Default: the docstring up to its first section."""
    effects: Effects
    """none: reads only · idempotent: a second run with the same ``ctx.idempotency_key`` changes
    nothing · once (default): must not be run again when a run's outcome is unknown."""
    approval: Approval
    """never (default) · always: a person decides each call · policy: the configuration decides."""
    timeout_s: float
    """Wall time, after which the call's process tree is killed."""
    cpu_s: float
    """CPU time."""
    memory_mb: int
    """Memory beyond what the process starts with."""
    output_kb: int
    """How much of what it prints is kept."""
    network: list[str] | tuple[str, ...]
    """Hosts it may reach; default none."""
    read: list[str] | tuple[str, ...]
    """Paths it may read, absolute or relative to config.yaml."""
    write: list[str] | tuple[str, ...]
    """Paths it may write, absolute or relative to config.yaml; its scratch folder always."""
    secrets: list[str] | tuple[str, ...]
    """Names of secrets it gets in ``ctx.secrets``."""
    subprocess: bool
    """Whether it may start programs."""
    parallel: bool
    """Whether it may run at the same time as other calls of its turn."""
    isolation: Literal["process", "inline"]
    """process (default): a fresh sandboxed process · inline: in the server, ``async def`` only."""
    input_schema: JsonObject
    """The whole JSON Schema (2020-12) of the input, instead of the signature's."""
    input_examples: list[JsonObject]
    """Inputs that show the model how to call it; each must fit the schema."""
    strict: bool
    """Whether the provider must keep to the schema."""
    defer_loading: bool
    """Whether the model sees it only after a tool search."""
    allowed_callers: list[str]
    """Who may call it: direct, or a provider's code execution tool."""
    eager_input_streaming: bool
    """Whether its input streams before it is complete."""
    cache_control: JsonObject | None
    """A prompt cache breakpoint after it."""


_adapter: TypeAdapter[ToolOptions] = TypeAdapter(ToolOptions)


def check_options(options: dict[str, Any]) -> ToolOptions:
    """Check names and types of options.

    Raises:
        DeclarationError: one is unknown, or has a value it cannot take.
    """
    for name in options:
        if name not in ToolOptions.__annotations__:
            hint = did_you_mean(name, ToolOptions.__annotations__)
            raise DeclarationError(f"@tool has no option {name!r}{hint}")
    try:
        return _adapter.validate_python(options)
    except ValidationError as error:
        raise DeclarationError(describe_fault(error, options)) from None


def describe_fault(error: ValidationError, options: dict[str, Any]) -> str:
    """Word the first fault pydantic found in ``options``, in one sentence."""
    detail = error.errors(include_url=False)[0]
    name = str(detail["loc"][0])
    choices = [str(choice) for choice in get_args(_CHOICES.get(name))]
    if choices:
        given = options[name]
        hint = did_you_mean(given, choices) if isinstance(given, str) else ""
        return f"{name} is one of {', '.join(choices)}, not {given!r}{hint}"
    if isinstance(options.get(name), str) and detail["type"].endswith("_type"):
        return f"{name}: {detail['msg'].lower()}, not text: {options[name]!r}"
    return f"{name}: {detail['msg'].lower()}, not {options.get(name)!r}"


_CHOICES = {"effects": Effects, "approval": Approval, "isolation": Literal["process", "inline"]}
