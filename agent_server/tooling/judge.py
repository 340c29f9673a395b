"""The judge: says whether a value fits a schema, in time linear in what it reads.

It is jsonschema-rs with its linear-time regex engine. Nothing is ever fetched.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import jsonschema_rs
from jsonschema_rs import Draft202012Validator

from agent_server.messages import JsonObject
from agent_server.tooling.patterns import (
    MATCH_BUDGET,
    MAX_ATOMS,
    REGEX_OPTIONS,
    Matcher,
    count_atoms,
)
from agent_server.tooling.subschemas import SchemaError

if TYPE_CHECKING:
    from jsonschema_rs import KeywordValidator  # the stubs name it, the module does not

__all__ = ["Judge"]

_DOCUMENT: Final = "urn:agent-server:schema"


class Judge:
    """One schema, compiled; its parts are compiled when they are first asked for.

    Not for several threads at once: what matching has cost is counted in the object.
    """

    def __init__(self, schema: JsonObject, patterns: Iterable[str]) -> None:
        """Compile ``schema``, whose subschemas use ``patterns``.

        Raises:
            SchemaError: the schema does not compile.
        """
        patterns = list(patterns)
        if sum(map(count_atoms, patterns)) > MAX_ATOMS:
            raise SchemaError(
                "its patterns repeat too much: with all repetitions written out they have more "
                f"than {MAX_ATOMS} atoms"
            )
        self.matchers = {pattern: Matcher(pattern) for pattern in patterns}
        self._registry = jsonschema_rs.Registry([(_DOCUMENT, schema)])
        self._parts: dict[str, Draft202012Validator] = {}
        self._keyword = _keyword_on(self)
        self._unique = Draft202012Validator({"uniqueItems": True})
        self._budget = MATCH_BUDGET
        try:
            self.accepts("", None)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
            reason = str(error).partition("\n")[0]
            raise SchemaError(f"it does not compile: {reason}") from error

    def refill(self) -> None:
        """Begin another verdict, with the whole budget for matching."""
        self._budget = MATCH_BUDGET

    def accepts(self, pointer: str, instance: object) -> bool:
        """Whether ``instance`` fits the subschema at ``pointer``."""
        part = self._parts.get(pointer)
        if part is None:
            part = self._parts[pointer] = self._compile(pointer)
        return part.is_valid(instance)

    def matches(self, pattern: str, text: str) -> bool | None:
        """Whether ``pattern`` is found in ``text``; None where the budget forbids to look."""
        matcher = self.matchers[pattern]
        cost = len(text) * matcher.atoms
        if cost > self._budget:
            return None
        self._budget -= cost
        return matcher.matches(text)

    def has_unique_items(self, instance: list[Any]) -> bool:
        """Whether no two items are equal."""
        return self._unique.is_valid(instance)

    def _compile(self, pointer: str) -> Draft202012Validator:
        return Draft202012Validator(
            {"$ref": f"{_DOCUMENT}#{quote(pointer)}"},
            registry=self._registry,
            pattern_options=REGEX_OPTIONS,
            keywords={"pattern": self._keyword},
            offline=True,
        )


def _keyword_on(judge: Judge) -> "type[KeywordValidator]":
    """Make ``pattern`` for jsonschema-rs, on the judge's budget."""

    class BudgetedPattern:
        def __init__(self, _parent: JsonObject, value: Any, _path: list[str | int]) -> None:
            self._pattern: str = value

        def validate(self, instance: Any) -> None:
            """Raise where text does not match: that is the library's protocol."""
            if isinstance(instance, str) and not judge.matches(self._pattern, instance):
                raise ValueError(self._pattern)

    return BudgetedPattern
