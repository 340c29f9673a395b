"""Schemas from signatures: what the model is told."""

import json
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic_core import to_jsonable_python
from typing_extensions import TypedDict

from agent_server import Tool, tool
from agent_server.tooling.validation import InputValidator


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    """One line of an order."""

    sku: str
    count: Annotated[int, Field(ge=1)] = 1


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


class Node(BaseModel):
    value: int
    children: "list[Node]" = []


class Place(TypedDict):
    lat: float
    lon: float


@tool
def everything(  # noqa: PLR0913, PLR0917 (a tool may take as many as it likes)
    text: str,
    number: Annotated[float, Field(gt=0, description="More than nothing.")],
    colour: Colour,
    mode: Literal["fast", "slow"],
    items: list[Item],
    when: datetime,
    price: Decimal,
    pet: Annotated[Cat | Dog, Field(discriminator="kind")],
    place: Place | None = None,
    tree: Node | None = None,
    json: bool = False,
    schema: dict[str, int] | None = None,
    _private: int = 0,
) -> None:
    """Take one of everything.

    Args:
        text: Some text.
        number: Not this.
    """


def test_the_root_is_a_closed_object_with_the_parameters_in_order() -> None:
    schema = everything.spec.input_schema
    assert list(schema)[:3] == ["type", "properties", "required"]
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert list(schema["properties"]) == [
        *("text", "number", "colour", "mode", "items", "when", "price", "pet"),
        *("place", "tree", "json", "schema", "_private"),
    ]
    assert schema["required"] == list(schema["properties"])[:8]
    assert "title" not in schema


def test_annotations_become_keywords() -> None:
    properties = everything.spec.input_schema["properties"]
    assert properties["text"] == {"type": "string", "description": "Some text."}
    assert properties["number"] == {
        "type": "number",
        "exclusiveMinimum": 0,
        "description": "More than nothing.",
    }
    assert properties["mode"] == {"type": "string", "enum": ["fast", "slow"]}
    assert properties["when"] == {"type": "string", "format": "date-time"}
    assert properties["json"] == {"type": "boolean", "default": False}
    assert properties["items"] == {"type": "array", "items": {"$ref": "#/$defs/Item"}}
    assert "discriminator" not in properties["pet"]
    assert len(properties["pet"]["oneOf"]) == 2


def test_the_same_declaration_gives_the_same_bytes() -> None:
    again = tool(everything.fn)
    assert json.dumps(again.spec.input_schema) == json.dumps(everything.spec.input_schema)


class _Outer:
    class Item(BaseModel):
        other: int


def twins(a: Item, b: _Outer.Item) -> None:
    """Take two models of one name."""


def test_a_tool_folders_path_is_not_in_the_names_of_definitions() -> None:
    modules = []
    for path_hash in ("0123456789ab", "ba9876543210"):
        module = f"agent_tools_{path_hash}.shop"
        first = type("Item", (BaseModel,), {"__module__": module, "__annotations__": {"a": int}})
        second = type(
            "Item",
            (BaseModel,),
            {"__module__": module, "__qualname__": "Outer.Item", "__annotations__": {"b": int}},
        )

        def fn(a: int, b: int) -> None:
            """Take two."""

        fn.__annotations__ = {"a": first, "b": second, "return": None}
        fn.__qualname__ = "fn"
        modules.append(json.dumps(tool(fn).spec.input_schema))
    assert modules[0] == modules[1]
    assert "agent_tools" not in modules[0]


def test_a_default_without_a_json_form_is_left_out_without_a_warning() -> None:
    sentinel = object()

    def fn(x: Any = sentinel) -> None:
        """Take anything."""

    fn.__qualname__ = "fn"
    assert tool(fn).spec.input_schema["properties"]["x"] == {}


def test_every_generated_schema_passes_registration() -> None:
    for declared in (everything, tool(twins)):
        InputValidator(declared.spec.input_schema)


