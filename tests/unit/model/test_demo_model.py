"""The demo model: what it makes of a user's words and the tools it is given."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_server.errors import ModelError
from agent_server.messages import JsonObject, Message, text_message, text_of, tool_uses
from agent_server.model import BlockDelta, BlockStop, MessageDelta, ModelItem, ModelRequest
from agent_server.model.demo import DemoModel
from tests.fakes.transcripts import complaint

Run = Callable[[str, JsonObject], str]
"""A tool: raises ValueError to fail."""


def param(
    name: str, description: str, /, *, required: list[str] | None = None, **props: Any
) -> JsonObject:
    return {
        "name": name,
        "description": description,
        "input_schema": {
            "type": "object",
            "properties": props,
            "required": list(props) if required is None else required,
            "additionalProperties": False,
        },
    }


STRING: JsonObject = {"type": "string"}
CALCULATOR = param("calculator", "Calculate an arithmetic expression.", expression=STRING)
CLOCK = param(
    "current_time",
    "Tell the current date and time in a city or timezone.",
    required=[],
    place={"type": "string", "default": "UTC"},
)
COUNT = param(
    "word_count",
    "Count the words of a text.",
    required=["text"],
    text=STRING,
    unique={"type": "boolean", "default": False},
)
EXPENSE = param("add_expense", "Record an expense.", expense={"$ref": "#/$defs/Expense"})
EXPENSE["input_schema"]["$defs"] = {
    "Expense": {
        "type": "object",
        "properties": {
            "amount": {"type": "number", "exclusiveMinimum": 0},
            "currency": {"$ref": "#/$defs/Currency"},
            "spent_on": {"type": "string", "format": "date"},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        },
        "required": ["amount", "currency", "spent_on"],
    },
    "Currency": {"enum": ["EUR", "USD"], "type": "string"},
}
COUNTDOWN = param(
    "countdown", "Count down slowly to zero.", start={"type": "integer", "maximum": 20}
)
EMAIL = param(
    "send_email",
    "Send an email. A person must approve it.",
    to={"type": "array", "items": {"type": "string", "format": "email"}, "minItems": 1},
    subject=STRING,
    body=STRING,
)
CHART = param(
    "bar_chart",
    "Draw a bar chart as an image.",
    values={"type": "object", "additionalProperties": {"type": "number"}, "minProperties": 1},
)
CHART["input_examples"] = [{"values": {"Mon": 3}}]
TOOLS = [CALCULATOR, CLOCK, COUNT, EXPENSE, COUNTDOWN, EMAIL, CHART]


@dataclass
class Chat:
    """What a whole exchange came to."""

    turns: list[list[JsonObject]] = field(default_factory=list)
    stops: list[str | None] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    @property
    def calls(self) -> list[list[tuple[str, JsonObject]]]:
        return [[(use["name"], use["input"]) for use in tool_uses(turn)] for turn in self.turns]

    @property
    def answer(self) -> str:
        return text_of(self.turns[-1])


async def read(request: ModelRequest) -> list[ModelItem]:
    async with asyncio.timeout(20), DemoModel(delay_ms=0).stream(request) as stream:
        return [item async for item in stream]


def works(name: str, arguments: JsonObject) -> str:
    return f"{name} worked"


async def chat(
    question: str, *, tools: list[JsonObject] | None = None, run: Run = works, **fields: Any
) -> Chat:
    """Play the loop: ask, run what is called, go on to the end, as strictly as the real API."""
    found = Chat(messages=[text_message("user", question)])
    given = TOOLS if tools is None else tools
    for _ in range(10):
        request = ModelRequest(
            **{
                "model": "demo",
                "max_tokens": 8_192,
                "messages": found.messages,
                "tools": given,
                **fields,
            }
        )
        assert complaint({"max_tokens": 1, "messages": found.messages, "tools": given}) is None
        items = await read(request)
        content = [item.block for item in items if isinstance(item, BlockStop)]
        found.turns.append(content)
        found.stops += [item.stop_reason for item in items if isinstance(item, MessageDelta)]
        if found.stops[-1] != "tool_use":
            return found
        found.messages.append({"role": "assistant", "content": content})
        results = [answer(use, run) for use in tool_uses(content)]
        found.messages.append({"role": "user", "content": results})
    pytest.fail("the demo model never came to an end")


def answer(use: JsonObject, run: Run) -> JsonObject:
    result = {"type": "tool_result", "tool_use_id": use["id"]}
    try:
        return {**result, "content": [{"type": "text", "text": run(use["name"], use["input"])}]}
    except ValueError as error:
        return {**result, "content": [{"type": "text", "text": str(error)}], "is_error": True}


async def test_two_things_asked_are_called_side_by_side_and_both_quoted() -> None:
    results = {"calculator": "397.8", "current_time": '{"time": "21:00", "weekday": "Tuesday"}'}
    found = await chat(
        "what is 17% of 2340 and what time is it in Tokyo", run=lambda name, _: results[name]
    )
    assert found.calls == [
        [("calculator", {"expression": "17 * 2340 / 100"}), ("current_time", {"place": "Tokyo"})],
        [],
    ]
    assert text_of(found.turns[0])
    assert "397.8" in found.answer
    assert "time: 21:00, weekday: Tuesday" in found.answer


@pytest.mark.parametrize(
    ("question", "calls"),
    [
        (
            "count the words of the quick brown fox",
            [("word_count", {"text": "the quick brown fox"})],
        ),
        (
            "Count the words of the quick brown fox and the lazy dog.",
            [("word_count", {"text": "the quick brown fox and the lazy dog."})],
        ),
        (
            'count the unique words in "a b; a and c"',
            [("word_count", {"text": "a b; a and c", "unique": True})],
        ),
        ("count down from 5", [("countdown", {"start": 5})]),
        ("what is 12 * (3 + 4)?", [("calculator", {"expression": "12 * (3 + 4)"})]),
        (
            "how much is 2,500 divided by 4",
            [("calculator", {"expression": "2500 / 4"})],
        ),
        ("sqrt(16) + 3 please", [("calculator", {"expression": "sqrt(16) + 3"})]),
        (
            "record an expense of 12.50 EUR on 2026-11-20",
            [
                (
                    "add_expense",
                    {"expense": {"amount": 12.5, "currency": "EUR", "spent_on": "2026-11-20"}},
                )
            ],
        ),
        (
            "send an email to bob@example.com about the launch",
            [
                (
                    "send_email",
                    {"to": ["bob@example.com"], "subject": "the launch", "body": "the launch"},
                )
            ],
        ),
        (
            "draw a bar chart of Mon 3, Tue: 4.5",
            [("bar_chart", {"values": {"Mon": 3, "Tue": 4.5}})],
        ),
        ("draw a chart", [("bar_chart", {"values": {"Mon": 3}})]),
        ("what time is it", [("current_time", {})]),
        ("use word_count: hello there", [("word_count", {"text": "hello there"})]),
    ],
)
async def test_words_choose_the_tool_and_fill_its_arguments(
    question: str, calls: list[tuple[str, JsonObject]]
) -> None:
    found = await chat(question)
    assert found.calls == [calls, []]
    assert f"{calls[0][0]} worked" in found.answer


@pytest.mark.parametrize(
    ("tool", "question", "arguments"),
    [
        (param("greet", "Greet a person.", name=STRING), "please greet Bob", {"name": "Bob"}),
        (
            param(
                "roll_dice",
                "Roll dice.",
                sides={"type": "integer", "minimum": 2},
                count={"type": "integer"},
            ),
            "roll 2 dice with 20 sides",
            {"sides": 20, "count": 2},
        ),
        (
            param(
                "convert",
                "Convert a temperature.",
                value={"type": "number"},
                to={"enum": ["C", "F"]},
            ),
            "convert 21.5 degrees to F",
            {"value": 21.5, "to": "F"},
        ),
        (
            param("add_tags", "Add tags.", tags={"type": "array", "items": STRING}),
            'add the tags "red" and "blue"',
            {"tags": ["red", "blue"]},
        ),
        (
            param(
                "deploy",
                "Deploy a service.",
                service={"type": "string", "pattern": "^[a-z]+$"},
                dry={"type": "boolean"},
            ),
            "deploy service billing",
            {"service": "billing", "dry": False},
        ),
        (
            param("fetch_page", "Fetch a web page.", url={"type": "string", "format": "uri"}),
            "fetch the page https://example.com/a?b=1.",
            {"url": "https://example.com/a?b=1"},
        ),
    ],
)
async def test_a_freshly_decorated_tool_is_called_on_the_first_try(
    tool: JsonObject, question: str, arguments: JsonObject
) -> None:
    assert (await chat(question, tools=[tool])).calls[0] == [(tool["name"], arguments)]
    assert (await chat(question, tools=[*TOOLS, tool])).calls[0] == [(tool["name"], arguments)]


async def test_then_waits_for_the_result_and_works_on_with_it() -> None:
    results = iter(["84", "94"])
    found = await chat("what is 12 * 7, then add 10 to it", run=lambda *_: next(results))
    assert found.calls == [
        [("calculator", {"expression": "12 * 7"})],
        [("calculator", {"expression": "10 + 84"})],
        [],
    ]
    assert "94" in found.answer


async def test_a_failed_call_is_mended_once_with_an_apology() -> None:
    def run(name: str, arguments: JsonObject) -> str:
        if "0" in arguments["expression"]:
            message = "division by zero"
            raise ValueError(message)
        return "42"

    found = await chat("show me an error", run=run)
    assert found.calls[0] == [("calculator", {"expression": "1 / 0"})]
    assert found.calls[1] == [("calculator", {"expression": "6 * 7"})]
    assert "sorry" in text_of(found.turns[1])
    assert "division by zero" in text_of(found.turns[1])
    assert "42" in found.answer


@pytest.mark.parametrize(
    "question", ["/demo error", "what is 2 + 2 and what time is it", "/demo parallel"]
)
async def test_a_tool_that_always_fails_is_not_tried_for_ever(question: str) -> None:
    def run(name: str, arguments: JsonObject) -> str:
        message = "out of order"
        raise ValueError(message)

    found = await chat(question, run=run)
    assert len(found.turns) <= 3
    assert "out of order" in found.answer


async def test_a_denied_call_is_not_tried_again() -> None:
    def run(name: str, arguments: JsonObject) -> str:
        message = "The call was denied."
        raise ValueError(message)

    found = await chat("/demo approval", run=run)
    assert [len(calls) for calls in found.calls] == [1, 0]
    assert "denied" in found.answer


async def test_asked_what_it_can_do_it_lists_the_given_tools() -> None:
    answer = (await chat("what can you do")).answer
    assert all(f"`{tool['name']}`" in answer for tool in TOOLS)
    assert "demo model" in answer
    assert "no tools" in (await chat("what can you do?", tools=[])).answer


@pytest.mark.parametrize(
    "question", ["hello", "what is the capital of France?", "tell me a joke", ""]
)
async def test_what_no_tool_is_for_is_just_answered(question: str) -> None:
    for tools in (TOOLS, []):
        found = await chat(question or " ", tools=tools)
        assert found.stops == ["end_turn"]
        assert "demo model" in found.answer


async def test_it_remembers_what_was_said_before() -> None:
    history = [
        text_message("user", "my name is Ada"),
        text_message("assistant", "Hello Ada."),
        text_message("user", "what did I say before?"),
    ]
    items = await read(ModelRequest("demo", 500, history))
    assert any(isinstance(i, BlockStop) and "my name is Ada" in i.block["text"] for i in items)


@pytest.mark.parametrize(
    ("command", "stop"),
    [
        ("/demo long", "end_turn"),
        ("/demo refusal", "refusal"),
        ("/demo max_tokens", "max_tokens"),
        ("/demo", "end_turn"),
        ("/demo nonsense", "end_turn"),
    ],
)
async def test_commands_end_as_they_say(command: str, stop: str) -> None:
    assert (await chat(command)).stops == [stop]


async def test_demo_parallel_calls_several_tools_at_once() -> None:
    found = await chat("/demo parallel")
    assert len(found.calls[0]) == 3
    assert len({name for name, _ in found.calls[0]}) == 3
    assert len((await chat("/demo parallel", tools=[COUNT])).calls[0]) == 2


async def test_demo_slow_and_approval_find_a_fitting_tool() -> None:
    assert (await chat("/demo slow")).calls[0] == [("countdown", {"start": 3})]
    assert (await chat("/demo approval")).calls[0][0][0] == "send_email"
    assert (await chat("/demo approval", tools=[COUNT])).stops == ["end_turn"]
    assert (await chat("/demo slow", tools=[])).stops == ["end_turn"]


async def test_demo_thinking_thinks_first_and_so_does_the_thinking_parameter() -> None:
    found = await chat("/demo thinking")
    assert [block["type"] for block in found.turns[0]] == ["thinking", "text"]
    assert found.turns[0][0]["signature"]
    asked = await chat("what is 2 + 2", params={"thinking": {"type": "adaptive"}})
    assert [turn[0]["type"] for turn in asked.turns] == ["thinking", "thinking"]


async def test_demo_overloaded_fails_like_the_provider() -> None:
    for command in ("/demo overloaded", "/demo overloaded midway"):
        with pytest.raises(ModelError) as caught:
            await chat(command)
        assert (caught.value.code, caught.value.retryable) == ("upstream_overloaded", True)


async def test_max_tokens_cuts_text_and_calls_as_the_provider_does() -> None:
    for limit in range(1, 40):
        found = await chat("what is 17% of 2340", max_tokens=limit)
        if found.stops[-1] == "max_tokens":
            assert not tool_uses(found.turns[0]) or len(found.turns) > 1
    assert (await chat("what is 17% of 2340", max_tokens=100)).stops == ["tool_use", "end_turn"]


async def test_a_tool_choice_is_obeyed() -> None:
    none = await chat("what is 2 + 2", params={"tool_choice": {"type": "none"}})
    assert none.calls == [[]]
    forced = await chat("hi", params={"tool_choice": {"type": "tool", "name": "word_count"}})
    assert forced.calls[0][0][0] == "word_count"
    assert (await chat("hi", params={"tool_choice": {"type": "any"}})).calls[0]


async def test_a_tool_input_streams_in_several_deltas() -> None:
    request = ModelRequest("demo", 500, [text_message("user", "what is 17% of 2340")], tools=TOOLS)
    deltas = [
        item.delta["partial_json"]
        for item in await read(request)
        if isinstance(item, BlockDelta) and "partial_json" in item.delta
    ]
    assert len([piece for piece in deltas if piece]) >= 3
    assert json.loads("".join(deltas)) == {"expression": "17 * 2340 / 100"}


async def test_the_same_request_gives_the_same_bytes_and_another_gives_other_ids() -> None:
    async def raw(question: str) -> bytes:
        request = ModelRequest("demo", 500, [text_message("user", question)], tools=TOOLS)
        async with DemoModel(delay_ms=0).stream(request) as stream:
            _ = [item async for item in stream]
            return stream.raw

    assert await raw("what is 2 + 2") == await raw("what is 2 + 2")
    first, second = await chat("what is 2 + 2"), await chat("what is 3 + 3")
    assert tool_uses(first.turns[0])[0]["id"] != tool_uses(second.turns[0])[0]["id"]


async def test_call_ids_are_unique_within_a_run() -> None:
    found = await chat("what is 12 * 7, then add 10 to it", run=lambda *_: "84")
    ids = [use["id"] for turn in found.turns for use in tool_uses(turn)]
    assert len(ids) == len(set(ids)) == 2


SCHEMAS = st.recursive(
    st.sampled_from(
        [
            {},
            {"type": "string"},
            {"type": "string", "format": "date"},
            {"type": "string", "pattern": "^x@y$", "maxLength": 3},
            {"type": ["integer", "null"], "minimum": 4},
            {"type": "number", "exclusiveMaximum": -2},
            {"type": "boolean"},
            {"type": "null"},
            {"const": 7},
            {"enum": []},
            {"enum": [1, None, "word"]},
            {"$ref": "#/$defs/self"},
            {"$ref": "nowhere"},
            True,
        ]
    ),
    lambda inner: st.one_of(
        st.builds(lambda item: {"type": "array", "items": item, "minItems": 2}, inner),
        st.builds(
            lambda props: {"type": "object", "properties": props, "required": list(props)},
            st.dictionaries(
                st.sampled_from(["text", "count", "city", "expression"]), inner, max_size=3
            ),
        ),
        st.builds(lambda options: {"anyOf": options}, st.lists(inner, max_size=2)),
        st.builds(lambda parts: {"allOf": parts}, st.lists(inner, max_size=2)),
    ),
    max_leaves=6,
)
QUESTIONS = st.one_of(
    st.text(max_size=60),
    st.lists(
        st.sampled_from(
            [
                "tool",
                "and",
                "then",
                "count",
                "12",
                "*",
                "(",
                "7",
                '"',
                "it",
                "in Tokyo",
                ":",
                "/demo error",
            ]
        ),
        max_size=12,
    ).map(" ".join),
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(question=QUESTIONS, schema=SCHEMAS)
async def test_no_schema_and_no_text_brings_it_down(question: str, schema: Any) -> None:
    properties = {"value": schema, "self": {"$ref": "#"}}
    tool = param("tool", "Count the words of a city.", required=["value"], **properties)
    tool["input_schema"]["$defs"] = {"self": {"$ref": "#/$defs/self"}}
    messages = [text_message("user", f"tool {question}")]
    items = await read(ModelRequest("demo", 4_096, messages, tools=[tool]))
    assert all(item.input_error is None for item in items if isinstance(item, BlockStop))
