"""ToolRegistry: the tools a server offers, by name. Data only; immutable once built."""

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from agent_server.errors import InvalidRequest, NotFound, ToolLoadError
from agent_server.tooling.spec import ToolSpec
from agent_server.tooling.text import abridge, did_you_mean
from agent_server.tooling.validation import InputValidator, Problem

__all__ = ["ToolRegistry"]

_GLOB_CHARACTERS: Final = frozenset("*?[")
_SHOWN_NAME: Final = 64


class ToolRegistry(Iterable[ToolSpec]):
    """Every tool under a unique name, its input schema checked and compiled once."""

    def __init__(self, specs: Iterable[ToolSpec]) -> None:
        """Register ``specs``.

        Raises:
            ToolLoadError: two tools share a name, or an input schema or example is refused.
        """
        by_name: dict[str, ToolSpec] = {}
        for spec in specs:
            if spec.name in by_name:
                raise ToolLoadError(
                    f"two tools are named {spec.name!r}: {_place(by_name[spec.name])} and "
                    f"{_place(spec)}; rename one, or give it @tool(name=…)"
                )
            by_name[spec.name] = spec
        self._specs = dict(sorted(by_name.items()))
        self._validators = {name: _compile(spec) for name, spec in self._specs.items()}

    def __iter__(self) -> Iterator[ToolSpec]:
        """Yield the tools in the order of their names: the same for every request."""
        return iter(self._specs.values())

    def __len__(self) -> int:
        return len(self._specs)

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def get(self, name: str) -> ToolSpec:
        """Return the tool called ``name``.

        Raises:
            NotFound: there is none; the message names the nearest.
        """
        try:
            return self._specs[name]
        except KeyError:
            raise NotFound(self._unknown(name), code="tool_not_found") from None

    def validate(self, name: str, arguments: Any) -> list[Problem]:
        """Say what is wrong with ``arguments`` for a tool: nothing, or at most 20 problems.

        Raises:
            NotFound: no tool has this name.
        """
        return self._validators[self.get(name).name].errors(arguments)

    def select(self, patterns: Sequence[str]) -> list[ToolSpec]:
        """Return the tools whose names fit any of ``patterns`` (globs), in the order of names.

        Raises:
            InvalidRequest: a plain name is no tool's.
        """
        chosen: set[str] = set()
        for pattern in patterns:
            fitting = [name for name in self._specs if fnmatchcase(name, pattern)]
            if not fitting and _GLOB_CHARACTERS.isdisjoint(pattern):
                raise InvalidRequest(self._unknown(pattern), code="unknown_tool", param="tools")
            chosen.update(fitting)
        return [spec for name, spec in self._specs.items() if name in chosen]

    def _unknown(self, name: str) -> str:
        return f"no tool is named {abridge(name, _SHOWN_NAME)!r}{did_you_mean(name, self._specs)}"


def _compile(spec: ToolSpec) -> InputValidator:
    try:
        validator = InputValidator(spec.input_schema)
    except ToolLoadError as error:
        raise ToolLoadError(f"{_place(spec)}: {spec.name}: {error}") from error
    for index, example in enumerate(spec.param_fields.get("input_examples", ())):
        for problem in validator.errors(example):
            raise ToolLoadError(
                f"{_place(spec)}: {spec.name}: input_examples[{index}]{problem.path}: "
                f"{problem.message}"
            )
    return validator


def _place(spec: ToolSpec) -> str:
    place = spec.file or f"{spec.module}:{spec.qualname}"
    return f"{place}:{spec.line}" if spec.file and spec.line else place