# --- property: the schema of a signature accepts what the function accepts ---------------------


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=5)]
    inner: "Closed | None" = None


@tool
def strings(
    a: Annotated[str, Field(min_length=2, max_length=4)],
    b: Annotated[str, Field(pattern="^[a-c]+$")],
    c: Literal["x", 1] | None,
    d: Colour | None = None,
) -> None:
    """Take texts and choices."""


@tool
def numbers(
    a: int,
    b: Annotated[float, Field(ge=-1, lt=5)],
    c: Decimal,
    d: Annotated[int, Field(multiple_of=3)] | bool = 3,
) -> None:
    """Take numbers."""


@tool
def collections(
    a: list[Annotated[int, Field(ge=0)]],
    b: dict[str, bool],
    c: tuple[int, str],
    d: set[int] | None = None,
    e: Closed | None = None,
) -> None:
    """Take collections."""


@tool
def moments(a: date, b: datetime, c: UUID, d: bytes = b"") -> None:
    """Take dates."""


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
closed: st.SearchStrategy[dict[str, Any]] = st.deferred(
    lambda: st.fixed_dictionaries(
        {"name": text}, optional={"inner": st.none() | closed, "more": json_values}
    )
)
likely: dict[str, st.SearchStrategy[Any]] = {
    "strings": st.fixed_dictionaries(
        {
            "a": text,
            "b": st.text("abcd", max_size=4) | text,
            "c": st.sampled_from(["x", 1, None, "y"]),
        },
        optional={"d": st.sampled_from(["red", "blue", "green", None])},
    ),
    "numbers": st.fixed_dictionaries(
        {
            "a": st.integers() | st.floats(-9, 9).map(round).map(float),
            "b": st.floats(-2, 6),
            "c": st.integers(-9, 9) | st.floats(-9, 9) | st.decimals(-9, 9).map(str),
        },
        optional={"d": st.integers(-9, 9) | st.booleans(), "e": json_values},
    ),
    "collections": st.fixed_dictionaries(
        {
            "a": st.lists(st.integers(-1, 9)),
            "b": st.dictionaries(text, st.booleans()),
            "c": st.tuples(st.integers(), text).map(list) | st.lists(st.integers(), max_size=3),
        },
        optional={"d": st.none() | st.lists(st.integers(0, 5), unique=True), "e": closed},
    ),
    "moments": st.fixed_dictionaries(
        {
            "a": st.dates().map(str),
            "b": st.datetimes().map(datetime.isoformat),
            "c": st.uuids().map(str) | text,
        },
        optional={"d": text},
    ),
}
PAIRS: list[tuple[Tool[..., Any], InputValidator]] = [
    (declared, InputValidator(declared.spec.input_schema))
    for declared in (strings, numbers, collections, moments)
]


def accepts(declared: Tool[..., Any], arguments: dict[str, Any]) -> bool:
    """Whether the function takes JSON arguments by the strict reading of its annotations."""
    adapter = TypeAdapter(declared.parameters.model)
    try:
        adapter.validate_json(json.dumps(to_jsonable_python(arguments)), strict=True)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(("declared", "validator"), PAIRS, ids=list(likely))
def test_the_schema_accepts_what_the_function_accepts(
    declared: Tool[..., Any], validator: InputValidator
) -> None:
    @given(arguments=likely[declared.spec.name])
    def check(arguments: dict[str, Any]) -> None:
        if accepts(declared, arguments):
            assert validator.errors(arguments) == []

    check()


@pytest.mark.parametrize(
    ("declared", "validator"), [PAIRS[0], PAIRS[2]], ids=["strings", "collections"]
)
def test_the_function_takes_what_the_schema_accepts(
    declared: Tool[..., Any], validator: InputValidator
) -> None:
    @given(arguments=likely[declared.spec.name])
    def check(arguments: dict[str, Any]) -> None:
        if not validator.errors(arguments):
            declared.parameters.coerce(arguments)

    check()
