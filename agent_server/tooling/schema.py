"""A signature's JSON Schema (2020-12): the same bytes for the same declaration, on every machine."""

from typing import Any, ClassVar

from pydantic import BaseModel
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind
from pydantic_core.core_schema import CoreSchemaField  # names what pydantic's hook is given
from pydantic_core import CoreSchema

from agent_server.messages import JsonObject
from agent_server.tooling.parameters import DeclarationError, Parameters

__all__ = ["schema_of"]
