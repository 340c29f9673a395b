"""Which of the given tools a text is about, and in what order to call them."""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from agent_server.messages import JsonObject
from agent_server.model.demo_fill import fill
from agent_server.model.demo_reply import Wish
from agent_server.model.demo_sample import EXPRESSIONS
from agent_server.model.demo_schema import DemoTool
from agent_server.model.demo_words import (
    SYNONYMS,
    arithmetic,
    clauses,
    contains,
    numbers,
    stem,
    stems,
    words,
)

_ENOUGH: Final = 1.6
_NAMED: Final = 10.0
_CALCULATES: Final = 5.0
_MAX_PARALLEL: Final = 4
_THEN: Final = re.compile(r"\b(?:then|after\s+that|afterwards)\b", re.IGNORECASE)
_BACK: Final = re.compile(
    r"\b(?:it|that|this|the\s+(?:result|answer|output|outcome))\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of the text and the tool it is about. ``waits``: for the result before it."""

    tool: DemoTool
    text: str
    waits: bool


def plan_calls(text: str, tools: list[DemoTool], *, result: str = "") -> list[list[Wish]]:
    """Plan the calls for ``text``: groups that run one after another, their calls side by side.

    ``result`` stands for "it" and "the result" in the parts that wait for an earlier one.
    """
    groups: list[list[Wish]] = []
    for part in _parts(text, tools):
        said = _refer(part.text, result) if part.waits else part.text
        wish = Wish(part.tool.name, fill(part.tool, said))
        if part.waits or not groups or len(groups[-1]) >= _MAX_PARALLEL:
            groups.append([wish])
        elif wish not in groups[-1]:
            groups[-1].append(wish)
    return groups


def best_tool(text: str, tools: list[DemoTool]) -> DemoTool | None:
    """Return the tool that fits ``text`` best, None where none fits well enough."""
    if not tools:
        return None
    scores = [(_score(text, tool, tools), tool) for tool in tools]
    score, tool = max(scores, key=lambda scored: scored[0])
    return tool if score >= (_ENOUGH if len(tools) > 1 else 1.0) else None


def _refer(text: str, result: str) -> str:
    """Put an earlier result where the text says "it": its number into a sum, else all of it."""
    found = numbers(result)
    if found:
        summed = _BACK.sub(f"{found[-1][0]:g}", text)
        if arithmetic(summed):
            return summed
    return _BACK.sub(lambda _: f'"{result}"', text)


def _parts(text: str, tools: list[DemoTool]) -> list[_Part]:
    """Split at "and", "then" and the like, but only where both sides are about a tool."""
    parts: list[_Part] = []
    pending = ""
    for joint, clause in clauses(text):
        waits = bool(parts and (_THEN.search(joint) or _THEN.match(clause)))
        tool = best_tool(_BACK.sub("1", clause) if waits else clause, tools)
        if tool is None and parts:
            last = parts[-1]
            parts[-1] = _Part(last.tool, f"{last.text}{joint}{clause}", last.waits)
        elif tool is None:
            pending += f"{joint}{clause}"
        else:
            parts.append(_Part(tool, f"{pending}{joint if pending else ''}{clause}", waits))
            pending = ""
    whole = best_tool(text, tools) if not parts else None
    return [_Part(whole, text, waits=False)] if whole else parts


def _score(text: str, tool: DemoTool, tools: list[DemoTool]) -> float:
    """How much the words of ``text`` are about ``tool``; words of many tools count less."""
    score = _NAMED if contains(text, tool.name) else 0.0
    if arithmetic(text) and _calculates(tool):
        score += _CALCULATES
    spoken_words = words(text)
    # "count down" may mean countdown.
    said = stems(text) | {stem(a + b) for a, b in pairwise(spoken_words)}
    meant = {stem(word) for spoken in spoken_words for word in SYNONYMS.get(spoken, ())}
    name, described = stems(tool.name), stems(tool.description)
    arguments = _argument_stems(tool)
    for word in said:
        weight = 3.0 * (word in name) + 1.5 * (word in arguments) + 1.0 * (word in described)
        shared = sum(word in stems(f"{other.name} {other.description}") for other in tools)
        score += weight / max(1, shared)
    return score + 2.0 * bool(meant & name)


def _calculates(tool: DemoTool) -> bool:
    return bool({word for name in tool.properties for word in words(name)} & EXPRESSIONS)


def _argument_stems(tool: DemoTool) -> set[str]:
    found: set[str] = set()
    for name, schema in tool.properties.items():
        found |= stems(name) | _enum_stems(schema)
    return found


def _enum_stems(schema: JsonObject) -> set[str]:
    values: Any = schema.get("enum")
    return stems(" ".join(map(str, values))) if isinstance(values, list) else set()
