"""ToolSpec: what server, registry and sandbox know of a tool. Data only, never its code."""

import hashlib
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from agent_server.messages import JsonObject

Effects = Literal["none", "idempotent", "once"]
Approval = Literal["never", "always", "policy"]


class ToolSpec(BaseModel):
    """One registered tool as data: its schema, its needs, and where its function lives.

    A manifest is a list of these. Durations are seconds, sizes as their names say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str
    input_schema: JsonObject
    effects: Effects = "once"
    approval: Approval = "never"
    isolation: Literal["process", "inline"] = "process"
    timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 30.0
    cpu_s: Annotated[float, Field(gt=0, le=86_400)] = 10.0
    memory_mb: Annotated[int, Field(ge=16, le=1_048_576)] = 256
    output_kb: Annotated[int, Field(ge=1, le=65_536)] = 64
    network: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    subprocess: bool = False
    parallel: bool = True
    takes_context: bool = False
    is_async: bool = False
    param_fields: JsonObject = Field(
        default_factory=dict,
        description="Further ToolParam fields sent to the provider: strict, input_examples, "
        "defer_loading, allowed_callers, eager_input_streaming, cache_control",
    )
    module: str = Field(description="The module's name as the loader imported it")
    qualname: str = Field(description="The function's name within the module")
    file: str | None = Field(default=None, description="The file it was loaded from")
    line: int | None = Field(default=None, description="The line of its declaration in that file")
    source_sha256: str = Field(default="", description="sha256 of the tool's source file, hex")

    @property
    def version(self) -> str:
        """A hash that changes when the schema, description, options or source change."""
        fields = self.model_dump(exclude={"file", "line", "module"})
        return hashlib.sha256(to_json(fields)).hexdigest()[:16]

    def as_param(self) -> JsonObject:
        """The tool as the Messages API's ``tools`` parameter takes it, keys in a fixed order."""
        return {
            "name": self.name,
            "description": self.description,
            "input_schema": self.input_schema,
            **dict(sorted(self.param_fields.items())),
        }
