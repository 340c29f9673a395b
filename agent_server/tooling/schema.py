"""A signature's JSON Schema (2020-12): the same declaration gives the same bytes everywhere."""

import re
from typing import Any

from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, JsonSchemaWarningKind
from pydantic_core import core_schema

from agent_server.messages import JsonObject
from agent_server.tooling.parameters import DeclarationError, Parameters

__all__ = ["TOOL_PACKAGE_PREFIX", "check_given_schema", "schema_of"]

TOOL_PACKAGE_PREFIX = "agent_tools_"
"""Tool folders are imported as packages of this name and a hash of their path."""

_TOOL_PACKAGE = re.compile(rf"\b{TOOL_PACKAGE_PREFIX}[0-9a-f]+\.")


def schema_of(parameters: Parameters) -> JsonObject:
    """Return the JSON Schema of a function's parameters.

    Raises:
        DeclarationError: an annotation has no JSON form.
    """
    try:
        schema = parameters.model.model_json_schema(schema_generator=_Generator)
    except PydanticUserError as error:
        reason = str(error).partition("\n")[0]
        raise DeclarationError(f"an annotation has no JSON form: {reason}") from error
    schema.pop("title", None)
    # A class docstring of ours has no place in what the model reads.
    schema.pop("description", None)
    head = {key: schema.pop(key) for key in ("type", "properties", "required") if key in schema}
    return {"type": "object", "properties": {}} | head | schema


def check_given_schema(schema: JsonObject, parameters: Parameters) -> None:
    """Check that an ``input_schema=`` and the function it is for agree on the names.

    Raises:
        DeclarationError: it is for no object, or the function would get an unknown name, or lack a
            needed one.
    """
    if schema.get("type") != "object":
        raise DeclarationError('input_schema= needs "type": "object" at its root')
    properties = schema.get("properties")
    listed = list(properties) if isinstance(properties, dict) else []
    unknown = [name for name in listed if name not in parameters.names]
    if unknown and not parameters.collects_rest:
        raise DeclarationError(
            f"input_schema= has a property {unknown[0]!r} that the function does not take"
        )
    required = schema.get("required")
    needed = required if isinstance(required, list) else []
    missing = [name for name in parameters.required if name not in needed]
    if missing:
        raise DeclarationError(
            f"the function needs {missing[0]!r}, which input_schema= does not require: "
            "add it to 'required' or give the parameter a default"
        )


class _Generator(GenerateJsonSchema):
    """pydantic's generator, without what only costs tokens."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {  # noqa: RUF012 -- pydantic's
        "skipped-choice",
        "non-serializable-default",
    }

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 -- pydantic's hook
        """Leave out titles that repeat the field's name."""
        return False

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        """Leave out ``discriminator``: it is OpenAPI's, not JSON Schema's."""
        generated = super().tagged_union_schema(schema)
        generated.pop("discriminator", None)
        return generated

    def normalize_name(self, name: str) -> str:
        """Keep the tool folder's path hash out of the names of definitions."""
        return super().normalize_name(_TOOL_PACKAGE.sub("", name))
