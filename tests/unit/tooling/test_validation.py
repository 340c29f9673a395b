"""InputValidator: what it refuses at registration, how it words faults, and what it may cost."""

import random
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agent_server.errors import ToolLoadError
from agent_server.tooling.cost import weigh
from agent_server.tooling.patterns import count_atoms
from agent_server.tooling.subschemas import SchemaError, read_schema
from agent_server.tooling.validation import InputValidator, Problem

Schema = dict[str, Any]


def problems(schema: Schema, instance: object) -> list[tuple[str, str]]:
    return [(p.path, p.message) for p in InputValidator(schema).errors(instance)]


def refusal(schema: Schema) -> str:
    with pytest.raises(ToolLoadError) as refused:
        InputValidator(schema)
    return refused.value.message


def cpu_ms(work: Callable[[], object]) -> float:
    """The CPU time of the fastest of three runs: what the event loop would stand still."""
    times = []
    for _ in range(3):
        begin = time.thread_time()
        work()
        times.append(1000 * (time.thread_time() - begin))
    return min(times)


def ladder(rungs: int, step: Callable[[Schema], Schema]) -> Schema:
    """A schema of ``rungs`` definitions, each of which refers to the next one twice or more."""
    definitions = {f"d{i}": step({"$ref": f"#/$defs/d{i + 1}"}) for i in range(rungs)}
    return {"$defs": definitions | {f"d{rungs}": {"type": "integer"}}, "$ref": "#/$defs/d0"}


# --- registration ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"$ref": "http://127.0.0.1:9/s.json"}, "leaves the schema; only '#/…' is allowed"),
        ({"$ref": "https://example.org/s.json"}, "leaves the schema"),
        ({"$ref": "file:///etc/passwd"}, "leaves the schema"),
        ({"$ref": "urn:isbn:1"}, "leaves the schema"),
        ({"$ref": "other.json#/a"}, "leaves the schema"),
        ({"$ref": "#anchor"}, "leaves the schema"),
        ({"$ref": 3}, "leaves the schema"),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, "/properties/a: $ref '#/$defs/none'"),
        ({"$id": "http://example.org/"}, "$id is not allowed"),
        ({"items": {"$id": "file:///", "$ref": "#/$defs/x"}}, "/items: $id is not allowed"),
        ({"$dynamicRef": "#meta"}, "$dynamicRef is not allowed"),
        ({"$dynamicAnchor": "meta"}, "$dynamicAnchor is not allowed"),
        ({"$anchor": "a"}, "$anchor is not allowed"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "only https://json-schema.org/"),
        ({"requird": ["a"]}, "'requird' is not a keyword; did you mean 'required'?"),
        ({"properties": {"a": {"minimun": 1}}}, "/properties/a: 'minimun' is not a keyword"),
        ({"dependencies": {}}, "2020-12 ignores it"),
        ({"type": "objekt"}, "/type: 'objekt'"),
        ({"required": True}, "/required: True is not of type 'array'"),
        ({"minimum": "3"}, "/minimum: '3' is not of type 'number'"),
        ({"additionalProperties": "no"}, "a schema is an object or a boolean"),
        ({"default": float("nan")}, "it is not JSON: nan"),
        ({"default": {1, 2}}, "it is not JSON: a set"),
        ({"default": {1: 2}}, "a key is not a string"),
        ({"default": "\ud800"}, "it is not JSON"),
        ({"pattern": "(?=a)b"}, "without look-around, back-references"),
        ({"pattern": "(?<!a)b"}, "without look-around, back-references"),
        ({"pattern": r"(a)\1"}, "without look-around, back-references"),
        ({"pattern": "((("}, "the pattern '(((' is refused"),
        ({"patternProperties": {"(?=a)": {}}}, "without look-around"),
        ({"pattern": "(a{1000}){1000}"}, "its patterns repeat too much"),
        ({"anyOf": [{"pattern": f"{c}{{3000}}"} for c in "ab"]}, "more than 4000 atoms"),
        ({"pattern": "a" * 3000}, "at most 2000 characters"),
        ({"$ref": "#"}, "lead back to itself"),
        ({"allOf": [{"anyOf": [{}, {"$ref": "#"}]}]}, "lead back to itself"),
        (ladder(18, lambda ref: {"anyOf": [ref, ref]}), "more than 32 schemas for one value"),
        (ladder(12, lambda ref: {"oneOf": [ref, ref]}), "multiply to more than 2000"),
        (
            ladder(30, lambda ref: {"anyOf": [{"properties": {"a": ref}}, {"items": ref}, ref]}),
            "more than",
        ),
        (
            {"properties": {"a": {"$ref": "#"}}, "unevaluatedProperties": False},
            "unevaluatedProperties and unevaluatedItems cannot be checked",
        ),
        ({"properties": {f"p{i}": {} for i in range(501)}}, "more than 500 subschemas"),
        ({"description": "x" * 65_536}, "65536 are allowed"),
    ],
)
def test_a_schema_that_must_not_be_used_is_refused(schema: Schema, words: str) -> None:
    assert words in refusal(schema)


