"""Arithmetic that a model can rely on: a pure function, a bounded parser, errors that help."""

import ast
import math
import operator
import re
from collections.abc import Callable
from typing import Annotated, Final

from pydantic import Field

from agent_server import ToolError, tool

_OPERATORS: Final[dict[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_FUNCTIONS: Final[dict[str, Callable[[float], float]]] = {
    "abs": abs,
    "ceil": math.ceil,
    "cos": math.cos,
    "exp": math.exp,
    "floor": math.floor,
    "ln": math.log,
    "log10": math.log10,
    "round": round,
    "sin": math.sin,
    "sqrt": math.sqrt,
    "tan": math.tan,
}
_CONSTANTS: Final = {"e": math.e, "pi": math.pi}
_MAX_POWER_BITS: Final = 4_000
_DECIMALS: Final = 12


@tool(effects="none", timeout_s=5, cpu_s=2)
def calculator(
    expression: Annotated[
        str,
        Field(
            min_length=1, max_length=200, examples=["17% of 2340", "(3 + 4) * 2.5", "sqrt(2) ** 2"]
        ),
    ],
) -> int | float:
    """Calculate an arithmetic expression exactly as written.

    Takes numbers, + - * / // % ** (or ^), parentheses, percentages ("17% of 2340", "15%"), the
    constants pi and e, and abs, ceil, cos, exp, floor, ln, log10, round, sin, sqrt, tan (radians).
    Use it for every calculation instead of doing it in your head.

    Args:
        expression: What to calculate.
    """
    try:
        tree = ast.parse(_as_python(expression), mode="eval")
        result = _evaluate(tree.body)
    except SyntaxError:
        raise ToolError(f"{expression!r} is not arithmetic: write it like (3 + 4) * 2.5") from None
    except ZeroDivisionError:
        raise ToolError(f"{expression!r} divides by zero") from None
    except (OverflowError, RecursionError, MemoryError):
        result = math.inf
    except ValueError as error:
        raise ToolError(f"{expression!r} has no real value: {error}") from None
    if not isinstance(result, int) and not math.isfinite(result):
        raise ToolError(f"{expression!r} is too large to calculate")
    return result if isinstance(result, int) else _tidy(result)


def _as_python(expression: str) -> str:
    """Write powers, thousands and percentages as Python does: 17% of 2340 is (17/100)*2340."""
    text = expression.strip().replace("^", "**").replace("\u00d7", "*").replace("\u00f7", "/")
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    text = re.sub(r"(\d+(?:\.\d+)?)\s*(?:%|percent)\s*of\b", r"(\1/100)*", text)
    return re.sub(r"(\d+(?:\.\d+)?)\s*(?:%(?!\s*[\w(.])|percent\b)", r"(\1/100)", text)


def _evaluate(node: ast.expr) -> int | float:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_evaluate(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _evaluate(operand)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_evaluate(left), _evaluate(right))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_evaluate(left), _evaluate(right))
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](_evaluate(argument))
    raise ToolError(f"{ast.unparse(node)!r} is not arithmetic this calculator knows")


def _power(base: float, exponent: float) -> int | float:
    """Raise to a power, but not to one that fills the memory."""
    if isinstance(base, int) and isinstance(exponent, int):
        if exponent > 0 and base.bit_length() * exponent > _MAX_POWER_BITS:
            raise OverflowError
        result: int | float = base**exponent
        return result
    return math.pow(base, exponent)


def _tidy(value: float) -> int | float:
    """Round away what binary fractions add: 0.1 + 0.2 is 0.3; a whole number shows no point."""
    rounded = round(value, _DECIMALS)
    return int(rounded) if rounded.is_integer() and abs(rounded) < 2**53 else rounded
