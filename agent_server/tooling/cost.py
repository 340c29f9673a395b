"""What judging a value by a schema can cost, found without judging one.

``weigh`` bounds how many subschemas may be tried for each value of an instance. Work on an
instance is then at most its number of values times that bound, which the caller can refuse.

The judge (jsonschema-rs) follows a reference that leads back to a schema it is in the middle of at
most once for each value, and every other reference each time it meets one. So the bound is a sum
over the schema and each schema that is returned to, the returning references cut. Where it must
know what is unevaluated it judges twice, and remembers nothing: with references that lead back
that has no bound, so it is refused.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from agent_server.tooling.subschemas import SchemaError, Subschema

__all__ = ["weigh"]

MAX_WEIGHT: Final = 2_000
MAX_IN_PLACE_DEPTH: Final = 32
_ENTRIES_A_UNIT: Final = 16
"""Comparing with this many enum values or names costs about as much as trying a subschema."""

_UNEVALUATED: Final = frozenset({"unevaluatedProperties", "unevaluatedItems"})

Key = str | int | None


@dataclass(frozen=True, slots=True)
class _Load:
    """Subschemas tried on a value itself, and by key below it (None: any other key)."""

    here: int
    below: Mapping[Key, int] = field(default_factory=dict)

    @property
    def path(self) -> int:
        """The most that are tried along one path from here down."""
        return self.here + max(self.below.values(), default=0)


def weigh(subschemas: Mapping[str, Subschema]) -> int:
    """Return the bound, at least 1.

    Raises:
        SchemaError: references lead back to themselves with nothing in between, or the
            alternatives multiply beyond measure.
    """
    _check_in_place(subschemas)
    loads: dict[str, _Load] = {}
    returned_to: set[str] = set()
    for pointer, cut in _inside_out(subschemas):
        returned_to |= cut
        loads[pointer] = load = _load_of(subschemas[pointer], loads)
        if load.path > MAX_WEIGHT:
            raise SchemaError(
                f"{pointer or '/'}: its alternatives multiply to more than {MAX_WEIGHT}"
            )
    if returned_to and any(_UNEVALUATED & _keywords(part) for part in subschemas.values()):
        raise SchemaError(
            "unevaluatedProperties and unevaluatedItems cannot be checked in a schema that refers "
            "back to itself: write additionalProperties or items"
        )
    weight = loads[""].path + sum(loads[pointer].path for pointer in returned_to)
    if weight > MAX_WEIGHT:
        raise SchemaError(f"its alternatives multiply to more than {MAX_WEIGHT}")
    return weight


def _check_in_place(subschemas: Mapping[str, Subschema]) -> None:
    """Refuse endless references, and chains so long that following them would exhaust a stack."""
    depths: dict[str, int] = {}

    def depth_of(pointer: str, above: int) -> int:
        if above > MAX_IN_PLACE_DEPTH:
            raise SchemaError(
                f"{pointer or '/'}: its references lead back to itself, or through more than "
                f"{MAX_IN_PLACE_DEPTH} schemas for one value"
            )
        if pointer not in depths:
            children = subschemas[pointer].in_place
            depths[pointer] = 1 + max((depth_of(child, above + 1) for child in children), default=0)
        if above + depths[pointer] > MAX_IN_PLACE_DEPTH + 1:
            raise SchemaError(
                f"{pointer or '/'}: one value is judged through more than {MAX_IN_PLACE_DEPTH} "
                "schemas in a row"
            )
        return depths[pointer]

    for pointer in subschemas:
        depth_of(pointer, 0)


def _inside_out(subschemas: Mapping[str, Subschema]) -> Iterator[tuple[str, set[str]]]:
    """Yield every subschema after those it applies, with those of them it returns to instead."""
    done: set[str] = set()
    entered: set[str] = set()
    stack = [(pointer, False) for pointer in reversed(list(subschemas))]
    while stack:
        pointer, leaving = stack.pop()
        children = _children(subschemas[pointer])
        if leaving:
            yield pointer, {child for child in children if child not in done}
            done.add(pointer)
        elif pointer not in entered:
            entered.add(pointer)
            stack.append((pointer, True))
            stack += [(child, False) for child in children if child not in entered]


def _children(subschema: Subschema) -> list[str]:
    return [*subschema.in_place, *(child for _, child in subschema.below)]


def _load_of(subschema: Subschema, loads: Mapping[str, _Load]) -> _Load:
    here = _own_weight(subschema)
    times = 2 if _UNEVALUATED & _keywords(subschema) else 1
    loads_in_place = [loads.get(child, _Load(1)) for child in subschema.in_place] * times
    here += sum(load.here for load in loads_in_place)
    own: Counter[Key] = Counter()
    for key, child in subschema.below:
        own[key] += loads[child].path if child in loads else 1
    parts: list[Mapping[Key, int]] = [_spread(own), *(load.below for load in loads_in_place)]
    return _Load(here, _add(parts))


def _keywords(subschema: Subschema) -> frozenset[str]:
    return frozenset(subschema.schema) if isinstance(subschema.schema, dict) else frozenset()


def _own_weight(subschema: Subschema) -> int:
    if not isinstance(subschema.schema, dict):
        return 1
    entries = sum(
        len(value) for value in subschema.schema.values() if isinstance(value, (list, dict))
    )
    return 1 + entries // _ENTRIES_A_UNIT


def _spread(own: Counter[Key]) -> dict[Key, int]:
    """Give each key what is tried for any key too."""
    anywhere = own[None]
    return {key: count + (anywhere if key is not None else 0) for key, count in own.items()}


def _add(parts: list[Mapping[Key, int]]) -> dict[Key, int]:
    """Add up what several schemas try below the same value."""
    keys = {key for part in parts for key in part}
    return {key: sum(part.get(key, part.get(None, 0)) for part in parts) for key in keys}
