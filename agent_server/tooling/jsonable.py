"""A tool's return value as strict JSON: what every parser, database and provider takes."""

import math
from typing import Any, Final

from pydantic_core import PydanticSerializationError, to_jsonable_python

from agent_server.errors import AgentServerError
from agent_server.tooling.text import is_storable

__all__ = ["ResultError", "to_json_value"]

MAX_DEPTH: Final = 100
MAX_INTEGER_BITS: Final = 14_000
"""Python itself refuses to print integers of more than 4,300 digits."""


class ResultError(AgentServerError):
    """What a tool returned cannot be sent to a model; the message says what and why."""

    code = "result_invalid"


def to_json_value(value: object) -> Any:
    """Convert models, dataclasses, enums, sets, dates … to plain JSON values.

    Raises:
        ResultError: a part of it has no JSON form.
    """
    try:
        plain = to_jsonable_python(value)
    except UnicodeDecodeError:
        raise ResultError(
            "the result holds bytes that are not UTF-8 text: return an image or document block"
        ) from None
    except UnicodeEncodeError:
        raise ResultError("the result holds a NUL character or a lone surrogate") from None
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise ResultError(f"the result is not JSON: {_reason(error)}") from error
    _check(plain)
    return plain


def _reason(error: Exception) -> str:
    if "Circular" in str(error):
        return "it refers to itself"
    if isinstance(error, RecursionError) or "depth" in str(error):
        return f"it is nested deeper than {MAX_DEPTH} levels"
    return str(error).partition("\n")[0]


def _check(plain: Any) -> None:
    """Refuse what ``to_jsonable_python`` lets through and JSON does not know."""
    level = [plain]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for value in level:
            if fault := _fault_of(value):
                raise ResultError(f"the result holds {fault}")
            if isinstance(value, list):
                below += value
            elif isinstance(value, dict):
                below += value.keys()
                below += value.values()
        if not below:
            return
        level = below
    raise ResultError(f"the result is nested deeper than {MAX_DEPTH} levels")


def _fault_of(value: Any) -> str | None:
    match value:
        case bool():
            return None
        case str() if not is_storable(value):
            return "a NUL character or a lone surrogate"
        case float() if not math.isfinite(value):
            return f"{value}, which is not a JSON number: return null, or text"
        case int() if value.bit_length() > MAX_INTEGER_BITS:
            return "an integer of more than 4,200 digits: return it as text, in parts"
    return None
