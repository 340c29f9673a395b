"""``/demo …``: each command shows one behaviour of the server."""

import re
from collections.abc import Callable
from typing import Any, Final

from agent_server.messages import JsonObject
from agent_server.model import demo_talk
from agent_server.model.demo_fill import fill
from agent_server.model.demo_reply import Reply, Wish
from agent_server.model.demo_sample import EXPRESSIONS, PLACE_NAMES, ZONE_NAMES
from agent_server.model.demo_schema import DemoTool
from agent_server.model.demo_words import stems, words
from agent_server.model.errors import classify_status

_COMMAND: Final = re.compile(r"/demo\b\W*(\w*)")
_ERROR_WISH: Final = re.compile(
    r"\b(?:show|make|cause|give|trigger|demonstrate|see)\b.{0,40}\b(?:error|failure|fail|crash|exception)",
    re.IGNORECASE | re.DOTALL,
)
_SLOW: Final = stems("slow progress countdown wait sleep long second timer step")
_RISKY: Final = stems("approval approve delete send refund pay transfer deploy remove publish")
_MAX_PARALLEL: Final = 3
_CUT_TOKENS: Final = 40
_SLOW_PACE: Final = 8.0


def read_command(question: str) -> str | None:
    """Return the name after ``/demo``, "error" for a plain wish to see one, else None."""
    match = _COMMAND.match(question.strip())
    if match:
        return match[1].lower()
    return "error" if _ERROR_WISH.search(question) else None


def obey(command: str, question: str, tools: list[DemoTool]) -> Reply:
    """Answer a command as it is first given; what follows its calls is the planner's."""
    act = _ACTS.get(command)
    if act is None:
        return Reply(f"{demo_talk.WHO} {demo_talk.list_commands()}")
    return act(question, tools)


def failing_wish(tools: list[DemoTool]) -> Wish | None:
    """Return a call that is bound to fail: on a sound tool, with an input it cannot take."""
    if not tools:
        return None
    return max((_break(tool) for tool in tools), key=lambda scored: scored[0])[1]


def _break(tool: DemoTool) -> tuple[int, Wish]:
    """Spoil a tool's input, and say how good a show that makes (3 and 4: the tool fails)."""
    arguments = fill(tool, "")
    if stems(f"{tool.name} {tool.description}") & _RISKY:
        return 0, Wish(tool.name, _misfit(tool, arguments))
    for name, schema in tool.properties.items():
        parts, plain = set(words(name)), "enum" not in schema
        if parts & EXPRESSIONS and plain:
            return 4, Wish(tool.name, {**arguments, name: "1 / 0"})
        if parts & (ZONE_NAMES | PLACE_NAMES) and plain:
            return 3, Wish(tool.name, {**arguments, name: "Atlantis"})
    return 1 + bool(tool.schema.get("required")), Wish(tool.name, _misfit(tool, arguments))


def _misfit(tool: DemoTool, arguments: JsonObject) -> JsonObject:
    """Break the schema: leave out what is required, else add what nobody asked for."""
    required = tool.schema.get("required")
    if isinstance(required, list) and required:
        return {name: value for name, value in arguments.items() if name != required[0]}
    spoiled: Any = {"unexpected": ["input"]}
    return dict.fromkeys(tool.properties, spoiled) or spoiled


def _show_parallel(_: str, tools: list[DemoTool]) -> Reply:
    safe = [
        tool for tool in tools if not stems(f"{tool.name} {tool.description}") & (_RISKY | _SLOW)
    ]
    chosen = (safe or tools)[:_MAX_PARALLEL]
    if not chosen:
        return _lacking("tools")
    wishes = [Wish(tool.name, fill(tool, "")) for tool in chosen]
    wishes = wishes * 2 if len(wishes) == 1 else wishes
    return Reply(demo_talk.announce(wishes), wishes)


def _show_error(_: str, tools: list[DemoTool]) -> Reply:
    wish = failing_wish(tools)
    if wish is None:
        return _lacking("tools")
    return Reply(f"Let me call `{wish.tool}` in a way that should fail.", [wish])


def _show_tool_like(traits: set[str], kind: str) -> Callable[[str, list[DemoTool]], Reply]:
    def show(_: str, tools: list[DemoTool]) -> Reply:
        ranked = [(len(stems(f"{tool.name} {tool.description}") & traits), tool) for tool in tools]
        count, tool = max(ranked, key=lambda scored: scored[0], default=(0, None))
        if tool is None or not count:
            return _lacking(kind)
        wishes = [Wish(tool.name, fill(tool, ""))]
        return Reply(demo_talk.announce(wishes), wishes)

    return show


def _show_slow(question: str, tools: list[DemoTool]) -> Reply:
    reply = _show_tool_like(_SLOW, "slow tool")(question, tools)
    if reply.wishes:
        return reply
    return Reply(
        "No tool here is slow, so I speak slowly: one word, and one more, and done.",
        pace=_SLOW_PACE,
    )


def _show_overloaded(question: str, _: list[DemoTool]) -> Reply:
    """Fail on every attempt, as the API does: before the first byte, or after some (``midway``)."""
    if "midway" in question:
        return Reply("The provider will break off after this sentence.", breaks=True)
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded (demo)"}}
    return Reply(failure=classify_status(529, body, {}))


def _show_long(question: str, _: list[DemoTool]) -> Reply:
    return Reply(demo_talk.go_on(question))


def _show_thinking(_: str, tools: list[DemoTool]) -> Reply:
    thought = (
        "The user wants to see thinking. I have "
        f"{len(tools)} tools, and none is needed for this. I should say what this was."
    )
    return Reply(f"That was a thinking block, with a signature. {demo_talk.WHO}", thinking=thought)


def _show_refusal(_: str, __: list[DemoTool]) -> Reply:
    details = {
        "type": "refusal",
        "category": "demo",
        "explanation": "A demonstration.",
    }
    return Reply(stop_reason="refusal", stop_details=details)


def _show_cut(question: str, _: list[DemoTool]) -> Reply:
    return Reply(demo_talk.go_on(question), max_tokens=_CUT_TOKENS)


def _lacking(what: str) -> Reply:
    return Reply(f"I was given no {what} to show this with. {demo_talk.WHO}")


_ACTS: Final[dict[str, Callable[[str, list[DemoTool]], Reply]]] = {
    "parallel": _show_parallel,
    "error": _show_error,
    "slow": _show_slow,
    "long": _show_long,
    "thinking": _show_thinking,
    "refusal": _show_refusal,
    "max_tokens": _show_cut,
    "overloaded": _show_overloaded,
    "approval": _show_tool_like(_RISKY, "tool that looks as if it needed approval"),
}
