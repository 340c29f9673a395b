"""A JSON Schema taken apart: every subschema by its pointer, and which apply where.

Reading refuses what must never reach a validator: remote references, other base URIs, dynamic
scopes, misspelt keywords, and schemas beyond the bounds. Pure Python, nothing is fetched.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from pydantic_core import PydanticSerializationError, to_json

from agent_server.messages import JsonObject
from agent_server.tooling.text import did_you_mean, json_pointer

__all__ = ["SchemaError", "Subschema", "read_schema"]

MAX_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 32
MAX_SUBSCHEMAS: Final = 500
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

IN_PLACE: Final = ("not", "if", "then", "else")
IN_PLACE_LISTS: Final = ("allOf", "anyOf", "oneOf")
BELOW: Final = (
    "additionalProperties",
    "propertyNames",
    "unevaluatedProperties",
    "items",
    "contains",
    "unevaluatedItems",
)
_DEFINITIONS: Final = ("$defs", "definitions")
_REFUSED: Final = {
    "$id": "references are resolved within the schema itself, so no other base is allowed",
    "$anchor": "write the reference as a pointer (#/$defs/…)",
    "$dynamicRef": "write a plain $ref",
    "$dynamicAnchor": "write a plain $ref and $defs",
    "$recursiveRef": "write a plain $ref",
    "$recursiveAnchor": "write a plain $ref and $defs",
    "$vocabulary": "it belongs in a metaschema",
    "dependencies": "2020-12 ignores it: write dependentSchemas or dependentRequired",
    "additionalItems": "2020-12 ignores it: write items beside prefixItems",
}
_KNOWN: Final = frozenset(
    {
        *("$schema", "$ref", "$comment", *_DEFINITIONS, "title", "description", "default"),
        *("deprecated", "readOnly", "writeOnly", "examples", "format", "contentEncoding"),
        *("contentMediaType", "contentSchema", "type", "enum", "const", "multipleOf"),
        *("maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength", "minLength"),
        *("pattern", "maxItems", "minItems", "uniqueItems", "maxContains", "minContains"),
        *("maxProperties", "minProperties", "required", "dependentRequired"),
        *("dependentSchemas", "properties", "patternProperties", "prefixItems"),
        *(*IN_PLACE, *IN_PLACE_LISTS, *BELOW),
    }
)
_ANNOTATIONS: Final = frozenset({"example", "discriminator", "nullable", "externalDocs"})
"""OpenAPI's words: no keywords here, but no misspellings either."""


class SchemaError(Exception):
    """A schema cannot be used; the message names the place as a pointer, and the remedy."""


@dataclass(frozen=True, slots=True)
class Subschema:
    """One subschema. ``in_place``: those that judge the same value as it, by pointer.

    ``below``: those that judge a value's items or properties, each with the one key it is for, or
    None where any key may be meant.
    """

    pointer: str
    schema: Any
    in_place: tuple[str, ...]
    below: tuple[tuple[str | int | None, str], ...]

    def patterns(self) -> Iterator[str]:
        """Yield the regular expressions it matches strings or names with."""
        if isinstance(self.schema, dict):
            if isinstance(self.schema.get("pattern"), str):
                yield self.schema["pattern"]
            yield from _mapping(self.schema, "patternProperties")


def read_schema(schema: JsonObject) -> dict[str, Subschema]:
    """Take ``schema`` apart; the root's pointer is the empty string.

    Raises:
        SchemaError: it is not JSON, out of bounds, refers elsewhere or misspells a keyword.
    """
    _check_bounds(schema)
    if schema.get("$schema", DIALECT).rstrip("#") != DIALECT:
        raise SchemaError(f"$schema: only {DIALECT} is understood")
    found: dict[str, Subschema] = {}
    waiting = [""]
    while waiting:
        pointer = waiting.pop()
        if pointer in found:
            continue
        found[pointer] = subschema = _read(schema, pointer)
        if len(found) > MAX_SUBSCHEMAS:
            raise SchemaError(f"it has more than {MAX_SUBSCHEMAS} subschemas")
        waiting += subschema.in_place
        waiting += [child for _, child in subschema.below]
        waiting += _definitions(subschema)
    return found


