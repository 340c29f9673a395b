"""A tool as the demo model is given it: JSON Schema, read as far as a demo needs it."""

from dataclasses import dataclass
from typing import Any, Final

from agent_server.messages import JsonObject

MAX_DEPTH: Final = 6


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a schema a value goes."""

    name: str
    depth: int
    required: bool


class Schemas:
    """Looks through references and alternatives within one root schema."""

    def __init__(self, root: JsonObject) -> None:
        self._root = root

    def resolve(self, schema: Any) -> JsonObject:
        """Return a schema whose ``type`` is one name, without ``$ref``, ``anyOf`` or ``allOf``."""
        for _ in range(MAX_DEPTH):
            if not isinstance(schema, dict):
                return {}
            inner = self._inner(schema)
            if inner is None:
                break
            rest = {k: v for k, v in schema.items() if k not in {"$ref", "anyOf", "oneOf", "allOf"}}
            schema = {**inner, **rest}
        kind = schema.get("type")
        if not isinstance(kind, list):
            return dict(schema)
        return {**schema, "type": next((k for k in kind if k != "null"), "null")}

    def _inner(self, schema: JsonObject) -> JsonObject | None:
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return self._follow(reference)
        for key in ("anyOf", "oneOf"):
            options = schema.get(key)
            if isinstance(options, list):
                real = [o for o in options if isinstance(o, dict) and o.get("type") != "null"]
                return real[0] if real else {}
        parts = schema.get("allOf")
        if isinstance(parts, list):
            return {k: v for part in parts if isinstance(part, dict) for k, v in part.items()}
        return None

    def _follow(self, reference: str) -> JsonObject:
        target: Any = self._root
        for key in reference.removeprefix("#").strip("/").split("/"):
            target = target.get(key, {}) if isinstance(target, dict) and key else target
        return target if isinstance(target, dict) else {}


@dataclass(frozen=True, slots=True)
class DemoTool:
    """A tool as the model is given it."""

    name: str
    description: str
    schema: JsonObject
    examples: list[JsonObject]

    @property
    def properties(self) -> dict[str, JsonObject]:
        """The schemas of its parameters, references resolved."""
        resolved = Schemas(self.schema)
        found = self.schema.get("properties")
        given = found if isinstance(found, dict) else {}
        return {name: resolved.resolve(value) for name, value in given.items()}


def read_tool(param: JsonObject) -> DemoTool | None:
    """Read one of a request's ``tools``; None for those that the provider runs itself."""
    schema = param.get("input_schema")
    if not isinstance(schema, dict):
        return None
    examples = [value for value in param.get("input_examples") or [] if isinstance(value, dict)]
    return DemoTool(str(param["name"]), str(param.get("description") or ""), schema, examples)
