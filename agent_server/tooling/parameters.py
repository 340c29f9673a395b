"""The parameters of a tool's function: read once from its signature, then JSON into typed values.

One pydantic model serves both ways: its JSON Schema is what the model is told, its validation is
what turns JSON arguments into the annotated types.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

from agent_server.errors import AgentServerError
from agent_server.messages import JsonObject
from agent_server.tooling.context import ToolContext
from agent_server.tooling.problems import MESSAGE_CHARS, Problem
from agent_server.tooling.text import abridge, did_you_mean, json_pointer

__all__ = ["ArgumentError", "DeclarationError", "Parameters"]

_NO_POSITION = {
    inspect.Parameter.POSITIONAL_ONLY: "is positional-only: remove the '/'",
    inspect.Parameter.VAR_POSITIONAL: "is positional: name each one, or take a list",
}


class DeclarationError(Exception):
    """A function cannot be a tool as it is written; the message says what to do about it."""


class ArgumentError(AgentServerError):
    """Arguments do not fit the function's annotated types; ``problems`` say where and why."""

    code = "invalid_input"

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{p.path or 'input'}: {p.message}" for p in problems))
        self.problems = problems


@dataclass(frozen=True)
class Parameters:
    """What a tool's function takes.

    ``model`` has one field a parameter, under the parameter's name as alias: parameters may be
    called what a model's own attributes are (``json``, ``schema``, ``_private``). ``context`` is
    the name of the parameter that gets the ToolContext; ``collects_rest`` says there is a
    ``**rest``.
    """

    model: type[BaseModel]
    names: tuple[str, ...]
    required: tuple[str, ...]
    context: str | None
    collects_rest: bool

    @classmethod
    def of(
        cls, fn: Callable[..., object], *, descriptions: Mapping[str, str], rest_allowed: bool
    ) -> "Parameters":
        """Read a signature.

        Raises:
            DeclarationError: the function cannot be called with named JSON arguments.
        """
        signature = inspect.signature(fn)
        hints = _hints_of(fn)
        _check_descriptions(descriptions, signature)
        context: str | None = None
        collects_rest = False
        fields: dict[str, Any] = {}
        required: list[str] = []
        names: list[str] = []
        for name, parameter in signature.parameters.items():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD and rest_allowed:
                collects_rest = True
                continue
            _check_parameter(name, parameter, hints)
            if _is_context(hints[name]):
                if context is not None:
                    raise DeclarationError(f"both {context} and {name} take the ToolContext")
                context = name
                continue
            fields[f"p{len(fields)}"] = _field_of(
                name, hints[name], parameter, descriptions.get(name)
            )
            names.append(name)
            if parameter.default is parameter.empty:
                required.append(name)
        return cls(
            model=_model_of(fn, fields, collects_rest=collects_rest),
            names=tuple(names),
            required=tuple(required),
            context=context,
            collects_rest=collects_rest,
        )

    def coerce(self, arguments: JsonObject) -> dict[str, Any]:
        """Turn JSON arguments into the annotated types; what is left out keeps its default.

        Raises:
            ArgumentError: a value does not fit its annotation.
        """
        try:
            values = self.model.model_validate(arguments)
        except ValidationError as error:
            raise ArgumentError(_problems_of(error, arguments)) from None
        given = {
            name: getattr(values, f"p{position}")
            for position, name in enumerate(self.names)
            if name in arguments
        }
        return given | (values.model_extra or {})


def _hints_of(fn: Callable[..., object]) -> dict[str, Any]:
    try:
        return get_type_hints(fn, include_extras=True)
    except NameError as error:
        raise DeclarationError(
            f"the annotation {error.name!r} is not defined when the file is loaded: import it "
            "outside TYPE_CHECKING, above the function"
        ) from error
    except TypeError as error:
        raise DeclarationError(f"its annotations cannot be read: {error}") from error


def _check_descriptions(descriptions: Mapping[str, str], signature: inspect.Signature) -> None:
    for name in descriptions:
        if name not in signature.parameters:
            hint = did_you_mean(name, signature.parameters)
            raise DeclarationError(
                f"the docstring describes a parameter {name!r} that the function lacks{hint}"
            )


def _check_parameter(name: str, parameter: inspect.Parameter, hints: Mapping[str, Any]) -> None:
    if parameter.kind in _NO_POSITION:
        raise DeclarationError(f"the parameter {name} {_NO_POSITION[parameter.kind]}")
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        raise DeclarationError(
            f"the parameter {name} collects any name: name each one, or give input_schema="
        )
    if name not in hints:
        raise DeclarationError(
            f"the parameter {name} has no annotation: write its type, such as {name}: str"
        )
    if isinstance(parameter.default, FieldInfo):
        raise DeclarationError(
            f"the default of {name} is a Field: write {name}: Annotated[…, Field(…)] = default, "
            "so that plain calls get a value"
        )
    if parameter.default is None and not _takes_none(hints[name]):
        raise DeclarationError(
            f"the default of {name} is None, which its annotation does not allow: add '| None'"
        )


def _is_context(annotation: Any) -> bool:
    members = get_args(annotation) if _is_union(annotation) else (annotation,)
    return any(member is ToolContext for member in members)


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType)


def _takes_none(annotation: Any) -> bool:
    """Whether None is a value of the annotation; unreadable annotations are reported later."""
    if annotation in (None, NoneType, Any):
        return True
    if _is_context(annotation):
        return NoneType in get_args(annotation)
    try:
        TypeAdapter(annotation).validate_python(None)
    except ValidationError:
        return False
    except PydanticUserError:
        return True
    return True


def _field_of(
    name: str, annotation: Any, parameter: inspect.Parameter, description: str | None
) -> tuple[Any, FieldInfo]:
    """Pair an annotation with a field; a description in ``Annotated`` beats the docstring's."""
    told: dict[str, Any] = {}
    if description and not FieldInfo.from_annotation(annotation).description:
        told["description"] = description
    if parameter.default is parameter.empty:
        return annotation, Field(alias=name, validation_alias=name, **told)
    return annotation, Field(default=parameter.default, alias=name, validation_alias=name, **told)


def _model_of(
    fn: Callable[..., object], fields: dict[str, Any], *, collects_rest: bool
) -> type[BaseModel]:
    config = ConfigDict(extra="allow" if collects_rest else "forbid", protected_namespaces=())
    try:
        model: type[BaseModel] = create_model(
            fn.__name__, __config__=config, __module__=fn.__module__, **fields
        )
        model.__pydantic_validator__  # noqa: B018 -- a model with an undefined name fails only here
    except PydanticUserError as error:
        reason = str(error).partition("\n")[0]
        raise DeclarationError(f"an annotation has no JSON form: {reason}") from error
    return model


def _problems_of(error: ValidationError, arguments: JsonObject) -> list[Problem]:
    return [
        Problem(
            json_pointer(_path_in(arguments, detail["loc"], detail["type"])),
            abridge(detail["msg"], MESSAGE_CHARS),
        )
        for detail in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _path_in(arguments: Any, loc: tuple[int | str, ...], kind: str) -> list[int | str]:
    """Leave out what pydantic adds to a location (the names of union members)."""
    path: list[int | str] = []
    value = arguments
    for part in loc:
        found = part in value if isinstance(value, dict) else _has_index(value, part)
        if found:
            value = value[part]
        if found or (kind == "missing" and part == loc[-1]):
            path.append(part)
    return path


def _has_index(value: object, part: int | str) -> bool:
    return isinstance(value, list) and isinstance(part, int) and part < len(value)