def _check_bounds(schema: JsonObject) -> None:
    """Bound the depth before anything recursive sees the schema, then the size."""
    level: list[Any] = [schema]
    for _ in range(MAX_DEPTH):
        level = [child for value in level for child in _children(value)]
    if level:
        raise SchemaError(f"it is nested deeper than {MAX_DEPTH} levels")
    try:
        size = len(to_json(schema))
    except (PydanticSerializationError, ValueError) as error:
        raise SchemaError(f"it is not JSON: {error}") from error
    if size > MAX_BYTES:
        raise SchemaError(f"it is {size} bytes long; {MAX_BYTES} are allowed")


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise SchemaError("it is not JSON: a key is not a string")
        return list(value.values())
    if isinstance(value, list):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        raise SchemaError(f"it is not JSON: {value}")
    if value is None or isinstance(value, (str, int, float)):
        return []
    raise SchemaError(f"it is not JSON: a {type(value).__name__}")


def _read(root: JsonObject, pointer: str) -> Subschema:
    schema = _resolve(root, pointer)
    if isinstance(schema, bool):
        return Subschema(pointer, schema, (), ())
    if not isinstance(schema, dict):
        raise SchemaError(f"{pointer or '/'}: a schema is an object or a boolean")
    _check_keywords(schema, pointer)
    in_place = [f"{pointer}/{keyword}" for keyword in IN_PLACE if keyword in schema]
    for keyword in IN_PLACE_LISTS:
        in_place += [f"{pointer}/{keyword}/{i}" for i in range(len(_sequence(schema, keyword)))]
    in_place += [child for _, child in _mapped(schema, pointer, "dependentSchemas")]
    if "$ref" in schema:
        in_place.append(_target(root, schema["$ref"], pointer))
    below: list[tuple[str | int | None, str]] = [
        (None, f"{pointer}/{keyword}") for keyword in BELOW if keyword in schema
    ]
    below += [
        (i, f"{pointer}/prefixItems/{i}") for i in range(len(_sequence(schema, "prefixItems")))
    ]
    below += _mapped(schema, pointer, "properties")
    below += [(None, child) for _, child in _mapped(schema, pointer, "patternProperties")]
    return Subschema(pointer, schema, tuple(in_place), tuple(below))


def _check_keywords(schema: JsonObject, pointer: str) -> None:
    for keyword in schema:
        place = pointer or "/"
        if keyword in _REFUSED:
            raise SchemaError(f"{place}: {keyword} is not allowed: {_REFUSED[keyword]}")
        if keyword == "$schema" and pointer:
            raise SchemaError(f"{place}: $schema is allowed at the root only")
        if keyword in _KNOWN or keyword in _ANNOTATIONS or keyword.startswith("x-"):
            continue
        if hint := did_you_mean(keyword, _KNOWN):
            raise SchemaError(f"{place}: {keyword!r} is not a keyword{hint}")


def _definitions(subschema: Subschema) -> list[str]:
    if not isinstance(subschema.schema, dict):
        return []
    return [
        child
        for keyword in _DEFINITIONS
        for _, child in _mapped(subschema.schema, subschema.pointer, keyword)
    ]


def _mapped(schema: JsonObject, pointer: str, keyword: str) -> list[tuple[str, str]]:
    return [
        (name, f"{pointer}/{keyword}{json_pointer([name])}") for name in _mapping(schema, keyword)
    ]


def _mapping(schema: JsonObject, keyword: str) -> JsonObject:
    """Return a keyword's object; a malformed one is left to the metaschema to word."""
    value = schema.get(keyword)
    return value if isinstance(value, dict) else {}


def _sequence(schema: JsonObject, keyword: str) -> list[Any]:
    value = schema.get(keyword)
    return value if isinstance(value, list) else []


def _target(root: JsonObject, reference: object, pointer: str) -> str:
    """Return the pointer a ``$ref`` means; only places within this very schema are allowed."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        raise SchemaError(
            f"{pointer or '/'}: $ref {reference!r} leaves the schema; only '#/…' is allowed"
        )
    target = unquote(reference[1:])
    try:
        _resolve(root, target)
    except SchemaError:
        raise SchemaError(f"{pointer or '/'}: $ref {reference!r} leads nowhere") from None
    return target


def _resolve(root: JsonObject, pointer: str) -> Any:
    value: Any = root
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isascii() and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            raise SchemaError(f"{pointer}: there is nothing here")
    return value
