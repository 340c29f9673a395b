"""A look over a JSON value before it is judged: bounded, and refusing what is not JSON."""

import math
from dataclasses import dataclass
from typing import Any, Final

from agent_server.tooling.problems import Problem
from agent_server.tooling.text import json_pointer

__all__ = ["Survey", "survey"]

MAX_CHARS: Final = 1024 * 1024
MAX_VALUES: Final = 50_000
MAX_DEPTH: Final = 64
MAX_INTEGER_BITS: Final = 1023
"""Larger integers are no IEEE double, and the judge takes the largest for infinity."""

_CONTAINERS: Final = (dict, list)

_Path = tuple[Any, str | int] | None
"""A path as a linked list, its last part first: (the rest, part)."""


@dataclass(slots=True)
class Survey:
    """How big a value is: the values in it (names included), and its characters."""

    values: int = 0
    chars: int = 0
    name_chars: int = 0


def survey(instance: object) -> Survey | Problem:
    """Measure ``instance``, or say why it is refused unseen."""
    tally = Survey()
    level: list[tuple[Any, _Path]] = [(instance, None)]
    for _ in range(MAX_DEPTH):
        below = _look_over(level, tally)
        if isinstance(below, Problem):
            return below
        if tally.chars + tally.name_chars > MAX_CHARS:
            return Problem("", f"the input holds more than {MAX_CHARS} characters")
        if not below:
            return tally
        level = below
    return _problem(level[0][1], f"the input is nested deeper than {MAX_DEPTH} levels")


def _look_over(level: list[tuple[Any, _Path]], tally: Survey) -> list[tuple[Any, _Path]] | Problem:
    """Measure the values of one depth; return those below them."""
    tally.values += len(level)
    below: list[tuple[Any, _Path]] = []
    for value, path in level:
        kind = type(value)
        fault: str | None = None
        if kind in _CONTAINERS and tally.values + len(below) + len(value) > MAX_VALUES:
            return Problem("", f"the input holds more than {MAX_VALUES} values")
        if kind is dict:
            fault = _fault_of_names(value)
            tally.values += len(value)
            tally.name_chars += 0 if fault else sum(map(len, value))
            below += [(item, (path, name)) for name, item in value.items()]
        elif kind is list:
            below += [(item, (path, index)) for index, item in enumerate(value)]
        elif kind is str:
            fault = None if value.isascii() else _fault_of(value)
            tally.chars += len(value)
        else:
            fault = _fault_of(value)
        if fault:
            return _problem(path, fault)
    return below


def _fault_of(value: object) -> str | None:
    """Say what is not JSON about a plain value, or could not be sent or stored."""
    match value:
        case None | bool():
            return None
        case int() if value.bit_length() > MAX_INTEGER_BITS:
            return f"integers have at most {MAX_INTEGER_BITS} bits"
        case float() if not math.isfinite(value):
            return f"{value} is not a JSON number"
        case str() if not _is_unicode(value):
            return "the text holds a lone surrogate"
        case int() | float() | str():
            return None
    return f"a {type(value).__name__} is not a JSON value"


def _fault_of_names(value: dict[Any, Any]) -> str | None:
    for name in value:
        if not isinstance(name, str):
            return f"property names are strings, not {type(name).__name__}"
        if not name.isascii() and not _is_unicode(name):
            return "a property name holds a lone surrogate"
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _problem(path: _Path, message: str) -> Problem:
    parts: list[str | int] = []
    while path is not None:
        path, part = path
        parts.append(part)
    return Problem(json_pointer(reversed(parts)), message)