def test_a_schema_nested_too_deeply_is_refused_even_beyond_the_recursion_limit() -> None:
    schema: Schema = {}
    for _ in range(10 * sys.getrecursionlimit()):
        schema = {"not": schema}
    assert "nested deeper than 32 levels" in refusal(schema)


def test_property_names_that_look_like_keywords_are_just_names() -> None:
    schema = {"properties": {"$id": {"type": "string"}, "requird": {}, "$ref": {}}}
    assert problems(schema, {"$id": 1}) == [("/$id", "1 is not of type 'string'")]


def test_openapi_words_and_extensions_are_left_alone() -> None:
    InputValidator({"type": "string", "example": "a", "nullable": True, "x-order": 3})


def test_no_reference_is_ever_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a socket was connected")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for schema in (
        {"$ref": "http://127.0.0.1:9/x"},
        {"$schema": "http://127.0.0.1:9/x"},
        {"const": {"$ref": "http://127.0.0.1:9/x", "$id": "http://127.0.0.1:9/"}},
    ):
        try:
            InputValidator(schema).errors({})
        except ToolLoadError:
            continue


def test_references_with_escapes_and_recursion_work() -> None:
    schema = {
        "$defs": {
            "a/b %": {"type": "object", "properties": {"in": {"$ref": "#/$defs/a~1b%20%25"}}}
        },
        "properties": {"x": {"$ref": "#/$defs/a~1b%20%25"}},
    }
    assert problems(schema, {"x": {"in": {"in": {}}}}) == []
    assert problems(schema, {"x": {"in": {"in": 3}}}) == [("/x/in/in", "3 is not of type 'object'")]


# --- words -----------------------------------------------------------------------------------

