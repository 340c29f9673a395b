"""Values made up for a schema where the user said nothing: its own examples first."""

from typing import Any, Final

from agent_server.messages import JsonObject
from agent_server.model.demo_words import words

EXPRESSIONS: Final = frozenset({"expression", "expr", "formula", "equation", "calculation"})
ZONE_NAMES: Final = frozenset({"timezone", "tz", "zone"})
PLACE_NAMES: Final = frozenset({"city", "location", "place", "town", "where", "country"})
SAMPLES: Final[dict[str, str]] = {
    "email": "ada@example.com",
    "date": "2026-01-01",
    "date-time": "2026-01-01T09:00:00Z",
    "time": "09:00:00Z",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "path": "notes.txt",
    "file": "notes.txt",
    "text": "The quick brown fox jumps over the lazy dog.",
    "currency": "EUR",
    "color": "teal",
    "colour": "teal",
}
"""What to put where a parameter's format or a word of its name says so."""


def sample_scalar(schema: JsonObject, name: str) -> Any:
    """Make up a string, number, boolean or null that the schema accepts."""
    kind = schema.get("type")
    if kind in {"integer", "number"}:
        return _sample_number(schema)
    if kind == "boolean":
        return False
    return None if kind == "null" else _sample_string(schema, name)


def is_within(number: float, schema: JsonObject) -> bool:
    """Whether a number keeps the schema's bounds."""
    if schema.get("type") == "integer" and not number.is_integer():
        return False
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    return not (
        (isinstance(low, int | float) and number < low)
        or (isinstance(high, int | float) and number > high)
        or (isinstance(above, int | float) and number <= above)
        or (isinstance(below, int | float) and number >= below)
    )


def as_number(number: float, schema: JsonObject) -> float | int:
    """Give a number the schema's type."""
    return int(number) if schema.get("type") == "integer" or number.is_integer() else number


def _sample_number(schema: JsonObject) -> float | int:
    candidates = [3.0, 1.0, 0.0, 0.5]
    for key, step in (("minimum", 0), ("exclusiveMinimum", 1), ("maximum", 0), ("multipleOf", 0)):
        bound = schema.get(key)
        if isinstance(bound, int | float):
            candidates.append(float(bound) + step)
    fitting = [number for number in candidates if is_within(number, schema)]
    return as_number(fitting[0] if fitting else candidates[-1], schema)


def _sample_string(schema: JsonObject, name: str) -> str:
    form = str(schema.get("format") or "")
    parts = words(name)
    if set(parts) & EXPRESSIONS:
        return "6 * 7"
    if set(parts) & ZONE_NAMES:
        return "UTC"
    if set(parts) & PLACE_NAMES:
        return "Tokyo"
    found = SAMPLES.get(form) or next((SAMPLES[p] for p in parts if p in SAMPLES), None)
    sample = found or f"demo {' '.join(parts)}".strip()
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", len(sample))
    return sample.ljust(min(shortest, 1_000), ".")[:longest]
