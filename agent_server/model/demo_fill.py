"""Arguments for a tool, out of its JSON Schema and what the user said."""

import re
from dataclasses import dataclass, field
from typing import Any, Final

from agent_server.messages import JsonObject
from agent_server.model.demo_sample import as_number, is_within, sample_scalar
from agent_server.model.demo_schema import MAX_DEPTH, DemoTool, Place, Schemas
from agent_server.model.demo_strings import find_named, find_special, may_be_prose, object_of
from agent_server.model.demo_words import (
    contains,
    is_any_in,
    labelled_numbers,
    numbers,
    quoted,
    stem,
    stems,
    unquoted,
    words,
)

_MAX_ITEMS: Final = 20
_NOTHING: Final = object()
"""No value: the text says nothing of it and the schema does not ask for it."""


@dataclass(slots=True)
class _Said:
    """What the user said, used up as arguments take it."""

    text: str
    known: set[str]
    quotes: list[str]
    numbers: list[tuple[float, str]]
    evidence: int = 0
    words: set[str] = field(default_factory=set)


def fill(tool: DemoTool, text: str) -> JsonObject:
    """Fill a tool's arguments from ``text``; where it says nothing, from examples and defaults."""
    known = stems(f"{tool.name} {tool.description}")
    said = _Said(text, known, quoted(text), numbers(unquoted(text)), words=stems(text))
    arguments = _Filler(Schemas(tool.schema), said).fill_object(tool.schema, depth=0)
    if not said.evidence and tool.examples and tool.schema.get("required"):
        return dict(tool.examples[0])
    return arguments


class _Filler:
    def __init__(self, schemas: Schemas, said: _Said) -> None:
        self._schemas = schemas
        self._said = said

    def fill_object(self, schema: JsonObject, *, depth: int) -> JsonObject:
        """Fill an object: what is required, and what the text speaks of."""
        properties = schema.get("properties")
        required = schema.get("required") or []
        arguments: JsonObject = {}
        for name, given in (properties if isinstance(properties, dict) else {}).items():
            place = Place(name, depth, name in required)
            value = self._fill(self._schemas.resolve(given), place)
            if value is not _NOTHING:
                arguments[name] = value
        return arguments

    def _fill(self, schema: JsonObject, place: Place) -> Any:
        if "const" in schema:
            return schema["const"]
        found = self._find(schema, place)
        if found is not _NOTHING:
            self._said.evidence += 1
            return found
        return self._sample(schema, place) if place.required else _NOTHING

    def _find(self, schema: JsonObject, place: Place) -> Any:
        """Find the value in what was said."""
        if isinstance(schema.get("enum"), list):
            return self._find_enum(schema["enum"])
        kind = schema.get("type")
        if kind in {"integer", "number"}:
            return self._find_number(schema, place)
        if kind == "boolean":
            return self._find_boolean(place)
        if kind == "array":
            return self._find_array(schema, place)
        if kind == "object" or "properties" in schema:
            return self._find_object(schema, place)
        return self._find_string(schema, place)

    def _find_enum(self, values: list[Any]) -> Any:
        spoken = [value for value in values if contains(self._said.text, str(value))]
        return max(spoken, key=lambda value: len(str(value))) if spoken else _NOTHING

    def _find_number(self, schema: JsonObject, place: Place) -> Any:
        name = {stem(word) for word in words(place.name)}
        fitting = [item for item in self._said.numbers if is_within(item[0], schema)]
        named = [item for item in fitting if stem(item[1]) in name]
        if not named and not place.required:
            name_said = re.escape(place.name.replace("_", " "))
            pattern = rf"\b{name_said}\W+(?:of|is|to|=)?\s?(-?\d+(?:\.\d+)?)"
            spoken = re.search(pattern, self._said.text, re.IGNORECASE)
            named = [item for item in fitting if spoken and item[0] == float(spoken[1])]
        chosen = named or (fitting if place.required else [])
        if not chosen:
            return _NOTHING
        self._said.numbers.remove(chosen[0])
        return as_number(chosen[0][0], schema)

    def _find_boolean(self, place: Place) -> Any:
        name = [word for word in words(place.name) if len(word) > 2]  # noqa: PLR2004 (is, as, …)
        if not name or not is_any_in(name, self._said.words - self._said.known):
            return _NOTHING
        denied = rf"\b(?:no|not|without|don't)\s+(?:\w+\s+)?{re.escape(name[0])}"
        return not re.search(denied, self._said.text, re.IGNORECASE)

    def _find_array(self, schema: JsonObject, place: Place) -> Any:
        items = self._schemas.resolve(schema.get("items"))
        if place.depth >= MAX_DEPTH or not place.required:
            return _NOTHING
        values: list[Any] = []
        inner = Place(place.name, place.depth + 1, required=True)
        while len(values) < _MAX_ITEMS and (self._said.quotes or self._said.numbers):
            value = self._find(items, inner)
            if value is _NOTHING:
                break
            values.append(value)
        if not values and items.get("type") == "string":
            special = find_special(items, place.name, self._said.text)
            if special or not may_be_prose(items, place.name):
                return [special] if special else _NOTHING
            listed = object_of(self._said.text, self._said.known) or ""
            values = [part for part in re.split(r"\s*,\s*|\s+and\s+", listed) if part][:_MAX_ITEMS]
        return values if len(values) >= max(1, schema.get("minItems", 0)) else _NOTHING

    def _find_object(self, schema: JsonObject, place: Place) -> Any:
        if place.depth >= MAX_DEPTH or not place.required:
            return _NOTHING
        if not schema.get("properties"):
            pairs = labelled_numbers(self._said.text)
            inner = self._schemas.resolve(schema.get("additionalProperties"))
            return pairs if pairs and inner.get("type") in {"integer", "number"} else _NOTHING
        before = self._said.evidence
        value = self.fill_object(schema, depth=place.depth + 1)
        return value if self._said.evidence > before else _NOTHING

    def _find_string(self, schema: JsonObject, place: Place) -> Any:
        said, prose = self._said, may_be_prose(schema, place.name)
        found = find_special(schema, place.name, said.text)
        if found is None and prose and said.quotes:
            found = said.quotes.pop(0)
        if found is None:
            found = find_named(schema, place.name, said.text)
        if found is None and prose and place.required and not place.depth:
            found = object_of(said.text, said.known)
        if not found:
            return _NOTHING
        longest = schema.get("maxLength")
        return found[:longest] if isinstance(longest, int) else found

    def _sample(self, schema: JsonObject, place: Place) -> Any:
        """Make up a value that the schema accepts: its own examples first."""
        if "default" in schema:
            return schema["default"]
        for key in ("examples", "enum"):
            if isinstance(schema.get(key), list) and schema[key]:
                return schema[key][0]
        kind = "object" if "properties" in schema else schema.get("type")
        if kind not in {"array", "object"}:
            return sample_scalar(schema, place.name)
        if place.depth >= MAX_DEPTH:
            return [] if kind == "array" else {}
        if kind == "object":
            return self.fill_object(schema, depth=place.depth + 1)
        inner = Place(place.name, place.depth + 1, required=True)
        count = min(max(1, schema.get("minItems", 0)), _MAX_ITEMS)
        items = self._schemas.resolve(schema.get("items"))
        return [self._fill(items, inner) for _ in range(count)]
