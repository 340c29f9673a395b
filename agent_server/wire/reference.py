"""The events as published: JSON Schema, TypeScript types and a page of documentation.

All three are made from the union in ``events`` and nothing else. ``python -m
agent_server.wire.reference`` writes them to docs/reference; ``--check`` only says whether they are
stale (exit code 1).
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, get_args

from pydantic.json_schema import models_json_schema
from pydantic_core import to_json

from agent_server.events import AnyEvent
from agent_server.messages import JsonObject
from agent_server.wire.typescript import type_of

TARGET: Final = Path("docs/reference")
SOURCE: Final = "Generated from agent_server/events by `python -m agent_server.wire.reference`."

ENVELOPE: Final[JsonObject] = {
    "v": {"const": 1, "description": "Version of the event's encoding"},
    "run_id": {"type": "string", "description": "The run it belongs to"},
    "thread_id": {"type": "string", "description": "The run's thread"},
    "seq": {
        "type": "integer",
        "minimum": 1,
        "description": "Its number in the run, without gaps; the SSE id",
    },
    "ts": {"type": "integer", "description": "When it happened, epoch milliseconds"},
}
"""What every event begins with, before its type and turn."""

_EVENTS: Final[tuple[Any, ...]] = get_args(AnyEvent)


def render_schema() -> JsonObject:
    """Return one JSON Schema (2020-12): any event is one of its ``oneOf``, told by its type."""
    _, schema = models_json_schema(
        [(event, "serialization") for event in _EVENTS], ref_template="#/$defs/{model}"
    )
    definitions: JsonObject = schema["$defs"]
    for definition in definitions.values():
        definition["required"] = list(definition["properties"])  # defaults are sent too
    for event in _EVENTS:
        name = event.__name__
        definitions[name] = _with_envelope(definitions[name], event)
    refs = [{"$ref": f"#/$defs/{event.__name__}"} for event in _EVENTS]
    mapping = {_type(event): f"#/$defs/{event.__name__}" for event in _EVENTS}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Event",
        "description": "One event of a run. Ignore types, fields and enum values you do not know.",
        "oneOf": refs,
        "discriminator": {"propertyName": "type", "mapping": mapping},
        "$defs": definitions,
    }


def _with_envelope(definition: JsonObject, event: Any) -> JsonObject:
    """Put the envelope's fields before the event's own; all fields are always sent."""
    own = definition["properties"]
    properties = {
        **ENVELOPE,
        "type": {"const": _type(event), "type": "string"},
        "turn": own["turn"],
        **{name: field for name, field in own.items() if name not in {"type", "turn"}},
    }
    return {
        "title": event.__name__,
        "description": event.__doc__,
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }


def _type(event: Any) -> str:
    return str(event.model_fields["type"].default)


def render_typescript() -> str:
    """Return TypeScript types: a union told apart by ``type``."""
    definitions = render_schema()["$defs"]
    names = [event.__name__ for event in _EVENTS]
    shared = sorted(name for name in definitions if name not in names)
    lines = [
        f"// {SOURCE}",
        "",
        "/** Any JSON value. */",
        "export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };",
        "",
    ]
    for name in (*shared, *names):
        lines += [*_interface(name, definitions[name]), ""]
    lines += [
        "/** One event of a run. Ignore types, fields and enum values you do not know. */",
        "export type Event =",
        *(f"  | {name}" for name in names[:-1]),
        f"  | {names[-1]};",
        "",
        'export type EventType = Event["type"];',
        "",
    ]
    return "\n".join(lines)


def _interface(name: str, definition: JsonObject) -> Iterator[str]:
    yield f"/** {_one_line(definition.get('description', name))} */"
    if "properties" not in definition:
        yield f"export type {name} = {type_of(definition)};"
        return
    yield f"export interface {name} {{"
    required = set(definition.get("required", ()))
    for field, schema in definition["properties"].items():
        if "description" in schema:
            yield f"  /** {_one_line(schema['description'])} */"
        optional = "" if field in required else "?"
        yield f"  {field}{optional}: {type_of(schema)};"
    yield "}"


def render_markdown() -> str:
    """Return the page of documentation: every event, its fields and their types."""
    definitions = render_schema()["$defs"]
    lines = [
        "# Events",
        "",
        f"<!-- {SOURCE} -->",
        "",
        "Every event is one JSON object; on a stream it is the `data` of a frame whose `id` is its",
        "`seq` and whose `event` is its `type`. Ignore types, fields and enum values you do not",
        "know: new ones may come at any time. [events.schema.json](events.schema.json) is their",
        "JSON Schema, [events.ts](events.ts) their TypeScript types.",
        "",
        "## Every event",
        "",
        *_table({**ENVELOPE, "type": {"type": "string", "description": "What happened"}}),
        "| `turn` | `number \\| null` | The turn it belongs to; null outside turns |",
    ]
    for event in _EVENTS:
        definition = definitions[event.__name__]
        skipped = {*ENVELOPE, "type", "turn"}
        own = {k: v for k, v in definition["properties"].items() if k not in skipped}
        lines += ["", f"## {_type(event)}", "", _one_line(definition["description"]), ""]
        lines += _table(own) if own else ["No fields of its own."]
    shared = sorted(set(definitions) - {event.__name__ for event in _EVENTS})
    for name in shared:
        definition = definitions[name]
        lines += ["", f"## {name}", "", _one_line(definition.get("description", "")), ""]
        lines += _table(definition["properties"])
    return "\n".join(lines) + "\n"


def _table(fields: JsonObject) -> list[str]:
    rows = [
        f"| `{name}` | `{type_of(schema).replace('|', chr(92) + '|')}` "
        f"| {_one_line(schema.get('description', ''))} |"
        for name, schema in fields.items()
    ]
    return ["| field | type | |", "|---|---|---|", *rows]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def render_all() -> dict[str, str]:
    """Return the published files by name."""
    return {
        "events.md": render_markdown(),
        "events.schema.json": to_json(render_schema(), indent=2).decode() + "\n",
        "events.ts": render_typescript(),
    }


def main(arguments: Sequence[str], *, target: Path = TARGET) -> int:
    """Write the files, or with ``--check`` compare them; return the exit code."""
    stale: list[str] = []
    for name, text in render_all().items():
        path = target / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(str(path))
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if "--check" not in arguments:
        return 0
    for path_name in stale:
        sys.stderr.write(f"{path_name} is stale: run `make docs`\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