ORDER: Schema = {
    "type": "object",
    "properties": {
        "sku": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"},
        "count": {"type": "integer", "minimum": 1, "multipleOf": 2},
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "size": {"anyOf": [{"enum": ["s", "m"]}, {"type": "null"}]},
        "pet": {
            "oneOf": [
                {
                    "type": "object",
                    "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}},
                    "required": ["kind", "lives"],
                },
                {"type": "object", "properties": {"kind": {"const": "dog"}}, "required": ["kind"]},
            ]
        },
    },
    "required": ["sku"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("instance", "expected"),
    [
        ({"sku": "AB-1"}, []),
        ([], [("", "an array of 0 items is not of type 'object'")]),
        ({}, [("", "'sku' is a required property")]),
        (
            {"sku": "AB-1", "cuont": 2},
            [("/cuont", "'cuont' is not a property here; did you mean 'count'?")],
        ),
        ({"sku": "ab"}, [("/sku", "'ab' does not match '^[A-Z]{2}-[0-9]+$'")]),
        (
            {"sku": "AB-1", "count": -1},
            [
                ("/count", "-1 is less than the minimum of 1"),
                ("/count", "-1 is not a multiple of 2"),
            ],
        ),
        ({"sku": "AB-1", "count": True}, [("/count", "True is not of type 'integer'")]),
        ({"sku": "AB-1", "count": 2.0}, []),
        (
            {"sku": "AB-1", "tags": ["a", 1, "a"]},
            [
                ("/tags/1", "1 is not of type 'string'"),
                ("/tags", "an array of 3 items has two equ"),
            ],
        ),
        (
            {"sku": "AB-1", "size": "xl"},
            [
                (
                    "/size",
                    "fits no alternative: 'xl' is not one of ['s', 'm']; or 'xl' is not of type",
                )
            ],
        ),
        (
            {"sku": "AB-1", "pet": {"kind": "cat"}},
            [("/pet", "'lives' is a required property")],
        ),
        (
            {"sku": "AB-1", "pet": {"kind": "cat", "lives": "9"}},
            [("/pet/lives", "'9' is not of type 'integer'")],
        ),
        (
            {"sku": "AB-1", "pet": {"kind": "cow"}},
            [("/pet", "fits no alternative: 'cat' was expected; or 'dog' was expected")],
        ),
    ],
)
def test_faults_are_worded_with_their_place(
    instance: object, expected: list[tuple[str, str]]
) -> None:
    found = problems(ORDER, instance)
    assert [path for path, _ in found] == [path for path, _ in expected]
    for (_, message), (_, words) in zip(found, expected, strict=True):
        assert message.startswith(words)


@pytest.mark.parametrize(
    ("schema", "instance", "expected"),
    [
        ({"not": {"type": "string"}}, "a", [("", "'a' is what is not allowed here")]),
        (False, 1, [("", "1 is not allowed here")]),
        ({"oneOf": [{"minimum": 1}, {"maximum": 9}]}, 5, [("", "5 fits 2 of the alternatives")]),
        ({"contains": {"const": 1}, "minContains": 2}, [1, 2], [("", "1 items are as asked for;")]),
        ({"contains": {"const": 1}, "maxContains": 1}, [1, 1], [("", "2 items are as asked for;")]),
        ({"propertyNames": {"maxLength": 2}}, {"abc": 1}, [("/abc", "'abc' is too long")]),
        (
            {"patternProperties": {"^n": {"type": "integer"}}, "additionalProperties": False},
            {"n1": "x", "m": 1},
            [("/n1", "'x' is not of type"), ("/m", "'m' is not a property here")],
        ),
        (
            {"additionalProperties": {"type": "integer"}, "properties": {"a": True}},
            {"a": "x", "b": "x"},
            [("/b", "'x' is not of type 'integer'")],
        ),
        (
            {"prefixItems": [{"type": "integer"}], "items": {"type": "string"}},
            ["x", 1],
            [("/0", "'x' is not of type 'integer'"), ("/1", "1 is not of type 'string'")],
        ),
        (
            {"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": {"required": ["c"]}},
            {"a": 1},
            [("", "'b' is a required property")],
        ),
        (
            {"if": {"required": ["a"]}, "else": {"required": ["c"]}},
            {},
            [("", "'c' is a required property")],
        ),
        ({"dependentSchemas": {"a": {"required": ["b"]}}}, {"a": 1}, [("", "'b' is a required")]),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, [("", "'b' is a dependency of 'a'")]),
        (
            {"allOf": [{"minimum": 3}, {"multipleOf": 2}]},
            1,
            [("", "1 is less"), ("", "1 is not a")],
        ),
        (
            {"properties": {"a": {}}, "unevaluatedProperties": False},
            {"b": 1},
            [("", "the input does not fit the schema")],
        ),
        ({"const": {"a": [1]}}, {"a": [2]}, [("", "{'a': [1]} was expected")]),
        ({"maxItems": 1}, [1, 2], [("", "an array of 2 items is too long")]),
        ({"a~b/c": 1, "properties": {"a~/": {"type": "null"}}}, {"a~/": 1}, [("/a~0~1", "1 is")]),
    ],
)
def test_every_keyword_is_worded(
    schema: Any, instance: object, expected: list[tuple[str, str]]
) -> None:
    whole = {"properties": {"it": schema}}
    found = problems(whole, {"it": instance})
    assert [path for path, _ in found] == [
        path if message.startswith("the input") else f"/it{path}" for path, message in expected
    ]
    for (_, message), (_, words) in zip(found, expected, strict=True):
        assert message.startswith(words)


def test_there_are_at_most_twenty_problems_of_at_most_300_characters() -> None:
    schema = {"items": {"enum": [f"option-{i}" for i in range(400)]}}
    found = InputValidator(schema).errors([f"{i}" * 9_999 for i in range(50)])
    assert len(found) == 20
    assert all(len(problem.message) <= 300 for problem in found)


def test_messages_do_not_echo_large_values() -> None:
    schema = {"properties": {"a": {"type": "integer"}, "b": {"maximum": 1}}}
    found = problems(schema, {"a": "x" * 100_000, "b": 10**300})
    assert found == [
        ("/a", "'" + "x" * 59 + "…' is not of type 'integer'"),
        ("/b", "an integer of 997 bits is greater than the maximum of 1"),
    ]


def test_the_last_of_many_items_is_found() -> None:
    schema = {"items": {"type": "object", "properties": {"a": {"type": "integer"}}}}
    items: list[Schema] = [{"a": 1}] * 9_999
    assert problems(schema, [*items, {"a": "x"}]) == [("/9999/a", "'x' is not of type 'integer'")]


# --- inputs ----------------------------------------------------------------------------------


