"""How a value looks inside an error message: short, whatever it holds."""

from typing import Any, Final

__all__ = ["show", "shown"]

_MAX_CHARS: Final = 60
_MAX_BITS: Final = 64


def show(value: object) -> str:
    """Describe a JSON value in at most some 80 characters."""
    match value:
        case dict():
            return f"an object of {len(value)} properties"
        case list():
            return f"an array of {len(value)} items"
        case str() if len(value) > _MAX_CHARS:
            return repr(str(value[: _MAX_CHARS - 1]))[:-1] + "…'"
        case int() if value.bit_length() > _MAX_BITS:
            return f"an integer of {value.bit_length()} bits"
    return repr(value)


def shown(value: Any) -> Any:
    """Return an equal value whose ``repr`` is short: jsonschema writes it into its messages."""
    match value:
        case dict():
            return _Object(value)
        case list():
            return _Array(value)
        case str() if len(value) > _MAX_CHARS:
            return _Text(value)
        case int() if value.bit_length() > _MAX_BITS:
            return _Integer(value)
    return value


class _Object(dict[str, Any]):
    __repr__ = show


class _Array(list[Any]):
    __repr__ = show


class _Text(str):
    __slots__ = ()
    __repr__ = show


class _Integer(int):
    __repr__ = show
