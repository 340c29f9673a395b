"""Regular expressions of schemas: matched in linear time, and never more than their budget allows.

The engine (Rust's, by jsonschema-rs) is linear in the text, but also in the number of atoms that a
pattern has once its counted repetitions are written out: ``[01]{300}x`` is 301. A character costs
at worst about 10 ns for each atom, so characters times atoms are what is budgeted.
"""

import re
from typing import Final

from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError

from agent_server.tooling.subschemas import SchemaError

__all__ = ["MATCH_BUDGET", "REGEX_OPTIONS", "Matcher", "count_atoms"]

MATCH_BUDGET: Final = 4_000_000
"""Characters times atoms that one verdict may cost: some 50 ms in the worst case."""
MAX_ATOMS: Final = 4_000
"""How many all patterns of one schema may have: so much is compiled in some 50 ms."""
_PROPERTY_ATOMS: Final = 40
"""A Unicode property such as ``\\p{L}`` compiles to as much as this many classes."""
MAX_CHARS: Final = 2_000
REGEX_OPTIONS: Final = RegexOptions(size_limit=10 * 1024 * 1024)

_TOKEN: Final = re.compile(
    r"""(?P<property>\\[pP]\{[^}]*\}?) | \\u\{[^}]*\}? | \\. | \[(?:\\.|[^\]\\])*\]?
    | \(\?<?[:=!] | \( | (?P<close>\)) | \{(?P<least>\d+)(?P<comma>,?)(?P<most>\d*)\}
    | (?P<free>[*+?|^$]) | .""",
    re.VERBOSE | re.DOTALL,
)
"""Linear: what is left open takes the whole rest, so nothing is read twice."""


class Matcher:
    """One pattern, compiled. ``atoms`` is what a character's match costs, in atoms."""

    def __init__(self, pattern: str) -> None:
        """Compile ``pattern``.

        Raises:
            SchemaError: the linear-time engine cannot take it.
        """
        self.atoms = count_atoms(pattern)
        try:
            self._validator = Draft202012Validator(
                {"pattern": pattern}, pattern_options=REGEX_OPTIONS
            )
        except ValidationError:
            raise SchemaError(
                f"the pattern {pattern!r} is refused: patterns are matched in linear time, "
                "without look-around, back-references or huge repetitions"
            ) from None

    def matches(self, text: str) -> bool:
        """Whether the pattern is found in ``text``."""
        return self._validator.is_valid(text)


def count_atoms(pattern: str) -> int:
    """Count characters, classes and escapes, counted repetitions written out; at least 1.

    Raises:
        SchemaError: the pattern is too long to be looked at.
    """
    if len(pattern) > MAX_CHARS:
        raise SchemaError(f"a pattern has at most {MAX_CHARS} characters")
    totals = [0]
    last = 0
    for token in _TOKEN.finditer(pattern):
        if token["free"]:
            continue
        if token["least"]:
            times = int(token["most"] or token["least"]) + (1 if _is_open(token) else 0)
            totals[-1] += last * (times - 1) if times else 0
            last *= max(times, 1)
        elif token["close"]:
            last = totals.pop() if len(totals) > 1 else 0
            totals[-1] += last
        elif token[0].startswith("("):
            totals.append(0)
        else:
            last = _PROPERTY_ATOMS if token["property"] else 1
            totals[-1] += last
    return max(1, sum(totals))


def _is_open(token: re.Match[str]) -> bool:
    """Whether a counted repetition has no end, as in ``a{3,}``."""
    return bool(token["comma"]) and not token["most"]
