"""Which of the given tools a text is about, and in what order to call them."""

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

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
_ENOUGH_ALONE: Final = 1.0
_NAMED: Final = 10.0
_CALCULATES: Final = 5.0
_MEANT: Final = 2.0
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


@dataclass(frozen=True, slots=True)
class _Profile:
    """The stems of a tool's words."""

    tool: DemoTool
    name: set[str]
    described: set[str]
    arguments: set[str]
    calculates: bool

    @property
    def all(self) -> set[str]:
        return self.name | self.described | self.arguments


def plan_calls(text: str, tools: list[DemoTool], *, result: str = "") -> list[list[Wish]]:
    """Plan the calls for ``text``: groups that run one after another, their calls side by side.

    ``result`` stands for "it" and "the result" in the parts that wait for an earlier one.
    """
    groups: list[list[Wish]] = []
    for part in _Matcher(tools).parts(text):
        said = _refer(part.text, result) if part.waits else part.text
        wish = Wish(part.tool.name, fill(part.tool, said))
        if part.waits or not groups or len(groups[-1]) >= _MAX_PARALLEL:
            groups.append([wish])
        elif wish not in groups[-1]:
            groups[-1].append(wish)
    return groups


def _refer(text: str, result: str) -> str:
    """Put an earlier result where the text says "it": its number into a sum, else all of it."""
    found = numbers(result)
    if found:
        summed = _BACK.sub(f"{found[-1][0]:.15g}", text)
        if arithmetic(summed):
            return summed
    return _BACK.sub(lambda _: f'"{result}"', text)


class _Matcher:
    """Knows the given tools by their words; a word that many tools share says less."""

    def __init__(self, tools: list[DemoTool]) -> None:
        self._profiles = [_profile(tool) for tool in tools]
        self._enough = _ENOUGH if len(tools) > 1 else _ENOUGH_ALONE
        self._shared = Counter(
            word for profile in self._profiles for word in profile.name | profile.described
        )

    def parts(self, text: str) -> list[_Part]:
        """Split at "and", "then" and the like, but only where both sides are about a tool."""
        parts: list[_Part] = []
        pending = ""
        for joint, clause in clauses(text):
            waits = bool(parts and (_THEN.search(joint) or _THEN.match(clause)))
            tool = self.best(_BACK.sub("1", clause) if waits else clause)
            if tool is None and parts:
                last = parts[-1]
                parts[-1] = _Part(last.tool, f"{last.text}{joint}{clause}", last.waits)
            elif tool is None:
                pending += f"{joint}{clause}"
            else:
                parts.append(_Part(tool, f"{pending}{joint if pending else ''}{clause}", waits))
                pending = ""
        whole = self.best(text) if not parts else None
        return [_Part(whole, text, waits=False)] if whole else parts

    def best(self, text: str) -> DemoTool | None:
        """Return the tool that fits best, None where none fits well enough."""
        spoken = words(text)
        # "count down" may mean countdown.
        said = stems(text) | {stem(a + b) for a, b in pairwise(spoken)}
        meant = {stem(word) for name in spoken for word in SYNONYMS.get(name, ())}
        is_sum = arithmetic(text) is not None
        best, best_score = None, self._enough
        for profile in self._profiles:
            score = sum(self._weight(word, profile) for word in said & profile.all)
            score += _NAMED * contains(text, profile.tool.name)
            score += _CALCULATES * (is_sum and profile.calculates)
            score += _MEANT * bool(meant & profile.name)
            if score > best_score or (best is None and score == best_score):
                best, best_score = profile.tool, score
        return best

    def _weight(self, word: str, profile: _Profile) -> float:
        weight = (
            3.0 * (word in profile.name)
            + 1.5 * (word in profile.arguments)
            + 1.0 * (word in profile.described)
        )
        return weight / max(1, self._shared[word])


def _profile(tool: DemoTool) -> _Profile:
    properties = tool.properties
    arguments = {word for name in properties for word in stems(name)}
    for schema in properties.values():
        values: Any = schema.get("enum")
        if isinstance(values, list):
            arguments |= stems(" ".join(map(str, values)))
    calculates = any(set(words(name)) & EXPRESSIONS for name in properties)
    return _Profile(tool, stems(tool.name), stems(tool.description), arguments, calculates)
