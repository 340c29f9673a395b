"""InputValidator: a tool's input schema, checked and compiled once, then asked about inputs.

However hostile the schema or the input, a verdict takes well under 100 ms: what is too big to be
judged in that time is refused, with a problem that says so.
"""

from typing import Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from jsonschema_rs import meta

from agent_server.errors import ToolLoadError
from agent_server.messages import JsonObject
from agent_server.tooling.cost import weigh
from agent_server.tooling.judge import Judge
from agent_server.tooling.patterns import MATCH_BUDGET
from agent_server.tooling.problems import MESSAGE_CHARS, Problem
from agent_server.tooling.reasons import BudgetSpent, Reason, Search
from agent_server.tooling.subschemas import SchemaError, Subschema, read_schema
from agent_server.tooling.survey import Survey, survey
from agent_server.tooling.text import abridge, json_pointer

__all__ = ["InputValidator", "Problem"]

MAX_WORK: Final = 2_000_000
"""Subschemas times values one verdict may try: at 13 to 25 ns each."""
MAX_PROBLEMS: Final = 20


class InputValidator:
    """One input schema, compiled. Asking it changes nothing that shows, but not for two threads."""

    def __init__(self, schema: JsonObject) -> None:
        """Check and compile ``schema``.

        Raises:
            ToolLoadError: it is no JSON Schema 2020-12, refers outside itself, is out of bounds,
                misspells a keyword, or has a pattern that needs more than linear time.
        """
        try:
            self._subschemas = read_schema(schema)
            _check_metaschema(schema)
            self._weight = weigh(self._subschemas)
            patterns = dict.fromkeys(
                pattern for part in self._subschemas.values() for pattern in part.patterns()
            )
            self._judge = Judge(schema, patterns)
        except SchemaError as error:
            raise ToolLoadError(f"the input schema is refused: {error}") from error
        self._name_atoms = _name_atoms(self._subschemas, self._judge) * self._weight

    def errors(self, instance: object) -> list[Problem]:
        """Say what is wrong with ``instance``: nothing, or at most 20 problems."""
        measured = survey(instance)
        if isinstance(measured, Problem):
            return [measured]
        work = measured.values * self._weight
        if refusal := self._refuse_work(measured, work):
            return [refusal]
        self._judge.refill()
        if self._judge.accepts("", instance):
            return []
        return self._problems(instance, work)

    def _refuse_work(self, measured: Survey, work: int) -> Problem | None:
        if work > MAX_WORK:
            return Problem(
                "",
                f"the input holds {measured.values} values, too many for a schema with this many "
                f"alternatives; at most {MAX_WORK // self._weight} can be checked",
            )
        if measured.name_chars * self._name_atoms > MATCH_BUDGET:
            return Problem("", "the property names are too long to be matched")
        return None

    def _problems(self, instance: object, work: int) -> list[Problem]:
        search = Search(self._subschemas, self._judge, work=work)
        found: dict[Problem, None] = {}
        try:
            for reason in search.reasons("", instance, ()):
                found[_problem(reason)] = None
                if len(found) == MAX_PROBLEMS:
                    break
        except BudgetSpent:
            # Finding more would take too long: what was found is enough to act on.
            pass
        return list(found) or [Problem("", "the input does not fit the schema")]


def _problem(reason: Reason) -> Problem:
    return Problem(json_pointer(reason.path), abridge(reason.message, MESSAGE_CHARS))


def _check_metaschema(schema: JsonObject) -> None:
    """Check against the metaschema; jsonschema, slower by far, is asked for words only."""
    if meta.is_valid({"$schema": Draft202012Validator.META_SCHEMA["$id"]} | schema):
        return
    validator = Draft202012Validator(Draft202012Validator.META_SCHEMA)
    error = best_match(validator.iter_errors(schema))
    if error is None:
        raise SchemaError("it is not JSON Schema 2020-12")
    place = json_pointer(error.absolute_path) or "/"
    raise SchemaError(f"{place}: {abridge(error.message, MESSAGE_CHARS)}")


def _name_atoms(subschemas: dict[str, Subschema], judge: Judge) -> int:
    """Return what matching a character of a property name costs, all such patterns together."""
    return sum(
        judge.matchers[pattern].atoms
        for part in subschemas.values()
        if isinstance(part.schema, dict)
        for pattern in part.schema.get("patternProperties", {})
    )
