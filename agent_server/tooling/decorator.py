"""``@tool``: turn a typed function into a Tool. Pure: nothing is registered or kept anywhere."""

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, Final, Generic, ParamSpec, TypeVar, Unpack, overload

from pydantic import ValidationError

from agent_server.errors import ToolLoadError
from agent_server.tooling.docstring import read_docstring
from agent_server.tooling.options import PARAM_FIELDS, ToolOptions, check_options, describe_fault
from agent_server.tooling.parameters import DeclarationError, Parameters
from agent_server.tooling.schema import check_given_schema, schema_of
from agent_server.tooling.spec import ToolSpec
from agent_server.tooling.subschemas import SchemaError, read_schema

__all__ = ["Tool", "tool"]

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_SECRET_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, eq=False)
class Tool(Generic[P, R_co]):
    """A function the model may call, still callable as the plain function it was.

    ``spec`` is all that the server knows of it; ``parameters`` turns JSON into its arguments.
    """

    fn: Callable[P, R_co]
    spec: ToolSpec
    parameters: Parameters = field(repr=False)

    def __post_init__(self) -> None:
        """Look like the function, for ``help``, ``inspect.signature`` and doctest."""
        for name in functools.WRAPPER_ASSIGNMENTS:
            object.__setattr__(self, name, getattr(self.fn, name))
        object.__setattr__(self, "__wrapped__", self.fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function itself, here and now, with no sandbox: for unit tests."""
        return self.fn(*args, **kwargs)


@overload
def tool(fn: Callable[P, R_co], /) -> Tool[P, R_co]:  # noqa: D418 -- each form has its sentence
    """Declare a tool bare, with every option at its default."""


@overload
def tool(  # noqa: D418 -- each form has its sentence
    **options: Unpack[ToolOptions],
) -> Callable[[Callable[P, R_co]], Tool[P, R_co]]:
    """Declare a tool with options."""


def tool(
    fn: Callable[P, R_co] | None = None, /, **options: Any
) -> Tool[P, R_co] | Callable[[Callable[P, R_co]], Tool[P, R_co]]:
    """Declare a tool: its schema comes from the annotations, its description from the docstring.

    Use it bare or with options (see ToolOptions for what each means).

    Raises:
        ToolLoadError: the function cannot be a tool as written; file, line and remedy are named.
    """
    if fn is not None:
        return _declare(fn, options)
    return functools.partial(_declare, options=options)


def _declare(fn: Callable[P, R_co], options: dict[str, Any]) -> Tool[P, R_co]:
    if not isinstance(fn, FunctionType):
        raise ToolLoadError(f"@tool takes a function, not {fn!r}: decorate a plain 'def'")
    file, line = fn.__code__.co_filename, fn.__code__.co_firstlineno
    try:
        _check_function(fn)
        checked = check_options(options)
        documentation = read_docstring(fn.__doc__)
        parameters = Parameters.of(
            fn, descriptions=documentation.parameters, rest_allowed="input_schema" in checked
        )
        spec = _spec_of(fn, checked, parameters=parameters, description=documentation.description)
    except (DeclarationError, SchemaError) as error:
        raise ToolLoadError(f"{file}:{line}: {fn.__name__}: {error}") from error
    return Tool(fn, spec, parameters)


def _check_function(fn: FunctionType) -> None:
    if fn.__name__ == "<lambda>":
        raise DeclarationError("a lambda has no name, annotations or docstring: write a 'def'")
    if "<locals>" in fn.__qualname__:
        raise DeclarationError(
            "it is defined inside a function, where a sandboxed process cannot find it: move it "
            "to the top level of its file"
        )
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise DeclarationError(
            "it yields: return the whole result, and show what happens on the way by "
            "ctx.progress or print"
        )


def _spec_of(
    fn: FunctionType, options: ToolOptions, *, parameters: Parameters, description: str
) -> ToolSpec:
    name = options.get("name", fn.__name__)
    if not _NAME.fullmatch(name):
        raise DeclarationError(
            f"the name {name!r} is not allowed: use at most 64 letters, digits, _ and -"
        )
    is_async = inspect.iscoroutinefunction(fn)
    if options.get("isolation") == "inline" and not is_async:
        raise DeclarationError(
            "an inline tool runs in the server and must not block it: write 'async def', or "
            "leave isolation='inline' out"
        )
    for secret in options.get("secrets", ()):
        if not _SECRET_NAME.fullmatch(secret):
            raise DeclarationError(
                f"secrets names environment variables, such as API_KEY, not {secret!r}"
            )
    given = options.get("input_schema")
    if given is not None:
        check_given_schema(given, parameters)
    schema = given if given is not None else schema_of(parameters)
    read_schema(schema)
    fields: dict[str, Any] = {
        "description": description,
        **{key: value for key, value in options.items() if key not in PARAM_FIELDS},
        "name": name,
        "input_schema": schema,
        "param_fields": {key: value for key, value in options.items() if key in PARAM_FIELDS},
        "takes_context": parameters.context is not None,
        "is_async": is_async,
        "module": fn.__module__,
        "qualname": fn.__qualname__,
        "file": fn.__code__.co_filename,
        "line": fn.__code__.co_firstlineno,
    }
    try:
        return ToolSpec(**fields)
    except ValidationError as error:
        raise DeclarationError(describe_fault(error, fields)) from None
