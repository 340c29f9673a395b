"""Tool files and installed tool packages into Tools. A failure is one line: file, line, what.

Nothing is registered: the Tools found are returned, each with its place filled into its spec.
"""

import hashlib
import importlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint
from importlib.metadata import entry_points as installed_entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from agent_server.errors import ToolLoadError
from agent_server.tooling.decorator import Tool
from agent_server.tooling.importing import (
    forget_tool_files,
    import_tool_file,
    is_tool_file_module,
    reporting_failures,
    source_sha256,
)
from agent_server.tooling.spec import ToolSpec

__all__ = ["ENTRY_POINT_GROUP", "load_tool", "load_tools"]

ENTRY_POINT_GROUP: Final = "agent_server.tools"

AnyTool = Tool[..., Any]


def load_tools(paths: Sequence[Path], *, entry_points: bool = True) -> list[AnyTool]:
    """Load every tool of ``paths`` (folders and single files), then of installed packages.

    In a folder, ``*.py`` are tool files; those whose names start with ``_`` are theirs to import.

    Raises:
        ToolLoadError: a path is missing, a file cannot be imported, or two tools share a name.
    """
    tools: list[AnyTool] = []
    files = _files_of(paths)
    for folder in {file.parent for file in files}:
        forget_tool_files(folder)
    for file in files:
        tools += _tools_of_module(import_tool_file(file), file)
    if entry_points:
        for point in sorted(installed_entry_points(group=ENTRY_POINT_GROUP)):
            tools += _tools_of_entry_point(point)
    _refuse_twins(tools)
    return tools


def load_tool(spec: ToolSpec) -> AnyTool:
    """Load one tool again, from where its spec says it lives.

    Raises:
        ToolLoadError: it is not there any more, or its source has changed since.
    """
    place = spec.file or spec.module
    if is_tool_file_module(spec.module) and spec.file is not None:
        file = Path(spec.file)
        if not file.is_file():
            raise ToolLoadError(f"{place}: this tool file does not exist any more")
        found = _tools_of_module(import_tool_file(file), file)
        if any(tool.spec.source_sha256 != spec.source_sha256 for tool in found):
            forget_tool_files(file.parent)
            found = _tools_of_module(import_tool_file(file), file)
    else:
        with reporting_failures(place):
            module = importlib.import_module(spec.module)
        found = [_placed(tool, module.__name__, name) for name, tool in _members(module)]
    for tool in found:
        if tool.spec.name == spec.name:
            if tool.spec.source_sha256 != spec.source_sha256:
                raise ToolLoadError(f"{place}: it changed while it was being loaded: start again")
            return tool
    raise ToolLoadError(f"{place}: the tool {spec.name!r} is not in it any more")


def _files_of(paths: Sequence[Path]) -> list[Path]:
    """Return the tool files in order: paths as given, names sorted, none twice."""
    files: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            names = sorted(path.glob("*.py"))
            found = [name for name in names if not name.name.startswith("_") and name.is_file()]
        elif path.is_file() and path.suffix == ".py":
            found = [path]
        else:
            what = "is no Python file" if path.exists() else "does not exist"
            raise ToolLoadError(f"{path}: this tool path {what}: check tools.paths")
        files.update(dict.fromkeys(name.resolve() for name in found))
    return list(files)


def _tools_of_module(module: ModuleType, file: Path) -> list[AnyTool]:
    """Return the Tools of a tool file, leaving out what it imports from another tool file."""
    sha256 = source_sha256(module)
    return [
        replace(
            tool,
            spec=tool.spec.model_copy(
                update={
                    "module": module.__name__,
                    "qualname": name,
                    "file": str(file),
                    "source_sha256": sha256,
                }
            ),
        )
        for name, tool in _members(module)
        if tool.spec.module == module.__name__ or not is_tool_file_module(tool.spec.module)
    ]


def _members(module: ModuleType) -> list[tuple[str, AnyTool]]:
    """Return the Tools of a module in the order of its lines, each once, by their first names."""
    found: dict[int, tuple[str, AnyTool]] = {}
    for name, value in vars(module).items():
        if isinstance(value, Tool):
            found.setdefault(id(value), (name, value))
    return list(found.values())


def _tools_of_entry_point(point: EntryPoint) -> list[AnyTool]:
    """Load an entry point: a module with Tools, a Tool, or an iterable of Tools."""
    place = f"the entry point {point.name} = {point.value}"
    with reporting_failures(place):
        target = point.load()
    if isinstance(target, ModuleType):
        return [_placed(tool, target.__name__, name) for name, tool in _members(target)]
    if isinstance(target, Tool):
        return [_placed(target, point.module, point.attr)]
    tools = list(target) if isinstance(target, Iterable) else [target]
    for tool in tools:
        if not isinstance(tool, Tool):
            raise ToolLoadError(
                f"{place}: it must be a module, a Tool or Tools, and gives {type(tool).__name__}"
            )
    return [_found_at_home(tool) for tool in tools]


def _found_at_home(tool: AnyTool) -> AnyTool:
    """Place a tool by the name it has in the module of its function."""
    module = sys.modules[tool.spec.module]
    names = {id(member): name for name, member in _members(module)}
    return _placed(tool, tool.spec.module, names.get(id(tool), tool.spec.qualname))


def _placed(tool: AnyTool, module: str, name: str) -> AnyTool:
    """Fill in where an installed tool lives."""
    file = Path(tool.spec.file or "")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
    update = {"module": module, "qualname": name, "source_sha256": sha256}
    return replace(tool, spec=tool.spec.model_copy(update=update))


def _refuse_twins(tools: Iterable[AnyTool]) -> None:
    places: dict[str, str] = {}
    for tool in tools:
        place = f"{tool.spec.file}:{tool.spec.line}"
        if tool.spec.name in places:
            raise ToolLoadError(
                f"two tools are named {tool.spec.name!r}: {places[tool.spec.name]} and {place}; "
                "rename one, or give it @tool(name=…)"
            )
        places[tool.spec.name] = place