def nested(depth: int) -> Schema:
    value: Schema = {}
    for _ in range(depth):
        value = {"in": value}
    return value


@pytest.mark.parametrize(
    ("instance", "path", "words"),
    [
        ({"a": [1, float("nan")]}, "/a/1", "nan is not a JSON number"),
        ({"a": float("inf")}, "/a", "inf is not a JSON number"),
        ({"a": 10**5000}, "/a", "integers have at most 1023 bits"),
        ({"a": -(2**1023)}, "/a", "integers have at most 1023 bits"),
        ({"a": "\ud800"}, "/a", "the text holds a lone surrogate"),
        ({"\ud800": 1}, "", "a property name holds a lone surrogate"),
        ({1: 1}, "", "property names are strings, not int"),
        ({"a": {1, 2}}, "/a", "a set is not a JSON value"),
        ({"a": (1, 2)}, "/a", "a tuple is not a JSON value"),
        ([0] * 50_000, "", "the input holds more than 50000 values"),
        ({"a": "x" * (2**20 + 1)}, "", "the input holds more than 1048576 characters"),
        (nested(63), None, ""),
        (nested(64), "/in" * 64, "the input is nested deeper than 64 levels"),
    ],
)
def test_what_is_no_json_or_too_big_is_refused_unseen(
    instance: object, path: str | None, words: str
) -> None:
    expected = [] if path is None else [Problem(path, words)]
    assert InputValidator({}).errors(instance) == expected


def test_an_input_of_any_depth_is_refused_without_recursion() -> None:
    found = InputValidator({}).errors(nested(10 * sys.getrecursionlimit()))
    assert [problem.message for problem in found] == ["the input is nested deeper than 64 levels"]


# --- cost ------------------------------------------------------------------------------------

BITS = "".join(random.Random(1).choices("01", k=2**20))
TREE: Schema = {
    "$defs": {"t": {"anyOf": [{"properties": {"in": {"$ref": "#/$defs/t"}}, "required": [k]}
                              for k in ("a", "b")]}},
    "properties": {"in": {"$ref": "#/$defs/t"}},
}  # fmt: skip

