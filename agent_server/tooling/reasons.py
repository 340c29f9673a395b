"""The search for the reasons why a value does not fit a schema.

Only what fails is followed down. jsonschema words the keywords that look at one value alone; the
judge decides all that could be expensive.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from jsonschema import Draft202012Validator

from agent_server.tooling.judge import Judge
from agent_server.tooling.shown import show, shown
from agent_server.tooling.subschemas import Subschema
from agent_server.tooling.text import did_you_mean, json_pointer

__all__ = ["BudgetSpent", "Reason", "Search"]

BUDGET: Final = 1_500_000
"""Subschemas times values that may be tried while wording one verdict."""
_STEP: Final = 500
"""What looking at one subschema costs here, in the budget's unit."""
_FEW: Final = 8
"""So many items are looked at one by one; among more, the judge finds the faulty ones first."""
_MAX_DEPTH: Final = 150
_ITEM: Final = 50
"""What asking the judge or a pattern about one item or name costs besides."""
_ALTERNATIVES: Final = 3
_NO_ALTERNATIVE: Final = "fits no alternative: "

Path = tuple[str | int, ...]
_LOCAL: Final = frozenset(
    {
        *("type", "enum", "const", "required", "dependentRequired"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
    }
)
_WORDS: Final[Mapping[str, Callable[..., Any]]] = {
    keyword: Draft202012Validator.VALIDATORS[keyword] for keyword in _LOCAL
}
_PLAIN: Final = Draft202012Validator({})
_CHOOSING: Final = frozenset({"type", "enum", "const"})
"""Keywords that tell alternatives apart."""


class BudgetSpent(Exception):  # noqa: N818 -- no fault: what was found so far is enough
    """There may be more reasons, but finding them would take too long."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: the place in the value, the keyword that says so, and the words."""

    path: Path
    keyword: str
    message: str


@dataclass(frozen=True, slots=True)
class _At:
    """A value under a subschema, with its path."""

    subschema: Subschema
    value: Any
    path: Path

    def pointer(self, keyword: str, *parts: str | int) -> str:
        """Return the pointer of a subschema under ``keyword``."""
        return f"{self.subschema.pointer}/{keyword}{json_pointer(parts)}"


class Search:
    """One search. ``work``: what judging the whole value costs, in subschemas times values."""

    def __init__(self, subschemas: Mapping[str, Subschema], judge: Judge, *, work: int) -> None:
        self._subschemas = subschemas
        self._judge = judge
        self._work = work
        self._budget = BUDGET
        self._depth = 0
        self._applicators: Mapping[str, Callable[[_At, Any], Iterator[Reason]]] = {
            "$ref": self._ref,
            "allOf": self._all_of,
            "anyOf": self._any_of,
            "oneOf": self._one_of,
            "not": self._not,
            "if": self._if,
            "dependentSchemas": self._dependent_schemas,
            "properties": self._properties,
            "patternProperties": self._pattern_properties,
            "additionalProperties": self._additional_properties,
            "propertyNames": self._property_names,
            "prefixItems": self._prefix_items,
            "items": self._items,
            "contains": self._contains,
            "uniqueItems": self._unique_items,
            "pattern": self._pattern,
        }

    def reasons(self, pointer: str, value: Any, path: Path) -> Iterator[Reason]:
        """Yield why ``value`` does not fit the subschema at ``pointer``; nothing where it does.

        Raises:
            BudgetSpent: there may be more.
        """
        self._spend(_STEP)
        if self._depth == _MAX_DEPTH:
            raise BudgetSpent
        self._depth += 1
        try:
            subschema = self._subschemas[pointer]
            if subschema.schema is False:
                yield Reason(path, "false", f"{show(value)} is not allowed here")
            elif isinstance(subschema.schema, dict):
                at = _At(subschema, value, path)
                for keyword, argument in subschema.schema.items():
                    yield from self._of_keyword(at, keyword, argument)
        finally:
            self._depth -= 1  # also where the caller has read enough

    def _of_keyword(self, at: _At, keyword: str, argument: Any) -> Iterator[Reason]:
        if keyword in _WORDS:
            word = _WORDS[keyword]
            for error in word(_PLAIN, argument, shown(at.value), at.subschema.schema):
                yield Reason(at.path, keyword, error.message)
        elif keyword in self._applicators:
            yield from self._applicators[keyword](at, argument)

    def _spend(self, cost: int) -> None:
        self._budget -= cost
        if self._budget < 0:
            raise BudgetSpent

    def _accepts(self, pointer: str, value: Any) -> bool:
        self._spend(self._work)
        return self._judge.accepts(pointer, value)

    # --- for the same value ---------------------------------------------------------------

    def _ref(self, at: _At, _argument: Any) -> Iterator[Reason]:
        return self.reasons(at.subschema.in_place[-1], at.value, at.path)

    def _all_of(self, at: _At, argument: list[Any]) -> Iterator[Reason]:
        for index in range(len(argument)):
            yield from self.reasons(at.pointer("allOf", index), at.value, at.path)

    def _any_of(self, at: _At, argument: list[Any]) -> Iterator[Reason]:
        pointers = [at.pointer("anyOf", index) for index in range(len(argument))]
        if not any(self._accepts(pointer, at.value) for pointer in pointers):
            yield from self._alternatives(at, "anyOf", pointers)

    def _one_of(self, at: _At, argument: list[Any]) -> Iterator[Reason]:
        pointers = [at.pointer("oneOf", index) for index in range(len(argument))]
        fitting = sum(self._accepts(pointer, at.value) for pointer in pointers)
        if fitting == 0:
            yield from self._alternatives(at, "oneOf", pointers)
        elif fitting > 1:
            yield Reason(
                at.path,
                "oneOf",
                f"{show(at.value)} fits {fitting} of the alternatives; it must fit exactly one",
            )

    def _alternatives(self, at: _At, keyword: str, pointers: list[str]) -> Iterator[Reason]:
        """Word the one alternative that is meant, if that can be told, else each in short."""
        tried = [
            list(islice(self.reasons(pointer, at.value, at.path), _FEW)) for pointer in pointers
        ]
        meant = [reasons for reasons in tried if not _is_another_kind(reasons, at.path)]
        if len(meant) == 1:
            yield from meant[0]
            return
        first = (reasons[0].message for reasons in tried if reasons)
        told = list(dict.fromkeys(message.removeprefix(_NO_ALTERNATIVE) for message in first))
        more = ["…"] if len(told) > _ALTERNATIVES else []
        message = _NO_ALTERNATIVE + "; or ".join(told[:_ALTERNATIVES] + more)
        yield Reason(at.path, keyword, message)

    def _not(self, at: _At, _argument: Any) -> Iterator[Reason]:
        if self._accepts(at.pointer("not"), at.value):
            yield Reason(at.path, "not", f"{show(at.value)} is what is not allowed here")

    def _if(self, at: _At, _argument: Any) -> Iterator[Reason]:
        branch = "then" if self._accepts(at.pointer("if"), at.value) else "else"
        if branch in at.subschema.schema:
            yield from self.reasons(at.pointer(branch), at.value, at.path)

    def _dependent_schemas(self, at: _At, argument: dict[str, Any]) -> Iterator[Reason]:
        for name in argument:
            if isinstance(at.value, dict) and name in at.value:
                pointer = at.pointer("dependentSchemas", name)
                yield from self.reasons(pointer, at.value, at.path)

    def _pattern(self, at: _At, argument: str) -> Iterator[Reason]:
        if not isinstance(at.value, str):
            return
        match self._judge.matches(argument, at.value):
            case False:
                yield Reason(at.path, "pattern", f"{show(at.value)} does not match {argument!r}")
            case None:
                yield Reason(
                    at.path, "pattern", f"{show(at.value)} is too long to be matched: {argument!r}"
                )

    # --- for properties -------------------------------------------------------------------

    def _properties(self, at: _At, argument: dict[str, Any]) -> Iterator[Reason]:
        if isinstance(at.value, dict):
            for name in argument:
                if name in at.value:
                    yield from self.reasons(
                        at.pointer("properties", name), at.value[name], (*at.path, name)
                    )

    def _pattern_properties(self, at: _At, argument: dict[str, Any]) -> Iterator[Reason]:
        if isinstance(at.value, dict):
            for pattern in argument:
                self._spend(len(at.value) * _ITEM)
                named = [
                    (name, value)
                    for name, value in at.value.items()
                    if self._judge.matches(pattern, name)
                ]
                yield from self._each(at.pointer("patternProperties", pattern), named, at.path)

    def _additional_properties(self, at: _At, argument: Any) -> Iterator[Reason]:
        if not isinstance(at.value, dict):
            return
        known = at.subschema.schema.get("properties", {})
        patterns = at.subschema.schema.get("patternProperties", {})
        self._spend(len(at.value) * len(patterns) * _ITEM)
        extra = [
            (name, value)
            for name, value in at.value.items()
            if name not in known and not any(self._judge.matches(p, name) for p in patterns)
        ]
        if argument is False:
            for name, _ in extra:
                hint = did_you_mean(name, known)
                yield Reason(
                    (*at.path, name),
                    "additionalProperties",
                    f"{show(name)} is not a property here{hint}",
                )
        else:
            yield from self._each(at.pointer("additionalProperties"), extra, at.path)

    def _property_names(self, at: _At, _argument: Any) -> Iterator[Reason]:
        if isinstance(at.value, dict):
            names = ((name, name) for name in at.value)
            yield from self._each(at.pointer("propertyNames"), names, at.path)

    # --- for items ------------------------------------------------------------------------

    def _prefix_items(self, at: _At, argument: list[Any]) -> Iterator[Reason]:
        if isinstance(at.value, list):
            for index, item in enumerate(at.value[: len(argument)]):
                yield from self.reasons(at.pointer("prefixItems", index), item, (*at.path, index))

    def _items(self, at: _At, _argument: Any) -> Iterator[Reason]:
        if isinstance(at.value, list):
            start = len(at.subschema.schema.get("prefixItems", []))
            items = list(enumerate(at.value))[start:]
            yield from self._each(at.pointer("items"), items, at.path)

    def _contains(self, at: _At, _argument: Any) -> Iterator[Reason]:
        if not isinstance(at.value, list):
            return
        self._spend(self._work + len(at.value) * _ITEM)
        pointer = at.pointer("contains")
        count = sum(self._judge.accepts(pointer, item) for item in at.value)
        least = at.subschema.schema.get("minContains", 1)
        most = at.subschema.schema.get("maxContains", count)
        if not least <= count <= most:
            wanted = f"at least {least}" if count < least else f"at most {most}"
            yield Reason(at.path, "contains", f"{count} items are as asked for; {wanted} must be")

    def _unique_items(self, at: _At, argument: bool) -> Iterator[Reason]:
        if argument and isinstance(at.value, list) and not self._judge.has_unique_items(at.value):
            yield Reason(at.path, "uniqueItems", f"{show(at.value)} has two equal items")

    def _each(
        self, pointer: str, values: Iterable[tuple[str | int, Any]], path: Path
    ) -> Iterator[Reason]:
        """Go through many values under one subschema, past those that fit."""
        values = list(values)
        if len(values) > _FEW:
            self._spend(self._work + len(values) * _ITEM)
            values = [pair for pair in values if not self._judge.accepts(pointer, pair[1])]
        for key, value in values:
            yield from self.reasons(pointer, value, (*path, key))


def _is_another_kind(reasons: list[Reason], path: Path) -> bool:
    """Whether an alternative is plainly not the one that is meant: wrong type or wrong tag."""
    return any(
        reason.keyword in _CHOOSING
        and (reason.path == path or (reason.keyword != "type" and reason.path[:-1] == path))
        for reason in reasons
    )
