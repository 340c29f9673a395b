"""``@tool``: what it makes of a function, and what it refuses with which words."""

import asyncio
import functools
import inspect
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from agent_server import Tool, ToolContext, tool
from agent_server.errors import ToolLoadError

ROOT = Path(__file__).parents[3]


@tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers.

    Args:
        a: The first.
        b: The second.
    """
    return a + b


@tool(
    name="Fetch-It",
    description="Fetches.",
    effects="none",
    approval="policy",
    timeout_s=3,
    cpu_s=2.5,
    memory_mb=64,
    output_kb=8,
    network=["example.org"],
    read=["data"],
    write=("out",),
    secrets=["API_KEY"],
    subprocess=True,
    parallel=False,
    strict=True,
    input_examples=[{"url": "https://example.org"}],
    defer_loading=True,
    allowed_callers=["direct"],
    eager_input_streaming=False,
    cache_control={"type": "ephemeral"},
)
def fetch(url: str, ctx: ToolContext) -> str:
    """Not this."""
    return f"{ctx.call_id} {url}"


@tool(isolation="inline")
async def tick(ctx: ToolContext | None = None) -> str:
    """Tick."""
    return "tock" if ctx is None else ctx.run_id


def context(**fields: Any) -> ToolContext:
    return ToolContext(
        **{"run_id": "r", "call_id": "c", "deadline": 0.0, "idempotency_key": "k", **fields}
    )


def declare(fn: Callable[..., object], **options: Any) -> str:
    """Declare ``fn``, as if at the top level of this file; return the refusal."""
    fn.__qualname__ = fn.__name__
    with pytest.raises(ToolLoadError) as refused:
        tool(**options)(fn)
    return refused.value.message


def test_a_tool_is_still_the_function_it_was() -> None:
    assert add(2, b=3) == 5
    assert asyncio.run(tick()) == "tock"
    assert fetch("u", context()) == "c u"


def test_a_tool_looks_like_its_function() -> None:
    assert isinstance(add, Tool)
    assert vars(add)["__name__"] == "add"
    assert vars(add)["__doc__"] == add.fn.__doc__
    assert list(inspect.signature(add).parameters) == ["a", "b"]
    assert "add" in repr(add)


def test_name_and_description_come_from_the_function() -> None:
    assert add.spec.name == "add"
    assert add.spec.description == "Add two numbers."
    assert (add.spec.module, add.spec.qualname) == (__name__, "add")
    assert add.spec.file == __file__
    assert add.spec.line == add.fn.__code__.co_firstlineno


def test_every_option_reaches_the_spec() -> None:
    spec = fetch.spec
    assert spec.name == "Fetch-It"
    assert spec.description == "Fetches."
    assert (spec.effects, spec.approval, spec.isolation) == ("none", "policy", "process")
    assert (spec.timeout_s, spec.cpu_s, spec.memory_mb, spec.output_kb) == (3, 2.5, 64, 8)
    assert (spec.network, spec.read, spec.write) == (("example.org",), ("data",), ("out",))
    assert (spec.secrets, spec.subprocess, spec.parallel) == (("API_KEY",), True, False)
    assert spec.as_param() == {
        "name": "Fetch-It",
        "description": "Fetches.",
        "input_schema": spec.input_schema,
        "allowed_callers": ["direct"],
        "cache_control": {"type": "ephemeral"},
        "defer_loading": True,
        "eager_input_streaming": False,
        "input_examples": [{"url": "https://example.org"}],
        "strict": True,
    }


def test_what_is_not_said_has_the_safe_default() -> None:
    spec = add.spec
    assert (spec.effects, spec.approval, spec.isolation) == ("once", "never", "process")
    assert (spec.network, spec.read, spec.write, spec.secrets) == ((), (), (), ())
    assert not spec.subprocess
    assert spec.param_fields == {}


def test_the_context_is_injected_and_not_in_the_schema() -> None:
    assert fetch.spec.takes_context
    assert list(fetch.spec.input_schema["properties"]) == ["url"]
    assert tick.spec.takes_context
    assert tick.spec.is_async
    assert tick.spec.input_schema["properties"] == {}
    assert not add.spec.takes_context


def test_the_version_changes_with_what_the_model_or_sandbox_sees_and_not_with_the_place() -> None:
    spec = add.spec
    assert spec.model_copy(update={"file": "x", "line": 9, "module": "y"}).version == spec.version
    for change in ({"description": "z"}, {"timeout_s": 1.0}, {"source_sha256": "0"}):
        assert spec.model_copy(update=change).version != spec.version


def test_secrets_and_the_reporter_do_not_show_in_the_contexts_repr() -> None:
    shown = repr(context(secrets={"API_KEY": "hunter2"}))
    assert "hunter2" not in shown
    assert "report" not in shown


def test_progress_goes_to_the_reporter_with_clean_text() -> None:
    seen: list[tuple[float, float | None, str | None]] = []
    ctx = context(report=lambda *values: seen.append(values))
    ctx.progress(1)
    ctx.progress(2, 4, "half\x00way\ud800")
    ctx.progress(3, message="x" * 9_999)
    assert seen[:2] == [(1, None, None), (2, 4, "half\ufffdway\ufffd")]
    assert len(seen[2][2] or "") == 500
    with pytest.raises(ValueError, match="finite"):
        ctx.progress(float("nan"))


def test_a_reporter_is_not_needed_in_unit_tests() -> None:
    context().progress(1, 2, "nobody watches")


# --- refusals --------------------------------------------------------------------------------


def test_a_refusal_names_file_line_and_function() -> None:
    def broken(x) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 (that is the test)
        ...

    line = broken.__code__.co_firstlineno
    assert declare(broken).startswith(f"{__file__}:{line}: broken: the parameter x has no annot")


def test_lambdas_and_local_functions_are_refused() -> None:
    def local(x: int) -> int:
        return x

    with pytest.raises(ToolLoadError, match="move it to the top level"):
        tool(local)
    with pytest.raises(ToolLoadError, match="a lambda has no name"):
        tool(lambda: 0)


def test_only_functions_are_taken() -> None:
    for thing in (functools.partial(add, 1), len, ToolContext):
        with pytest.raises(ToolLoadError, match="takes a function"):
            tool(thing)


def positional_only(x: int, /) -> int:
    return x


def star_args(*xs: int) -> int:
    return len(xs)


def star_kwargs(**xs: int) -> int:
    return len(xs)


def two_contexts(a: ToolContext, b: ToolContext) -> str:
    return a.run_id + b.run_id


def implicit_none(x: int = None) -> int:  # type: ignore[assignment]  # noqa: RUF013 (that is the test)
    return x


def field_default(x: int = Field(default=1)) -> int:
    return x


def no_json_form(x: Callable[[int], int]) -> int:
    return x(1)


def undefined_name(x: "Undefined") -> int:  # type: ignore[name-defined]  # noqa: F821 (that is the test)
    return int(x)


def generator(x: int) -> Iterator[int]:
    yield x


async def async_generator(x: int) -> AsyncIterator[int]:
    yield x


def wrong_docs(text: str) -> str:
    """Shout.

    Args:
        txt: The text.
    """
    return text


@pytest.mark.parametrize(
    ("fn", "words"),
    [
        (positional_only, "x is positional-only: remove the '/'"),
        (star_args, "xs is positional: name each one"),
        (star_kwargs, "xs collects any name: name each one, or give input_schema="),
        (two_contexts, "both a and b take the ToolContext"),
        (implicit_none, "add '| None'"),
        (field_default, "write x: Annotated[…, Field(…)] = default"),
        (no_json_form, "an annotation has no JSON form"),
        (undefined_name, "'Undefined' is not defined when the file is loaded"),
        (generator, "it yields: return the whole result"),
        (async_generator, "it yields: return the whole result"),
        (wrong_docs, "parameter 'txt' that the function lacks; did you mean 'text'?"),
    ],
)
def test_a_signature_that_cannot_be_called_with_json_is_refused(
    fn: Callable[..., object], words: str
) -> None:
    assert words in declare(fn)


def plain(text: str) -> str:
    return text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "no spaces"}, "the name 'no spaces' is not allowed"),
        ({"name": "x" * 65}, "at most 64 letters"),
        ({"efects": "none"}, "no option 'efects'; did you mean 'effects'?"),
        (
            {"effects": "idempotant"},
            "effects is one of none, idempotent, once, not 'idempotant'; did you mean",
        ),
        ({"approval": "maybe"}, "approval is one of never, always, policy, not 'maybe'"),
        ({"isolation": "docker"}, "isolation is one of process, inline, not 'docker'"),
        ({"isolation": "inline"}, "write 'async def'"),
        ({"timeout_s": 0}, "timeout_s: input should be greater than 0, not 0"),
        ({"memory_mb": 1}, "memory_mb: input should be greater than or equal to 16, not 1"),
        ({"secrets": "API_KEY"}, "secrets: "),
        ({"secrets": ["API KEY"]}, "such as API_KEY, not 'API KEY'"),
        ({"network": True}, "network: "),
        ({"strict": "very"}, "strict: "),
        ({"input_schema": {"type": "array"}}, 'needs "type": "object"'),
        ({"input_schema": {"type": "object", "properties": {"b": {}}}}, "a property 'b' that"),
        ({"input_schema": {"type": "object", "properties": {"text": {}}}}, "does not require"),
        (
            {"input_schema": {"type": "object", "required": ["text"], "requird": []}},
            "'requird' is not a keyword; did you mean 'required'?",
        ),
    ],
)
def test_an_option_that_cannot_be_is_refused(options: dict[str, Any], words: str) -> None:
    assert words in declare(plain, **options)


def test_a_given_schema_is_used_as_it_is() -> None:
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    assert tool(input_schema=schema)(plain).spec.input_schema == schema


def test_a_given_schema_may_leave_names_to_a_catch_all() -> None:
    schema = {"type": "object", "properties": {"anything": {"type": "integer"}}}
    assert tool(input_schema=schema)(star_kwargs).spec.input_schema == schema


def annotated(x: Annotated[int, Field(description="Mine.")], y: int = 2) -> int:
    """Do.

    :param x: Not this.
    :param y: Theirs.
    """
    return x + y


def test_other_docstring_styles_work_and_annotated_descriptions_win() -> None:
    properties = tool(annotated).spec.input_schema["properties"]
    assert properties["x"]["description"] == "Mine."
    assert properties["y"]["description"] == "Theirs."


def test_a_tool_needs_no_docstring() -> None:
    assert tool(plain).spec.description == ""


def test_declaring_loading_and_invoking_need_no_json_schema_library() -> None:
    heavy = ["jsonschema", "jsonschema_rs", "referencing", "anthropic", "fastapi", "sqlalchemy"]
    code = (
        "import sys, agent_server, agent_server.tooling.loader, agent_server.tooling.invoke; "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert shown.stdout.strip() == "[]"
