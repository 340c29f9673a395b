"""What the demo model answers to a request: a function of the request alone."""

import re
from dataclasses import replace
from typing import Any, Final

from agent_server.messages import JsonObject
from agent_server.model import ModelRequest, demo_talk
from agent_server.model.demo_commands import obey, read_command
from agent_server.model.demo_fill import fill
from agent_server.model.demo_match import plan_calls
from agent_server.model.demo_reply import Reply, Wish
from agent_server.model.demo_schema import DemoTool, read_tool
from agent_server.model.demo_transcript import Done, Exchange, read_exchange

_MAX_ROUNDS: Final = 6
_ASKS_WHAT: Final = re.compile(
    r"what (?:can|do) you do|(?:which|what|list|show).{0,20}\btools\b|who are you|^\W*help\W*$",
    re.IGNORECASE,
)
_FINAL_WORD: Final = re.compile(
    r"denied|approv|declined|cancel|interrupt|timed out|time limit|time-out|timeout", re.IGNORECASE
)


def plan_reply(request: ModelRequest) -> Reply:
    """Decide the next response."""
    exchange = read_exchange(request.messages)
    tools = _offered(request)
    reply = _continue(exchange, tools) if exchange.rounds else _open(exchange, tools, request)
    thinking: Any = request.params.get("thinking")
    wanted = isinstance(thinking, dict) and thinking.get("type") in {"enabled", "adaptive"}
    if wanted and not reply.thinking and reply.failure is None:
        return replace(reply, thinking=_think(reply))
    return reply


def _offered(request: ModelRequest) -> list[DemoTool]:
    """Return the tools that may be called: none where the request forbids it."""
    if _choice(request).get("type") == "none":
        return []
    read = [read_tool(param) for param in request.tools]
    return [tool for tool in read if tool is not None]


def _choice(request: ModelRequest) -> JsonObject:
    choice = request.params.get("tool_choice")
    return choice if isinstance(choice, dict) else {}


def _open(exchange: Exchange, tools: list[DemoTool], request: ModelRequest) -> Reply:
    """Answer what the user just said."""
    question = exchange.question
    command = read_command(question)
    if command is not None:
        return obey(command, question, tools)
    if _ASKS_WHAT.search(question):
        return Reply(demo_talk.introduce(tools))
    choice = _choice(request)
    groups = plan_calls(question, _chosen(choice, tools))
    if not groups and choice.get("type") in {"any", "tool"}:
        groups = [[Wish(tool.name, fill(tool, question))] for tool in _chosen(choice, tools)[:1]]
    if not groups:
        return Reply(demo_talk.chat(question, tools, exchange.earlier))
    return Reply(demo_talk.announce(groups[0]), groups[0])


def _chosen(choice: JsonObject, tools: list[DemoTool]) -> list[DemoTool]:
    if choice.get("type") != "tool":
        return tools
    return [tool for tool in tools if tool.name == choice.get("name")]


def _continue(exchange: Exchange, tools: list[DemoTool]) -> Reply:
    """Answer results: mend a failed call once, go on with what waits for them, or conclude."""
    rounds = exchange.rounds
    if len(rounds) < _MAX_ROUNDS:
        failed = [call for call in rounds[-1] if call.is_error]
        wishes = _mend(rounds, tools)
        if wishes:
            return Reply(demo_talk.apologise(failed, wishes), wishes)
        if not failed and read_command(exchange.question) is None:
            groups = plan_calls(exchange.question, tools, result=rounds[-1][-1].result)
            begun = sum(not _mend(rounds[:count], tools) for count in range(1, len(rounds) + 1))
            if begun < len(groups):
                return Reply(demo_talk.announce_next(groups[begun]), groups[begun])
    return Reply(demo_talk.conclude(rounds))


def _mend(rounds: list[list[Done]], tools: list[DemoTool]) -> list[Wish]:
    """Return another attempt for each call of the last round that failed for the first time."""
    before = {call.tool for done in rounds[:-1] for call in done if call.is_error}
    by_name = {tool.name: tool for tool in tools}
    wishes: list[Wish] = []
    for call in rounds[-1]:
        tool = by_name.get(call.tool)
        if not call.is_error or call.tool in before or tool is None:
            continue
        other = None if _FINAL_WORD.search(call.result) else _other_input(tool, call)
        if other is not None:
            wishes.append(Wish(tool.name, other))
    return wishes


def _other_input(tool: DemoTool, call: Done) -> JsonObject | None:
    """Return an input that should work, if it is another one than failed."""
    candidates = [fill(tool, ""), *tool.examples]
    return next((other for other in candidates if other != call.arguments), None)


def _think(reply: Reply) -> str:
    if reply.wishes:
        named = ", ".join(wish.tool for wish in reply.wishes)
        return f"The request is about {named}. I have what I need to call it."
    return "I have everything I need. I should answer and quote what the tools returned."
