"""From the JSON Schema that pydantic writes to a TypeScript type expression."""

from pydantic_core import to_json

from agent_server.messages import JsonObject

_SCALARS = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}


def type_of(schema: JsonObject) -> str:
    """Return the TypeScript type of the values that ``schema`` allows.

    Raises:
        ValueError: the schema uses a keyword that nothing here needed so far.
    """
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "const" in schema:
        return to_json(schema["const"]).decode()
    if "enum" in schema:
        return " | ".join(to_json(value).decode() for value in schema["enum"])
    for combinator in ("anyOf", "oneOf"):
        if combinator in schema:
            return " | ".join(type_of(part) for part in schema[combinator])
    match schema.get("type"):
        case "array":
            item = type_of(schema.get("items", {}))
            return f"({item})[]" if " | " in item else f"{item}[]"
        case "object" if "properties" not in schema:
            extra = schema.get("additionalProperties", True)
            return f"Record<string, {type_of(extra) if isinstance(extra, dict) else 'Json'}>"
        case str() as name if name in _SCALARS:
            return _SCALARS[name]
        case None if not set(schema) - {"title", "description", "default"}:
            return "Json"
        case _:
            raise ValueError(f"no TypeScript type for {sorted(schema)}")