HOSTILE: dict[str, tuple[Schema, object]] = {
    "a regex that backtracks": ({"pattern": "^(a+)+$"}, "a" * 1_000_000 + "!"),
    "a regex that fills the cache": ({"pattern": "[01]*1[01]{14}x"}, BITS[:235_000]),
    "a long text for a large regex": ({"pattern": "[01]*1[01]{300}x"}, BITS),
    "many texts for a large regex": (
        {"items": {"pattern": "[01]*1[01]{300}x"}},
        [BITS[i : i + 500] for i in range(0, 2**20, 500)],
    ),
    "long names": ({"patternProperties": {"[01]*1[01]{14}x": {}}}, {BITS: 1}),
    "many names": (
        {"patternProperties": {"^(a|b)+$": {"type": "null"}}, "additionalProperties": False},
        {f"k{i}": 1 for i in range(24_000)},
    ),
    "alternatives that multiply": (
        ladder(7, lambda ref: {"anyOf": [ref, {"allOf": [ref]}]}),
        "x",
    ),
    "alternatives for many items": (
        {"items": {"anyOf": [{"type": "null"}, {"const": 1}, {"const": 2}]}},
        [3] * 40_000,
    ),
    "alternatives at every depth": (TREE, nested(60)),
    "equal items": ({"uniqueItems": True}, [{"a": i % 1_999} for i in range(2_000)]),
    "many equal items": ({"uniqueItems": True}, [{"a": i % 15_999} for i in range(16_000)]),
    "nothing but faults": ({"items": {"required": ["a"]}}, [{"b": 1}] * 16_000),
    "a long enum": ({"items": {"enum": [f"v{i}" for i in range(4_000)]}}, ["x"] * 40_000),
    "one giant text": ({"type": "integer"}, "x" * 1_000_000),
    "too many values": ({"type": "integer"}, [0] * 1_000_000),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_input_holds_up_the_loop_for_less_than_100_ms(case: str) -> None:
    schema, instance = HOSTILE[case]
    validator = InputValidator(schema)
    assert 1 <= len(validator.errors(instance)) <= 20
    assert cpu_ms(lambda: validator.errors(instance)) < 100


@pytest.mark.parametrize(
    "schema",
    [
        ladder(18, lambda ref: {"anyOf": [ref, ref]}),
        ladder(200, lambda ref: {"unevaluatedProperties": False, "anyOf": [ref, ref]}),
        {"allOf": [{"$ref": "#/$defs/a"}] * 490, "$defs": {"a": {"pattern": "a{4000}"}}},
        {"anyOf": [{"pattern": f"(.{{0,50}}){{0,{i}}}"} for i in range(90)]},
        {"properties": {f"p{i}": {"$ref": "#"} for i in range(490)}},
        {
            "anyOf": [
                {"pattern": (c * 2_000)[:2_000]} for c in ("[", "(", "{1", r"\p{", r"\u{", "\\[")
            ]
        },
        {"anyOf": [{"pattern": f"\\p{{L}}{{{i}}}"} for i in range(90)]},
        {"pattern": r"\S{0,3900}"},
        {"enum": list(range(10_000))},
    ],
)
def test_a_hostile_schema_holds_up_the_loop_for_less_than_100_ms(schema: Schema) -> None:
    def register() -> None:
        try:
            InputValidator(schema)
        except ToolLoadError:
            return

    assert cpu_ms(register) < 100


def test_an_ordinary_input_is_judged_in_microseconds() -> None:
    validator = InputValidator(ORDER)
    order = {"sku": "AB-1", "count": 2, "tags": ["a", "b"]}
    assert cpu_ms(lambda: [validator.errors(order) for _ in range(100)]) < 50


@pytest.mark.parametrize(
    ("pattern", "atoms"),
    [
        ("", 1),
        ("^[a-z]{2}$", 2),
        ("(ab{3})+c?", 5),
        ("(?:a|b){10}", 20),
        (r"\d{3,}\p{L}[^\]x]", 45),
        ("((a{3}){3}){3}", 27),
        ("a{0}b", 2),
        ("a)b(", 2),
    ],
)
def test_the_atoms_of_a_pattern_are_counted_with_repetitions_written_out(
    pattern: str, atoms: int
) -> None:
    assert count_atoms(pattern) == atoms


def test_the_weight_of_a_schema_counts_what_is_tried_for_one_value() -> None:
    def weight(schema: Schema) -> int:
        return weigh(read_schema(schema))

    assert weight({}) == 1
    assert weight({"anyOf": [{}, {}]}) == 3
    assert weight({"properties": {"a": {}, "b": {"anyOf": [{}, {}]}}}) == 4
    assert weight({"properties": {"a": {"$ref": "#"}}}) == 6
    assert weight({"enum": list(range(160))}) == 11
    with pytest.raises(SchemaError, match="lead back"):
        weight({"$ref": "#"})


# --- property: the same verdicts as jsonschema -------------------------------------------------

leaves = st.sampled_from(
    [
        *({"type": kind} for kind in ("integer", "string", "object", "array", "null")),
        {"const": 1}, {"enum": ["a", 1, None]}, {"minimum": 1}, {"maxLength": 1},
        {"pattern": "^a*$"}, {"required": ["a"]}, {"minItems": 1}, {"uniqueItems": True},
        {}, True, False,
    ]
)  # fmt: skip
schemas = st.recursive(
    leaves,
    lambda inner: (
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=2)})
        | st.fixed_dictionaries({"oneOf": st.lists(inner, min_size=1, max_size=2)})
        | st.fixed_dictionaries({"allOf": st.lists(inner, min_size=1, max_size=2), "not": inner})
        | st.fixed_dictionaries({"if": inner, "then": inner, "else": inner})
        | st.fixed_dictionaries({"prefixItems": st.lists(inner, min_size=1), "items": inner})
        | st.fixed_dictionaries({"contains": inner}, optional={"minContains": st.just(0)})
        | st.fixed_dictionaries(
            {
                "properties": st.dictionaries(st.sampled_from("ab"), inner),
                "additionalProperties": inner,
            },
            optional={
                "patternProperties": st.dictionaries(st.sampled_from(["a", "^b"]), inner),
                "propertyNames": inner,
                "dependentSchemas": st.fixed_dictionaries({"a": inner}),
            },
        )
    ),
    max_leaves=6,
)
instances = st.recursive(
    st.sampled_from([0, 1, 2.0, True, None, "", "a", "aa", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=5,
)


@given(schema=schemas, instance=instances)
def test_verdicts_are_those_of_jsonschema(schema: Any, instance: object) -> None:
    whole = {"properties": {"it": schema}}
    found = InputValidator(whole).errors({"it": instance})
    assert bool(found) is not Draft202012Validator(whole).is_valid({"it": instance})
    assert len(found) <= 20
    assert all(problem.message for problem in found)
